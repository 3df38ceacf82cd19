/** Random numbers that a seed gives again: which tests draws of what it could do. From 0 to 1, the 1 excluded. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  // mulberry32
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** `count` of the items, drawn without putting back, in their order. */
export function sample<T>(items: readonly T[], count: number, random: () => number): T[] {
  const numbered = items.map((item, index) => ({ item, index, key: random() }))
  const drawn = numbered.sort((a, b) => a.key - b.key).slice(0, count)
  return drawn.sort((a, b) => a.index - b.index).map(({ item }) => item)
}
