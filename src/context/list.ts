import { setImmediate } from 'node:timers/promises'
import { MypaasError } from '../errors.ts'
import {
  type EntryTable,
  filterEntries,
  hasMoreNames,
  joinRanges,
  needsContents,
  pathOf,
  withHardLinks,
} from './entries.ts'
import { Helper, sliceMs } from './helper.ts'
import { parseIgnore } from './ignore.ts'
import { SlicedWalk } from './walk.ts'

/**
 * Lists the files of a directory's context. Of a large one, a worker lists one part, and slices between the turns of the
 * event loop the other.
 * @throws {MypaasError} `context`, with all that can't be read
 */
export async function listDirectory(source: Source, signal?: AbortSignal): Promise<Listing> {
  const rules = parseIgnore(source.ignoreText, { name: source.ignoreName })
  const walk = new SlicedWalk(source.root, rules, source.required)
  const isLarge = !walk.run({ until: performance.now() + 2 * sliceMs, maxNames: maxSmall })
  if (isLarge) await walkWithHelper(walk, source, signal)
  const { ranges, warnings, unreadable } = walk.result()
  if (unreadable.length > 0) throw unreadableError(unreadable)
  const table = dropEmpty(joinRanges(ranges, isLarge), isLarge)
  return { table: linkSame(table, source.required, isLarge), isLarge, warnings }
}

export type Source = Readonly<{ root: string; ignoreText: string; ignoreName: string; required: readonly string[] }>

/** The table of a large context is in memory that workers can read. */
export type Listing = Readonly<{ table: EntryTable; isLarge: boolean; warnings: readonly string[] }>

/** So many names are looked at before a worker has started. */
const maxSmall = 1000

async function walkWithHelper(walk: SlicedWalk, source: Source, signal: AbortSignal | undefined): Promise<void> {
  await using helper = new Helper(signal)
  const counters = new Int32Array(new SharedArrayBuffer(4))
  const directories = walk.share(() => Atomics.add(counters, 0, 1))
  let isAsked = false
  let isDone = false
  while (!isDone) {
    await setImmediate()
    signal?.throwIfAborted()
    if (!isAsked && helper.isReady) {
      helper.send({ kind: 'walk', ...source, directories, counters })
      isAsked = true
    }
    isDone = walk.run({ until: performance.now() + sliceMs })
  }
  if (isAsked) walk.adopt(await helper.next('walked'))
  helper.release()
}

/** Leaves out the ignored directories that nothing came back in. */
function dropEmpty(table: EntryTable, shared: boolean): EntryTable {
  const empty = new Map<string, number>()
  for (let index = 0; index < table.count; index++) {
    if ((table.flags[index] as number) & needsContents) empty.set(pathOf(table, index).toString('latin1'), index)
  }
  if (empty.size === 0) return table
  for (let index = 0; index < table.count; index++) {
    if ((table.flags[index] as number) & needsContents) continue
    const path = pathOf(table, index).toString('latin1')
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1))
      empty.delete(path.slice(0, end))
  }
  const dropped = new Set(empty.values())
  return filterEntries(table, (index) => !dropped.has(index), shared)
}

/** Of a file with several names the first is sent as the file, the others as hard links, as docker does. */
function linkSame(table: EntryTable, required: readonly string[], shared: boolean): EntryTable {
  const firstOf = new Map<number, number>()
  const firsts = new Map<number, number>()
  for (let index = 0; index < table.count; index++) {
    if (((table.flags[index] as number) & hasMoreNames) === 0) continue
    const inode = table.inodes[index] as number
    const first = firstOf.get(inode)
    if (first === undefined) firstOf.set(inode, index)
    // What the builder itself reads is a file of its own.
    else if (!required.includes(pathOf(table, index).toString())) firsts.set(index, first)
  }
  return firsts.size === 0 ? table : withHardLinks(table, firsts, shared)
}

function unreadableError(paths: readonly string[]): MypaasError {
  const shown = paths.slice(0, 10).join(', ')
  const more = paths.length > 10 ? ` and ${paths.length - 10} more` : ''
  return new MypaasError(`These can't be read: ${shown}${more}.`, {
    code: 'context',
    hint: 'Make them readable, or list them in .dockerignore.',
  })
}
