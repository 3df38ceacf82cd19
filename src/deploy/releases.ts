import { type Commit, isCommit } from '../context/commit.ts'
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
  /** The commit of git that it is of, as whoever deployed it said: also of a release that was run again. */
  commit?: Commit
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
  const entries = new Map(history.map((entry) => [entry.release, entry]))
  const numbers = new Set([...kept, ...history.slice(-20)].map(({ release }) => release))
  const releases = [...numbers]
    .sort((a, b) => b - a)
    .map((release) => ({
      release,
      current: release === journal.current?.release,
      entry: entries.get(release),
      kept: kept.find((found) => found.release === release),
      ...commitOf(entries, release),
    }))
  const sizes = new Map(kept.map(({ id, sizeBytes }) => [id, sizeBytes]))
  const diskBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0)
  return { releases, diskBytes, ...(problem === undefined ? {} : { problem }) }
}

/** Of a rollback or a restart, that of the release that was run again. */
function commitOf(history: ReadonlyMap<number, HistoryEntry>, release: number): { commit?: Commit } {
  for (let at = release; ; ) {
    const { commit, action, from = '' } = history.get(at) ?? {}
    // It lies in a file that anybody may have written to.
    if (typeof commit?.id === 'string' && isCommit(commit.id))
      return { commit: { id: commit.id, changed: commit.changed === true } }
    const before = action === 'deploy' ? undefined : /^r(\d{1,9})$/.exec(from)?.[1]
    if (before === undefined || Number(before) >= at) return {}
    at = Number(before)
  }
}
