import type { ServerResponse } from 'node:http'
import { Lanes } from './lanes.ts'

const tickMs = 10

/**
 * Who is refused hears so when it is their turn: so many a second, after a few at once. It costs a person nothing; who tries
 * without end waits, each peer as long as the others. Only the answer waits: a connection belongs to it until then, and
 * whoever comes over that connection later waits for nothing.
 */
export class Pace {
  readonly #perSecond: number
  readonly #burst: number
  readonly #waiting = new Lanes<() => void>()
  #left: number
  #at = performance.now()
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(options: { perSecond: number; burst: number }) {
    this.#perSecond = options.perSecond
    this.#burst = options.burst
    this.#left = options.burst
  }

  /** Done when it is the turn of that answer, or nobody waits for it any more. */
  turn(lane: string, response: ServerResponse): Promise<void> {
    if (this.#isOver || response.destroyed) return Promise.resolve()
    return new Promise((resolve) => {
      const go = (): void => {
        response.off('close', gone)
        resolve()
      }
      const gone = (): void => {
        this.#waiting.remove(lane, go)
        resolve()
      }
      response.once('close', gone)
      this.#waiting.push(lane, go)
      if (!this.#timer) this.#release()
    })
  }

  /** Nothing waits any more. */
  end(): void {
    this.#isOver = true
    for (let go = this.#waiting.next(); go; go = this.#waiting.next()) go()
    clearTimeout(this.#timer)
  }

  /** @param maxMs time that went by counts up to that: where the process falls behind, strangers are who waits for it */
  #release(maxMs = Number.POSITIVE_INFINITY): void {
    this.#timer = undefined
    const now = performance.now()
    this.#left = Math.min(this.#burst, this.#left + (Math.min(now - this.#at, maxMs) * this.#perSecond) / 1000)
    this.#at = now
    for (; this.#left >= 1 && this.#waiting.size > 0; this.#left -= 1) this.#waiting.next()?.()
    if (this.#waiting.size > 0) this.#timer = setTimeout(() => this.#release(2 * tickMs), tickMs).unref()
  }
}
