import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { generatePrivateKey, parsePrivateKey } from '../../src/ssh/private-key.ts'
import { makeSignature } from '../../src/ssh/sshsig.ts'
import { MalformedError } from '../../src/ssh/wire.ts'
import { fileKeyOf, type KeyOptions } from '../support/keys.ts'
import { keygenVerifies } from '../support/ssh-keygen.ts'

const text = 'mypaas statement 1\nwhatever\n'
const namespace = 'statement@mypaas'

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-private-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const kinds: Record<string, KeyOptions> = {
  ed25519: {},
  'ecdsa 256': { type: 'ecdsa', bits: 256 },
  'ecdsa 384': { type: 'ecdsa', bits: 384 },
  'ecdsa 521': { type: 'ecdsa', bits: 521 },
  'rsa 3072': { type: 'rsa', bits: 3072 },
  'ecdsa, PKCS8': { type: 'ecdsa', bits: 256, format: 'PKCS8' },
  'ecdsa, SEC1': { type: 'ecdsa', bits: 521, format: 'PEM' },
  'rsa, PKCS8': { type: 'rsa', bits: 3072, format: 'PKCS8' },
  'rsa, PKCS1': { type: 'rsa', bits: 3072, format: 'PEM' },
}

for (const [name, options] of Object.entries(kinds)) {
  test(`a private key of ${name} signs in this process, and ssh-keygen takes it`, async (t) => {
    const file = join(await scratch(t), 'key')
    const line = (await fileKeyOf(file, options)).split(' ').slice(0, 2).join(' ')
    const key = parsePrivateKey(await readFile(file, 'utf8'))
    assert.equal(key.public, line)
    for (let number = 0; number < (name === 'ed25519' ? 1 : 3); number += 1) {
      const signature = makeSignature(text, namespace, key.blob, key.sign)
      assert.equal(await keygenVerifies(text, signature, line, namespace), true)
      assert.equal(await keygenVerifies(`${text} `, signature, line, namespace), false)
    }
  })
}

test('an ed25519 key in PKCS8 signs, whatever version OpenSSH is here', async () => {
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const key = parsePrivateKey(pem)
  const signature = makeSignature(text, namespace, key.blob, key.sign)
  assert.equal(await keygenVerifies(text, signature, key.public, namespace), true)
})

test('a key that is made here is one for ssh-keygen, with comments of any length', async (t) => {
  const folder = await scratch(t)
  for (let length = 0; length < 9; length += 1) {
    const made = generatePrivateKey('c'.repeat(length))
    const file = join(folder, `key${length}`)
    await writeFile(file, made.text, { mode: 0o600 })
    const line = execFileSync('ssh-keygen', ['-y', '-f', file], { encoding: 'utf8' }).trim()
    assert.equal(line, `${made.public}${length > 0 ? ` ${'c'.repeat(length)}` : ''}`)
    assert.equal(parsePrivateKey(made.text).public, made.public)
  }
})

test('a key that is not whole, not one, too short or locked is refused, and nothing of it is told', async (t) => {
  const folder = await scratch(t)
  const made = generatePrivateKey('ci')
  const bytes = Buffer.from(made.text.split('\n').slice(1, -2).join(''), 'base64')
  const armored = (changed: Buffer): string =>
    `-----BEGIN OPENSSH PRIVATE KEY-----\n${changed.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`
  assert.equal(parsePrivateKey(armored(bytes)).public, made.public)
  const refused = (value: string, what: string): void =>
    assert.throws(
      () => parsePrivateKey(value),
      (error) => error instanceof MalformedError && !error.message.includes(value.slice(40, 60)),
      what,
    )
  // Of the comment nothing is signed, and its bytes are free.
  const comment = bytes.lastIndexOf('ci')
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] as number) ^ 1
    if (at !== comment && at !== comment + 1) refused(armored(changed), `byte ${at}`)
    refused(armored(bytes.subarray(0, at)), `cut at ${at}`)
  }
  refused(armored(Buffer.concat([bytes, Buffer.from('x')])), 'something behind it')
  for (const [name, options, says] of [
    ['locked', { passphrase: 'secret words' }, /has a passphrase/],
    ['lockedpem', { type: 'rsa', bits: 3072, format: 'PEM', passphrase: 'secret words' }, /has a passphrase/],
    ['lockedpkcs8', { type: 'rsa', bits: 3072, format: 'PKCS8', passphrase: 'secret words' }, /has a passphrase/],
    ['short', { type: 'rsa', bits: 2048 }, /2048 bits is too short, 3072 are needed/],
  ] as const) {
    await fileKeyOf(join(folder, name), options)
    const pem = await readFile(join(folder, name), 'utf8')
    assert.throws(
      () => parsePrivateKey(pem),
      (error) => error instanceof MalformedError && says.test(error.message),
    )
  }
})
