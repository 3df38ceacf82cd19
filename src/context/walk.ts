import type { EntryRange } from './entries.ts'
import { type IgnoreRules, topVerdict } from './ignore.ts'
import { type Directory, type Found, type Reading, Walker } from './walker.ts'

/**
 * A walk through a directory in slices, the upper directories first, until what is not looked into yet is shared with a
 * worker: from then on, each takes the next directory that nobody has taken, and goes through all that is below it.
 */
export class SlicedWalk {
  readonly #walker: Walker
  readonly #root: Node = { prefix: '', isAscii: true, verdict: topVerdict, parts: [] }
  readonly #found: Found[] = []
  readonly #waiting: Node[] = [this.#root]
  #shared: Node[] = []
  #take: (() => number) | undefined
  /** What is being read, the innermost directory last; `from`: the first entry that no part of `node` has yet. */
  #current: { node: Node; readings: Reading[]; from: number } | undefined

  /** @param root an absolute path. @param required paths of files that are sent even if they are ignored */
  constructor(root: string, rules: IgnoreRules, required: readonly string[]) {
    this.#walker = new Walker(root, rules, required)
  }

  /**
   * @param limits.until on the clock of `performance.now()`
   * @returns true when there is nothing left to look into
   */
  run({ until, maxNames = Number.POSITIVE_INFINITY }: { until: number; maxNames?: number }): boolean {
    while (performance.now() <= until) {
      this.#current ??= this.#open()
      if (this.#current === undefined) return true
      const reading = this.#current.readings.at(-1)
      if (reading === undefined) {
        this.#closeRange()
        this.#current = undefined
        continue
      }
      if (this.#walker.seen + reading.names.length - reading.at > maxNames) return false
      const next = this.#walker.next(reading, until)
      if (next === 'paused') return false
      if (next === 'done') this.#current.readings.pop()
      else if (this.#take) this.#current.readings.push(this.#walker.open(next))
      else this.#putOff(next)
    }
    return false
  }

  /** @param take gives each number, from 0 on, to one taker only */
  share(take: () => number): Directory[] {
    this.#shared = this.#waiting.splice(0)
    this.#take = take
    return this.#shared.map(({ prefix, isAscii, verdict }) => ({ prefix, isAscii, verdict }))
  }

  /** Takes in what the worker has found below the directories that it took. */
  adopt({ found, branches }: BranchesFound): void {
    this.#found.push(found)
    for (const { number, from, to } of branches) this.#shared[number]?.parts.push({ table: found.table, from, to })
  }

  /** All that was found; the ranges in the order of the archive. */
  result(): { ranges: EntryRange[]; warnings: string[]; unreadable: string[] } {
    const own = this.#walker.found()
    const found = [own, ...this.#found]
    const ranges: EntryRange[] = []
    const collect = (node: Node): void => {
      for (const part of node.parts) {
        if ('parts' in part) collect(part)
        else if (part.to > part.from) ranges.push({ table: part.table ?? own.table, from: part.from, to: part.to })
      }
    }
    collect(this.#root)
    return {
      ranges,
      warnings: found.flatMap((part) => part.warnings).sort(),
      unreadable: found.flatMap((part) => part.unreadable).sort(),
    }
  }

  #open(): { node: Node; readings: Reading[]; from: number } | undefined {
    const node = this.#waiting.shift() ?? (this.#take && this.#shared[this.#take()])
    return node && { node, readings: [this.#walker.open(node)], from: this.#walker.count }
  }

  /** The directory's own turn comes when all that lie higher have had theirs. */
  #putOff(directory: Directory): void {
    const node: Node = { ...directory, parts: [] }
    this.#closeRange()
    this.#current?.node.parts.push(node)
    this.#waiting.push(node)
  }

  #closeRange(): void {
    if (this.#current === undefined) return
    this.#current.node.parts.push({ from: this.#current.from, to: this.#walker.count })
    this.#current.from = this.#walker.count
  }
}

/** Its entries and its directories, in the order of the archive. A range without table is one of the walk's own. */
type Node = Directory & { readonly parts: ({ table?: EntryRange['table']; from: number; to: number } | Node)[] }

/**
 * The worker's half: lists all that is below the directories that it gets to take.
 * @param options.take the number of the next directory; past the last one when there is none left
 */
export function walkBranches(
  root: string,
  rules: IgnoreRules,
  options: { required: readonly string[]; directories: readonly Directory[]; take: () => number },
): BranchesFound {
  const walker = new Walker(root, rules, options.required)
  const branches: Branch[] = []
  for (let number = options.take(); number < options.directories.length; number = options.take()) {
    const from = walker.count
    const readings = [walker.open(options.directories[number] as Directory)]
    for (let reading = readings.at(-1); reading; reading = readings.at(-1)) {
      const next = walker.next(reading, Number.POSITIVE_INFINITY)
      if (typeof next === 'object') readings.push(walker.open(next))
      else readings.pop()
    }
    branches.push({ number, from, to: walker.count })
  }
  return { found: walker.found(), branches }
}

export type BranchesFound = Readonly<{ found: Found; branches: readonly Branch[] }>

/** With the number of a directory, its entries in the worker's table. */
type Branch = Readonly<{ number: number; from: number; to: number }>
