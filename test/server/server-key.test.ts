import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { MypaasError } from '../../src/errors.ts'
import { call } from '../../src/push/client.ts'
import { findKeys } from '../../src/push/keys.ts'
import { Remote } from '../../src/push/remote.ts'
import { Remotes } from '../../src/push/remotes.ts'
import { keyFingerprint, keyLine, ledFrom } from '../../src/push/server-key.ts'
import { openTransport } from '../../src/push/transport.ts'
import { judgeIdentity } from '../../src/server/doctor/files.ts'
import {
  dropEarlierKeys,
  ensureServerKey,
  findServerKey,
  LiveServerKey,
  rotateServerKey,
} from '../../src/server/server-key.ts'
import { testApi } from '../support/api.ts'
import { mypaas } from '../support/command-line.ts'
import { fakeDaemon } from '../support/fake-daemon.ts'
import { until } from '../support/until.ts'

test('a new key that the old one signed is followed by who knows the old one, at all addresses', async (t) => {
  const api = await testApi(t)
  const directory = join(api.home, '_mypaas')
  const other = join(api.home, 'other.sock')
  await fakeDaemon(t, other, api.socket)
  const known = await Remotes.open(join(api.home, 'client'))
  const [old] = api.expected.keys as [string]
  const addresses = [`unix:${api.socket}`, `unix:${other}`] as const
  for (const address of addresses) await known.expect(address, old)
  const said: string[] = []
  const ask = async (socket: string, expected?: readonly string[]): Promise<unknown> => {
    const transport = openTransport({ kind: 'unix', path: socket })
    t.after(() => transport.close())
    const remote = new Remote(transport, {
      findKeys: () => findKeys({ keyFile: api.key }),
      known: await Remotes.open(join(api.home, 'client')),
      ...(expected ? { expected: { keys: expected, from: 'MYPAAS_SERVER_KEY' } } : {}),
      onWarning: (line) => said.push(line),
    })
    return call(remote, 'env-ls', {})
  }
  const pins = async (): Promise<string[]> => [...(await Remotes.open(join(api.home, 'client'))).identities().values()]

  const rotated = await mypaas(api.home, ['server', 'identity', 'rotate'])
  const now = rotated.stdout.trim()
  assert.notEqual(now, old)
  assert.match(rotated.stderr, /clients follow by themselves/)
  assert.equal((await mypaas(api.home, ['server', 'identity', 'show'])).stdout.trim(), now)
  await ask(api.socket)
  assert.deepEqual(await pins(), [now, now])
  assert.deepEqual(said.splice(0), [
    `${addresses[0]} has a new key, signed by its old one: ${now}. It is remembered in place of the old one.`,
  ])
  await ask(api.socket)
  await ask(other)
  assert.deepEqual(said, [])

  // Twice on, somebody who slept comes all the way; CI goes on, and is told each time.
  const { now: third } = await rotateServerKey(directory, { dropOld: false })
  for (const _ of [1, 2]) {
    await ask(api.socket, [old])
    assert.deepEqual(said.splice(0), [
      `${addresses[0]} has a new key, signed by its old one: ${third.fingerprint}. Write that into MYPAAS_SERVER_KEY, in place of ${old}.`,
    ])
  }
  assert.deepEqual(await pins(), [third.fingerprint, third.fingerprint])

  // Dropped, the old ones count no more.
  const dropped = await mypaas(api.home, ['server', 'identity', 'drop-old'])
  assert.deepEqual([dropped.stdout, dropped.stderr], [`${third.fingerprint}\n`, 'Older ones that count no more: 2.\n'])
  await ask(api.socket)
  await assert.rejects(ask(api.socket, [old]), /is not the server that MYPAAS_SERVER_KEY names/)
  const { now: last } = await rotateServerKey(directory, { dropOld: true })
  await assert.rejects(ask(api.socket), /is not the server that it was/)
  await ask(api.socket, [last.fingerprint])
  assert.deepEqual(said, [
    `${addresses[0]} had another key before, ${third.fingerprint}; MYPAAS_SERVER_KEY names the one that it has now.`,
  ])
})

test('killed at any moment of a rotation, a server has a key that whoever knew it can follow to', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'mypaas-identity-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const directory = join(home, '_mypaas')
  await ensureServerKey(directory)
  const begin = performance.now()
  let { fingerprint: before } = (await rotateServerKey(directory, { dropOld: false })).now
  const tookMs = performance.now() - begin
  const script = `
    import { rotateServerKey } from ${JSON.stringify(new URL('../../src/server/server-key.ts', import.meta.url).href)}
    process.stdout.write('begins')
    for (;;) await rotateServerKey(${JSON.stringify(directory)}, { dropOld: false })`
  let rotations = 0
  for (let turn = 0; turn < 12; turn += 1) {
    const child = spawn(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', script],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    )
    t.after(() => child.kill('SIGKILL'))
    const ended = new Promise((resolve) => child.once('close', resolve))
    await new Promise((resolve) => child.stdout.once('data', resolve))
    // The first time after a rotation, then at any moment of one.
    const isNew = async (): Promise<boolean> => (await findServerKey(directory))?.fingerprint !== before
    if (turn === 0) await until(isNew, { what: 'a new key', everyMs: 1 })
    else await sleep(Math.random() * 4 * tookMs)
    child.kill('SIGKILL')
    await ended
    const key = await findServerKey(directory)
    assert.ok(key)
    const steps = key.earlier.findIndex((one) => keyFingerprint(one.key) === before)
    if (key.fingerprint !== before && steps >= 0) {
      assert.equal(ledFrom([before], key.public, key.earlier), before)
      rotations += 1
    } else if (key.fingerprint !== before) assert.equal(key.earlier.length, 16)
    before = key.fingerprint
    assert.equal((await stat(join(directory, 'server-key.json'))).mode & 0o777, 0o600)
  }
  assert.ok(rotations > 0)
  t.diagnostic(`${rotations} of 12 ended with a new key, by at most sixteen steps`)
})

test('two that make the first key at the same time make one', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'mypaas-identity-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const made = await Promise.all(Array.from({ length: 5 }, () => ensureServerKey(join(home, '_mypaas'))))
  assert.equal(new Set(made.map(({ fingerprint }) => fingerprint)).size, 1)
  assert.equal(made.filter(({ made }) => made).length, 1)
  assert.deepEqual((await readdir(join(home, '_mypaas'))).sort(), ['server-key.json', 'server-key.lock'])
})

test('a daemon takes a new key at once, goes on with the one it had while the file is broken, and the doctor says so', async (t) => {
  const home = await mkdtemp(join(tmpdir(), 'mypaas-identity-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const directory = join(home, '_mypaas')
  await mkdir(directory, { mode: 0o700 })
  assert.match(JSON.stringify(await judgeIdentity(directory)), /has no key of its own/)
  const said: string[] = []
  const live = await LiveServerKey.open(directory, (line) => said.push(line))
  assert.deepEqual(await judgeIdentity(directory), [])
  const first = await live.current()
  assert.deepEqual(said.splice(0), [`made this server's key: ${first.fingerprint}`])
  const { now } = await rotateServerKey(directory, { dropOld: false })
  assert.equal((await live.current()).fingerprint, now.fingerprint)
  assert.deepEqual(said.splice(0), [`has the key ${now.fingerprint} now`])
  const file = join(directory, 'server-key.json')
  const whole = await readFile(file, 'utf8')
  const { private: pem, earlier } = JSON.parse(whole) as { private: string; earlier: unknown[] }
  assert.equal(keyFingerprint(keyLine(createPrivateKey(pem))), now.fingerprint)
  const foreign = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
  for (const [broken, count] of [
    ['', 1],
    ['{}', 1],
    [JSON.stringify({ version: 2, private: pem, earlier }), 1],
    // Nobody vouches for this one, though it says so.
    [JSON.stringify({ version: 1, private: foreign, earlier }), 1],
  ] as const) {
    await writeFile(file, broken)
    assert.equal((await live.current()).fingerprint, now.fingerprint)
    await live.current()
    assert.equal(said.splice(0).length, count)
    await assert.rejects(judgeIdentity(directory), (error) => error instanceof MypaasError && error.code === 'degraded')
    await assert.rejects(ensureServerKey(directory), /is not one that mypaas wrote/)
  }
  await rm(file)
  assert.equal((await live.current()).fingerprint, now.fingerprint)
  await writeFile(file, whole, { mode: 0o600 })
  assert.equal((await live.current()).fingerprint, now.fingerprint)
  assert.equal((await dropEarlierKeys(directory)).dropped, 1)
  assert.equal((await findServerKey(directory))?.fingerprint, now.fingerprint)
})
