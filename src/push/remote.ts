import { createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { MypaasError } from '../errors.ts'
import type { Asked } from './asked.ts'
import { ask, type Challenge, commitField, readChallenge } from './challenge.ts'
import { environmentSource, type UserKey } from './keys.ts'
import { identify, type PinOptions } from './pins.ts'
import { parseErrorReport, RemoteError } from './remote-error.ts'
import { seal, sealedFor } from './seal.ts'
import { type CallStatement, formatStatement, type PushStatement } from './statement.ts'
import { type Answer, formatAddress, hostOf, type Transport } from './transport.ts'

export type RemoteOptions = PinOptions &
  Readonly<{
    /** Called when something is to be signed for the first time. */
    findKeys: () => Promise<readonly UserKey[]>
    signal?: AbortSignal | undefined
  }>

/** What is to be signed, without what the server's challenge brings. What comes with a call is sealed on the way. */
export type Wanted =
  | Pick<PushStatement, 'purpose' | 'service' | 'manifest' | 'expect' | 'commit'>
  | (Pick<CallStatement, 'purpose' | 'action' | 'args'> & Readonly<{ body?: string | undefined }>)

/** A server over there, as a client talks to it: challenge, signed statement, answer. */
export class Remote {
  readonly transport: Transport
  readonly #options: RemoteOptions
  #keys: readonly UserKey[] | undefined
  #greeting: { challenge: Promise<Challenge>; atMs: number } | undefined

  constructor(transport: Transport, options: RemoteOptions) {
    this.transport = transport
    this.#options = options
  }

  get name(): string {
    return formatAddress(this.transport.address)
  }

  /** As the user calls it: what a command in a hint has to say. */
  get called(): string {
    return this.#options.called ?? this.name
  }

  /**
   * Asks who the server is, ahead of what will be signed for it: the next statement needs no challenge of its own.
   * @throws {MypaasError} as {@link challenge}
   */
  greet(): Promise<Challenge> {
    if (this.#greeting) return this.#greeting.challenge
    const challenge = this.challenge()
    this.#greeting = { challenge, atMs: Date.now() }
    return challenge
  }

  /**
   * Asks who the server is, and for a nonce. Nothing else is signed or sent before the answer is known to be the server's.
   * @throws {MypaasError} `unreachable`; `unauthorised` when it is another server than the one that is meant
   */
  async challenge(): Promise<Challenge> {
    const asked = ask(hostOf(this.transport.address))
    const answer = await this.transport.ask({
      method: 'POST',
      path: '/v1/challenge',
      body: JSON.stringify(asked),
      signal: this.#options.signal,
    })
    const found = await this.#read(answer).catch((error: unknown) => {
      throw error instanceof RemoteError ? unproven(this.name, error) : error
    })
    const signed = readChallenge(found as Record<string, unknown>, asked, this.name)
    const how = await identify(this.name, signed, this.#options)
    // A person takes time, and a challenge lives five minutes.
    return how === 'asked' ? this.challenge() : signed.challenge
  }

  /**
   * Signs a statement and sends it, with one key after the other until the server takes one.
   * @param options.meanwhile is called while another program signs, when there is nothing else to do here
   * @param options.asked is told when the server may have it
   * @returns the answer, with a status below 300
   * @throws {RemoteError} what the server says against it
   * @throws {MypaasError} `unauthorised` when it takes none of the keys, naming them
   */
  async signed(
    path: string,
    wanted: Wanted,
    extra: Readonly<Record<string, unknown>>,
    options: { retry: boolean; idleMs?: number; meanwhile?: () => void; asked?: Asked },
  ): Promise<Answer> {
    const address = this.name
    const keys = await this.#orderedKeys()
    let retries = options.retry ? 3 : 0
    let isAgain = false
    for (let at = 0; at < keys.length; ) {
      const key = keys[at] as UserKey
      const challenge = await this.#unusedChallenge()
      const { statement, sealed } = stated(wanted, challenge, key.public)
      const signing = this.#sign(key, statement, at === keys.length - 1)
      if (at === 0) options.meanwhile?.()
      const signature = await signing
      if (signature === undefined) {
        at += 1
        continue
      }
      let answer: Answer
      try {
        answer = await this.transport.ask({
          method: 'POST',
          path,
          body: JSON.stringify({ statement, signature, ...sealed, ...extra }),
          signal: options.asked?.signal ?? this.#options.signal,
          fresh: !options.retry,
          ...(options.asked ? { onOut: options.asked.out } : {}),
          ...(options.idleMs === undefined ? {} : { idleMs: options.idleMs }),
        })
      } catch (error) {
        if (!isUnreachable(error) || retries-- <= 0) throw error
        await sleep(300, undefined, { signal: this.#options.signal })
        continue
      }
      if (answer.status === 401) {
        answer.body.resume()
        at += 1
        // A daemon that was started anew since then knows no challenge of before.
        if (at === keys.length && !isAgain && lifeOf(await this.greet()) !== lifeOf(challenge)) {
          isAgain = true
          at = 0
        }
        continue
      }
      if (answer.status >= 300) await this.#read(answer)
      const before = this.#options.known.get(address)
      if (before?.key !== key.fingerprint) {
        await this.#options.known.set(address, { ...before, key: key.fingerprint })
      }
      return answer
    }
    throw new MypaasError(`${address} takes none of your keys: ${keys.map(({ source }) => source).join(', ')}.`, {
      code: 'unauthorised',
      hint: `If one of them should do, let somebody on the server run:\n  mypaas server key add ${forMachine(keys[0])}'${keys[0]?.public ?? ''}'`,
    })
  }

  /** An unsigned request under a token that the server gave. */
  async ask(
    method: 'GET' | 'POST',
    path: string,
    token: string,
    options: {
      body?: string | AsyncIterable<Uint8Array>
      idleMs?: number
      signal?: AbortSignal | undefined
      asked?: Asked
    } = {},
  ): Promise<Answer> {
    return this.transport.ask({
      method,
      path,
      headers: { authorization: `Bearer ${token}` },
      signal: options.asked?.signal ?? options.signal ?? this.#options.signal,
      ...(options.asked ? { onOut: options.asked.out } : {}),
      ...(options.body === undefined ? {} : { body: options.body }),
      ...(options.idleMs === undefined ? {} : { idleMs: options.idleMs }),
    })
  }

  /** Turns a connection into a stream of another protocol, under a token. @throws {RemoteError} when the server refuses */
  async upgrade(path: string, token: string, protocol: string, signal: AbortSignal | undefined): Promise<Duplex> {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await this.transport.ask({ method: 'GET', path, headers, upgrade: protocol, fresh: true, signal })
    if (answer.stream) return answer.stream
    await this.#read(answer)
    throw new MypaasError(`Something between here and ${this.name} lets no ${protocol} through.`, {
      code: 'unreachable',
      hint: 'Go another way: user@host instead of the domain.',
    })
  }

  /** An answer that is none of an error. @throws {RemoteError} for one that is */
  async checked(answer: Answer): Promise<Answer> {
    if (answer.status >= 300) await this.#read(answer)
    return answer
  }

  /** The JSON of an answer. @throws {RemoteError} for one that is an error */
  async json(answer: Answer): Promise<Record<string, unknown>> {
    return (await this.#read(answer)) as Record<string, unknown>
  }

  async #read(answer: Answer): Promise<unknown> {
    const text = await readText(answer.body)
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      value = undefined
    }
    if (answer.status < 300 && typeof value === 'object' && value !== null) return value
    const error = (value as { error?: unknown } | undefined)?.error
    if (error !== undefined) throw new RemoteError(parseErrorReport(error))
    if (answer.status === 502 || answer.status === 503 || answer.status === 504) {
      throw new MypaasError(`I can't reach the daemon of ${this.name}: its router answers ${answer.status}.`, {
        code: 'unreachable',
        hint: 'Does the daemon run, and does the firewall let the router reach it? On the server: mypaas server status',
      })
    }
    throw new MypaasError(`${this.name} is no mypaas server: it answers ${answer.status}.`, {
      code: 'unreachable',
      hint: 'Is the address right, and does [server] domain in the config there say the same?',
    })
  }

  /** That of the greeting, once, as long as it is young by far. */
  #unusedChallenge(): Promise<Challenge> {
    const greeting = this.#greeting
    this.#greeting = undefined
    const isYoung = greeting !== undefined && Math.abs(Date.now() - greeting.atMs) < youngMs
    return isYoung ? greeting.challenge : this.challenge()
  }

  /** The key that the server took last time comes first. */
  async #orderedKeys(): Promise<readonly UserKey[]> {
    this.#keys ??= await this.#options.findKeys()
    const last = this.#options.known.get(this.name)?.key
    return this.#keys.toSorted((a, b) => Number(b.fingerprint === last) - Number(a.fingerprint === last)).slice(0, 8)
  }

  async #sign(key: UserKey, statement: string, isLast: boolean): Promise<string | undefined> {
    try {
      return await key.sign(statement)
    } catch (error) {
      if (isLast || !(error instanceof MypaasError)) throw error
      this.#options.onWarning?.(error.message)
      return undefined
    }
  }
}

/** What somebody said who has not shown who it is: told as that, and without what it would have a person do. */
function unproven(name: string, { code, message }: RemoteError): MypaasError {
  return new MypaasError(`${name} does not show who it is. It says, unsigned: ${message}`, {
    code,
    hint: 'Is the address the one that [server] domain in its config has? Over ssh it needs none: user@host',
  })
}

/** The text to sign, and what goes with it that nobody on the way is to read. */
function stated(
  wanted: Wanted,
  challenge: Challenge,
  signer: string,
): { statement: string; sealed: { sealed?: string } } {
  const { server, host, nonce, timeMs } = challenge
  const common = { server, host, nonce, timeMs }
  if (wanted.purpose === 'push') {
    const commit = challenge.takes?.includes(commitField) ? wanted.commit : undefined
    return { statement: formatStatement({ ...wanted, ...common, commit }), sealed: {} }
  }
  const { body, ...call } = wanted
  const unsealed: CallStatement = { ...call, ...common, body: undefined }
  if (body === undefined) return { statement: formatStatement(unsealed), sealed: {} }
  const sealed = seal(body, challenge.seal, sealedFor(unsealed, signer))
  return { statement: formatStatement({ ...unsealed, body: digestOf(sealed), sealed: true }), sealed: { sealed } }
}

/** What is the same in all challenges of one daemon, from its start to its end. */
function lifeOf({ nonce }: Challenge): string {
  return nonce.slice(0, 8)
}

export function isUnreachable(error: unknown): boolean {
  return error instanceof MypaasError && error.code === 'unreachable'
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Servers take challenges for five minutes. */
const youngMs = 60_000

const maxAnswerBytes = 16 * 1024 * 1024

async function readText(body: Answer['body']): Promise<string> {
  const parts: Buffer[] = []
  let length = 0
  try {
    for await (const part of body as AsyncIterable<Buffer>) {
      length += part.length
      if (length > maxAnswerBytes) throw new Error('the answer is too large')
      parts.push(part)
    }
  } catch (cause) {
    throw new MypaasError(`The line broke in the middle of an answer (${(cause as Error).message}).`, {
      code: 'unreachable',
      cause,
    })
  }
  return Buffer.concat(parts).toString()
}

/** A machine needs no more than its services. */
function forMachine(key: UserKey | undefined): string {
  return key?.source === environmentSource ? '--services NAME ' : ''
}
