import { MypaasError } from '../errors.ts'
import { type EntryRange, type EntryTable, filterEntries, joinRanges, needsContents, pathOf } from './entries.ts'
import { parseIgnore } from './ignore.ts'
import { type Found, type Top, type TopPart, walkTop } from './walk.ts'
import { type BranchesFound, walkInWorkers } from './workers.ts'

/**
 * Lists the files of a directory's context. A small one is listed at once; of a large one the upper directories are, and
 * workers share the rest, so that the event loop stays free.
 * @throws {MypaasError} `context`, with all that can't be read
 */
export async function listDirectory(source: Source, signal?: AbortSignal): Promise<Listing> {
  const { root, ignoreText, ignoreName, required } = source
  const rules = parseIgnore(ignoreText, { name: ignoreName })
  const top = walkTop(root, rules, { required, maxNames, until: Date.now() + maxStallMs })
  const isLarge = top.open.length > 0
  const below = isLarge ? await walkInWorkers({ ...source, directories: top.open }, signal) : []
  const found = [top.found, ...below.map((part) => part.found)]
  const unreadable = found.flatMap((part) => part.unreadable)
  if (unreadable.length > 0) throw unreadableError(unreadable)
  const table = dropEmpty(joinRanges([...rangesOf(top.parts, top.found, below)], isLarge), isLarge)
  return { table, isLarge, warnings: found.flatMap((part) => part.warnings) }
}

export type Source = Readonly<{ root: string; ignoreText: string; ignoreName: string; required: readonly string[] }>

/** The table of a large context is in memory that workers can read. */
export type Listing = Readonly<{ table: EntryTable; isLarge: boolean; warnings: readonly string[] }>

/** To look at more names takes longer than to start a worker. */
const maxNames = 1000
const maxStallMs = 20

/** The ranges of all tables, in the order of the archive. */
function* rangesOf(parts: Top['parts'], found: Found, below: readonly BranchesFound[]): Iterable<EntryRange> {
  const branches = new Map<number, EntryRange>()
  for (const { found, branches: own } of below) {
    for (const { number, from, to } of own) branches.set(number, { table: found.table, from, to })
  }
  const flatten = function* (parts: readonly TopPart[]): Iterable<EntryRange> {
    for (const part of parts) {
      if ('parts' in part) yield* flatten(part.parts)
      else if ('branch' in part) yield branches.get(part.branch) as EntryRange
      else yield { table: found.table, from: part.from, to: part.to }
    }
  }
  yield* flatten(parts)
}

/** Leaves out the ignored directories that nothing came back in. */
function dropEmpty(table: EntryTable, shared: boolean): EntryTable {
  const directories = new Map<string, number>()
  for (let index = 0; index < table.count; index++) {
    if ((table.flags[index] as number) & needsContents) directories.set(pathOf(table, index).toString('latin1'), index)
  }
  if (directories.size === 0) return table
  for (let index = 0; index < table.count; index++) {
    if ((table.flags[index] as number) & needsContents) continue
    const path = pathOf(table, index).toString('latin1')
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      directories.delete(path.slice(0, end))
    }
  }
  const empty = new Set(directories.values())
  return filterEntries(table, (index) => !empty.has(index), shared)
}

function unreadableError(paths: readonly string[]): MypaasError {
  const shown = paths.slice(0, 10).join(', ')
  const more = paths.length > 10 ? ` and ${paths.length - 10} more` : ''
  return new MypaasError(`These can't be read: ${shown}${more}.`, {
    code: 'context',
    hint: 'Make them readable, or list them in .dockerignore.',
  })
}
