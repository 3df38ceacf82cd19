import { hash } from 'node:crypto'
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { ContextEntry } from '../context/index.ts'
import { MypaasError } from '../errors.ts'
import { HashCache, type Seen } from './hash-cache.ts'
import { chunkSize } from './manifest.ts'

/** The digests of a context's files, and, as far as they fit in memory, the files' bytes. */
export type Hashed = Readonly<{
  digestsOf: (entry: number) => readonly string[]
  /** A chunk's bytes, from memory or read anew. @throws {MypaasError} `context` when the file is not what was hashed */
  read: (entry: number, offset: number) => Buffer
  /** Files that had to be read. */
  filesRead: number
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
export async function hashFiles(
  root: string,
  entries: readonly ContextEntry[],
  options: HashOptions = {},
): Promise<Hashed> {
  const cache = options.cacheFolder === undefined ? undefined : new HashCache(root, options.cacheFolder)
  const digests: (readonly string[])[] = []
  const kept = new Map<number, Buffer>()
  let room = options.keepBytes ?? 128 * 1024 ** 2
  let files = 0
  let bytes = 0
  let turn = performance.now()
  for (const [number, entry] of entries.entries()) {
    if (entry.type !== 'file') continue
    const key = bytesOf(entry)
    const known = cache?.get(key, seenOf(lstatSync(absolute(root, entry), statOptions)))
    if (known !== undefined) digests[number] = inChunks(known)
    else {
      const hashedAt = Date.now()
      const read = readWhole(root, entry, entry.size <= Math.min(chunkSize, room))
      digests[number] = read.digests
      cache?.set(key, read.seen, hashedAt, read.digests.join(''))
      if (read.data && read.data.length > 0) {
        kept.set(number, read.data)
        room -= read.data.length
      }
      files += 1
      bytes += entry.size
    }
    if (performance.now() - turn > 20) {
      options.onProgress?.(files, bytes)
      await setImmediate()
      options.signal?.throwIfAborted()
      turn = performance.now()
    }
  }
  cache?.save()
  return {
    digestsOf: (entry) => digests[entry] ?? [],
    filesRead: files,
    read(number, offset) {
      const whole = kept.get(number)
      if (whole) return whole
      const entry = entries[number] as ContextEntry
      const data = readChunk(root, entry, offset)
      if (hash('sha256', data, 'hex') !== digests[number]?.[offset / chunkSize]) throw changed(entry)
      return data
    },
  }
}

/** Reused for every file: what is kept of it is copied out. */
const buffer = Buffer.allocUnsafeSlow(chunkSize + 1)

function readWhole(
  root: string,
  entry: ContextEntry,
  keep: boolean,
): { digests: string[]; seen: Seen; data: Buffer | undefined } {
  const file = open(root, entry)
  try {
    const before = fstatSync(file)
    if (!before.isFile() || before.size !== entry.size || before.mtimeMs !== entry.mtimeMs) throw changed(entry)
    const digests: string[] = []
    let data: Buffer | undefined
    let done = 0
    for (;;) {
      const want = Math.min(chunkSize, entry.size - done)
      const isLast = done + want === entry.size
      let got = 0
      // One byte more than there should be shows whether it has grown.
      for (let read = -1; read !== 0 && got < want + (isLast ? 1 : 0); got += read) {
        read = readSync(file, buffer, got, want - got + (isLast ? 1 : 0), null)
      }
      if (got !== want) throw changed(entry)
      const chunk = buffer.subarray(0, want)
      if (want > 0) digests.push(hash('sha256', chunk, 'hex'))
      if (keep) data = Buffer.from(chunk)
      done += want
      if (isLast) break
    }
    if (entry.size > chunkSize && fstatSync(file).mtimeMs !== before.mtimeMs) throw changed(entry)
    return { digests, seen: seenOf(before), data }
  } finally {
    closeSync(file)
  }
}

function readChunk(root: string, entry: ContextEntry, offset: number): Buffer {
  const file = open(root, entry)
  try {
    const data = Buffer.allocUnsafeSlow(Math.min(chunkSize, entry.size - offset))
    let got = 0
    for (let read = -1; read !== 0 && got < data.length; got += read) {
      read = readSync(file, data, got, data.length - got, offset + got)
    }
    if (got !== data.length) throw changed(entry)
    return data
  } finally {
    closeSync(file)
  }
}

/** A link that has taken the file's place is not followed, a pipe does not hold us up. */
const openFlags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

function open(root: string, entry: ContextEntry): number {
  try {
    return openSync(absolute(root, entry), openFlags)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO') throw changed(entry)
    throw new MypaasError(`Can't read ${entry.path} (${code ?? error}).`, {
      code: 'context',
      hint: 'Make it readable, or list it in .dockerignore.',
      cause: error,
    })
  }
}

function absolute(root: string, { path, rawPath }: ContextEntry): string | Buffer {
  return rawPath ? Buffer.concat([Buffer.from(`${root}/`), rawPath]) : `${root}/${path}`
}

const statOptions = { throwIfNoEntry: false } as const

function seenOf(stats: Stats | undefined): Seen {
  if (!stats) return { size: -1, mtimeMs: 0, ctimeMs: 0, inode: 0 }
  return { size: stats.size, mtimeMs: stats.mtimeMs, ctimeMs: stats.ctimeMs, inode: stats.ino }
}

function inChunks(digests: string): readonly string[] {
  if (digests.length <= 64) return digests === '' ? [] : [digests]
  const list: string[] = []
  for (let at = 0; at < digests.length; at += 64) list.push(digests.slice(at, at + 64))
  return list
}

/** The path's bytes, one character each. */
function bytesOf({ path, rawPath }: ContextEntry): string {
  if (rawPath) return Buffer.from(rawPath).toString('latin1')
  for (let at = 0; at < path.length; at++) if (path.charCodeAt(at) > 0x7f) return Buffer.from(path).toString('latin1')
  return path
}

function changed(entry: ContextEntry): MypaasError {
  return new MypaasError(`${entry.path} was written to during the push.`, {
    code: 'context',
    hint: 'Push again when nothing writes to it, or list it in .dockerignore.',
  })
}
