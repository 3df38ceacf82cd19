import { hash } from 'node:crypto'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import {
  type Digested,
  digestFiles,
  type EntryTable,
  fileChanged,
  isNotAscii,
  pathOf,
  typeOf,
} from '../context/index.ts'
import { HashCache } from './hash-cache.ts'
import { type Chunks, chunkSize } from './manifest.ts'

/** The digests of a context's files, and, as far as they fit in memory, the files' bytes. */
export type Hashed = Readonly<{
  chunks: Chunks
  /** A chunk's bytes, from memory or read anew. @throws {MypaasError} `context` when the file is not what was hashed */
  read: (entry: number, offset: number) => Buffer
  /** Files that had to be read. */
  filesRead: number
  /** Keeps the digests for the next time; a cache that can't be written is none. */
  save: () => Promise<void>
}>

export type HashOptions = Readonly<{
  onProgress?: (files: number, bytes: number) => void
  signal?: AbortSignal | undefined
  /** Where the cache is; `undefined` for none. */
  cacheFolder?: string | undefined
  /** Bytes of just read files that are kept for sending. */
  keepBytes?: number
}>

/**
 * Hashes the files of a context; those that the cache knows are not read. Small files stay in memory, so that a first push
 * reads them once.
 * @param root the context's absolute path
 * @throws {MypaasError} `context` when a file can't be read or is written to
 */
export async function hashFiles(root: string, table: EntryTable, options: HashOptions = {}): Promise<Hashed> {
  const cache = options.cacheFolder === undefined ? undefined : new HashCache(root, options.cacheFolder)
  const starts = chunkStarts(table)
  const digests = Buffer.allocUnsafeSlow(digestLength * (starts[table.count] as number))
  const hashedAtMs = new Float64Array(table.count)
  const rows = cache?.match(table)
  if (rows) cache?.take(rows, { digests, starts }, hashedAtMs)
  const unknown: number[] = []
  for (let index = 0; index < table.count; index++) {
    if (starts[index] !== starts[index + 1] && (rows?.[index] ?? -1) < 0) unknown.push(index)
  }
  const files = Uint32Array.from(unknown)
  const digested = await digestFiles(root, table, files, {
    chunkBytes: chunkSize,
    keepBytes: options.keepBytes ?? 128 * 1024 ** 2,
    onProgress: options.onProgress,
    signal: options.signal,
  })
  const places = new Map<number, number>()
  let used = 0
  for (const [place, index] of files.entries()) {
    const from = digestLength * (starts[index] as number)
    const length = digestLength * (starts[index + 1] as number) - from
    digested.digests.copy(digests, from, used, used + length)
    used += length
    hashedAtMs[index] = digested.begunAtMs
    places.set(index, place)
  }
  return {
    chunks: { digests, starts },
    filesRead: files.length,
    read: (index, offset) => keptBytes(digested, places.get(index)) ?? readAgain(index, offset),
    save: async () => {
      if (files.length > 0 || cache?.count !== table.count) await cache?.save(table, { digests, starts }, hashedAtMs)
    },
  }

  function readAgain(index: number, offset: number): Buffer {
    const data = readChunk(root, table, index, offset)
    const at = digestLength * ((starts[index] as number) + offset / chunkSize)
    if (hash('sha256', data, 'hex') !== digests.toString('latin1', at, at + digestLength)) throw changed(table, index)
    return data
  }
}

/** Characters of a digest in hex. */
const digestLength = 64

/** Which of all chunks is each entry's first one; one more at the end. */
function chunkStarts(table: EntryTable): Uint32Array {
  const starts = new Uint32Array(table.count + 1)
  let chunks = 0
  for (let index = 0; index < table.count; index++) {
    starts[index] = chunks
    if (typeOf(table.modes[index] as number) === 'file') chunks += Math.ceil((table.sizes[index] as number) / chunkSize)
  }
  starts[table.count] = chunks
  return starts
}

function keptBytes(digested: Digested, place: number | undefined): Buffer | undefined {
  return place === undefined ? undefined : digested.data(place)
}

/** A link that has taken the file's place is not followed, a pipe does not hold us up. */
const openFlags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

function readChunk(root: string, table: EntryTable, index: number, offset: number): Buffer {
  const size = table.sizes[index] as number
  let file: number
  try {
    file = openSync(absolute(root, table, index), openFlags)
  } catch {
    throw changed(table, index)
  }
  try {
    const data = Buffer.allocUnsafeSlow(Math.min(chunkSize, size - offset))
    let got = 0
    for (let read = -1; read !== 0 && got < data.length; got += read) {
      read = readSync(file, data, got, data.length - got, offset + got)
    }
    if (got !== data.length) throw changed(table, index)
    return data
  } finally {
    closeSync(file)
  }
}

function absolute(root: string, table: EntryTable, index: number): string | Buffer {
  const path = pathOf(table, index)
  const isAscii = ((table.flags[index] as number) & isNotAscii) === 0
  return isAscii ? `${root}/${path.toString('latin1')}` : Buffer.concat([Buffer.from(`${root}/`), path])
}

function changed(table: EntryTable, index: number): Error {
  return fileChanged(pathOf(table, index).toString())
}
