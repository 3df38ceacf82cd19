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

/** Streams that are open, as many as there may be. */
export class Places {
  readonly #taken = new Map<AbortController, string>()

  /** @throws {MypaasError} `locked` when there is no place, for this key or at all */
  take({ fingerprint }: AuthorizedKey): Disposable & { signal: AbortSignal; leave: () => void } {
    const own = [...this.#taken.values()].filter((one) => one === fingerprint)
    if (own.length >= maxPerKey || this.#taken.size >= maxInAll) {
      throw new MypaasError('Too many logs and commands are open at this moment.', {
        code: 'locked',
        hint: 'End some of them, then try again.',
      })
    }
    const controller = new AbortController()
    // Everything that is open for it listens to it; from eleven on Node would warn of a leak.
    setMaxListeners(0, controller.signal)
    this.#taken.set(controller, fingerprint)
    return {
      signal: controller.signal,
      leave: () => controller.abort(),
      [Symbol.dispose]: () => void this.#taken.delete(controller),
    }
  }

  /** Ends all of them. */
  clear(): void {
    for (const controller of this.#taken.keys()) controller.abort()
  }
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
