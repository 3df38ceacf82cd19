import { setMaxListeners } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { RunningCommand } from '../deploy/command.ts'
import { execInService, runInService } from '../deploy/command.ts'
import { serviceLogs } from '../deploy/logs.ts'
import { MypaasError } from '../errors.ts'
import { reportError } from '../push/remote-error.ts'
import { type ActionCall, hostFor, serviceOf, type Terms } from './actions.ts'
import { openServer } from './host.ts'
import type { AuthorizedKey } from './keys.ts'
import { beatMs, drained } from './reply.ts'

type StreamCall = Omit<ActionCall, 'emit'>

/**
 * Something that a client reads as it comes, or talks to. It lives as long as its client stays, no longer; nothing of it
 * is kept.
 */
export type Stream = Terms &
  Readonly<
    | { kind: 'lines'; lines: (call: StreamCall) => AsyncIterable<unknown> }
    | { kind: 'session'; open: (call: StreamCall) => Promise<RunningCommand> }
  >

/** Every stream that a client can ask for, by name. */
export const streams: Readonly<Record<string, Stream>> = {
  logs: {
    kind: 'lines',
    reads: true,
    needs: ['service'],
    takes: ['service', 'follow', 'since', 'tail', 'replica', 'release'],
    lines: ({ server, args, signal }) =>
      serviceLogs(server.host, serviceOf(args), {
        follow: args.follow,
        since: args.since,
        tail: args.tail,
        replica: args.replica,
        release: args.release,
        signal,
      }),
  },
  exec: {
    kind: 'session',
    reads: false,
    needs: ['service'],
    takes: ['service', 'tty', 'replica'],
    open: ({ server, args, body, signal }) =>
      execInService(server.host, serviceOf(args), wordsOf(body), {
        tty: args.tty === true,
        replica: args.replica,
        signal,
      }),
  },
  run: {
    kind: 'session',
    reads: false,
    needs: ['service'],
    takes: ['service', 'tty'],
    open: ({ server, key, args, body, signal }) =>
      runInService(hostFor(server, key), serviceOf(args), wordsOf(body), { tty: args.tty === true, signal }),
  },
}

/** Opens the server for a command; both end together. */
export async function openCommand(
  home: string,
  open: (call: StreamCall) => Promise<RunningCommand>,
  about: Omit<StreamCall, 'server' | 'signal'>,
  signal: AbortSignal,
): Promise<RunningCommand> {
  const server = await openServer(home)
  try {
    const running = await open({ ...about, server, signal })
    return {
      stream: running.stream,
      async [Symbol.asyncDispose](): Promise<void> {
        await running[Symbol.asyncDispose]()
        await server[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
}

/** A command as it is signed: a JSON list of words. @throws {MypaasError} `usage` */
export function wordsOf(body: string | undefined): readonly string[] {
  let words: unknown
  try {
    words = JSON.parse(body ?? '')
  } catch {
    words = undefined
  }
  const isCommand =
    Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string' && !word.includes('\0'))
  if (isCommand) return words as string[]
  throw new MypaasError('The command is missing, or is no list of words.', { code: 'usage' })
}

const maxPerKey = 16
const maxInAll = 128

/** How often the key file is looked at while anything is open. */
const lookMs = 1000

type Taken = Readonly<{ key: AuthorizedKey; mayStay: (key: AuthorizedKey) => void }>

/**
 * Streams that are open, as many as there may be, and as long as their keys may have them: a key that is taken away, expires
 * or is limited further ends what it has open.
 */
export class Places {
  readonly #taken = new Map<AbortController, Taken>()
  /** Those whose key was not good at the last look; at the second they end, for a file can be half written at one. */
  #doubted: ReadonlySet<AbortController> = new Set()
  readonly #keyNow: (key: AuthorizedKey) => Promise<AuthorizedKey>
  #looking: NodeJS.Timeout | undefined

  /** @param keyNow The key as the file has it now; rejects where there is none. */
  constructor(keyNow: (key: AuthorizedKey) => Promise<AuthorizedKey>) {
    this.#keyNow = keyNow
  }

  /**
   * @param mayStay Throws for a key that may not have this open any more.
   * @throws {MypaasError} `locked` when there is no place, for this key or at all
   */
  take(
    key: AuthorizedKey,
    mayStay: (key: AuthorizedKey) => void,
  ): Disposable & { signal: AbortSignal; leave: () => void } {
    const own = [...this.#taken.values()].filter((one) => one.key.fingerprint === key.fingerprint)
    if (own.length >= maxPerKey || this.#taken.size >= maxInAll) {
      throw new MypaasError('Too many logs and commands are open at this moment.', {
        code: 'locked',
        hint: 'End some of them, then try again.',
      })
    }
    const controller = new AbortController()
    // Everything that is open for it listens to it; from eleven on Node would warn of a leak.
    setMaxListeners(0, controller.signal)
    this.#taken.set(controller, { key, mayStay })
    this.#lookLater()
    return {
      signal: controller.signal,
      leave: () => controller.abort(),
      [Symbol.dispose]: () => void this.#taken.delete(controller),
    }
  }

  /** Ends all of them. */
  clear(): void {
    clearTimeout(this.#looking)
    for (const controller of this.#taken.keys()) controller.abort()
  }

  #lookLater(): void {
    this.#looking ??= setTimeout(() => void this.#look(), lookMs).unref()
  }

  async #look(): Promise<void> {
    const doubted = new Set<AbortController>()
    for (const [controller, { key, mayStay }] of this.#taken) {
      try {
        mayStay(await this.#keyNow(key))
      } catch {
        doubted.add(controller)
      }
    }
    for (const controller of doubted) if (this.#doubted.has(controller)) controller.abort(keyIsGone())
    this.#doubted = doubted
    this.#looking = undefined
    if (this.#taken.size > 0) this.#lookLater()
  }
}

function keyIsGone(): MypaasError {
  return new MypaasError('The key was taken away, expired or limited further; what it had open was ended.', {
    code: 'unauthorised',
  })
}

const batchBytes = 64 * 1024

/**
 * Answers with lines as they come, each with its number, and how they ended. A reader that is slow slows their source;
 * one that leaves ends it, by `signal`. An answer that the server cuts off has no end, so that its reader asks again.
 */
export async function sendLines(
  response: ServerResponse,
  lines: AsyncIterable<unknown>,
  signal: AbortSignal,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
  response.flushHeaders()
  let waiting = ''
  let isPlanned = false
  const write = (): void => {
    isPlanned = false
    if (waiting !== '') response.write(waiting)
    waiting = ''
  }
  const beat = setInterval(() => {
    if (!response.writableNeedDrain) response.write('\n')
  }, beatMs)
  let end: unknown = { ok: true }
  try {
    let seq = 0
    for await (const event of lines) {
      waiting += `${JSON.stringify({ seq: seq++, event })}\n`
      if (waiting.length > batchBytes || response.writableNeedDrain) {
        write()
        if (response.writableNeedDrain) await drained(response, signal)
      } else if (!isPlanned) {
        isPlanned = true
        // What comes at once goes at once, and together.
        setImmediate(write)
      }
      if (signal.aborted) break
    }
  } catch (error) {
    end = { ok: false, error: reportError(error) }
    if (!(error instanceof MypaasError) && !signal.aborted) throw error
  } finally {
    clearInterval(beat)
    if (!signal.aborted) waiting += `${JSON.stringify({ end })}\n`
    write()
    response.end()
  }
}
