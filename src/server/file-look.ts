import { type Stats, statSync } from 'node:fs'

/**
 * What a file looks like now. Looked at without a wait, since strangers ask for it and the pool that reads files is for
 * others; and once for all who ask in the same turn of the event loop.
 */
export class FileLook {
  readonly file: string
  #found: { stats: Stats | undefined; stamp: string } | undefined

  constructor(file: string) {
    this.file = file
  }

  /** @returns `stamp`: another text whenever the file may be another; `stats`: `undefined` when there is none */
  now(): { stats: Stats | undefined; stamp: string } {
    if (this.#found) return this.#found
    const stats = statSync(this.file, { throwIfNoEntry: false })
    const stamp = stats
      ? [stats.mtimeMs, stats.ctimeMs, stats.size, stats.ino, stats.mode, stats.uid].join(' ')
      : 'none'
    this.#found = { stats, stamp }
    setImmediate(() => {
      this.#found = undefined
    })
    return this.#found
  }
}
