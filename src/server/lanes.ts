/** Things that wait, by whom they are of: each party gets its turn, and within one the newest comes first. */
export class Lanes<T> {
  readonly #lanes = new Map<string, T[]>()
  #size = 0

  get size(): number {
    return this.#size
  }

  push(lane: string, item: T): void {
    const items = this.#lanes.get(lane)
    if (items) items.push(item)
    else this.#lanes.set(lane, [item])
    this.#size += 1
  }

  /** Takes one out that waits no more. */
  remove(lane: string, item: T): void {
    const items = this.#lanes.get(lane) ?? []
    const at = items.lastIndexOf(item)
    if (at < 0) return
    items.splice(at, 1)
    this.#size -= 1
    if (items.length === 0) this.#lanes.delete(lane)
  }

  /** The newest of the lane whose turn it is; `undefined` when nothing waits. */
  next(): T | undefined {
    for (const [lane, items] of this.#lanes) {
      const item = items.pop() as T
      this.#size -= 1
      // To the end of the row, if there is more.
      this.#lanes.delete(lane)
      if (items.length > 0) this.#lanes.set(lane, items)
      return item
    }
    return undefined
  }
}
