import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { until } from './until.ts'
import { freePort } from './world.ts'

/** A certificate authority with ACME, and the DNS that it goes by: Pebble and its test server. */
export type Authority = Readonly<{
  /** Lines for `[router]` of config.toml, so that a server takes its certificates from here. */
  settings: Readonly<Record<string, string>>
  /** PEM of the root that its certificates go back to; another after each start. */
  root: () => Promise<string>
  /** Sets the A records of a name; without one it has none. */
  point: (name: string, ...addresses: readonly string[]) => Promise<void>
  setTxt: (name: string, value: string) => Promise<void>
  clearTxt: (name: string) => Promise<void>
  stop: () => Promise<void>
  start: () => Promise<void>
}>

/**
 * Starts an authority that looks for servers at ports of this machine. It ends with the test.
 * @param options.address Of this machine, where containers reach it.
 * @param options.lifetimeSeconds Of its certificates. Default 90 days.
 */
export async function authority(
  t: Pick<TestContext, 'after'>,
  options: { address: string; httpPort: number; httpsPort: number; lifetimeSeconds?: number },
): Promise<Authority> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-pebble-'))
  const ports = {
    acme: await freePort(),
    management: await freePort(),
    dns: await freePort(),
    dnsManagement: await freePort(),
  }
  await makeServerCertificate(folder, options.address)
  await mkdir(join(folder, 'trusted'))
  const trusted = join(folder, 'trusted', 'ca.pem')
  await writeFile(
    join(folder, 'pebble.json'),
    JSON.stringify({
      pebble: {
        listenAddress: `0.0.0.0:${ports.acme}`,
        managementListenAddress: `127.0.0.1:${ports.management}`,
        certificate: join(folder, 'server.pem'),
        privateKey: join(folder, 'server.key'),
        httpPort: options.httpPort,
        tlsPort: options.httpsPort,
        ocspResponderURL: '',
        externalAccountBindingRequired: false,
        certificateValidityPeriod: options.lifetimeSeconds ?? 90 * 24 * 3600,
      },
    }),
  )
  const processes = new Map<string, ChildProcess>()
  const run = (program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): void => {
    const child = spawn(program, args, { cwd: folder, env: { ...process.env, ...env }, stdio: 'ignore' })
    processes.set(program, child)
  }
  const end = async (program: string): Promise<void> => {
    const child = processes.get(program)
    processes.delete(program)
    if (!child || child.exitCode !== null) return
    const closed = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await closed
  }
  t.after(async () => {
    await Promise.all([...processes.keys()].map(end))
    await rm(folder, { recursive: true, force: true })
  })
  const manage = async (path: string, body: unknown): Promise<void> => {
    const answer = await fetch(`http://127.0.0.1:${ports.dnsManagement}/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(5_000),
    })
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  }
  const endpoint = await readFile(join(folder, 'ca.pem'), 'utf8')
  const root = (): Promise<string> => get(`https://127.0.0.1:${ports.management}/roots/0`)
  const start = async (): Promise<void> => {
    run('pebble', ['-config', 'pebble.json', '-dnsserver', `127.0.0.1:${ports.dns}`], {
      PEBBLE_VA_NOSLEEP: '1',
      PEBBLE_WFE_NONCEREJECT: '0',
    })
    const issuing = await until(root, { what: 'the answer of pebble' })
    await writeFile(trusted, `${endpoint}\n${issuing}`)
  }
  run('pebble-challtestsrv', [
    ...['-defaultIPv4', '', '-defaultIPv6', '', '-http01', '', '-https01', '', '-tlsalpn01', ''],
    ...['-dns01', `0.0.0.0:${ports.dns}`, '-management', `127.0.0.1:${ports.dnsManagement}`],
  ])
  await until(() => manage('clear-a', { host: 'nobody.test.' }).then(() => true), { what: 'the DNS of the tests' })
  await start()
  return {
    settings: {
      email: '"ops@example.com"',
      ca_server: `"https://${options.address}:${ports.acme}/dir"`,
      ca_certificates: `["${trusted}"]`,
      dns_servers: `["${options.address}:${ports.dns}"]`,
      challenge_port: String(options.httpPort),
    },
    root,
    async point(name, ...addresses) {
      await manage('clear-a', { host: `${name}.` })
      if (addresses.length > 0) await manage('add-a', { host: `${name}.`, addresses })
    },
    setTxt: (name, value) => manage('set-txt', { host: name, value }),
    clearTxt: (name) => manage('clear-txt', { host: name }),
    stop: () => end('pebble'),
    start,
  }
}

async function makeServerCertificate(folder: string, address: string): Promise<void> {
  const openssl = (...args: readonly string[]): Promise<unknown> =>
    promisify(execFile)('openssl', args, { cwd: folder })
  const names = `subjectAltName=DNS:localhost,IP:127.0.0.1,IP:${address}`
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  await openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    '/CN=Pebble endpoint CA',
  )
  await openssl('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=pebble')
  await writeFile(join(folder, 'names'), names)
  const sign = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names']
  await openssl('x509', '-req', '-in', 'server.csr', ...sign, '-out', 'server.pem')
}

function get(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = https.get(url, { rejectUnauthorized: false, timeout: 2_000, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.on('end', () => (response.statusCode === 200 ? resolve(text) : reject(new Error(text))))
    })
    request.on('timeout', () => request.destroy(new Error('no answer')))
    request.on('error', reject)
  })
}
