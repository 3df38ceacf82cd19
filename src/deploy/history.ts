import { dirname, join } from 'node:path'
import type { Commit } from '../context/commit.ts'
import { type ErrorCode, MypaasError } from '../errors.ts'
import { appendPrivately, privateFolder, readIfThere } from '../files.ts'
import { placesOf } from './places.ts'

/** What made a release: a build, an older release run again, the same one restarted or with more replicas. */
export type ReleaseAction = 'deploy' | 'rollback' | 'restart' | 'scale'

/** How long the parts of a deploy took, in milliseconds. */
export type Receipt = Readonly<{
  /** The build, or finding the image. */
  imageMs: number
  /** From creating the new containers until they were ready. */
  readyMs: number
  /** From the start until the new release had all requests. */
  liveMs: number
  /** Letting the open requests of the old release finish. */
  drainMs: number
  /** The longest that a request can have waited for the changeover; 0 where none had to. */
  heldMs: number
  /** All of it. */
  totalMs: number
}>

/** One line of a service's history. */
export type HistoryEntry = Readonly<{
  release: number
  action: ReleaseAction
  /** What it was made from: `./blog`, `r5`. */
  from: string
  /** Of a deploy: which commit of git that was, as whoever deployed it said. */
  commit?: Commit
  who: string
  at: string
  outcome: 'live' | ErrorCode
  /** Why it failed, in one line. */
  message?: string
  /** The release that it replaced, or that went on serving. */
  before?: number
  receipt?: Receipt
}>

/** Appends to a service's history. One line per entry, so a crash costs the last at most. */
export async function recordRelease(directory: string, service: string, entry: HistoryEntry): Promise<void> {
  const file = historyFile(directory, service)
  await privateFolder(dirname(file))
  await appendPrivately(file, `${JSON.stringify(entry)}\n`)
}

/**
 * A service's history, oldest first. Lines that are no entries (cut off by a crash) are passed over.
 * @throws {MypaasError} `degraded`, naming the file, when it can't be read
 */
export async function readHistory(directory: string, service: string): Promise<readonly HistoryEntry[]> {
  const file = historyFile(directory, service)
  const text = await readIfThere(file).catch((cause: NodeJS.ErrnoException) => {
    throw new MypaasError(`The history of ${service}, ${file}, can't be read (${cause.code}).`, {
      code: 'degraded',
      hint: `Move it away, and a new one begins: mv ${file} ${file}.old`,
      cause,
    })
  })
  return (text ?? '').split('\n').flatMap((line) => {
    try {
      const entry = JSON.parse(line) as HistoryEntry
      return isEntry(entry) ? [entry] : []
    } catch {
      return []
    }
  })
}

function isEntry({ release, receipt, ...texts }: HistoryEntry): boolean {
  const { action, from, who, at, outcome } = texts
  return (
    Number.isInteger(release) &&
    [action, from, who, at, outcome].every((text) => typeof text === 'string') &&
    (receipt === undefined || Number.isFinite(receipt.liveMs))
  )
}

function historyFile(directory: string, service: string): string {
  return join(placesOf(directory, service).folder, 'history.jsonl')
}
