import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto'
import { type CallStatement, formatStatement } from './statement.ts'

/** A key that texts are sealed to, and what others need for that. */
export type SealKey = Readonly<{ private: KeyObject; public: string }>

/** A new one; who has it only in memory can't be made to open later what was written down on the way. */
export function makeSealKey(): SealKey {
  const pair = generateKeyPairSync('x25519')
  return { private: pair.privateKey, public: rawOf(pair.publicKey).toString('base64url') }
}

/**
 * What a sealed text belongs to: the statement that it goes with, and who signs that. Taken out of it and put into
 * another, nobody opens it.
 */
export function sealedFor(statement: CallStatement, signer: string): string {
  return `${formatStatement({ ...statement, body: undefined })}signer ${signer}\n`
}

/**
 * Closes a text so that only the holder of a key can open it: X25519 with a key for this text alone, HKDF, AES-256-GCM.
 * @param to the key's public half, of {@link SealKey}
 * @returns the text's own key, the text and its tag, in base64
 */
export function seal(text: string, to: string, belongsTo: string): string {
  const own = generateKeyPairSync('x25519')
  const ownRaw = rawOf(own.publicKey)
  const cipher = createCipheriv('aes-256-gcm', secretOf(own.privateKey, publicOf(to), ownRaw), once)
  cipher.setAAD(Buffer.from(belongsTo))
  return Buffer.concat([ownRaw, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64')
}

/** Opens it. `undefined` when it was closed for another key, belongs to something else, or was changed. */
export function unseal(sealed: string, key: SealKey, belongsTo: string): string | undefined {
  const bytes = Buffer.from(sealed, 'base64')
  if (bytes.length < 48 || bytes.toString('base64') !== sealed) return undefined
  const ownRaw = bytes.subarray(0, 32)
  try {
    const secret = secretOf(key.private, publicOf(ownRaw.toString('base64url')), ownRaw)
    const decipher = createDecipheriv('aes-256-gcm', secret, once)
    decipher.setAAD(Buffer.from(belongsTo))
    decipher.setAuthTag(bytes.subarray(-16))
    return Buffer.concat([decipher.update(bytes.subarray(32, -16)), decipher.final()]).toString()
  } catch {
    return undefined
  }
}

/** Each secret is used for one text, so that its number may always be the same. */
const once = Buffer.alloc(12)

function secretOf(mine: KeyObject, theirs: KeyObject, ownRaw: Buffer): Buffer {
  const shared = diffieHellman({ privateKey: mine, publicKey: theirs })
  return Buffer.from(hkdfSync('sha256', shared, ownRaw, 'mypaas seal 1', 32))
}

function publicOf(base64url: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: base64url }, format: 'jwk' })
}

function rawOf(key: KeyObject): Buffer {
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')
}
