import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { keyOfSignature, verifySignature } from '../../src/ssh/sshsig.ts'
import { positive, Reader, string, uint32 } from '../../src/ssh/wire.ts'
import { fileKeyOf } from '../support/keys.ts'
import { long } from '../support/prove.ts'
import { securityKey } from '../support/security-key.ts'
import { seeded } from '../support/seeded.ts'
import { keygenSigns, keygenVerifies } from '../support/ssh-keygen.ts'

const text = 'mypaas statement 1\nwhatever\n'
const namespace = 'statement@mypaas'

/** Signatures that the real ssh-keygen made; of hardware keys, those that it takes. */
type Sample = { name: string; key: string; signature: string }

suite('signatures', () => {
  const samples: Sample[] = []
  let folder = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mypaas-sshsig-'))
    for (const [type, bits] of [['ed25519'], ['ecdsa', 256], ['ecdsa', 384], ['ecdsa', 521], ['rsa', 3072]] as const) {
      const file = join(folder, `${type}${bits ?? ''}`)
      const line = await fileKeyOf(file, { type, ...(bits ? { bits } : {}) })
      const key = line.split(' ').slice(0, 2).join(' ')
      for (const hash of ['sha256', 'sha512']) {
        samples.push({
          name: `${type} ${bits ?? ''} ${hash}`,
          key,
          signature: keygenSigns(text, file, namespace, hash),
        })
      }
    }
    for (const kind of ['ed25519', 'ecdsa'] as const) {
      const hardware = securityKey('ssh:', kind)
      const key = hardware.line.split(' ').slice(0, 2).join(' ')
      samples.push({ name: `${kind} in hardware`, key, signature: hardware.sign(text, namespace) })
    }
  })
  after(() => rm(folder, { recursive: true, force: true }))

  test('what ssh-keygen signs with a key of any type is good here, and what our samples of hardware keys sign is good there', async () => {
    for (const { name, key, signature } of samples) {
      assert.equal(verifySignature(text, signature, key, namespace), true, name)
      assert.equal(await keygenVerifies(text, signature, key, namespace), true, name)
      assert.equal(keyOfSignature(signature), key.split(' ')[1])
      assert.equal(verifySignature(`${text} `, signature, key, namespace), false, name)
      assert.equal(verifySignature(text, signature, key, 'git'), false, name)
      for (const other of samples) {
        if (other.key !== key) assert.equal(verifySignature(text, signature, other.key, namespace), false, name)
      }
    }
  })

  test('one form only: what ssh-keygen lets pass is refused where a signature has a second form, or nobody touched the key', async () => {
    const sample = (name: string): Sample => samples.find((found) => found.name === name) as Sample
    const plain = sample('ed25519  sha512')
    const ecdsa = sample('ecdsa 256 sha512')
    const lines = plain.signature.split('\n')
    const fido = securityKey()
    const blob = fieldsOf(plain.signature)
    const cases: Record<string, { from: Sample; signature: string; there: boolean }> = {
      'something in the reserved field': {
        from: plain,
        signature: armor({ ...blob, reserved: Buffer.from('x') }),
        there: true,
      },
      'text behind its end': { from: plain, signature: `${plain.signature}more\n`, there: true },
      'blanks in its base64': {
        from: plain,
        signature: plain.signature.replace(lines[2] as string, ` ${lines[2]}`),
        there: true,
      },
      'lines of another length': {
        from: plain,
        signature: plain.signature.replace(`${lines[1]}\n`, lines[1] as string),
        there: true,
      },
      'no end of its last line': { from: plain, signature: plain.signature.trimEnd(), there: true },
      'a number with zeros before it': {
        from: ecdsa,
        signature: numbers(ecdsa.signature, (number) => string(Buffer.concat([Buffer.alloc(3), number]))),
        there: true,
      },
      'a number below zero': {
        from: ecdsa,
        signature: numbers(ecdsa.signature, (number) => string(Buffer.concat([Buffer.from([0x80]), number]))),
        there: false,
      },
      'no number at all': { from: ecdsa, signature: numbers(ecdsa.signature, () => string('')), there: false },
      'a hardware key that nobody touched': {
        from: { name: 'fido', key: fido.line.split(' ').slice(0, 2).join(' '), signature: '' },
        signature: fido.sign(text, namespace, { flags: 0 }),
        there: true,
      },
      'something behind its fields': { from: plain, signature: armor(blob, Buffer.from('x')), there: false },
      'another hash': { from: plain, signature: armor({ ...blob, hash: Buffer.from('sha384') }), there: false },
      'another version': { from: plain, signature: armor(blob, Buffer.alloc(0), 2), there: false },
      'no namespace': { from: plain, signature: armor({ ...blob, namespace: Buffer.alloc(0) }), there: false },
    }
    for (const [what, { from, signature, there }] of Object.entries(cases)) {
      assert.equal(verifySignature(text, signature, from.key, namespace), false, what)
      assert.equal(await keygenVerifies(text, signature, from.key, namespace), there, what)
    }
  })

  test('RSA is good from 3072 bits on and never with SHA-1', async () => {
    const file = join(folder, 'short')
    const short = (await fileKeyOf(file, { type: 'rsa', bits: 2048 })).split(' ').slice(0, 2).join(' ')
    const signature = keygenSigns(text, file, namespace)
    assert.equal(await keygenVerifies(text, signature, short, namespace), true)
    assert.equal(verifySignature(text, signature, short, namespace), false)
    const { key, signature: good } = samples.find(({ name }) => name === 'rsa 3072 sha512') as Sample
    const fields = fieldsOf(good)
    const reader = new Reader(fields.signature)
    reader.string()
    const bytes = reader.string()
    const sha1 = armor({ ...fields, signature: Buffer.concat([string('ssh-rsa'), string(bytes)]) })
    assert.equal(verifySignature(text, sha1, key, namespace), false)
    assert.equal(await keygenVerifies(text, sha1, key, namespace), false)
  })

  test('nothing is good here that ssh-keygen refuses, however a signature, its key or its text is changed', async () => {
    const seed = Number(process.env['PROVE_SEED'] ?? Date.now() % 1_000_000)
    const random = seeded(seed)
    const pick = (below: number): number => Math.floor(random() * below)
    const each = long ? 5000 : 400
    const taken: { change: string; sample: Sample; changed: Changed }[] = []
    for (const sample of samples) {
      for (let number = 0; number < each; number += 1) {
        const change = changes[pick(changes.length)] as Change
        const changed = { text, signature: sample.signature, key: sample.key, ...change(sample, pick) }
        const isSame = changed.signature === sample.signature && changed.key === sample.key && changed.text === text
        if (!isSame && verifySignature(changed.text, changed.signature, changed.key, namespace))
          taken.push({ change: change.name, sample, changed })
      }
    }
    for (const { change, sample, changed } of taken) {
      const there = await keygenVerifies(changed.text, changed.signature, changed.key, namespace)
      assert.ok(there, `seed ${seed}: ${sample.name}, ${change}\n${changed.signature}`)
    }
  })

  test('foreign bytes of any kind are refused without an error', () => {
    const { key, signature } = samples[0] as Sample
    const inside = signature.split('\n').slice(1, -2).join('\n')
    const armored = (body: string): string => signature.replace(inside, body)
    for (const odd of [
      '',
      'none',
      armored('A'.repeat(200)),
      armored('='.repeat(200)),
      armored('\n'.repeat(200)),
      armored(Buffer.from(`SSHSIG${'\xff'.repeat(200)}`, 'latin1').toString('base64')),
      armored(Buffer.concat([Buffer.from('SSHSIG'), uint32(1), ...Array(100).fill(uint32(0))]).toString('base64')),
      armored('A'.repeat(20_000)),
    ]) {
      assert.equal(verifySignature(text, odd, key, namespace), false)
      assert.equal(keyOfSignature(odd), undefined)
    }
    for (const odd of ['', 'ssh-ed25519', 'ssh-ed25519 AAAA', '__proto__ AAAA', `ssh-rsa ${key.split(' ')[1]}`]) {
      assert.equal(verifySignature(text, signature, odd, namespace), false, odd)
    }
  })
})

type Fields = { key: Buffer; namespace: Buffer; reserved: Buffer; hash: Buffer; signature: Buffer }

function fieldsOf(signature: string): Fields {
  const reader = new Reader(Buffer.from(signature.split('\n').slice(1, -2).join(''), 'base64'))
  reader.bytes(10)
  const [key, name, reserved, hash, made] = [0, 1, 2, 3, 4].map(() => reader.string()) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ]
  return { key, namespace: name, reserved, hash, signature: made }
}

function armor(fields: Fields, behind = Buffer.alloc(0), version = 1): string {
  const { key, namespace: name, reserved, hash, signature } = fields
  const strings = [key, name, reserved, hash, signature].map(string)
  return armorBytes(Buffer.concat([Buffer.from('SSHSIG'), uint32(version), ...strings, behind]))
}

function armorBytes(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,70}/g) ?? []
  return `${['-----BEGIN SSH SIGNATURE-----', ...lines, '-----END SSH SIGNATURE-----'].join('\n')}\n`
}

/** A signature of ecdsa with its two numbers written in another way. */
function numbers(signature: string, write: (number: Buffer) => Buffer): string {
  const fields = fieldsOf(signature)
  const outer = new Reader(fields.signature)
  const type = outer.string()
  const inner = new Reader(outer.string())
  const both = Buffer.concat([write(inner.positive()), positive(inner.positive())])
  return armor({ ...fields, signature: Buffer.concat([string(type), string(both)]) })
}

type Changed = { text: string; signature: string; key: string }
type Change = (sample: Sample, pick: (below: number) => number) => Partial<Changed>

/** Ways to change one; each returns what is different. */
const changes: readonly Change[] = [
  function aBit({ signature }, pick) {
    return { signature: armorBytes(flipped(bytesOf(signature), pick)) }
  },
  function aByteOfTheSignature({ signature }, pick) {
    const fields = fieldsOf(signature)
    return { signature: armor({ ...fields, signature: withByte(fields.signature, pick) }) }
  },
  function aLength({ signature }, pick) {
    const bytes = Buffer.from(bytesOf(signature))
    const at = pick(bytes.length - 4)
    bytes.writeUInt32BE([0, 1, 0x7fffffff, 0xffffffff, bytes.length, bytes.readUInt32BE(at) + 1][pick(6)] as number, at)
    return { signature: armorBytes(bytes) }
  },
  function itsEnd({ signature }, pick) {
    const bytes = bytesOf(signature)
    return { signature: armorBytes(bytes.subarray(0, pick(bytes.length))) }
  },
  function somethingMore({ signature }, pick) {
    const fields = fieldsOf(signature)
    const more = Buffer.alloc(1 + pick(8), pick(256))
    const name = (['key', 'namespace', 'reserved', 'hash', 'signature'] as const)[pick(5)] as keyof Fields
    return { signature: armor({ ...fields, [name]: Buffer.concat([fields[name], more]) }) }
  },
  function twoFieldsInTurn({ signature }, pick) {
    const names = ['key', 'namespace', 'reserved', 'hash', 'signature'] as const
    const fields = fieldsOf(signature)
    const at = pick(4)
    const [one, two] = [names[at], names[at + 1]] as [keyof Fields, keyof Fields]
    return { signature: armor({ ...fields, [one]: fields[two], [two]: fields[one] }) }
  },
  function theHash({ signature }, pick) {
    const fields = fieldsOf(signature)
    const now = fields.hash.toString()
    const others = ['sha1', 'sha256', 'sha384', 'sha512', 'md5', 'SHA512', ''].filter((name) => name !== now)
    return { signature: armor({ ...fields, hash: Buffer.from(others[pick(others.length)] as string) }) }
  },
  function theText(_, pick) {
    return { text: pick(2) === 0 ? `${text}\n` : text.replace('whatever', `whateve${pick(10)}`) }
  },
  function bothKeysAlike({ signature, key }, pick) {
    const fields = fieldsOf(signature)
    const other = withByte(fields.key, pick)
    const line = `${key.split(' ')[0]} ${other.toString('base64')}`
    return { key: line, signature: armor({ ...fields, key: other }) }
  },
  function theFormOfNumbers({ signature }, pick) {
    const fields = fieldsOf(signature)
    // Zeros before or behind what was signed.
    const outer = new Reader(fields.signature)
    const type = outer.string()
    const inner = outer.string()
    const rest = outer.bytes(outer.left)
    const zeros = Buffer.alloc(1 + pick(3))
    const changed = pick(2) === 0 ? Buffer.concat([zeros, inner]) : Buffer.concat([inner, zeros])
    return { signature: armor({ ...fields, signature: Buffer.concat([string(type), string(changed), rest]) }) }
  },
]

function bytesOf(signature: string): Buffer {
  return Buffer.from(signature.split('\n').slice(1, -2).join(''), 'base64')
}

function flipped(bytes: Buffer, pick: (below: number) => number): Buffer {
  const copy = Buffer.from(bytes)
  const at = pick(copy.length)
  copy[at] = (copy[at] as number) ^ (1 << pick(8))
  return copy
}

function withByte(bytes: Buffer, pick: (below: number) => number): Buffer {
  const copy = Buffer.from(bytes)
  const at = pick(copy.length)
  copy[at] = ((copy[at] as number) + 1 + pick(255)) & 255
  return copy
}
