import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
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
import { type TestApi, testApi } from '../support/api.ts'
import { type Answer, fakeDaemon } from '../support/fake-daemon.ts'
import { until } from '../support/until.ts'

const main = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'cli', 'main.ts')

test('another than the server that is meant gets no signature and nothing that is sent, whatever it answers', async (t) => {
  const api = await testApi(t)
  const socket = join(api.home, 'fake.sock')
  const fake = await fakeDaemon(t, socket, api.socket)
  const own = generateKeyPairSync('ed25519').privateKey
  const resigned = (answer: Answer, challenge: string): Answer => ({
    ...answer,
    challenge,
    key: keyLine(own),
    signature: sign(null, Buffer.from(challenge), own).toString('base64'),
    earlier: [],
  })
  const changed =
    (pattern: RegExp, other: string) =>
    (answer: Answer): Answer => {
      const challenge = String(answer['challenge']).replace(pattern, other)
      assert.notEqual(challenge, answer['challenge'])
      return { ...answer, challenge }
    }
  const pin = api.expected.keys[0] as string
  await call(await remoteAt(t, api, socket), 'env-ls', {})
  const [recorded] = fake.challenges as [Answer]
  fake.got.length = 0

  const kinds: Record<string, [(answer: Answer) => Answer, RegExp]> = {
    'an older server, unsigned': [
      ({ protocol, server, nonce, time, limits }) => ({ protocol, server, nonce, time, limits }),
      /does not sign its challenges/,
    ],
    'a signature that is missing': [({ signature: _, ...answer }) => answer, /is garbled/],
    'a signature of another key': [(answer) => resigned(answer, String(answer['challenge'])), /is not the server that/],
    'another key, its own old one vouching for it': [
      (answer) => ({
        ...resigned(answer, String(answer['challenge'])),
        earlier: [{ key: answer['key'], signature: answer['signature'] }],
      }),
      /is not the server that/,
    ],
    'the true key beside a foreign signature': [
      (answer) => ({ ...resigned(answer, String(answer['challenge'])), key: answer['key'] }),
      /not signed by the key/,
    ],
    'a true challenge from before': [() => recorded, /for somebody else, or from an earlier time/],
    'another nonce of the client': [changed(/(?<=^asked ).*$/m, 'A'.repeat(43)), /not signed by the key/],
    'another nonce of the server': [changed(/(?<=^nonce ).*$/m, 'A'.repeat(75)), /not signed by the key/],
    'another time': [changed(/(?<=^time \d\d)\d\d/m, '99'), /not signed by the key/],
    'other limits': [changed(/(?<=^limit bytes )\d+/m, '1'), /not signed by the key/],
    'another host': [changed(/(?<=^host ).*$/m, 'ssh'), /not signed by the key/],
    'another server': [changed(/(?<=^server ).*$/m, 'e'.repeat(16)), /not signed by the key/],
    'another key to seal to': [changed(/(?<=^seal ).*$/m, 'A'.repeat(43)), /not signed by the key/],
  }
  for (const [kind, [change, message]] of Object.entries(kinds)) {
    fake.answer(change)
    for (const remembered of [true, false]) {
      const remote = await remoteAt(t, api, socket, { remembered: remembered ? pin : undefined })
      await assert.rejects(
        call(remote, 'env-set', { name: 'DB_PASSWORD' }, { body: 'the-new-password' }),
        (error) =>
          error instanceof MypaasError &&
          error.code === 'unauthorised' &&
          message.test(error.message) &&
          /nothing was signed for it, and nothing was sent to it/.test(error.message),
        kind,
      )
      assert.deepEqual(fake.got, [], kind)
    }
  }
  // Who has not shown who it is tells nobody what to do.
  fake.answer(() => ({ error: { code: 'failed', message: 'Set up anew.', hint: 'mypaas remote forget prod' } }))
  await assert.rejects(
    call(await remoteAt(t, api, socket), 'env-ls', {}),
    (error) =>
      error instanceof MypaasError &&
      /does not show who it is\. It says, unsigned: Set up anew\.$/.test(error.message) &&
      !error.hint?.includes('forget'),
  )
  // What is not signed counts for nothing, even beside what is.
  fake.answer((answer) => ({ ...answer, server: 'e'.repeat(16), nonce: 'x', time: 0, limits: { files: 0 } }))
  await call(await remoteAt(t, api, socket), 'env-ls', {})
})

test('a server gives nobody a challenge for another name that could be passed on', async (t) => {
  const api = await testApi(t)
  for (const host of ['paas.test', 'evil.test', 'UNIX', 'unix\nhost ssh']) {
    const { status, text } = await api.ask('POST', '/v1/challenge', JSON.stringify({ host, nonce: 'x'.repeat(43) }))
    assert.equal(status, 400, text)
    assert.doesNotMatch(text, /"signature"/)
  }
  // A client of an earlier version asks nothing, and goes on as before.
  const old = JSON.parse((await api.ask('POST', '/v1/challenge', '{}')).text) as Answer
  assert.deepEqual(Object.keys(old), ['protocol', 'server', 'nonce', 'time', 'limits'])
  assert.equal((await api.send(await api.statement({ purpose: 'call', action: 'env-ls' }))).status, 200)
})

test('who stands between and passes the true challenge on sees no secret, and can put it to no other use', async (t) => {
  const api = await testApi(t)
  const socket = join(api.home, 'fake.sock')
  const fake = await fakeDaemon(t, socket, api.socket)
  const remote = await remoteAt(t, api, socket)
  await call(remote, 'env-set', { name: 'DB_PASSWORD', service: 'blog' }, { body: 'the-new-password' }).catch(() => {})
  assert.match(await readFile(join(api.home, '_mypaas', 'config.toml'), 'utf8'), /DB_PASSWORD = "the-new-password"/)
  const [{ body } = { body: '' }] = fake.got
  const { statement, sealed, ...rest } = JSON.parse(body) as Record<string, string>
  assert.deepEqual(Object.keys(rest), ['signature'])
  assert.match(statement ?? '', /^body sha256:[0-9a-f]{64}$/m)
  for (const text of [body, Buffer.from(sealed ?? '', 'base64').toString('latin1')])
    assert.doesNotMatch(text, /the-new/)
  // Its own statement with the same sealed value.
  const { createHash } = await import('node:crypto')
  const digest = createHash('sha256')
    .update(sealed ?? '')
    .digest('hex')
  const stolen = await api.statement({
    purpose: 'call',
    action: 'env-set',
    args: { name: 'MINE' },
    body: digest,
  } as never)
  const reply = await api.send(stolen, { sealed })
  assert.match(reply.text, /can't be opened here/)
  assert.doesNotMatch(await readFile(join(api.home, '_mypaas', 'config.toml'), 'utf8'), /MINE/)
})

test('on the command line: first contact, pins, a wrong one, a server that was set up anew', async (t) => {
  const api = await testApi(t)
  const client = await mkdtemp(join(tmpdir(), 'mypaas-client-'))
  t.after(() => rm(client, { recursive: true, force: true }))
  const pin = api.expected.keys[0] as string
  const wrong = keyFingerprint(keyLine(generateKeyPairSync('ed25519').privateKey))
  const server = `unix:${api.socket}`
  const knownFile = join(client, '.config', 'mypaas', 'known-servers.json')
  const fresh = (): Promise<void> => rm(join(client, '.config'), { recursive: true, force: true })
  const known = async (): Promise<unknown> =>
    Object.values(JSON.parse(await readFile(knownFile, 'utf8')) as Record<string, { identity?: string }>).map(
      ({ identity }) => identity,
    )
  const ls = (at: string, env: Record<string, string> = {}): Promise<Ran> =>
    mypaas(client, ['env', 'ls', at, '--key', api.key], { env })

  await t.test('without a terminal and a pin nothing is signed, and it says three ways that then work', async () => {
    const { code, stderr } = await ls(server)
    assert.equal(code, 3)
    assert.match(stderr, /is not known here, and there is no terminal to ask on: nothing was signed/)
    assert.deepEqual(await api.audit(), [])
    const variable = /^ *export (MYPAAS_SERVER_KEY)=(\S+)$/m.exec(stderr)
    assert.equal((await ls(server, { [variable?.[1] ?? '']: variable?.[2] ?? '' })).code, 0)
    await fresh()
    const address = /write it behind the address: (\S+)$/m.exec(stderr)?.[1] ?? ''
    assert.equal(address, `${server}#${pin}`)
    assert.equal((await ls(address)).code, 0)
    // From then on it is remembered.
    assert.equal((await ls(server)).code, 0)
    assert.deepEqual(await known(), [pin])
  })

  await t.test('a wrong key is refused, wherever it is written, also of a server that is remembered', async () => {
    for (const [at, env, from] of [
      [server, { MYPAAS_SERVER_KEY: wrong }, 'MYPAAS_SERVER_KEY'],
      [`${server}#${wrong}`, { MYPAAS_SERVER_KEY: pin }, 'the address'],
    ] as const) {
      const { code, stderr } = await ls(at, env)
      assert.equal(code, 3)
      assert.ok(
        stderr.includes(`is not the server that ${from} names: its key is ${pin}, not ${wrong}; nothing`),
        stderr,
      )
    }
    const unreadable = await ls(server, { MYPAAS_SERVER_KEY: 'SHA256:oops' })
    assert.equal(unreadable.code, 2)
    assert.match(unreadable.stderr, /in MYPAAS_SERVER_KEY is no key of a server/)
  })

  await t.test('after a new set-up the hint, run as it is printed, forgets the old one', async () => {
    await fresh()
    await mypaas(client, ['remote', 'add', 'prod', `${server}#${wrong}`, '--key', api.key])
    const refused = await mypaas(client, ['env', 'ls', 'prod'])
    assert.equal(refused.code, 3)
    assert.ok(
      refused.stderr.includes(`its key was ${wrong}, now its key is ${pin}; nothing was signed`),
      refused.stderr,
    )
    const hint = /forget the old one: mypaas (.*)$/m.exec(refused.stderr)?.[1] ?? ''
    assert.equal(hint, 'remote forget prod')
    assert.equal((await mypaas(client, hint.split(' '))).code, 0)
    assert.match((await mypaas(client, ['env', 'ls', 'prod'])).stderr, /is not known here/)
    await mypaas(client, ['remote', 'add', 'prod', `${server}#${pin}`, '--key', api.key])
    assert.equal((await mypaas(client, ['env', 'ls', 'prod'])).code, 0)
    assert.match(
      (await mypaas(client, ['remote', 'ls'])).stdout,
      new RegExp(`^prod .* ${pin.replace(/[+]/g, '\\+')}$`, 'm'),
    )
  })

  await t.test('on a terminal it asks, as ssh does', async () => {
    for (const [answer, taken] of [
      ['', undefined],
      ['no', false],
      [wrong, false],
      ['yes', true],
      [pin, true],
    ] as const) {
      await fresh()
      const { code, output } = await onTerminal(client, ['env', 'ls', server, '--key', api.key], `${answer}\\r`)
      assert.ok(output.includes(`is not known on this machine. Its key is ${pin}`), output)
      if (taken === undefined) {
        assert.equal(code, 130, output)
        continue
      }
      assert.equal(code, taken ? 0 : 3, output)
      assert.match(output, taken ? /Is that it\?/ : /was not taken for the server that is meant: nothing was signed/)
      if (taken) assert.deepEqual(await known(), [pin])
      else assert.equal(await readFile(knownFile, 'utf8').catch(() => 'none'), 'none')
    }
  })

  await t.test('a server that is known by one address is known by another, and forgotten by all', async () => {
    await fresh()
    const other = join(api.home, 'other.sock')
    await fakeDaemon(t, other, api.socket)
    assert.equal((await ls(`${server}#${pin}`)).code, 0)
    const { code, stderr } = await ls(`unix:${other}`)
    assert.equal(code, 0)
    assert.match(stderr, /other\.sock is the server that is known here as unix:\S+d\.sock\./)
    assert.equal((await ls(`unix:${other}`)).stderr, '')
    const forgotten = await mypaas(client, ['remote', 'forget', server])
    assert.match(forgotten.stderr, /^Forgotten: unix:\S+d\.sock, unix:\S+other\.sock\./)
  })
})

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

async function remoteAt(
  t: TestContext,
  api: TestApi,
  path: string,
  options: { remembered?: string | undefined } = {},
): Promise<Remote> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-known-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const transport = openTransport({ kind: 'unix', path })
  t.after(() => transport.close())
  const known = await Remotes.open(folder)
  if (options.remembered) await known.expect(`unix:${path}`, options.remembered)
  return new Remote(transport, {
    findKeys: () => findKeys({ keyFile: api.key }),
    known,
    ...(options.remembered ? {} : { expected: api.expected }),
  })
}

type Ran = Readonly<{ code: number | null; stdout: string; stderr: string }>

function environment(home: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('MYPAAS_') && name !== 'XDG_CONFIG_HOME')
  return { ...Object.fromEntries(own), HOME: home, NO_COLOR: '1' }
}

/** The command line, without a terminal. */
function mypaas(home: string, words: readonly string[], options: { env?: Record<string, string> } = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, ...words], {
      env: { ...environment(home), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (part) => {
      stdout += part
    })
    child.stderr.on('data', (part) => {
      stderr += part
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** The same on a terminal, at which somebody answers the question. */
async function onTerminal(
  home: string,
  words: readonly string[],
  answer: string,
): Promise<{ code: number | null; output: string }> {
  const line = [process.execPath, '--import', import.meta.resolve('tsx'), main, ...words]
    .map((word) => `'${word.replaceAll("'", "'\\''")}'`)
    .join(' ')
  return new Promise((resolve, reject) => {
    const child = spawn('script', ['-qefc', line, '/dev/null'], { env: environment(home), stdio: 'pipe' })
    let output = ''
    let asked = false
    child.stdout.on('data', (part) => {
      output += part
      if (asked || !/the fingerprint\) /.test(output)) return
      asked = true
      // Nobody answers: Ctrl-C.
      child.stdin.write(answer === '\\r' ? '\u0003' : answer.replace('\\r', '\r'))
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, output }))
  })
}
