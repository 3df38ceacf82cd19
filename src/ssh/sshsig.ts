import { createHash } from 'node:crypto'
import { type PublicKey, parsePublicKey } from './public-key.ts'
import { fromBase64, MalformedError, Reader, string, uint32 } from './wire.ts'

const magic = Buffer.from('SSHSIG')

/**
 * Whether an armored SSHSIG is one of this key for this text and namespace: as `ssh-keygen -Y verify`, in this process, and
 * stricter: everything has one form only, RSA needs 3072 bits, and a key in hardware must have been touched.
 * @see https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.sshsig
 * @param key `TYPE BASE64`, as it stands in authorized_keys
 */
export function verifySignature(text: string, signature: string, key: string, namespace: string): boolean {
  return readOr(false, () => {
    const fields = parse(signature)
    if (!fields.namespace.equals(Buffer.from(namespace)) || fields.key !== key.split(' ')[1]) return false
    return publicKey(key).checks(signedBytes(text, namespace, fields.hash), fields.signature)
  })
}

/**
 * The public key that a signature says it was made with, in base64: to look it up, it proves nothing.
 * @returns `undefined` when it is no SSHSIG
 */
export function keyOfSignature(signature: string): string | undefined {
  return readOr(undefined, () => parse(signature).key)
}

/**
 * An armored SSHSIG.
 * @param sign makes the signature of bytes, in the form that the key's type has
 */
export function makeSignature(text: string, namespace: string, key: Buffer, sign: (data: Buffer) => Buffer): string {
  const signature = sign(signedBytes(text, namespace, 'sha512'))
  const fields = [key, namespace, '', 'sha512', signature].map(string)
  return armored(Buffer.concat([magic, uint32(1), ...fields]))
}

const begin = '-----BEGIN SSH SIGNATURE-----'
const end = '-----END SSH SIGNATURE-----'
const armor = new RegExp(`^${begin}\n([A-Za-z0-9+/=\n]{100,16000})\n${end}\n$`)

/** As ssh-keygen writes it. */
function armored(blob: Buffer): string {
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? []
  return `${[begin, ...lines, end].join('\n')}\n`
}

type Fields = Readonly<{ key: string; namespace: Buffer; hash: 'sha256' | 'sha512'; signature: Buffer }>

/** @throws {MalformedError} */
function parse(signature: string): Fields {
  const match = armor.exec(signature)
  if (!match) throw new MalformedError('it has no armor')
  const blob = fromBase64((match[1] as string).replaceAll('\n', ''))
  if (armored(blob) !== signature) throw new MalformedError('its lines are not those of ssh-keygen')
  const reader = new Reader(blob)
  if (!reader.bytes(magic.length).equals(magic) || reader.uint32() !== 1) throw new MalformedError('it is no SSHSIG')
  const key = reader.string().toString('base64')
  const namespace = reader.string()
  reader.expect('', 'version')
  const hash = reader.string().toString('latin1')
  if (hash !== 'sha256' && hash !== 'sha512') throw new MalformedError('it is of another hash')
  const fields = { key, namespace, hash, signature: reader.string() } as const
  reader.end()
  return fields
}

/** What the key itself signs: the text's hash, and what it is for. */
function signedBytes(text: string, namespace: string, hash: 'sha256' | 'sha512'): Buffer {
  const fields = [namespace, '', hash, createHash(hash).update(text).digest()].map(string)
  return Buffer.concat([magic, ...fields])
}

/** Keys that were read, the latest last: a server has few, and reading one takes as long as a check. */
const known = new Map<string, PublicKey>()
const maxKnown = 256

function publicKey(line: string): PublicKey {
  const key = known.get(line) ?? parsePublicKey(line)
  known.delete(line)
  known.set(line, key)
  if (known.size > maxKnown) known.delete(known.keys().next().value as string)
  return key
}

/** What foreign bytes are not is no error here, and neither is what the cryptography refuses to look at. */
function readOr<T>(otherwise: T, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof MalformedError || isOfOpenSsl(error)) return otherwise
    throw error
  }
}

function isOfOpenSsl(error: unknown): boolean {
  return /^ERR_(OSSL|CRYPTO)_/.test(String((error as NodeJS.ErrnoException | undefined)?.code ?? ''))
}
