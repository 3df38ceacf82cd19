import type { Socket } from 'node:net'
import { fingerprint, verify } from '../push/signature.ts'
import { parseStatement, type Statement } from '../push/statement.ts'
import { keyOfSignature } from '../ssh/sshsig.ts'
import type { AuthorizedKey, AuthorizedKeys } from './keys.ts'
import { type Nonces, nonceLifeMs } from './nonces.ts'
import { openly } from './open-error.ts'
import type { Signed } from './signed-request.ts'
import type { Turns } from './turns.ts'

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

/** Who asks, as far as others wait for it. */
export type Asking = Readonly<{
  turns: Turns
  peer: string
  /** Closed when they are gone. */
  socket: Socket
}>

/**
 * Who signed a statement, if it is for this server, made for a challenge of its own, lately, and not used before. What costs
 * next to nothing is looked at first; the signature is checked in turn with those of others, and once for each challenge.
 * @throws {DeniedError} otherwise
 * @throws {OpenError} when it is no statement
 */
export async function authorise(
  authority: Authority,
  { statement: text, signature }: Signed,
  { turns, peer, socket }: Asking,
): Promise<{ key: AuthorizedKey; statement: Statement }> {
  const { keys, nonces, now } = authority
  const statement = openly(() => parseStatement(text))
  const base64 = keyOfSignature(signature)
  if (base64 === undefined) throw new DeniedError('no signature')
  const key = await keys.find(base64, now())
  const shown = key?.fingerprint ?? fingerprint(base64)
  if (!key) throw new DeniedError('unknown or expired key', shown)
  if (statement.server !== authority.server) throw new DeniedError('for another server', shown)
  if (!authority.hosts.includes(statement.host)) throw new DeniedError(`for another host: ${statement.host}`, shown)
  if (Math.abs(now() - statement.timeMs) > nonceLifeMs) throw new DeniedError('of another time', shown)
  const { nonce } = statement
  const lane = `${peer} ${key.fingerprint}`
  const check = (): true => {
    if (!nonces.isFresh(nonce)) throw new DeniedError('for no fresh challenge', shown)
    if (!verify(text, signature, key.public)) {
      nonces.spoil(nonce)
      throw new DeniedError('wrong signature', shown)
    }
    // Only who signed well can use a nonce up, and only once.
    nonces.use(nonce)
    // Of this key, and for challenges.
    for (const good of [lane, peer]) turns.praise(good)
    return true
  }
  if (!nonces.isFresh(nonce)) throw new DeniedError('for no fresh challenge', shown)
  const checked = await turns.take(lane, check, socket)
  if (!checked) throw new DeniedError('gone before it was their turn', shown)
  return { key, statement }
}
