import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { MypaasError } from '../errors.ts'
import { fingerprint } from './signature.ts'

/** A key that a server had before, and its signature of the one that came after it. */
export type EarlierKey = Readonly<{
  /** `ssh-ed25519 BASE64`. */
  key: string
  /** Of {@link succession}, in base64. */
  signature: string
}>

/** How many of them a server shows, and a client looks at. */
export const maxEarlierKeys = 16

/** An ed25519 key as OpenSSH writes it: `ssh-ed25519 BASE64`. */
export function keyLine(key: KeyObject): string {
  const { x } = key.export({ format: 'jwk' })
  return `ssh-ed25519 ${Buffer.concat([wireHead, Buffer.from(x ?? '', 'base64url')]).toString('base64')}`
}

/** `SHA256:…` of such a line, as `ssh-keygen -lf` shows it. */
export function keyFingerprint(line: string): string {
  return fingerprint(line.split(' ')[1] ?? '')
}

/** Whether a text is signed with the key of that line; a line or a signature that is none has signed nothing. */
export function isSignedBy(line: string, text: string, signature: string): boolean {
  const raw = rawKey(line)
  const bytes = Buffer.from(signature, 'base64')
  if (raw === undefined || bytes.length !== 64) return false
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') },
    format: 'jwk',
  })
  return verify(null, Buffer.from(text), key, bytes)
}

/** What a key signs to name the one that comes after it. */
export function succession(from: string, to: string): string {
  return `mypaas identity 1\nfrom ${from}\nto ${to}\n`
}

/**
 * Which of the trusted keys has led to this one, each signing the next.
 * @param trusted fingerprints
 * @param earlier the oldest first
 */
export function ledFrom(trusted: readonly string[], line: string, earlier: readonly EarlierKey[]): string | undefined {
  let to = line
  for (const { key, signature } of earlier.slice(-maxEarlierKeys).reverse()) {
    if (!isSignedBy(key, succession(key, to), signature)) return undefined
    const found = keyFingerprint(key)
    if (trusted.includes(found)) return found
    to = key
  }
  return undefined
}

/**
 * The fingerprints of servers' keys that a person wrote down: `SHA256:…` or `ssh-ed25519 AAAA…`, several with commas
 * or newlines between them.
 * @param from where it stands, for what is said about it
 * @throws {MypaasError} `usage` when one is neither
 */
export function parsePins(text: string, from: string): readonly string[] {
  const words = text.split(/[,\n]/).flatMap((part) => (part.trim() === '' ? [] : [part.trim()]))
  return words.map((word) => {
    if (isFingerprint(word)) return word
    const line = /^(ssh-ed25519 [A-Za-z0-9+/]+=*)(?:\s.*)?$/.exec(word)?.[1]
    if (line !== undefined && rawKey(line)) return keyFingerprint(line)
    throw new MypaasError(`${JSON.stringify(word)} in ${from} is no key of a server.`, {
      code: 'usage',
      hint: 'It is "SHA256:…" or "ssh-ed25519 AAAA…", as the server tells it: mypaas server identity show',
    })
  })
}

function isFingerprint(text: string): boolean {
  return /^SHA256:[A-Za-z0-9+/]{43}$/.test(text)
}

/**
 * Takes the key off the end of what a person calls a server: `paas.example.com#SHA256:…`.
 * @throws {MypaasError} `usage` when what stands there is no key
 */
export function splitPins(server: string): { server: string; pins: readonly string[] | undefined } {
  const at = server.indexOf('#')
  if (at < 0) return { server, pins: undefined }
  const pins = parsePins(server.slice(at + 1), 'the address')
  return { server: server.slice(0, at), pins: pins.length === 0 ? undefined : pins }
}

/** The 32 bytes of a line, if it is one of ed25519 and written as it is always written. */
function rawKey(line: string): Buffer | undefined {
  const base64 = /^ssh-ed25519 ([A-Za-z0-9+/]{68})$/.exec(line)?.[1]
  if (base64 === undefined) return undefined
  const bytes = Buffer.from(base64, 'base64')
  return bytes.subarray(0, wireHead.length).equals(wireHead) ? bytes.subarray(wireHead.length) : undefined
}

/** Two strings, each behind its length: the name of the kind, and (what follows) 32 bytes. */
const wireHead = Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0\x20', 'latin1')
