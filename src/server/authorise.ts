import { createHash } from 'node:crypto'
import { verify } from '../push/signature.ts'
import { parseStatement, type Statement } from '../push/statement.ts'
import { keyOfSignature } from '../ssh/sshsig.ts'
import type { AuthorizedKey, AuthorizedKeys } from './keys.ts'
import { type Nonces, nonceLifeMs } from './nonces.ts'

/** Why nobody was let in. Outside, all of them look the same. */
export class DeniedError extends Error {
  readonly reason: string
  readonly key: string | undefined
  constructor(reason: string, key?: string) {
    super('Access denied.')
    this.reason = reason
    this.key = key
  }
}

/** What a signature was checked against. */
export type Authority = Readonly<{
  keys: AuthorizedKeys
  nonces: Nonces
  /** This server's id. */
  server: string
  /** What clients may call the way that this came in. */
  hosts: readonly string[]
  now: () => number
}>

/**
 * Who signed a statement, if it is for this server, made for a challenge of its own, lately, and not used before.
 * @throws {DeniedError} otherwise
 * @throws {MypaasError} `usage` when it is no statement
 */
export async function authorise(
  authority: Authority,
  text: string,
  signature: string,
): Promise<{ key: AuthorizedKey; statement: Statement }> {
  const statement = parseStatement(text)
  const base64 = keyOfSignature(signature)
  if (base64 === undefined) throw new DeniedError('no signature')
  const key = await authority.keys.find(base64, authority.now())
  const shown =
    key?.fingerprint ??
    `SHA256:${createHash('sha256').update(Buffer.from(base64, 'base64')).digest('base64').replace(/=+$/, '')}`
  if (!key) throw new DeniedError('unknown or expired key', shown)
  if (statement.server !== authority.server) throw new DeniedError('for another server', shown)
  if (!authority.hosts.includes(statement.host)) throw new DeniedError(`for another host: ${statement.host}`, shown)
  if (Math.abs(authority.now() - statement.timeMs) > nonceLifeMs) throw new DeniedError('of another time', shown)
  if (!authority.nonces.isFresh(statement.nonce)) throw new DeniedError('for no fresh challenge', shown)
  if (!verify(text, signature, key.public)) throw new DeniedError('wrong signature', shown)
  // Only who signed well can use a nonce up, and only once.
  if (!(await authority.nonces.use(statement.nonce))) throw new DeniedError('used before', shown)
  return { key, statement }
}
