import type { AuditEntry } from './audit.ts'

/** So many kinds of refusals are told apart in one stretch of time; more than that are counted together. */
const maxKinds = 60

/**
 * Makes few lines of many refusals: the first of a kind at once, its like as one line with a count (`times`) when the
 * minute is over. However many come and however different they are, what is written stays small.
 */
export class Merged {
  readonly #write: (entry: AuditEntry & { times?: number }) => Promise<void>
  readonly #mergeMs: number
  #counted = new Map<string, { entry: AuditEntry; times: number }>()
  #others = 0
  #timer: NodeJS.Timeout | undefined

  constructor(write: (entry: AuditEntry & { times?: number }) => Promise<void>, options: { mergeMs: number }) {
    this.#write = write
    this.#mergeMs = options.mergeMs
  }

  add(entry: AuditEntry): Promise<void> {
    if (this.#mergeMs === 0) return this.#write(entry)
    this.#timer ??= setTimeout(() => void this.flush().catch(() => {}), this.#mergeMs).unref()
    const kind = JSON.stringify([entry.from, entry.action, entry.key, entry.detail])
    const known = this.#counted.get(kind)
    if (known) known.times += 1
    else if (this.#counted.size < maxKinds) {
      this.#counted.set(kind, { entry, times: 0 })
      return this.#write(entry)
    } else this.#others += 1
    return Promise.resolve()
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const counted = this.#counted
    const others = this.#others
    this.#counted = new Map()
    this.#others = 0
    const writes = [...counted.values()].flatMap(({ entry, times }) =>
      times > 0 ? [this.#write({ ...entry, times })] : [],
    )
    const rest = {
      from: 'others',
      action: 'request',
      outcome: 'denied',
      detail: 'more, of many kinds',
      times: others,
    } as const
    await Promise.all([...writes, ...(others > 0 ? [this.#write(rest)] : [])])
  }
}
