import { open } from 'node:fs/promises'
import { join } from 'node:path'

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

/**
 * `~/_mypaas/audit.log`: lines of JSON, only ever appended to. What strangers cause is counted beyond
 * {@link maxPerSecond} lines, so that they can't fill the disk.
 */
export class Audit {
  readonly #file: string
  readonly #maxPerSecond: number
  #second = 0
  #lines = 0
  #left = 0
  #chain: Promise<void> = Promise.resolve()

  constructor(directory: string, maxPerSecond = 200) {
    this.#file = join(directory, 'audit.log')
    this.#maxPerSecond = maxPerSecond
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
    if (entry.outcome === 'denied' && this.#lines > this.#maxPerSecond) {
      this.#left += 1
      return this.#chain
    }
    const left = this.#left > 0 ? { notShown: this.#left } : {}
    this.#left = 0
    const line = `${JSON.stringify({ at: new Date(now).toISOString(), ...clean(entry), ...left })}\n`
    this.#chain = this.#chain
      .catch(() => {})
      .then(async () => {
        await using handle = await open(this.#file, 'a', 0o600)
        await handle.write(line)
      })
    return this.#chain
  }
}

function clean(entry: AuditEntry): AuditEntry {
  return Object.fromEntries(
    Object.entries(entry).map(([key, value]) => [key, typeof value === 'string' ? value.slice(0, 500) : value]),
  ) as AuditEntry
}
