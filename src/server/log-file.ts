import { rename } from 'node:fs/promises'
import { openPrivate } from '../files.ts'

/**
 * A file that lines are appended to, for its user only. When it is full it is put aside, as `FILE.1`, and a new one begun;
 * the oldest goes.
 */
export class LogFile {
  readonly #file: string
  readonly #maxBytes: number
  readonly #kept: number
  #chain: Promise<void> = Promise.resolve()

  /** @param options.kept how many of those that were put aside are kept */
  constructor(file: string, options: { maxBytes: number; kept: number }) {
    this.#file = file
    this.#maxBytes = options.maxBytes
    this.#kept = options.kept
  }

  /** Done when the line is written, after all before it. */
  append(line: string): Promise<void> {
    this.#chain = this.#chain.catch(() => {}).then(() => this.#append(`${line}\n`))
    return this.#chain
  }

  async #append(line: string): Promise<void> {
    for (let isNew = false; ; isNew = true) {
      await using handle = await openPrivate(this.#file, 'a')
      const { size } = await handle.stat()
      if (isNew || size === 0 || size + Buffer.byteLength(line) <= this.#maxBytes) {
        await handle.write(line)
        return
      }
      await this.#putAside()
    }
  }

  async #putAside(): Promise<void> {
    for (let number = this.#kept; number >= 1; number -= 1) {
      const from = number === 1 ? this.#file : `${this.#file}.${number - 1}`
      await rename(from, `${this.#file}.${number}`).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
    }
  }
}
