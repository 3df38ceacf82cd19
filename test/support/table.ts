import {
  type ContextEntry,
  EntryTableBuilder,
  isIgnored,
  isNotAscii,
  type NewEntry,
} from '../../src/context/entries.ts'
import type { EntryTable } from '../../src/context/index.ts'
import type { Chunks } from '../../src/push/manifest.ts'

/** A table of files that are nowhere. Paths have one character per byte. */
export function tableOfFiles(files: readonly (Partial<NewEntry> & { path: string })[]): EntryTable {
  const table = new EntryTableBuilder()
  for (const file of files)
    table.add({ mode: 0o100644, size: 3, mtimeMs: 0, ctimeMs: 0, inode: 1, linkTarget: '', flags: 0, ...file })
  return table.table()
}

/** The table that would give these entries. */
export function tableOfEntries(entries: readonly ContextEntry[]): EntryTable {
  return tableOfFiles(
    entries.map((entry) => ({
      path: bytesOf(entry.rawPath ?? entry.path),
      mode: entry.mode | types[entry.type],
      size: entry.size,
      mtimeMs: entry.mtimeMs,
      linkTarget: bytesOf(entry.rawLinkTarget ?? entry.linkTarget ?? ''),
      flags: (entry.ignored ? isIgnored : 0) | isNotAscii,
    })),
  )
}

const types = { file: 0o100000, directory: 0o040000, symlink: 0o120000 } as const

function bytesOf(text: string | Uint8Array): string {
  return Buffer.from(text as string).toString('latin1')
}

/** The digests of each one's chunks, as they are kept. */
export function chunksOf<T>(list: readonly T[], digestsOf: (one: T) => readonly string[]): Chunks {
  const digests = list.map(digestsOf)
  const starts = new Uint32Array(list.length + 1)
  for (const [at, own] of digests.entries()) starts[at + 1] = (starts[at] as number) + own.length
  return { digests: Buffer.from(digests.flat().join('')), starts }
}
