import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import type { EntryTable } from '../context/index.ts'
import type { Chunks } from './manifest.ts'

/**
 * The digests of a directory's files from the last time, for those that did not change since. A file counts as unchanged
 * when size, times and inode are what they were, and when it had been at rest for longer than the file system's clock
 * ticks before it was hashed: else it could have been written to once more within the same tick, unseen.
 *
 * One file per directory, columns one after another as they are in memory: 20,000 entries are read in two milliseconds. A
 * cache that is lost, damaged or stale costs time, never a wrong image: the server checks the digest of every byte that
 * it gets.
 */
export class HashCache {
  readonly #file: string
  #columns: Columns | undefined

  /** @param root the absolute path of the directory */
  constructor(root: string, folder: string = cacheFolder()) {
    this.#file = join(folder, createHash('sha256').update(root).digest('hex').slice(0, 32))
    this.#columns = load(this.#file)
  }

  /** Of how many entries it is. */
  get count(): number {
    return this.#columns?.count ?? 0
  }

  /** For each entry the row of the last time, if it is the file that was hashed; else -1. */
  match(table: EntryTable): Int32Array {
    const rows = new Int32Array(table.count).fill(-1)
    const old = this.#columns
    if (!old) return rows
    if (isEqual(old.text, table.text) && isEqual(old.ends, table.ends)) {
      for (let index = 0; index < table.count; index++) if (isSame(table, index, old, index)) rows[index] = index
      return rows
    }
    let row = 0
    for (let index = 0; index < table.count && row < old.count; ) {
      const order = comparePaths(table, index, old, row)
      if (order === 0 && isSame(table, index, old, row)) rows[index] = row
      if (order <= 0) index++
      if (order >= 0) row++
    }
    return rows
  }

  /**
   * Copies the digests of the rows to where the entries have theirs.
   * @param hashedAtMs gets when they were made
   */
  take(rows: Int32Array, { digests, starts }: Chunks, hashedAtMs: Float64Array): void {
    const old = this.#columns
    if (!old) return
    for (let from = 0; from < rows.length; ) {
      const row = rows[from] as number
      let end = from + 1
      // Most stand one after another as they did: all of them are copied at once.
      while (row >= 0 && end < rows.length && rows[end] === row + end - from) end++
      if (row >= 0) {
        const last = row + end - from
        old.digests.copy(
          digests,
          64 * (starts[from] as number),
          64 * (old.starts[row] as number),
          64 * (old.starts[last] as number),
        )
        hashedAtMs.set(old.hashedAtMs.subarray(row, last), from)
      }
      from = end
    }
  }

  /**
   * Keeps what is known now for the next time. A cache that can't be written is none.
   * @param hashedAtMs when reading each file began
   */
  async save(table: EntryTable, { digests, starts }: Chunks, hashedAtMs: Float64Array): Promise<void> {
    const { sizes, mtimesMs, ctimesMs, inodes, ends, text } = table
    const columns = [sizes, mtimesMs, ctimesMs, inodes, hashedAtMs, ends, starts, text, digests].map(bytesOf)
    const head = Buffer.alloc(headSize)
    head.write(magic, 0, 'latin1')
    head.writeUInt32LE(table.count, 8)
    head.writeUInt32LE(text.length, 12)
    const sum = createHash('sha256').update(head.subarray(0, 16))
    for (const column of columns) sum.update(column)
    sum.digest().copy(head, 16, 0, 16)
    try {
      await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 })
      const temporary = `${this.#file}.${process.pid}.tmp`
      await writeFile(temporary, Buffer.concat([head, ...columns]), { mode: 0o600 })
      await rename(temporary, this.#file)
    } catch {
      // A read-only home: the next push hashes again.
    }
  }
}

/** What was known the last time: {@link EntryTable}'s columns, as far as they are needed. */
type Columns = Pick<EntryTable, 'count' | 'sizes' | 'mtimesMs' | 'ctimesMs' | 'inodes' | 'ends' | 'text'> &
  Chunks & { readonly hashedAtMs: Float64Array }

const headSize = 32
const magic = 'mphash3\n'

function load(file: string): Columns | undefined {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch {
    return undefined
  }
  if (bytes.length < headSize || bytes.toString('latin1', 0, 8) !== magic) return undefined
  const sum = createHash('sha256').update(bytes.subarray(0, 16)).update(bytes.subarray(headSize)).digest()
  if (!sum.subarray(0, 16).equals(bytes.subarray(16, 32))) return undefined
  const count = bytes.readUInt32LE(8)
  // Columns of numbers stand where their width divides the address.
  const { buffer, byteOffset } = bytes.byteOffset % 8 === 0 ? bytes : Buffer.from(Uint8Array.from(bytes).buffer)
  let at = byteOffset + headSize
  const doubles = (length: number): Float64Array => {
    at += 8 * length
    return new Float64Array(buffer, at - 8 * length, length)
  }
  const integers = (length: number): Uint32Array => {
    at += 4 * length
    return new Uint32Array(buffer, at - 4 * length, length)
  }
  const columns = {
    count,
    sizes: doubles(count),
    mtimesMs: doubles(count),
    ctimesMs: doubles(count),
    inodes: doubles(count),
    hashedAtMs: doubles(count),
    ends: integers(2 * count),
    starts: integers(count + 1),
  }
  const text = Buffer.from(buffer, at, bytes.readUInt32LE(12))
  at += text.length
  return { ...columns, text, digests: Buffer.from(buffer, at, byteOffset + bytes.length - at) }
}

function isEqual(one: Uint8Array | Uint32Array, other: Uint8Array | Uint32Array): boolean {
  return bytesOf(one).equals(bytesOf(other))
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint8Array | Uint32Array | Float64Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

/** In the order of their bytes. */
function comparePaths(
  one: Pick<EntryTable, 'text' | 'ends'>,
  index: number,
  other: Pick<EntryTable, 'text' | 'ends'>,
  row: number,
): number {
  const from = index === 0 ? 0 : (one.ends[2 * index - 1] as number)
  const otherFrom = row === 0 ? 0 : (other.ends[2 * row - 1] as number)
  const length = (one.ends[2 * index] as number) - from
  const otherLength = (other.ends[2 * row] as number) - otherFrom
  const text = one.text
  const otherText = other.text
  for (let at = 0; at < length && at < otherLength; at++) {
    const difference = (text[from + at] as number) - (otherText[otherFrom + at] as number)
    if (difference !== 0) return difference
  }
  return length - otherLength
}

function isSame(table: EntryTable, index: number, old: Columns, row: number): boolean {
  const mtimeMs = table.mtimesMs[index] as number
  const ctimeMs = table.ctimesMs[index] as number
  return (
    old.sizes[row] === table.sizes[index] &&
    old.mtimesMs[row] === mtimeMs &&
    old.ctimesMs[row] === ctimeMs &&
    old.inodes[row] === table.inodes[index] &&
    wasAtRest(mtimeMs, ctimeMs, old.hashedAtMs[row] as number)
  )
}

/** Times in whole seconds are those of a file system that knows no finer ones. */
function wasAtRest(mtimeMs: number, ctimeMs: number, hashedAtMs: number): boolean {
  const coarse = mtimeMs % 1000 === 0 && ctimeMs % 1000 === 0
  return Math.max(ctimeMs, coarse ? mtimeMs : 0) < hashedAtMs - (coarse ? 2_000 : 100)
}

export function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'mypaas', 'hashes')
}
