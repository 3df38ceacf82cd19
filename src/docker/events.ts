import { onAbort, reasonOf } from './abort.ts'
import { type CallOptions, sharing } from './deadline.ts'
import { type Engine, type Filters, filtersJson, type OpenAnswer, unixTime } from './engine.ts'
import { DockerUnavailableError, ProtocolError, TimeoutError } from './errors.ts'
import { lines, parseLine } from './json-lines.ts'
import type { EngineEvent } from './types/system.ts'

/**
 * The events of an engine, over breaks of the connection: each new connection asks for what came since shortly before
 * the last event, and what was told already is left out.
 */
export async function* events(engine: Engine, options: EventOptions): AsyncGenerator<EngineEvent, void> {
  const { signal, timeoutMs, idleMs, onReconnect } = options
  const rest = sharing({ signal, timeoutMs, idleMs })
  const position = new Position(unixTime(options.since))
  const until = unixTime(options.until)
  for (let attempt = 0; ; attempt++) {
    let broken: Error
    try {
      const { headers, body } = await engine.open({
        method: 'GET',
        path: '/events',
        query: { since: position.since, until, filters: filtersJson(options.filters) },
        options: rest(),
      })
      const clock = new EngineClock(headers)
      position.connected(clock)
      attempt = 0
      for await (const event of read(body)) if (position.isNew(event)) yield event.event
      if (clock.isPast(until)) return
      broken = new ProtocolError('The engine ended its events.')
    } catch (error) {
      if (!isBreak(error) || !position.hasConnected) throw error
      broken = error
    }
    if (options.once) throw broken
    onReconnect?.(broken)
    await pause(Math.min(2000, 50 * 2 ** attempt), rest())
  }
}

export type EventOptions = {
  /** Begin with what happened since then: a time, Unix seconds, or an event's `at`. Default: now. */
  since?: Date | number | string | undefined
  /** End then. Default: never. */
  until?: Date | number | string | undefined
  /** `container`, `event`, `image`, `label`, `network`, `type`, `volume`, … */
  filters?: Filters | undefined
  /** Called when the connection broke, before it is tried again. */
  onReconnect?: ((error: Error) => void) | undefined
  /** Throw when the connection breaks, instead of going on. */
  once?: boolean | undefined
} & CallOptions

type Line = { text: string; nanos: bigint; event: EngineEvent }

async function* read(body: OpenAnswer['body']): AsyncGenerator<Line> {
  for await (const line of lines(body, 'Events')) {
    const parsed = parseLine<Omit<EngineEvent, 'at'>>(line, 'Events')
    if (!parsed) continue
    const text = line.toString()
    // A number can't hold nanoseconds since 1970.
    const digits = /(?<!\\)"timeNano":(\d+)/.exec(text)?.[1] ?? `${parsed.time ?? 0}000000000`
    const nanos = BigInt(digits)
    yield { text, nanos, event: { ...parsed, at: formatNanos(nanos) } }
  }
}

/** How far the events have been told. */
class Position {
  #since: string | number | undefined
  #floor = 0n
  #newest = 0n
  readonly #told = new Set<string>()
  hasConnected = false

  constructor(since: string | number | undefined) {
    this.#since = since
  }

  get since(): string | number | undefined {
    if (this.#newest === 0n) return this.#since
    // The engine does not order events of one moment by their time.
    const from = this.#newest - overlapNanos
    return formatNanos(from > this.#floor ? from : this.#floor)
  }

  connected(clock: EngineClock): void {
    if (this.hasConnected) return
    this.hasConnected = true
    if (this.#since === undefined) {
      this.#floor = BigInt(clock.startSeconds) * 1_000_000_000n
      this.#since = clock.startSeconds
    }
  }

  isNew({ text, nanos }: Line): boolean {
    if (this.#told.has(text)) return false
    this.#told.add(text)
    // The engine remembers 256 events.
    if (this.#told.size > 1024) this.#told.delete(this.#told.values().next().value ?? '')
    if (nanos > this.#newest) this.#newest = nanos
    return true
  }
}

const overlapNanos = 1_000_000_000n

/** The engine's own time, which may differ from ours. */
class EngineClock {
  readonly startSeconds: number
  readonly #startedAt = performance.now()

  constructor(headers: Record<string, string>) {
    const date = Date.parse(headers['date'] ?? '')
    this.startSeconds = Math.floor((Number.isNaN(date) ? Date.now() : date) / 1000)
  }

  /** Whether a time has come; one that only the engine can read (`10m`) counts as such. */
  isPast(until: string | number | undefined): boolean {
    if (until === undefined) return false
    const seconds = Number(until)
    if (Number.isNaN(seconds)) return true
    return this.startSeconds + 1 + (performance.now() - this.#startedAt) / 1000 >= seconds
  }
}

function isBreak(error: unknown): error is Error {
  const isConnectTimeout = error instanceof TimeoutError && error.kind === 'connect'
  return error instanceof ProtocolError || error instanceof DockerUnavailableError || isConnectTimeout
}

function formatNanos(nanos: bigint): string {
  const digits = String(nanos).padStart(10, '0')
  return `${digits.slice(0, -9)}.${digits.slice(-9)}`
}

function pause(ms: number, { signal, timeoutMs = ms }: CallOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error?: Error) => {
      clearTimeout(timer)
      unwatch?.()
      if (error) reject(error)
      else resolve()
    }
    const tooLate = new TimeoutError('The engine did not come back in time for its events.', { kind: 'total' })
    const timer = setTimeout(() => end(timeoutMs < ms ? tooLate : undefined), Math.min(ms, timeoutMs))
    const unwatch = signal && onAbort(signal, () => end(reasonOf(signal)))
    if (signal?.aborted) end(reasonOf(signal))
  })
}
