import { MypaasError } from '../errors.ts'
import type { HistoryEntry } from './history.ts'
import { readHistory } from './history.ts'
import type { Host } from './host.ts'
import { type KeptRelease, keptReleases } from './image.ts'
import { journalOf } from './operate.ts'

/** One release of a service: what the history says of it, and its image if that is kept. */
export type ReleaseInfo = Readonly<{
  release: number
  current: boolean
  entry: HistoryEntry | undefined
  kept: KeptRelease | undefined
}>

/**
 * The releases of a service, newest first: those whose images are kept, and the last 20 of its history.
 * @returns `diskBytes`: the size of the kept images, each counted once; layers they share with others included;
 *   `problem`: why the history is not there, which keeps nobody from seeing what is kept
 */
export async function listReleases(
  host: Host,
  service: string,
): Promise<{ releases: readonly ReleaseInfo[]; diskBytes: number; problem?: string }> {
  const journal = await journalOf(host, service)
  const kept = await keptReleases(host, service)
  let history: readonly HistoryEntry[] = []
  let problem: string | undefined
  try {
    history = await readHistory(host.directory, service)
  } catch (error) {
    if (!(error instanceof MypaasError)) throw error
    problem = `${error.message} ${error.hint}`
  }
  const numbers = new Set([...kept, ...history.slice(-20)].map(({ release }) => release))
  const releases = [...numbers]
    .sort((a, b) => b - a)
    .map((release) => ({
      release,
      current: release === journal.current?.release,
      entry: history.findLast((entry) => entry.release === release),
      kept: kept.find((found) => found.release === release),
    }))
  const sizes = new Map(kept.map(({ id, sizeBytes }) => [id, sizeBytes]))
  const diskBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0)
  return { releases, diskBytes, ...(problem === undefined ? {} : { problem }) }
}
