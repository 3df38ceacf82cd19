// A daemon beside strangers, and an honest client of it.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { formatStatement } from '../../../src/push/statement.ts'
import { generatePrivateKey, type PrivateKey, parsePrivateKey } from '../../../src/ssh/private-key.ts'
import { makeSignature } from '../../../src/ssh/sshsig.ts'
import { asRouter } from './as-router.ts'

/** A socket, a port, or what the router leads to it. */
export type Target = { path: string } | { host: string; port: number; base?: string }

export type Daemon = Readonly<{
  directory: string
  /** Its socket, and the port that the router would reach. */
  path: string
  port: number
  /** The only one that it lets in. */
  key: PrivateKey
  rssMiB: () => Promise<number>
  descriptors: () => Promise<number>
}>

/** Runs a program of ours, which ends with its input. @returns it and its first line */
export async function start(
  t: TestContext,
  file: string,
  argument: string,
): Promise<{ child: ChildProcess; first: string }> {
  const path = new URL(`./${file}`, import.meta.url).pathname
  const child = spawn(process.execPath, ['--import', 'tsx', path, argument], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(async () => {
    if (child.exitCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
  })
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  const first = once(lines, 'line')
  return { child, first: String((await first)[0]) }
}

export async function daemon(t: TestContext): Promise<Daemon> {
  const home = await mkdtemp(join(tmpdir(), 'mypaas-strangers-'))
  const directory = join(home, '_mypaas')
  await mkdir(join(directory, 'push', 'blobs'), { recursive: true, mode: 0o700 })
  await writeFile(join(directory, 'config.toml'), '[server]\ndomain = "paas.test"\n', { mode: 0o600 })
  const key = parsePrivateKey(generatePrivateKey('honest').text)
  await writeFile(join(directory, 'authorized_keys'), `${key.public} honest\n`, { mode: 0o600 })
  const { child, first } = await start(t, 'daemon.ts', home)
  // Behind the end of what writes there.
  t.after(() => rm(home, { recursive: true, force: true }))
  const { path, port } = JSON.parse(first) as { path: string; port: number }
  const proc = `/proc/${child.pid}`
  const rssMiB = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`${proc}/status`, 'utf8'))?.[1]) / 1024
  const descriptors = async () => (await readdir(`${proc}/fd`)).length
  return { directory, path, port, key, rssMiB, descriptors }
}

export function ask(
  target: Target,
  path: string,
  body: string,
  from: string,
  agent: http.Agent,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const where = 'path' in target ? { socketPath: target.path } : { host: target.host, port: target.port }
    const { request: send } = agent instanceof https.Agent ? https : http
    const base = ('base' in target && target.base) || ''
    const headers = { 'content-length': Buffer.byteLength(body), ...(from === '' ? {} : asRouter(from)) }
    const options = { ...where, agent, method: 'POST', path: `${base}${path}`, headers, timeout: 30_000 }
    const request = send(options, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part) => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      response.on('error', reject)
    })
    request.on('timeout', () => request.destroy(new Error('no answer')))
    request.on('error', reject)
    request.end(body)
  })
}

/** What an honest client does: a challenge, a signed call. @returns how long it took, in milliseconds */
export async function honest(
  target: Target,
  { host, key, from, agent }: { host: string; key: PrivateKey; from: string; agent: http.Agent },
): Promise<number> {
  const begin = performance.now()
  const challenge = JSON.parse((await ask(target, '/v1/challenge', '{}', from, agent)).text)
  const { server, nonce, time: timeMs } = challenge as { server: string; nonce: string; time: number }
  const common = { server, host, nonce, timeMs }
  // Larger than what may come unsigned.
  const body = 'x'.repeat(200_000)
  const digest = createHash('sha256').update(body).digest('hex')
  const statement = formatStatement({ purpose: 'call', ...common, action: 'nothing', args: {}, body: digest })
  const signature = makeSignature(statement, 'statement@mypaas', key.blob, key.sign)
  const { status, text } = await ask(target, '/v1/call', JSON.stringify({ statement, signature, body }), from, agent)
  // Let in, and told that there is no such thing.
  assert.equal(status, 400, text)
  assert.match(text, /This server knows no nothing/)
  return performance.now() - begin
}
