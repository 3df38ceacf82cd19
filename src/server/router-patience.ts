import type { RouterTrouble } from '../router/care.ts'
import { wasStarved } from '../router/run-delay.ts'

/** A router that answered for so long since it was restarted was helped by that. */
const helpedMs = 8_000
/** So many looks in a row at least find it silent, whatever the clock says: the daemon may have stood still itself. */
const silentLooks = 3
const longestPauseMs = 5 * 60_000
/** A router that is slow because others have the processors is helped by no restart; but what waits for so long, hangs. */
const starvedPatienceMs = 30_000

/** How long a trouble has to last: the engine, or a person, may be at ending it. */
const patienceMs: Readonly<Record<RouterTrouble['kind'], number>> = {
  missing: 1_000,
  down: 1_000,
  paused: 2_000,
  cut: 1_000,
  silent: 2_600,
  leftovers: 2_000,
}
/** The engine starts one that crashes again and again by itself, ever more rarely. */
const restartingPatienceMs = 8_000

/**
 * When a router that is in trouble is to be brought back. A restart costs everybody their open connections: one that it
 * does not help waits ever longer for the next. Times are milliseconds of one clock.
 */
export class RouterPatience {
  #trouble: { first: RouterTrouble; since: number; seen: number; looks: number } | undefined
  #wellSince: number | undefined
  #failures = 0
  #notBefore = 0

  /** Whether the last look found something wrong. */
  get isTroubled(): boolean {
    return this.#trouble !== undefined
  }

  /** Forgets what it saw, not what it tried. */
  forget(): void {
    this.#trouble = undefined
  }

  /**
   * What a look found.
   * @param look when it began and ended
   * @returns whether to bring it back now
   */
  see(trouble: RouterTrouble | undefined, look: Readonly<{ begin: number; end: number }>): boolean {
    if (!trouble) {
      this.#trouble = undefined
      this.#wellSince ??= look.begin
      if (look.end - this.#wellSince > helpedMs) this.#failures = 0
      return false
    }
    this.#wellSince = undefined
    if (this.#trouble?.first.kind !== trouble.kind)
      this.#trouble = { first: trouble, since: look.begin, seen: look.end, looks: 0 }
    this.#trouble.looks += 1
    if (trouble.kind === 'silent' && this.#trouble.looks < silentLooks) return false
    const patience = this.#isStarved(trouble, look.end) ? starvedPatienceMs : patienceOf(trouble)
    return look.end - this.#trouble.since >= patience && look.end >= this.#notBefore
  }

  #isStarved(now: RouterTrouble, at: number): boolean {
    const { first, seen } = this.#trouble ?? { first: now, seen: at }
    return first.kind === 'silent' && now.kind === 'silent' && wasStarved(first.delayMs, now.delayMs, at - seen)
  }

  /** It was brought back. */
  mended(kind: RouterTrouble['kind'], now: number): void {
    this.#trouble = undefined
    if (kind === 'silent') this.failed(now)
    else this.#failures = 0
  }

  /** That could not be done, or may not help. */
  failed(now: number): void {
    this.#failures += 1
    this.#notBefore = now + Math.min(longestPauseMs, 2_000 * 2 ** this.#failures)
  }
}

function patienceOf(trouble: RouterTrouble): number {
  const isRestarting = trouble.kind === 'down' && trouble.state === 'restarting'
  return isRestarting ? restartingPatienceMs : patienceMs[trouble.kind]
}
