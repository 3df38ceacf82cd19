import { longestStartMs } from '../service/settings.ts'
import type { ServiceSpec } from '../service/spec.ts'
import type { Host } from './host.ts'

/** What `start_timeout` is in a config that says nothing else. */
export const usualStartTimeoutMs = 60_000

/** How long something that looks wrong may stay as it is, where nobody said that the service takes its time. */
const standstillMs = 20_000

/** How long it is watched before people are told: most of what looks wrong at a start is over in a moment. */
const tellMs = 1_500

/** How long a container of a service may take to get ready, and to give its first answer. */
export type StartTime = Readonly<{
  timeoutMs: number
  /** Somebody said so: then it is waited for that long, whatever it looks like meanwhile. */
  isSet: boolean
}>

export function startTimeOf({ startTimeoutMs }: Pick<Host, 'startTimeoutMs'>, spec: ServiceSpec): StartTime {
  const isSet = spec.startTimeoutMs !== undefined || startTimeoutMs !== usualStartTimeoutMs
  return { timeoutMs: spec.startTimeoutMs ?? startTimeoutMs, isSet }
}

/**
 * What to do about a container that is not ready: `wait`; `tell` people what looks wrong, once for each thing; `end` it,
 * because its time is over, or because nothing more can come of it.
 */
type Verdict = 'wait' | 'tell' | 'end'

/** Watches over one wait. */
export class Patience {
  readonly #time: StartTime
  readonly #now: () => number
  readonly #begin: number
  readonly #told = new Set<string>()
  #seen: string | undefined
  #since = 0

  constructor(time: StartTime, now: () => number = () => performance.now()) {
    this.#time = time
    this.#now = now
    this.#begin = now()
  }

  get elapsedMs(): number {
    return this.#now() - this.#begin
  }

  get leftMs(): number {
    return this.#time.timeoutMs - this.elapsedMs
  }

  /** In words: how long it is waited for something else. @param wrong As for {@link see}. */
  limit(wrong: string | undefined): string {
    const seconds = this.#time.timeoutMs / 1000
    const standstill = standstillMs / 1000
    return wrong === undefined || this.#time.isSet
      ? `waiting until ${seconds} s`
      : `waiting until ${seconds} s, or ${standstill} s without a change`
  }

  /** In words: how long it was waited, at the end. */
  get waited(): string {
    return `${this.isStandstill ? Math.round(this.elapsedMs / 1000) : this.#time.timeoutMs / 1000} s`
  }

  /** Ended before its time. */
  get isStandstill(): boolean {
    return this.leftMs > 0
  }

  /** What to do when it only needs longer. */
  get longer(): string {
    if (this.#time.timeoutMs >= longestStartMs) return ''
    const minutes = Math.ceil(Math.min(longestStartMs, Math.max(120_000, 2 * this.#time.timeoutMs)) / 60_000)
    return `If it only needs longer, raise start_timeout: # mypaas.start_timeout = ${minutes}m, or for all services in [server] of config.toml.`
  }

  /** @param wrong What looks wrong, in words that stay the same while it does; `undefined` while it may just need time. */
  see(wrong: string | undefined): Verdict {
    if (this.leftMs <= 0) return 'end'
    if (wrong !== this.#seen) {
      this.#seen = wrong
      this.#since = this.#now()
    }
    if (wrong === undefined) return 'wait'
    const lasted = this.#now() - this.#since
    if (lasted >= standstillMs && !this.#time.isSet) return 'end'
    if (lasted < tellMs || this.#told.has(wrong)) return 'wait'
    this.#told.add(wrong)
    return 'tell'
  }
}
