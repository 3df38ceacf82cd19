import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { openPrivate } from '../files.ts'

/** One line of the audit log: who wanted what, from where, and what came of it. Never a secret's value. */
export type AuditEntry = Readonly<{
  /** Fingerprint of the key, as far as one is known. */
  key?: string
  who?: string
  from: string
  action: string
  service?: string
  outcome: 'denied' | 'accepted' | 'done' | 'failed'
  detail?: string
  job?: string
}>

export type AuditOptions = Readonly<{
  /** Of lines that strangers cause; beyond it they are counted only. */
  maxPerSecond?: number
  /** A file that would become larger is put aside, as `audit.log.1`. */
  maxBytes?: number
  /** How many of those that were put aside are kept. */
  kept?: number
}>

/**
 * `~/_mypaas/audit.log`: lines of JSON, only ever appended to. When it is full it is put aside and a new one begun; the
 * oldest goes. So strangers can't fill the disk, and their lines are counted only, beyond some a second.
 */
export class Audit {
  readonly #file: string
  readonly #maxPerSecond: number
  readonly #maxBytes: number
  readonly #kept: number
  #second = 0
  #lines = 0
  #left = 0
  #chain: Promise<void> = Promise.resolve()

  constructor(directory: string, options: AuditOptions = {}) {
    this.#file = join(directory, 'audit.log')
    this.#maxPerSecond = options.maxPerSecond ?? 20
    this.#maxBytes = options.maxBytes ?? 16 * 1024 ** 2
    this.#kept = options.kept ?? 8
  }

  /** Done when the line is written. A log that can't be written stops nothing, and is told on stderr by the daemon. */
  write(entry: AuditEntry): Promise<void> {
    const now = Date.now()
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#lines = 0
    }
    this.#lines += 1
    // Whoever has no key can't fill the log either, by whatever is refused.
    const isStranger = entry.outcome === 'denied' || (entry.outcome === 'failed' && entry.key === undefined)
    if (isStranger && this.#lines > this.#maxPerSecond) {
      this.#left += 1
      return this.#chain
    }
    const left = this.#left > 0 ? { notShown: this.#left } : {}
    this.#left = 0
    const line = `${JSON.stringify({ at: new Date(now).toISOString(), ...clean(entry), ...left })}\n`
    this.#chain = this.#chain.catch(() => {}).then(() => this.#append(line))
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

function clean(entry: AuditEntry): AuditEntry {
  return Object.fromEntries(
    Object.entries(entry).map(([key, value]) => [key, typeof value === 'string' ? value.slice(0, 500) : value]),
  ) as AuditEntry
}
