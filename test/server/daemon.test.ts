import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readContext } from '../../src/context/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { attach, push } from '../../src/push/client.ts'
import { findKeys } from '../../src/push/keys.ts'
import { Remote } from '../../src/push/remote.ts'
import { Remotes } from '../../src/push/remotes.ts'
import { openTransport } from '../../src/push/transport.ts'
import { findServerKey } from '../../src/server/server-key.ts'
import { fakeBuilder } from '../support/fake-build.ts'
import { fileKeyOf } from '../support/keys.ts'
import { until } from '../support/until.ts'

const main = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'cli', 'main.ts')
/** Tells on SIGUSR2 how long the event loop stood still at most, and how much memory there was at most. */
const watcher = `import { monitorEventLoopDelay } from 'node:perf_hooks'
const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()
process.on('SIGUSR2', () => {
  process.stderr.write('watched ' + JSON.stringify({ stallMs: delay.max / 1e6 - 5, rss: process.resourceUsage().maxRSS * 1024 }) + '\\n')
  delay.reset()
})`

type Daemon = { child: ChildProcess; said: () => string }

type Place = { home: string; key: string; env: NodeJS.ProcessEnv; socket: string }

async function place(t: TestContext, engine: { host: string }): Promise<Place> {
  const home = await mkdtemp(join(tmpdir(), 'mypaas-daemon-'))
  t.after(() => rm(home, { recursive: true, force: true, maxRetries: 3 }))
  const directory = join(home, '_mypaas')
  await mkdir(directory, { mode: 0o700 })
  await writeFile(join(directory, 'config.toml'), '', { mode: 0o600 })
  await writeFile(
    join(directory, 'server.json'),
    JSON.stringify({ version: 1, id: '0123456789abcdef', adminPassword: 'x'.repeat(43) }),
    { mode: 0o600 },
  )
  const key = join(home, 'key')
  await writeFile(join(directory, 'authorized_keys'), `${await fileKeyOf(key)}\n`, { mode: 0o600 })
  return {
    home,
    key,
    env: { ...process.env, HOME: home, DOCKER_HOST: engine.host },
    socket: join(directory, 'daemon.sock'),
  }
}

async function start(t: TestContext, { env }: Place): Promise<Daemon> {
  const child = spawn(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(watcher)}`,
      '--import',
      import.meta.resolve('tsx'),
      main,
      'server',
      'daemon',
    ],
    { env, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  t.after(() => child.kill('SIGKILL'))
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await until(() => /listens on .*daemon\.sock/.test(said) || child.exitCode !== null, {
    what: 'the daemon to listen',
    timeoutMs: 20_000,
  })
  return { child, said: () => said }
}

async function idle(t: TestContext): Promise<Daemon> {
  const child = spawn(
    process.execPath,
    [
      '-e',
      `import(${JSON.stringify(`data:text/javascript,${encodeURIComponent(watcher)}`)}); console.error('up'); setInterval(() => {}, 1000)`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  t.after(() => child.kill('SIGKILL'))
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await until(() => said.includes('up'), { what: 'the control' })
  return { child, said: () => said }
}

async function remoteTo(t: TestContext, { home, key, socket }: Place): Promise<Remote> {
  const transport = openTransport({ kind: 'unix', path: socket })
  t.after(() => transport.close())
  const own = await findServerKey(join(home, '_mypaas'))
  return new Remote(transport, {
    findKeys: () => findKeys({ keyFile: key }),
    known: await Remotes.open(join(home, 'client')),
    expected: { keys: [own?.fingerprint ?? ''], from: 'the test' },
  })
}

async function site(t: TestContext, megabytes = 0): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'mypaas-site-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  await writeFile(join(root, 'Dockerfile'), '# mypaas.service = blog\nFROM scratch\nCOPY . /\n')
  for (let number = 0; number < megabytes / 16; number += 1)
    await writeFile(join(root, `f${number}`), randomBytes(16 * 1024 ** 2))
  return root
}

async function pushTo(remote: Remote, root: string): Promise<unknown> {
  return push(remote, await readContext(root), { root, service: 'blog', emit: () => {}, onEvent: () => {} })
}

async function watched({ child, said }: Daemon): Promise<{ stallMs: number; rss: number }> {
  const before = said().length
  child.kill('SIGUSR2')
  const match = await until(() => /watched (.*)\n/.exec(said().slice(before)), { what: 'what was watched' })
  return JSON.parse(match[1] as string) as { stallMs: number; rss: number }
}

test('one daemon runs per server, for its user only, and ends in order', async (t) => {
  const it = await place(t, await fakeBuilder(t))
  const folder = join(it.home, '_mypaas', 'push')
  await mkdir(folder, { mode: 0o700 })
  // As daemons of earlier versions left them.
  for (const name of ['nonce.key', 'nonces.used']) await writeFile(join(folder, name), 'x', { mode: 0o600 })
  const first = await start(t, it)
  assert.deepEqual((await readdir(folder)).sort(), ['blobs', 'jobs'])
  assert.equal((await stat(it.socket)).mode & 0o777, 0o600)
  const second = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, 'server', 'daemon'], {
    env: it.env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  second.stderr.on('data', (text) => {
    said += text
  })
  assert.equal((await once(second, 'exit'))[0], 4)
  assert.match(said, /Somebody else is at it: the daemon/)
  first.child.kill('SIGTERM')
  assert.equal((await once(first.child, 'exit'))[0], 0)
  assert.equal((await readdir(join(it.home, '_mypaas'))).includes('daemon.sock'), false)
})

test('a deploy that is on when the daemon is asked to end may finish, and its reader sees the end', async (t) => {
  const engine = await fakeBuilder(t, { buildMs: 1500 })
  const it = await place(t, engine)
  const daemon = await start(t, it)
  const remote = await remoteTo(t, it)
  const pushing = pushTo(remote, await site(t))
  await until(() => engine.seen.length > 0, { what: 'the build to begin' })
  const ended = once(daemon.child, 'exit')
  daemon.child.kill('SIGTERM')
  await assert.rejects(pushing, /this engine only looks/)
  assert.equal((await ended)[0], 0)
})

test('a deploy that the daemon dies in has a clear end after its restart, for everybody who asks', async (t) => {
  const engine = await fakeBuilder(t, { buildMs: 60_000 })
  const it = await place(t, engine)
  const daemon = await start(t, it)
  const remote = await remoteTo(t, it)
  const root = await site(t)
  const pushing = pushTo(remote, root).then(
    () => 'done',
    (error: unknown) => error,
  )
  await until(() => engine.seen.length > 0, { what: 'the build to begin' })
  daemon.child.kill('SIGKILL')
  await once(daemon.child, 'exit')
  await start(t, it)
  const isClear = (error: unknown): boolean =>
    error instanceof MypaasError &&
    error.message === 'The server was restarted in the middle of this.' &&
    (error as { now?: string }).now === 'Nothing of blog runs.'
  // Who was following it follows on, with another signature: the token died with the daemon.
  const told = await pushing
  assert.ok(isClear(told), String(told))
  const events: string[] = []
  await assert.rejects(
    attach(await remoteTo(t, it), undefined, { onEvent: (event) => events.push((event as { type: string }).type) }),
    isClear,
  )
  assert.equal(events[0], 'deploy')
})

test('a large push costs the daemon little memory and never holds it up', async (t) => {
  const engine = await fakeBuilder(t)
  const it = await place(t, engine)
  const daemon = await start(t, it)
  const megabytes = Number(process.env['MYPAAS_TEST_MEGABYTES'] ?? 256)
  const remote = await remoteTo(t, it)
  const control = await idle(t)
  let best = Number.POSITIVE_INFINITY
  // What the daemon itself does comes each time; what a busy machine does to it may not.
  for (let turn = 1; turn <= 3 && best > 100; turn += 1) {
    const root = await site(t, megabytes)
    await watched(daemon)
    await watched(control)
    await assert.rejects(pushTo(remote, root), /this engine only looks/)
    const { stallMs, rss } = await watched(daemon)
    // What a process that does nothing has to bear on this machine at this time.
    const { stallMs: noiseMs } = await watched(control)
    t.diagnostic(
      `${megabytes} MB: at most ${Math.round(rss / 1024 ** 2)} MB of memory, ${Math.round(stallMs)} ms of standstill (${Math.round(noiseMs)} of an idle process)`,
    )
    assert.ok((engine.seen[turn - 1]?.bytes ?? 0) > megabytes * 1024 ** 2)
    assert.ok(rss <= 200 * 1024 ** 2, `${rss} bytes`)
    best = Math.min(best, stallMs - noiseMs)
  }
  assert.ok(best <= 100, `${best} ms more than an idle process`)
})
