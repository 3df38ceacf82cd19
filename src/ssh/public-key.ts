import { createHash, createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto'
import { fromBase64, MalformedError, padded, Reader } from './wire.ts'

/** A public key of a type that can sign here. */
export type PublicKey = Readonly<{
  type: string
  /** As it stands in authorized_keys and in signatures. */
  blob: Buffer
  bits: number
  /**
   * Whether a signature, in the form that its type has, is one of this key for these bytes.
   * @throws {MalformedError} when it has another form
   */
  checks: (data: Buffer, signature: Buffer) => boolean
}>

/** What is taken of RSA: shorter ones are too weak, longer ones only cost time. */
export const minRsaBits = 3072
const maxRsaBits = 16_384

/**
 * Reads a key, strictly; its parts must be those of a key that signatures can be checked with.
 * @param line `TYPE BASE64`
 * @throws {MalformedError} saying why not
 */
export function parsePublicKey(line: string): PublicKey {
  const [type = '', base64 = '', ...more] = line.split(' ')
  const read = Object.hasOwn(types, type) ? types[type] : undefined
  if (!read || more.length > 0) throw new MalformedError('it is of no type that is taken here')
  const blob = fromBase64(base64)
  const reader = new Reader(blob)
  reader.expect(type, 'type')
  const { bits, checks } = read(reader)
  reader.end()
  return { type, blob, bits, checks }
}

type Read = Pick<PublicKey, 'bits' | 'checks'>

const types: Readonly<Record<string, (reader: Reader) => Read>> = {
  'ssh-ed25519': ed25519,
  'ssh-rsa': rsa,
  'ecdsa-sha2-nistp256': (reader) => ecdsa(reader, 'nistp256'),
  'ecdsa-sha2-nistp384': (reader) => ecdsa(reader, 'nistp384'),
  'ecdsa-sha2-nistp521': (reader) => ecdsa(reader, 'nistp521'),
  'sk-ssh-ed25519@openssh.com': (reader) => touched(reader, 'sk-ssh-ed25519@openssh.com', ed25519(reader)),
  'sk-ecdsa-sha2-nistp256@openssh.com': (reader) =>
    touched(reader, 'sk-ecdsa-sha2-nistp256@openssh.com', ecdsa(reader, 'nistp256')),
}

/** The curves by SSH's names: Node's, the bits of a number, the digest. */
export const curves: Readonly<Record<string, Readonly<{ crv: string; bits: number; hash: string }>>> = {
  nistp256: { crv: 'P-256', bits: 256, hash: 'sha256' },
  nistp384: { crv: 'P-384', bits: 384, hash: 'sha384' },
  nistp521: { crv: 'P-521', bits: 521, hash: 'sha512' },
}

/** RFC 8709. */
function ed25519(reader: Reader): Read {
  const point = reader.string()
  if (point.length !== 32) throw new MalformedError('its point has not 32 bytes')
  const key = keyOf({ kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') })
  const checks = (data: Buffer, signature: Buffer): boolean => {
    const bytes = only(signature, 'ssh-ed25519')
    return bytes.length === 64 && verify(null, data, key, bytes)
  }
  return { bits: 256, checks }
}

/** RFC 5656: only points that are not compressed. */
function ecdsa(reader: Reader, name: string): Read {
  const { crv, bits, hash } = curves[name] as (typeof curves)[string]
  reader.expect(name, 'curve')
  const point = reader.string()
  const size = Math.ceil(bits / 8)
  if (point.length !== 1 + 2 * size || point[0] !== 4) throw new MalformedError('its point is none')
  const [x, y] = [point.subarray(1, 1 + size), point.subarray(1 + size)].map((half) => half.toString('base64url'))
  const key = keyOf({ kty: 'EC', crv, x: x as string, y: y as string })
  const checks = (data: Buffer, signature: Buffer): boolean => {
    const inner = new Reader(only(signature, `ecdsa-sha2-${name}`))
    const numbers = [inner.positive(), inner.positive()].map((number) => padded(number, size))
    inner.end()
    return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, Buffer.concat(numbers))
  }
  return { bits, checks }
}

/** RFC 8332: of SHA-1 nothing is taken. */
function rsa(reader: Reader): Read {
  const e = reader.positive()
  const n = reader.positive()
  const bits = n.length * 8 - Math.clz32(n[0] as number) + 24
  const isOdd = (number: Buffer): boolean => ((number.at(-1) as number) & 1) === 1
  if (bits > maxRsaBits || e.length > 8 || !isOdd(n) || !isOdd(e) || (e.length === 1 && e[0] === 1))
    throw new MalformedError('its numbers are none of an RSA key')
  const key = keyOf({ kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') })
  const checks = (data: Buffer, signature: Buffer): boolean => {
    const outer = new Reader(signature)
    const type = outer.string().toString('latin1')
    const hash = type === 'rsa-sha2-512' ? 'sha512' : type === 'rsa-sha2-256' ? 'sha256' : undefined
    if (hash === undefined || bits < minRsaBits) return false
    // Some leave zeros out at its begin, and OpenSSH puts them back.
    const bytes = padded(outer.string(), n.length)
    outer.end()
    return verify(hash, data, key, bytes)
  }
  return { bits, checks }
}

/**
 * A key in hardware signs what it was asked for and by whom, whether it was touched, and how often it signed. What was not
 * touched counts for nothing.
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.u2f
 */
function touched(reader: Reader, type: string, { bits, checks }: Read): Read {
  const application = createHash('sha256').update(reader.string()).digest()
  const checksTouched = (data: Buffer, signature: Buffer): boolean => {
    const outer = new Reader(signature)
    outer.expect(type, 'type')
    const inner = outer.string()
    const state = outer.bytes(5)
    outer.end()
    if (((state[0] as number) & 1) === 0) return false
    const signed = Buffer.concat([application, state, createHash('sha256').update(data).digest()])
    return checks(signed, named(type, inner))
  }
  return { bits, checks: checksTouched }
}

/** What a key in hardware made has no type of its own within. */
function named(type: string, bytes: Buffer): Buffer {
  const plain = type.startsWith('sk-ssh-') ? 'ssh-ed25519' : 'ecdsa-sha2-nistp256'
  const head = Buffer.alloc(8 + plain.length)
  head.writeUInt32BE(plain.length, 0)
  head.write(plain, 4, 'latin1')
  head.writeUInt32BE(bytes.length, 4 + plain.length)
  return Buffer.concat([head, bytes])
}

/** The bytes of a signature that has a type and them, and nothing else. */
function only(signature: Buffer, type: string): Buffer {
  const reader = new Reader(signature)
  reader.expect(type, 'type')
  const bytes = reader.string()
  reader.end()
  return bytes
}

function keyOf(key: JsonWebKey): KeyObject {
  try {
    return createPublicKey({ key, format: 'jwk' })
  } catch {
    throw new MalformedError('its numbers are none of a key')
  }
}
