import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import { curves, minRsaBits, parsePublicKey } from './public-key.ts'
import { fromBase64, MalformedError, positive, Reader, string, uint32 } from './wire.ts'

/** A private key in the memory of this process. */
export type PrivateKey = Readonly<{
  /** `TYPE BASE64` of its public half. */
  public: string
  blob: Buffer
  /** Makes a signature in the form that the key's type has. */
  sign: (data: Buffer) => Buffer
}>

/**
 * Reads a private key without passphrase: OpenSSH's own format, or PEM (PKCS8, PKCS1, SEC1), of ed25519, ecdsa or RSA.
 * @throws {MalformedError} saying why it can't be used, and nothing of what was in it
 */
export function parsePrivateKey(pem: string): PrivateKey {
  const match = /^-----BEGIN OPENSSH PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END OPENSSH PRIVATE KEY-----\n?$/.exec(
    pem,
  )
  const key = match ? ofOpenSsh(fromBase64((match[1] as string).replaceAll('\n', ''))) : ofPem(pem)
  return signer(key)
}

/** A new ed25519 key as `ssh-keygen` writes it: the text of its file, and `TYPE BASE64`. */
export function generatePrivateKey(comment: string): { text: string; public: string } {
  const { privateKey } = generateKeyPairSync('ed25519')
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' })
  const [seed, point] = [d, x].map((part) => Buffer.from(part, 'base64url')) as [Buffer, Buffer]
  const blob = Buffer.concat([string('ssh-ed25519'), string(point)])
  const check = randomBytes(4)
  const half = [string(point), string(Buffer.concat([seed, point])), string(Buffer.from(comment, 'utf8'))]
  const plain = Buffer.concat([check, check, string('ssh-ed25519'), ...half])
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7].slice(0, (8 - (plain.length % 8)) % 8))
  const whole = [
    string('none'),
    string('none'),
    string(''),
    uint32(1),
    string(blob),
    string(Buffer.concat([plain, padding])),
  ]
  const lines =
    Buffer.concat([magic, ...whole])
      .toString('base64')
      .match(/.{1,70}/g) ?? []
  const text = ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n')
  return { text, public: `ssh-ed25519 ${blob.toString('base64')}` }
}

const magic = Buffer.from('openssh-key-v1\0', 'latin1')

/** @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key */
function ofOpenSsh(bytes: Buffer): KeyObject {
  const outer = new Reader(bytes)
  if (!outer.bytes(magic.length).equals(magic)) throw new MalformedError('it is no key of OpenSSH')
  if (outer.string().toString('latin1') !== 'none') throw new MalformedError('it has a passphrase')
  outer.expect('none', 'kind')
  outer.expect('', 'kind')
  if (outer.uint32() !== 1) throw new MalformedError('it is not one key')
  const blob = outer.string()
  const inner = new Reader(outer.string())
  outer.end()
  const check = inner.uint32()
  // Where there is a passphrase, these show a wrong one.
  if (inner.uint32() !== check) throw new MalformedError('it is damaged')
  const type = inner.string().toString('latin1')
  const key = halfOf(type, inner)
  inner.string() // the comment
  for (let next = 1; inner.left > 0; next += 1) {
    if (inner.byte() !== next || next > 7) throw new MalformedError('it is damaged')
  }
  if (!blobOf(key).equals(blob)) throw new MalformedError('its two halves are of two keys')
  return key
}

function halfOf(type: string, reader: Reader): KeyObject {
  const url = (bytes: Buffer): string => bytes.toString('base64url')
  if (type === 'ssh-ed25519') {
    const point = reader.string()
    const both = reader.string()
    if (both.length !== 64 || !both.subarray(32).equals(point)) throw new MalformedError('it is damaged')
    return keyOf({ kty: 'OKP', crv: 'Ed25519', d: url(both.subarray(0, 32)), x: url(point) })
  }
  if (type === 'ssh-rsa') {
    const [n, e, d, qi, p, q] = [0, 1, 2, 3, 4, 5].map(() => reader.positive()) as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ]
    const rest = (prime: Buffer): string => url(bytesOf(numberOf(d) % (numberOf(prime) - 1n)))
    if (numberOf(p) < 2n || numberOf(q) < 2n) throw new MalformedError('it is damaged')
    return keyOf({
      kty: 'RSA',
      n: url(n),
      e: url(e),
      d: url(d),
      p: url(p),
      q: url(q),
      dp: rest(p),
      dq: rest(q),
      qi: url(qi),
    })
  }
  const name = /^ecdsa-sha2-(nistp\d+)$/.exec(type)?.[1] ?? ''
  const curve = Object.hasOwn(curves, name) ? curves[name] : undefined
  if (!curve)
    throw new MalformedError(
      type.startsWith('sk-') ? 'it is of a key in hardware' : 'it is of no type that is taken here',
    )
  reader.expect(name, 'curve')
  const point = reader.string()
  const d = reader.positive()
  const size = Math.ceil(curve.bits / 8)
  if (point.length !== 1 + 2 * size || point[0] !== 4 || d.length > size) throw new MalformedError('it is damaged')
  const [x, y] = [url(point.subarray(1, 1 + size)), url(point.subarray(1 + size))]
  return keyOf({ kty: 'EC', crv: curve.crv, x, y, d: url(Buffer.concat([Buffer.alloc(size - d.length), d])) })
}

function ofPem(pem: string): KeyObject {
  if (/ENCRYPTED/.test(pem)) throw new MalformedError('it has a passphrase')
  return keyOf(pem)
}

function keyOf(key: string | JsonWebKey): KeyObject {
  try {
    return createPrivateKey(typeof key === 'string' ? key : { key, format: 'jwk' })
  } catch {
    // What OpenSSL says could hold some of it.
    throw new MalformedError('it is no private key')
  }
}

function signer(key: KeyObject): PrivateKey {
  const blob = blobOf(key)
  const type = new Reader(blob).string().toString('latin1')
  const line = `${type} ${blob.toString('base64')}`
  const { bits, checks } = parsePublicKey(line)
  if (type === 'ssh-rsa' && bits < minRsaBits)
    throw new MalformedError(`an RSA key of ${bits} bits is too short, ${minRsaBits} are needed`)
  const signOf = (data: Buffer): Buffer => {
    const signature = rawSignature(key, type, data)
    // A number that is wrong somewhere in a private key gives signatures that tell it.
    if (!checks(data, signature)) throw new MalformedError('it is damaged: what it signs is not good')
    return signature
  }
  signOf(Buffer.from('mypaas'))
  return { public: line, blob, sign: signOf }
}

function rawSignature(key: KeyObject, type: string, data: Buffer): Buffer {
  if (type === 'ssh-ed25519') return Buffer.concat([string(type), string(sign(null, data, key))])
  if (type === 'ssh-rsa') return Buffer.concat([string('rsa-sha2-512'), string(sign('sha512', data, key))])
  const { hash } = curves[type.slice('ecdsa-sha2-'.length)] as (typeof curves)[string]
  const both = sign(hash, data, { key, dsaEncoding: 'ieee-p1363' })
  const half = both.length / 2
  const numbers = Buffer.concat([positive(both.subarray(0, half)), positive(both.subarray(half))])
  return Buffer.concat([string(type), string(numbers)])
}

/** The public half, as SSH writes it. @throws {MalformedError} for a type that SSH does not know */
function blobOf(key: KeyObject): Buffer {
  const { kty, crv, x = '', y = '', n = '', e = '' } = createPublicKey(key).export({ format: 'jwk' })
  const bytes = (text: string): Buffer => Buffer.from(text, 'base64url')
  if (kty === 'OKP' && crv === 'Ed25519') return Buffer.concat([string('ssh-ed25519'), string(bytes(x))])
  if (kty === 'RSA') return Buffer.concat([string('ssh-rsa'), positive(bytes(e)), positive(bytes(n))])
  const [name] = Object.entries(curves).find(([, curve]) => kty === 'EC' && curve.crv === crv) ?? []
  if (name === undefined) throw new MalformedError('it is of no type that is taken here')
  const point = Buffer.concat([Buffer.from([4]), bytes(x), bytes(y)])
  return Buffer.concat([string(`ecdsa-sha2-${name}`), string(name), string(point)])
}

function numberOf(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString('hex')}`)
}

function bytesOf(number: bigint): Buffer {
  const hex = number.toString(16)
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
}
