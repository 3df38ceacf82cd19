import { MypaasError } from '../errors.ts'

/** How many builds, or calls of a kind, may be on; and how many of a key may wait for that, any number unless given. */
export type SlotLimits = Readonly<{ inAll: number; perKey: number; waiting?: number }>

type Waiting = { key: string; limits: SlotLimits; before: number; told: (before: number) => void; enter: () => void }

/**
 * Lets so much of a kind be on at once, builds say, in all and for one key. Who has to wait goes in when it is their turn: first those
 * whose key has the fewest on, then those whose key had its turn longest ago, then who came first. So one key that asks for a hundred keeps nobody else waiting
 * for more than what is on.
 */
export class Slots {
  readonly #running = new Map<string, number>()
  /** When a key had its turn last, counted. */
  readonly #hadTurn = new Map<string, number>()
  #turn = 0
  #waiting: Waiting[] = []

  /**
   * Waits for a place.
   * @param options.told How many go before, at first and each time that this changes; not called where there is room.
   * @returns gives the place back; calling it again does nothing
   * @throws {MypaasError} `locked` when too many of the key wait
   */
  async enter(
    key: string,
    limits: SlotLimits,
    options: { told: (before: number) => void; signal: AbortSignal },
  ): Promise<() => void> {
    const { told, signal } = options
    signal.throwIfAborted()
    const { inAll, perKey, waiting: most = Number.POSITIVE_INFINITY } = limits
    if (this.#waiting.filter((other) => other.key === key).length >= most) {
      throw new MypaasError(`Of this key ${perKey} of ${inAll} such calls can be on, and ${most} wait for that.`, {
        code: 'locked',
        hint: 'Wait until some of them are done.',
      })
    }
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting)
        this.#next()
        reject(signal.reason)
      }
      const enter = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const waiting: Waiting = { key, limits, before: -1, told, enter }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(waiting)
      this.#next()
    })
    let left = false
    return () => {
      if (left) return
      left = true
      this.#running.set(key, this.#of(key) - 1)
      if (this.#of(key) === 0) this.#running.delete(key)
      this.#next()
    }
  }

  #next(): void {
    for (;;) {
      const running = [...this.#running.values()].reduce((sum, count) => sum + count, 0)
      const [first] = this.#turns().filter(({ key, limits }) => running < limits.inAll && this.#of(key) < limits.perKey)
      if (!first) break
      this.#waiting = this.#waiting.filter((other) => other !== first)
      this.#running.set(first.key, this.#of(first.key) + 1)
      this.#hadTurn.set(first.key, ++this.#turn)
      first.enter()
    }
    for (const [before, waiting] of this.#turns().entries()) {
      if (waiting.before === before) continue
      waiting.before = before
      waiting.told(before)
    }
  }

  /** Those who wait, in the order in which they go in as things stand: keys take turns. */
  #turns(): readonly Waiting[] {
    const places = new Map<string, number>()
    const last = ({ key }: Waiting): number => this.#hadTurn.get(key) ?? 0
    return this.#waiting
      .map((waiting) => {
        const place = places.get(waiting.key) ?? this.#of(waiting.key)
        places.set(waiting.key, place + 1)
        return { waiting, place }
      })
      .sort((a, b) => a.place - b.place || last(a.waiting) - last(b.waiting))
      .map(({ waiting }) => waiting)
  }

  #of(key: string): number {
    return this.#running.get(key) ?? 0
  }
}
