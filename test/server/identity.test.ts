import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { call } from '../../src/push/client.ts'
import { findKeys } from '../../src/push/keys.ts'
import { Remote } from '../../src/push/remote.ts'
import { Remotes } from '../../src/push/remotes.ts'
import { keyLine } from '../../src/push/server-key.ts'
import { openTransport } from '../../src/push/transport.ts'
import { type TestApi, testApi } from '../support/api.ts'
import { type Answer, fakeDaemon } from '../support/fake-daemon.ts'

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
  assert.match(statement ?? '', /^body sealed sha256:[0-9a-f]{64}$/m)
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
    sealed: true,
    body: digest,
  } as never)
  const reply = await api.send(stolen, { sealed })
  assert.match(reply.text, /can't be opened here/)
  assert.doesNotMatch(await readFile(join(api.home, '_mypaas', 'config.toml'), 'utf8'), /MINE/)
})

test('what was sealed is nothing else than that: who stands between can have nobody take the sealed text for the value', async (t) => {
  const api = await testApi(t)
  const socket = join(api.home, 'fake.sock')
  const fake = await fakeDaemon(t, socket, api.socket)
  fake.request((text) => {
    const { sealed, ...rest } = JSON.parse(text) as Record<string, string>
    return JSON.stringify({ ...rest, body: sealed })
  })
  const remote = await remoteAt(t, api, socket)
  await assert.rejects(call(remote, 'env-set', { name: 'DB_PASSWORD', service: 'blog' }, { body: 'the-new-password' }))
  assert.doesNotMatch(await readFile(join(api.home, '_mypaas', 'config.toml'), 'utf8'), /DB_PASSWORD/)
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
