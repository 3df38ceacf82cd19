import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { ask, type Challenge, formatChallenge, readChallenge } from '../../src/push/challenge.ts'
import { defaultLimits } from '../../src/push/manifest.ts'
import { makeSealKey, seal, sealedFor, unseal } from '../../src/push/seal.ts'
import { keyFingerprint, keyLine, ledFrom, parsePins, splitPins, succession } from '../../src/push/server-key.ts'
import { run } from '../../src/push/signature.ts'
import type { CallStatement } from '../../src/push/statement.ts'

const own = generateKeyPairSync('ed25519').privateKey
const signature = (text: string, key = own): string => sign(null, Buffer.from(text), key).toString('base64')
const sealKey = makeSealKey()

function answerTo(asked: { host: string; nonce: string }, fields: Partial<Challenge> = {}): Record<string, unknown> {
  const challenge = formatChallenge({
    server: '0123456789abcdef',
    host: asked.host,
    asked: asked.nonce,
    nonce: 'n'.repeat(75),
    timeMs: 1_700_000_000_123,
    limits: defaultLimits,
    seal: sealKey.public,
    ...fields,
  })
  return { challenge, key: keyLine(own), signature: signature(challenge) }
}

test('a challenge is read back as it was signed', () => {
  const asked = ask('paas.example.com')
  const { challenge, key } = readChallenge(answerTo(asked), asked, 'it')
  assert.deepEqual(
    [key, challenge],
    [
      keyLine(own),
      {
        server: '0123456789abcdef',
        host: 'paas.example.com',
        asked: asked.nonce,
        nonce: 'n'.repeat(75),
        timeMs: 1_700_000_000_123,
        limits: defaultLimits,
        seal: sealKey.public,
      },
    ],
  )
})

test('no byte of a signed challenge can be another, and none can be added or left out', () => {
  const asked = ask('unix')
  const answer = answerTo(asked)
  const text = String(answer['challenge'])
  for (let at = 0; at < text.length; at += 1) {
    for (const other of [
      `${text.slice(0, at)}${String.fromCharCode(text.charCodeAt(at) ^ 1)}${text.slice(at + 1)}`,
      text.slice(0, at) + text.slice(at + 1),
      `${text.slice(0, at)}0${text.slice(at)}`,
    ]) {
      if (other === text) continue
      assert.throws(() => readChallenge({ ...answer, challenge: other }, asked, 'it'), isRefusal)
      // Also where the server itself signs what is not written as it should be, or for another question.
      const signed = { ...answer, challenge: other, signature: signature(other) }
      try {
        const { challenge } = readChallenge(signed, asked, 'it')
        assert.equal(formatChallenge(challenge), other)
        assert.deepEqual([challenge.asked, challenge.host], [asked.nonce, asked.host])
      } catch (error) {
        assert.ok(isRefusal(error), String(error))
      }
    }
  }
})

test('what is no answer of a server at all is told from one that is not signed', () => {
  const asked = ask('unix')
  for (const [answer, code, message] of [
    [{}, 'unreachable', /is no mypaas server/],
    [
      { protocol: 1, nonce: 'x', server: 'x', time: 1, limits: {} },
      'unauthorised',
      /does not sign its challenges: nothing was signed/,
    ],
    [{ challenge: 7, key: [], signature: {} }, 'unauthorised', /is garbled/],
    [{ ...answerTo(asked), signature: undefined }, 'unauthorised', /is garbled/],
    [{ ...answerTo(asked), signature: '' }, 'unauthorised', /not signed by the key/],
    [{ ...answerTo(asked), key: 'ssh-ed25519 AAAA' }, 'unauthorised', /not signed by the key/],
    [{ ...answerTo(asked), key: keyLine(generateKeyPairSync('ed25519').privateKey) }, 'unauthorised', /not signed by/],
    [answerTo(ask('unix')), 'unauthorised', /for somebody else, or from an earlier time/],
    [answerTo({ ...asked, host: 'ssh' }), 'unauthorised', /is for ssh, not for unix/],
  ] as const) {
    assert.throws(
      () => readChallenge(answer as Record<string, unknown>, asked, 'it'),
      (error) => error instanceof MypaasError && error.code === code && message.test(error.message),
      JSON.stringify(answer),
    )
  }
})

test('the fingerprint of a server’s key is the one that ssh-keygen shows', async () => {
  const line = keyLine(own)
  const { stdout } = await run('ssh-keygen', ['-lf', '-'], { input: `${line}\n`, mayAsk: false, timeoutMs: 10_000 })
  assert.equal(stdout.split(' ')[1], keyFingerprint(line))
})

test('keys lead to one another only as each signed the next, to the present one', () => {
  const keys = Array.from({ length: 4 }, () => generateKeyPairSync('ed25519').privateKey)
  const lines = keys.map(keyLine)
  const link = (from: number, to: number) => ({
    key: lines[from] as string,
    signature: signature(succession(lines[from] as string, lines[to] as string), keys[from]),
  })
  const print = (at: number): string => keyFingerprint(lines[at] as string)
  const chain = [link(0, 1), link(1, 2), link(2, 3)]
  const present = lines[3] as string
  for (const at of [0, 1, 2]) assert.equal(ledFrom([print(at)], present, chain), print(at))
  assert.equal(ledFrom([print(3)], present, chain), undefined)
  assert.equal(ledFrom([print(0)], present, [link(0, 1), link(2, 3)]), undefined)
  assert.equal(ledFrom([print(0)], present, [link(0, 1), link(1, 2)]), undefined)
  assert.equal(ledFrom([print(0)], present, [...chain].reverse()), undefined)
  assert.equal(ledFrom([print(0)], lines[2] as string, chain), undefined)
  // Somebody else names an old key, and signs for it.
  const forged = { key: lines[0] as string, signature: signature(succession(lines[0] as string, present), keys[3]) }
  assert.equal(ledFrom([print(0)], present, [forged]), undefined)
})

test('a key of a server is written as fingerprint or line, in a variable or behind an address', () => {
  const [line, other] = [keyLine(own), keyLine(generateKeyPairSync('ed25519').privateKey)]
  const prints = [keyFingerprint(line), keyFingerprint(other)]
  assert.deepEqual(parsePins(`${line} name of it\n\n${prints[1]}`, 'X'), prints)
  assert.deepEqual(parsePins(` ${prints[0]} , ${other}`, 'X'), prints)
  assert.deepEqual(parsePins(' \n', 'X'), [])
  assert.deepEqual(splitPins(`anna@example.com#${prints[0]}`), { server: 'anna@example.com', pins: [prints[0]] })
  assert.deepEqual(splitPins('prod'), { server: 'prod', pins: undefined })
  for (const wrong of [
    'SHA256:short',
    prints[0]?.toLowerCase() ?? '',
    `${prints[0]}=`,
    'MD5:00',
    line.slice(0, -4),
    'ssh-rsa AAAA',
    'x',
  ]) {
    assert.throws(
      () => parsePins(wrong, 'MYPAAS_SERVER_KEY'),
      (error) =>
        error instanceof MypaasError && error.code === 'usage' && /in MYPAAS_SERVER_KEY is no key/.test(error.message),
    )
  }
})

test('what is sealed is opened with its key, for its statement and signer, and in no other way', () => {
  const statement: CallStatement = {
    purpose: 'call',
    action: 'env-set',
    args: { name: 'TOKEN', service: 'blog' },
    server: '0123456789abcdef',
    host: 'unix',
    nonce: 'n'.repeat(75),
    timeMs: 0,
    body: undefined,
  }
  const belongsTo = sealedFor(statement, 'ssh-ed25519 A')
  const sealed = seal('s3cr3t ü\0', sealKey.public, belongsTo)
  assert.doesNotMatch(Buffer.from(sealed, 'base64').toString('latin1'), /s3cr3t/)
  assert.notEqual(seal('s3cr3t ü\0', sealKey.public, belongsTo), sealed)
  assert.equal(unseal(sealed, sealKey, belongsTo), 's3cr3t ü\0')
  assert.equal(
    unseal(sealed, sealKey, sealedFor({ ...statement, body: 'f'.repeat(64) }, 'ssh-ed25519 A')),
    's3cr3t ü\0',
  )
  assert.equal(unseal(sealed, makeSealKey(), belongsTo), undefined)
  assert.equal(unseal(sealed, sealKey, sealedFor(statement, 'ssh-ed25519 B')), undefined)
  for (const other of [{ args: { name: 'TOKEN', service: 'shop' } }, { nonce: 'm'.repeat(75) }, { action: 'env-rm' }])
    assert.equal(unseal(sealed, sealKey, sealedFor({ ...statement, ...other }, 'ssh-ed25519 A')), undefined)
  const bytes = Buffer.from(sealed, 'base64')
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] as number) ^ 1
    // The top bit of an X25519 key says nothing; a changed key is still in the secret's salt.
    assert.equal(unseal(changed.toString('base64'), sealKey, belongsTo), undefined, `byte ${at}`)
  }
  for (const none of ['', 'AAAA', `${sealed}\n`, Buffer.alloc(80).toString('base64')])
    assert.equal(unseal(none, sealKey, belongsTo), undefined)
})

function isRefusal(error: unknown): boolean {
  return (
    error instanceof MypaasError &&
    error.code === 'unauthorised' &&
    /nothing was signed for it, and nothing was sent/.test(error.message)
  )
}
