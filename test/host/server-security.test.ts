import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { compiledProgram } from '../support/compiled.ts'
import { nodeImage } from '../support/images.ts'
import { gateway } from '../support/secured.ts'
import { until } from '../support/until.ts'
import { freePort, type World, world } from '../support/world.ts'

test('what a service can reach, and what it can do', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  const daemonPort = await freePort()
  await w.init('--domain', 'paas.test')
  await w.set('server', 'daemon_port', String(daemonPort))
  await w.init()
  const daemon = w.spawnCli(['server', 'daemon'])
  await daemon.seen(/listens on [\d.]+:\d+ for the router/)
  await w.deploy(await w.service('secret', { directives: ['url=http://secret.test', 'volume=~/secret:/data'] }))
  await writeFile(join(w.home, 'secret', 'treasure'), 'gold')
  const evil = await w.service('evil', { directives: ['url=http://evil.test', 'volume=~/evil:/data'] })
  await w.deploy(evil)

  const edge = await gateway(w)
  const admin = `http://${w.instance}-traefik:8081`
  const apis = ['/api/rawdata', '/api/version', '/api/http/routers']
  const others = ['/', '/debug/pprof', '/ping', '/metrics']
  const daemonPaths = ['/', '/v1/services', '/v1/challenge', '/jobs', '/blobs', '/status', '/../config.toml']
  // All by one command, which takes as long as starting it.
  const answers = await fetchInside(w, 'evil', [
    ...[...apis, ...others].map((path) => `${admin}${path}`),
    ...daemonPaths.map((path) => `http://${edge}:${daemonPort}${path}`),
    ...[2375, 2376].map((port) => `http://${edge}:${port}/_ping`),
    `http://${edge}:${w.ports.admin}/api/rawdata`,
  ])

  await t.test('the API and the probe entry of the router answer nobody without the password', () => {
    for (const path of apis) assert.equal(answers[`${admin}${path}`], '401', path)
    for (const path of others) assert.match(answers[`${admin}${path}`] ?? '', /^(401|404)$/, path)
    assert.equal(answers[`http://${edge}:${w.ports.admin}/api/rawdata`], 'ECONNREFUSED')
  })

  await t.test('the daemon gives nothing away to whoever signs nothing', () => {
    for (const path of daemonPaths) assert.match(answers[`http://${edge}:${daemonPort}${path}`] ?? '', /^4\d\d$/, path)
  })

  await t.test('the daemon takes only the router’s word for where somebody comes from', async () => {
    const claimed = '203.0.113.9'
    const script = `fetch('http://${edge}:${daemonPort}/v1/inside', {method: 'POST', headers: {'x-forwarded-for': '${claimed}'}}).then(() => {})`
    await w.ok(['server', 'exec', 'evil', '--', 'node', '-e', script])
    const args = [
      '-sk',
      '--resolve',
      `paas.test:${w.ports.https}:127.0.0.1`,
      '-X',
      'POST',
      '-H',
      `X-Forwarded-For: ${claimed}`,
    ]
    await promisify(execFile)('curl', [...args, `https://paas.test:${w.ports.https}/daemon/v1/outside`])
    const from = await until(
      async () => {
        const lines = (await readFile(join(w.home, '_mypaas', 'refused.log'), 'utf8').catch(() => '')).split('\n')
        const found = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, string>)
        const [inside, outside] = ['inside', 'outside'].map(
          (what) => found.find(({ action }) => action === what)?.['from'],
        )
        return inside !== undefined && outside !== undefined && { inside, outside }
      },
      { what: 'both to be written down' },
    )
    assert.match(from.inside, /^[\d.]+$/)
    assert.match(from.outside, /^[\d.]+ by [\d.]+$/)
    for (const one of Object.values(from)) assert.ok(!one.includes(claimed), one)
  })

  await t.test('the engine is not to be found', async () => {
    for (const port of [2375, 2376]) assert.equal(answers[`http://${edge}:${port}/_ping`], 'ECONNREFUSED')
    const find = 'find / -name docker.sock -not -path "/proc/*"'
    assert.equal((await w.ok(['server', 'exec', 'evil', '--', 'sh', '-c', find])).stdout.trim(), '')
  })

  await t.test(
    "the volumes of others are not to be seen: its own mount is all that it has of the machine's files",
    async () => {
      const { stdout } = await w.ok(['server', 'exec', 'evil', '--', 'cat', '/proc/self/mountinfo'])
      const mounted = stdout.split('\n').filter((line) => line.includes(w.home))
      assert.equal(mounted.length, 1, stdout)
      assert.match(mounted[0] ?? '', /\/evil \/data /)
      const found = await w.ok([
        'server',
        'exec',
        'evil',
        '--',
        'sh',
        '-c',
        'find / -name treasure -not -path "/proc/*"',
      ])
      assert.equal(found.stdout.trim(), '')
    },
  )

  await t.test('neither setuid programs nor root itself get it any further', async () => {
    const status = (await w.ok(['server', 'exec', 'evil', '--', 'cat', '/proc/1/status'])).stdout
    assert.match(status, /^NoNewPrivs:\t1$/m)
    // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, NET_BIND_SERVICE
    assert.match(status, /^CapBnd:\t00000000000004eb$/m)
    const mknod = await w.cli(['server', 'exec', 'evil', '--', 'mknod', '/tmp/disk', 'b', '8', '0'])
    assert.notEqual(mknod.code, 0)
    const [container] = await w.containers('evil')
    const { HostConfig } = await w.docker.containers.inspect(container?.Id ?? '')
    assert.deepEqual([HostConfig.PidsLimit, HostConfig.Privileged], [2048, false])
  })

  await t.test('images that begin as root and go on as somebody else run as before', async () => {
    // As those of databases and web servers do: make the volume theirs, listen on a low port, change the user.
    const base = await nodeImage(w.docker)
    const script = [
      `const fs = require('node:fs'), http = require('node:http')`,
      `fs.chownSync('/data', 70, 70); fs.chmodSync('/data', 0o700)`,
      `http.createServer((q, r) => { fs.writeFileSync('/data/x', 'y'); r.end(String(process.getuid())) }).listen(80, () => { process.setgid(70); process.setuid(70) })`,
    ].join(';')
    const dockerfile = `# mypaas.service=db\n# mypaas.url=http://db.test\n# mypaas.volume=~/db:/data\nFROM ${base}\nCMD ["node", "-e", ${JSON.stringify(script)}]\n`
    await mkdir(join(w.home, 'services', 'db'), { recursive: true })
    await w.deploy(await w.service('db', { dockerfile }))
    assert.equal((await w.request('http://db.test/')).body, '70')
  })

  await t.test('a service that needs more gets it by its own section of the config', async () => {
    const file = join(w.home, '_mypaas', 'config.toml')
    const section = '\n[services.evil]\ndrop_capabilities = false\nno_new_privileges = false\npids_limit = 0\n'
    await writeFile(file, (await readFile(file, 'utf8')) + section)
    await w.deploy(evil)
    const status = (await w.ok(['server', 'exec', 'evil', '--', 'cat', '/proc/1/status'])).stdout
    assert.match(status, /^NoNewPrivs:\t0$/m)
    assert.match(status, /^CapBnd:\t00000000a80425fb$/m)
  })

  await t.test('TLS: 1.2 and 1.3 with forward secrecy and nothing older', async () => {
    await w.deploy(await w.service('site', { directives: ['url=https://site.test'] }))
    const answers: Record<string, string> = {}
    for (const version of ['tls1', 'tls1_1', 'tls1_2', 'tls1_3']) answers[version] = await negotiate(w, [`-${version}`])
    assert.equal(answers['tls1'], 'refused')
    assert.equal(answers['tls1_1'], 'refused')
    assert.match(answers['tls1_2'] ?? '', /^ECDHE-\w+-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)$/)
    assert.match(answers['tls1_3'] ?? '', /^TLS_(AES_(128|256)_GCM_SHA(256|384)|CHACHA20_POLY1305_SHA256)$/)
    for (const cipher of ['AES128-SHA', 'AES256-GCM-SHA384', 'ECDHE-RSA-AES128-SHA', 'DES-CBC3-SHA'])
      assert.equal(await negotiate(w, ['-tls1_2', '-cipher', `${cipher}:@SECLEVEL=0`]), 'refused', cipher)
  })

  daemon.kill('SIGTERM')
  await until(async () => (await daemon.result).code !== undefined, {
    what: 'the end of the daemon',
    timeoutMs: 30_000,
  })
})

/** What requests from inside a service get, also when they ask for another service's probe: a status, or why there is none. */
async function fetchInside(w: World, service: string, urls: readonly string[]): Promise<Record<string, string>> {
  const script = `
    const ask = async (url) => {
      const options = { headers: { 'X-Mypaas-Probe': 'secret-r1' }, signal: AbortSignal.timeout(5000), redirect: 'manual' }
      const answer = await fetch(url, options).then((r) => String(r.status), (e) => e.cause?.code ?? e.name)
      return [url, answer]
    }
    Promise.all(${JSON.stringify(urls)}.map(ask)).then((all) => console.log(JSON.stringify(Object.fromEntries(all))))`
  return JSON.parse((await w.ok(['server', 'exec', service, '--', 'node', '-e', script])).stdout) as Record<
    string,
    string
  >
}

/** The cipher that openssl and the router agree on, or `refused`. */
async function negotiate(w: World, args: readonly string[]): Promise<string> {
  const legacy = args.some((arg) => /^-tls1(_1)?$/.test(arg)) ? ['-cipher', 'ALL:@SECLEVEL=0'] : []
  const all = ['s_client', '-connect', `127.0.0.1:${w.ports.https}`, '-servername', 'site.test', ...args, ...legacy]
  const { stdout } = await promisify(execFile)('bash', ['-c', `openssl "$@" </dev/null`, 'openssl', ...all]).catch(
    (error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }),
  )
  const cipher = /^(?:New, )?.*Cipher is (\S+)$/m.exec(stdout)?.[1]
  return cipher === undefined || cipher === '(NONE)' ? 'refused' : cipher
}
