import type { Socket } from 'node:net'
import { Lanes } from './lanes.ts'

/**
 * Who was refused is read again when it is their turn: so many a second, after a few at once. It costs a person nothing; who
 * tries without end waits, each peer as long as the others, and what they send meanwhile stays in their own line.
 */
export class Pace {
  readonly #perSecond: number
  readonly #burst: number
  readonly #waiting = new Lanes<() => void>()
  #left: number
  #at = performance.now()
  #timer: NodeJS.Timeout | undefined

  constructor(options: { perSecond: number; burst: number }) {
    this.#perSecond = options.perSecond
    this.#burst = options.burst
    this.#left = options.burst
  }

  /** Reads nothing of a connection until it is its turn. */
  hold(socket: Socket, lane: string): void {
    if (socket.destroyed) return
    const gone = (): void => this.#waiting.remove(lane, go)
    const go = (): void => {
      socket.off('close', gone)
      socket.resume()
    }
    socket.pause()
    socket.once('close', gone)
    this.#waiting.push(lane, go)
    if (!this.#timer) this.#release()
  }

  #release(): void {
    this.#timer = undefined
    const now = performance.now()
    this.#left = Math.min(this.#burst, this.#left + ((now - this.#at) * this.#perSecond) / 1000)
    this.#at = now
    for (; this.#left >= 1 && this.#waiting.size > 0; this.#left -= 1) this.#waiting.next()?.()
    if (this.#waiting.size > 0) this.#timer = setTimeout(() => this.#release(), 10).unref()
  }
}
