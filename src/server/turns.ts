import type { Socket } from 'node:net'
import { Lanes } from './lanes.ts'

/** So long the process does nothing else but work for strangers, at most. */
const sliceMs = 20
/** What goes on after its turn has come is not done within the slice; it counts as if it took so long. */
const leastMs = 0.5
/** So many lanes are remembered as good. */
const maxGood = 1024

type Waiting = () => void

/**
 * Work for people who may be strangers, a little at a time, so that everything else goes on between. Lanes take turns; in
 * one of them the newest comes first, since who floods it waits for what came before; and lanes in which somebody was good
 * lately come before others every other time, so that neither keeps the other out.
 */
export class Turns {
  readonly #good = new Lanes<Waiting>()
  readonly #others = new Lanes<Waiting>()
  readonly #goodLanes = new Set<string>()
  #isOn = false
  #goodIsNext = true

  /**
   * @param socket closed when nobody waits for it any more
   * @returns what the work gave; `undefined` when nobody waited for it
   */
  take<T>(lane: string, work: () => T, socket: Socket): Promise<T | undefined> {
    if (socket.destroyed) return Promise.resolve(undefined)
    return new Promise((resolve, reject) => {
      const lanes = this.#goodLanes.has(lane) ? this.#good : this.#others
      const gone = (): void => {
        lanes.remove(lane, run)
        resolve(undefined)
      }
      const run = (): void => {
        socket.off('close', gone)
        try {
          resolve(work())
        } catch (error) {
          reject(error as Error)
        }
      }
      socket.once('close', gone)
      lanes.push(lane, run)
      if (this.#isOn) return
      this.#isOn = true
      setImmediate(() => this.#work())
    })
  }

  /** Waits for a turn to do what takes a moment and ends by itself. @returns false when nobody waited for it */
  async enter(lane: string, socket: Socket): Promise<boolean> {
    return (await this.take(lane, () => true, socket)) === true
  }

  /** Somebody in this lane was who they said. */
  praise(lane: string): void {
    this.#goodLanes.delete(lane)
    this.#goodLanes.add(lane)
    if (this.#goodLanes.size > maxGood) this.#goodLanes.delete(this.#goodLanes.values().next().value as string)
  }

  #work(): void {
    for (let left = sliceMs; left > 0; ) {
      const [first, second] = this.#goodIsNext ? [this.#good, this.#others] : [this.#others, this.#good]
      this.#goodIsNext = !this.#goodIsNext
      const next = first.next() ?? second.next()
      if (!next) {
        this.#isOn = false
        return
      }
      const begin = performance.now()
      next()
      left -= Math.max(performance.now() - begin, leastMs)
    }
    setImmediate(() => this.#work())
  }
}
