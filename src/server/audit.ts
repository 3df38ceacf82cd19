import { join } from 'node:path'
import { LogFile } from './log-file.ts'
import { Merged } from './merged.ts'

/** One line of the audit log: who wanted what, from where, and what came of it. Never a secret's value. */
export type AuditEntry = Readonly<{
  /** Fingerprint of the key, as far as one is known. In a refusal of somebody who did not prove to have it, what they said. */
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
  /** A file that would become larger is put aside, as `audit.log.1`. */
  maxBytes?: number
  /** How many of those that were put aside are kept. */
  kept?: number
  /** Refusals of strangers that are alike become one line in that time; 0 for a line each. */
  mergeMs?: number
}>

/**
 * What was done and by whom, in two files of JSON lines: `~/_mypaas/audit.log` has what keys of this server did or were
 * refused, `~/_mypaas/refused.log` those who showed none. So strangers can push nothing out of the first, and not fill the
 * disk with the second: both are put aside when they are full, and what is alike becomes one line with a count.
 */
export class Audit {
  readonly #proven: LogFile
  readonly #strangers: Merged

  constructor(directory: string, options: AuditOptions = {}) {
    const { maxBytes = 16 * 1024 ** 2, kept = 8, mergeMs = 60_000 } = options
    this.#proven = new LogFile(join(directory, 'audit.log'), { maxBytes, kept })
    const refused = new LogFile(join(directory, 'refused.log'), {
      maxBytes: Math.ceil(maxBytes / 4),
      kept: Math.ceil(kept / 2),
    })
    this.#strangers = new Merged((entry) => refused.append(lineOf(entry)), { mergeMs })
  }

  /** What somebody wanted who has a key of this server. Done when the line is written. */
  write(entry: AuditEntry): Promise<void> {
    return this.#proven.append(lineOf(entry))
  }

  /** What somebody wanted who has not shown to have one. Done when it is written or counted. */
  stranger(entry: AuditEntry): Promise<void> {
    return this.#strangers.add(entry)
  }

  /** Writes what was only counted so far. */
  close(): Promise<void> {
    return this.#strangers.flush()
  }
}

function lineOf(entry: AuditEntry): string {
  const short = Object.entries(entry).map(([key, value]) => [
    key,
    typeof value === 'string' ? value.slice(0, 500) : value,
  ])
  return JSON.stringify({ at: new Date().toISOString(), ...Object.fromEntries(short) })
}
