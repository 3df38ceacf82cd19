import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { parseDuration } from '../units.ts'
import type { Host } from './host.ts'
import { keptFiles, keptLog, type LogLine, linesOf } from './kept-logs.ts'
import { observe, type Replica } from './observe.ts'
import { journalOf } from './operate.ts'

export type LogsOptions = Readonly<{
  /** Goes on with what is written from now on, also by releases to come, until `signal`. */
  follow?: boolean | undefined
  since?: Date | undefined
  /** Only so many lines from the end, before what is followed. */
  tail?: number | undefined
  replica?: number | undefined
  release?: number | undefined
  signal?: AbortSignal | undefined
}>

const lookForNewMs = 500
/** Of lines that wait for a slow reader. */
const maxWaitingBytes = 1024 ** 2

/**
 * What the replicas of a service wrote, merged by time: those that are here, and those of earlier releases whose logs
 * were kept. Ends with the last line, or with `follow` when the signal fires. A slow reader slows the reading of logs;
 * nothing is dropped, and no more is held than a few pieces of each log (of a `tail`, its lines).
 * @throws {MypaasError} `usage` when there is no such service
 */
export async function* serviceLogs(host: Host, service: string, options: LogsOptions): AsyncGenerator<LogLine, void> {
  await journalOf(host, service)
  if (options.signal?.aborted) return
  /** When the last line of each replica was written. */
  const seen = new Map<string, string>()
  const begun = new Date()
  const past = noting(pastLines(host, service, options), seen)
  try {
    yield* options.tail === undefined ? past : lastOf(past, options.tail)
  } catch (error) {
    if (!options.signal?.aborted) throw error
  }
  if (options.follow && !options.signal?.aborted) {
    // Of a replica that wrote nothing of late, what is old stays unsaid, as for the others.
    const from = options.since ?? (options.tail === undefined ? undefined : begun)
    yield* newLines(host, service, { ...options, since: from }, seen)
  }
}

/** `10m` for ten minutes ago, or a time as in RFC 3339. @throws {MypaasError} `usage` */
export function parseSince(text: string, now: number = Date.now()): Date {
  const ago = parseDuration(text)
  const date = ago === undefined ? new Date(text) : new Date(now - ago)
  if (!Number.isNaN(date.getTime())) return date
  throw new MypaasError(`--since must be a time such as 10m, 2h or 2026-01-31T12:00:00Z, not ${text.slice(0, 60)}.`, {
    code: 'usage',
  })
}

async function* pastLines(host: Host, service: string, options: LogsOptions): AsyncGenerator<LogLine, void> {
  const { tail, signal } = options
  const since = options.since?.toISOString() ?? ''
  const files = (await keptFiles(host, service)).filter((found) => isWanted(found, options))
  const replicas = (await observe(host, service)).replicas.filter((found) => isWanted(found, options))
  const engine = { since: options.since, tail, signal, idleMs: host.engineTimeoutMs }
  const logs = [...files.map(keptLog), ...replicas.map((replica) => ifThere(linesOf(host, replica, engine)))]
  for await (const line of merged(logs)) if (line.at >= since) yield line
}

/** The log of a container that may be removed at any moment. */
async function* ifThere(lines: AsyncGenerator<LogLine, void>): AsyncGenerator<LogLine, void> {
  try {
    yield* lines
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
  }
}

/** Lines of several logs, each in order of time, as those of one. */
async function* merged(logs: readonly AsyncGenerator<LogLine, void>[]): AsyncGenerator<LogLine, void> {
  try {
    const heads = await Promise.all(logs.map(async (log) => ({ log, head: (await log.next()).value })))
    for (;;) {
      let first: { log: AsyncGenerator<LogLine, void>; head: LogLine } | undefined
      for (const one of heads) {
        if (one.head && (!first || one.head.at < first.head.at)) first = one as typeof first
      }
      if (!first) return
      yield first.head
      Object.assign(first, { head: (await first.log.next()).value })
    }
  } finally {
    await Promise.all(logs.map((log) => log.return()))
  }
}

async function* noting(lines: AsyncGenerator<LogLine, void>, seen: Map<string, string>): AsyncGenerator<LogLine, void> {
  for await (const line of lines) {
    seen.set(key(line), line.at)
    yield line
  }
}

/** Of a `tail`, so much at most is held: lines may be of any length, and as many as are asked for. */
const maxTailBytes = 64 * 1024 ** 2

async function* lastOf(lines: AsyncGenerator<LogLine, void>, count: number): AsyncGenerator<LogLine, void> {
  let last: LogLine[] = []
  let from = 0
  let bytes = 0
  for await (const line of lines) {
    last.push(line)
    bytes += sizeOf(line)
    while (last.length - from > count || bytes > maxTailBytes) {
      bytes -= sizeOf(last[from] as LogLine)
      from += 1
    }
    if (from <= 1000 || from < last.length / 2) continue
    last = last.slice(from)
    from = 0
  }
  yield* last.slice(from)
}

/** Lines as they come, of every replica that is there or appears, also of one that is started again. */
async function* newLines(
  host: Host,
  service: string,
  options: LogsOptions,
  seen: Map<string, string>,
): AsyncGenerator<LogLine, void> {
  const end = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, end.signal]) : end.signal
  const inbox = new Inbox(signal)
  const followed = new Set<string>()
  const ended = new Set<string>()
  const follow = async (replica: Replica): Promise<void> => {
    const last = seen.get(key(replica)) ?? ''
    const since = last === '' ? options.since : new Date(last)
    const from = since?.toISOString() ?? ''
    for await (const line of linesOf(host, replica, { follow: true, signal, since })) {
      if (line.at <= last || line.at < from) continue
      seen.set(key(line), line.at)
      await inbox.put(line)
    }
  }
  const look = async (): Promise<void> => {
    while (!signal.aborted) {
      for (const replica of (await observe(host, service)).replicas.filter((found) => isWanted(found, options))) {
        const { id, state } = replica
        if (followed.has(id) || state === 'created' || (ended.has(id) && state !== 'running')) continue
        followed.add(id)
        void follow(replica)
          .catch(() => {}) // it is gone, or will be tried again
          .finally(() => {
            followed.delete(id)
            ended.add(id)
          })
      }
      await sleep(lookForNewMs, undefined, { signal }).catch(() => {})
    }
  }
  const looking = look().catch((error: unknown) => inbox.fail(error))
  try {
    for (;;) yield await inbox.take()
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    end.abort()
    await looking
  }
}

/** Lines of several writers for one reader. Writers wait when it is full. */
class Inbox {
  readonly #signal: AbortSignal
  readonly #lines: LogLine[] = []
  readonly #news = new EventEmitter().setMaxListeners(0)
  #bytes = 0
  #error: unknown

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  async put(line: LogLine): Promise<void> {
    this.#lines.push(line)
    this.#bytes += sizeOf(line)
    this.#news.emit('line')
    while (this.#bytes > maxWaitingBytes) await once(this.#news, 'room', { signal: this.#signal })
  }

  async take(): Promise<LogLine> {
    for (;;) {
      this.#signal.throwIfAborted()
      const line = this.#lines.shift()
      if (line) {
        this.#bytes -= sizeOf(line)
        if (this.#bytes <= maxWaitingBytes) this.#news.emit('room')
        return line
      }
      if (this.#error) throw this.#error
      await once(this.#news, 'line', { signal: this.#signal })
    }
  }

  fail(error: unknown): void {
    this.#error = error
    this.#news.emit('line')
  }
}

function sizeOf(line: LogLine): number {
  return line.text.length + 200
}

function isWanted(found: { release: number; replica: number }, options: LogsOptions): boolean {
  if (options.release !== undefined && found.release !== options.release) return false
  return options.replica === undefined || found.replica === options.replica
}

function key({ release, replica }: { release: number; replica: number }): string {
  return `r${release}-${replica}`
}
