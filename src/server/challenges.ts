import { MypaasError } from '../errors.ts'
import { commitField, formatChallenge, parseAsked } from '../push/challenge.ts'
import type { PushLimits } from '../push/manifest.ts'
import { makeSealKey, type SealKey, sealedFor, unseal } from '../push/seal.ts'
import type { CallStatement } from '../push/statement.ts'
import type { AuthorizedKey } from './keys.ts'
import type { Nonces } from './nonces.ts'
import { OpenError, openly } from './open-error.ts'
import type { ServerKey } from './server-key.ts'

export type ChallengesOptions = Readonly<{
  /** This server's id. */
  server: string
  key: () => Promise<ServerKey>
  nonces: Nonces
  limits: () => Promise<PushLimits>
  now: () => number
}>

/** What this server tells those who ask who it is, under its own key. */
export class Challenges {
  readonly #options: ChallengesOptions
  /** Only in memory: what was sent to a daemon that has ended is opened by nobody any more. */
  readonly #seal: SealKey = makeSealKey()

  constructor(options: ChallengesOptions) {
    this.#options = options
  }

  /**
   * Answers a client. One that asks nothing is of an earlier version, and gets what it knows of, unsigned.
   * @param hosts what clients may call the way that this came in: under another name, nobody gets a signature to pass on
   * @throws {OpenError} when it means a server of another name
   */
  async answer(body: string, hosts: () => Promise<readonly string[]>): Promise<Record<string, unknown>> {
    const { server, nonces, now, key: find } = this.#options
    const asked = openly(() => parseAsked(body))
    const limits = await this.#options.limits()
    const timeMs = now()
    const plain = { protocol: 1, server, nonce: nonces.make(), time: timeMs, limits }
    if (!asked) return plain
    if (!(await hosts()).includes(asked.host)) {
      throw new OpenError(`This server is not called ${asked.host}.`, {
        hint: 'Give the address that [server] domain in its config has, or go by ssh: user@host',
      })
    }
    const key = await find()
    const challenge = formatChallenge({
      server,
      host: asked.host,
      asked: asked.nonce,
      nonce: plain.nonce,
      timeMs,
      limits,
      seal: this.#seal.public,
    })
    const signature = key.sign(challenge)
    return { ...plain, challenge, key: key.public, signature, earlier: key.earlier, takes: [commitField] }
  }

  /** What came with a call. @throws {MypaasError} `locked` when it was sealed for a daemon that has ended, or not for this call */
  open(sealed: string, statement: CallStatement, key: AuthorizedKey): string {
    const text = unseal(sealed, this.#seal, sealedFor(statement, key.public))
    if (text !== undefined) return text
    throw new MypaasError("What came with this can't be opened here: the daemon was restarted meanwhile.", {
      code: 'locked',
      hint: 'Nothing was done. Do it again.',
    })
  }
}
