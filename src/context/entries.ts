import { constants } from 'node:fs'

/** One file, directory or symlink of a context, as it goes into the archive. */
export type ContextEntry = Readonly<{
  /** Relative, `/` between its parts, none at the end. A name that is not UTF-8 shows U+FFFD here and is whole in `rawPath`. */
  path: string
  type: 'file' | 'directory' | 'symlink'
  /** Permission bits, set-uid and sticky included: `0o644`. */
  mode: number
  /** Milliseconds since 1970. The archive has whole seconds. */
  mtimeMs: number
  /** Bytes of a file, else 0, as of a hard link. */
  size: number
  /** Where a symlink leads, as it is written in it; of a file: the path of the one before it that it is a hard link of. */
  linkTarget?: string
  /** The ignore file leaves it out; it is sent all the same because the builder reads it. */
  ignored?: true
  /** The path's bytes, where they are not UTF-8. */
  rawPath?: Uint8Array
  rawLinkTarget?: Uint8Array
}>

/**
 * The entries of a context in columns: 50,000 of them take a few megabytes, and in shared memory the packers read them
 * without a copy. An entry's path and link target stand in `text`, from the end of the entry before to `ends[2 * i]` and
 * from there to `ends[2 * i + 1]`.
 */
export type EntryTable = Readonly<{
  count: number
  text: Uint8Array
  ends: Uint32Array
  /** `st_mode`, with the type of the file. */
  modes: Uint32Array
  sizes: Float64Array
  mtimesMs: Float64Array
  ctimesMs: Float64Array
  inodes: Float64Array
  flags: Uint8Array
}>

export const isIgnored = 1
export const isNotAscii = 2

/** A directory that the ignore file leaves out: it is sent only if something below it is. */
export const needsContents = 4

/** A file that has more names than this one, inside the context or not. */
export const hasMoreNames = 8

/** The bytes of an entry's path. */
export function pathOf(table: EntryTable, index: number): Buffer {
  const start = endOf(table, index)
  return Buffer.from(table.text.buffer, table.text.byteOffset + start, (table.ends[2 * index] as number) - start)
}

export function typeOf(mode: number): ContextEntry['type'] | undefined {
  const type = mode & S_IFMT
  if (type === S_IFREG) return 'file'
  if (type === S_IFDIR) return 'directory'
  return type === S_IFLNK ? 'symlink' : undefined
}

/** Taken out once: the object that they come from is slow to look into. */
const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK } = constants

/** The table as objects. */
export function listEntries(table: EntryTable): ContextEntry[] {
  const text = Buffer.from(table.text.buffer, table.text.byteOffset, table.text.byteLength)
  const entries: ContextEntry[] = []
  let start = 0
  for (let index = 0; index < table.count; index++) {
    const middle = table.ends[2 * index] as number
    const end = table.ends[2 * index + 1] as number
    const flags = table.flags[index] as number
    const mode = table.modes[index] as number
    const entry: { -readonly [K in keyof ContextEntry]: ContextEntry[K] } = {
      path: flags & isNotAscii ? text.toString('utf8', start, middle) : text.toString('latin1', start, middle),
      type: typeOf(mode) as ContextEntry['type'],
      mode: mode & 0o7777,
      mtimeMs: table.mtimesMs[index] as number,
      size: table.sizes[index] as number,
    }
    if (flags & isIgnored) entry.ignored = true
    if (flags & isNotAscii) keepRaw(entry, 'rawPath', entry.path, text.subarray(start, middle))
    if (end > middle) {
      entry.linkTarget = text.toString('utf8', middle, end)
      keepRaw(entry, 'rawLinkTarget', entry.linkTarget, text.subarray(middle, end))
    }
    entries.push(entry)
    start = end
  }
  return entries
}

function keepRaw(
  entry: { rawPath?: Uint8Array; rawLinkTarget?: Uint8Array },
  key: 'rawPath' | 'rawLinkTarget',
  text: string,
  bytes: Uint8Array,
): void {
  if (text.includes('\uFFFD') && !Buffer.from(text).equals(bytes)) entry[key] = Uint8Array.from(bytes)
}

/** Collects entries. Paths and link targets are strings with one character per byte (`latin1`), whatever the bytes mean. */
export class EntryTableBuilder {
  #count = 0
  #text = Buffer.allocUnsafeSlow(1 << 16)
  #used = 0
  #ends = new Uint32Array(2048)
  #modes = new Uint32Array(1024)
  #sizes = new Float64Array(1024)
  #mtimesMs = new Float64Array(1024)
  #ctimesMs = new Float64Array(1024)
  #inodes = new Float64Array(1024)
  #flags = new Uint8Array(1024)

  get count(): number {
    return this.#count
  }

  add(entry: NewEntry): void {
    const index = this.#count++
    if (index === this.#modes.length) this.#grow()
    const { path, linkTarget } = entry
    const length = path.length + linkTarget.length
    if (this.#used + length > this.#text.length) {
      this.#text = copyInto(Buffer.allocUnsafeSlow(2 * this.#text.length + length), this.#text)
    }
    this.#used += this.#text.write(path, this.#used, 'latin1')
    this.#ends[2 * index] = this.#used
    if (linkTarget !== '') this.#used += this.#text.write(linkTarget, this.#used, 'latin1')
    this.#ends[2 * index + 1] = this.#used
    this.#modes[index] = entry.mode
    this.#sizes[index] = entry.size
    this.#mtimesMs[index] = entry.mtimeMs
    this.#ctimesMs[index] = entry.ctimeMs
    this.#inodes[index] = entry.inode
    this.#flags[index] = entry.flags
  }

  /** What is collected; the table shares memory with the builder. */
  table(): EntryTable {
    const count = this.#count
    return {
      count,
      text: this.#text.subarray(0, this.#used),
      ends: this.#ends.subarray(0, 2 * count),
      modes: this.#modes.subarray(0, count),
      sizes: this.#sizes.subarray(0, count),
      mtimesMs: this.#mtimesMs.subarray(0, count),
      ctimesMs: this.#ctimesMs.subarray(0, count),
      inodes: this.#inodes.subarray(0, count),
      flags: this.#flags.subarray(0, count),
    }
  }

  #grow(): void {
    const length = 2 * this.#modes.length
    this.#ends = copyInto(new Uint32Array(2 * length), this.#ends)
    this.#modes = copyInto(new Uint32Array(length), this.#modes)
    this.#sizes = copyInto(new Float64Array(length), this.#sizes)
    this.#mtimesMs = copyInto(new Float64Array(length), this.#mtimesMs)
    this.#ctimesMs = copyInto(new Float64Array(length), this.#ctimesMs)
    this.#inodes = copyInto(new Float64Array(length), this.#inodes)
    this.#flags = copyInto(new Uint8Array(length), this.#flags)
  }
}

export type NewEntry = Readonly<{
  path: string
  mode: number
  size: number
  mtimeMs: number
  ctimeMs: number
  inode: number
  linkTarget: string
  flags: number
}>

/** Some consecutive entries of a table. */
export type EntryRange = Readonly<{ table: EntryTable; from: number; to: number }>

/**
 * One table of all the ranges, in the order given.
 * @param shared in memory that workers can read without a copy
 */
export function joinRanges(ranges: readonly EntryRange[], shared: boolean): EntryTable {
  const room = (bytes: number): ArrayBufferLike => (shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes))
  const count = ranges.reduce((sum, { from, to }) => sum + to - from, 0)
  const textLength = ranges.reduce((sum, { table, from, to }) => sum + endOf(table, to) - endOf(table, from), 0)
  const joined: EntryTable = {
    count,
    text: new Uint8Array(room(textLength)),
    ends: new Uint32Array(room(8 * count)),
    modes: new Uint32Array(room(4 * count)),
    sizes: new Float64Array(room(8 * count)),
    mtimesMs: new Float64Array(room(8 * count)),
    ctimesMs: new Float64Array(room(8 * count)),
    inodes: new Float64Array(room(8 * count)),
    flags: new Uint8Array(room(count)),
  }
  let at = 0
  let used = 0
  for (const { table, from, to } of ranges) {
    const start = endOf(table, from)
    joined.text.set(table.text.subarray(start, endOf(table, to)), used)
    for (let index = 2 * from; index < 2 * to; index++) {
      joined.ends[2 * at + index - 2 * from] = (table.ends[index] as number) - start + used
    }
    joined.modes.set(table.modes.subarray(from, to), at)
    joined.sizes.set(table.sizes.subarray(from, to), at)
    joined.mtimesMs.set(table.mtimesMs.subarray(from, to), at)
    joined.ctimesMs.set(table.ctimesMs.subarray(from, to), at)
    joined.inodes.set(table.inodes.subarray(from, to), at)
    joined.flags.set(table.flags.subarray(from, to), at)
    used += endOf(table, to) - start
    at += to - from
  }
  return joined
}

/**
 * The table with hard links in place of files: they have no bytes, and lead to the path of another entry.
 * @param firsts of each, the entry that it is the same file as
 */
export function withHardLinks(table: EntryTable, firsts: ReadonlyMap<number, number>, shared: boolean): EntryTable {
  const room = (bytes: number): ArrayBufferLike => (shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes))
  const added = [...firsts.values()].reduce((sum, first) => sum + pathOf(table, first).length, 0)
  const text = new Uint8Array(room(table.text.length + added))
  const ends = new Uint32Array(room(8 * table.count))
  const sizes = new Float64Array(room(8 * table.count))
  sizes.set(table.sizes)
  let used = 0
  for (let index = 0; index < table.count; index++) {
    const start = endOf(table, index)
    text.set(table.text.subarray(start, endOf(table, index + 1)), used)
    ends[2 * index] = used + (table.ends[2 * index] as number) - start
    used += endOf(table, index + 1) - start
    const first = firsts.get(index)
    if (first !== undefined) {
      const path = pathOf(table, first)
      text.set(path, used)
      used += path.length
      sizes[index] = 0
    }
    ends[2 * index + 1] = used
  }
  return { ...table, text, ends, sizes }
}

/** The table without some entries. */
export function filterEntries(table: EntryTable, isKept: (index: number) => boolean, shared: boolean): EntryTable {
  const ranges: EntryRange[] = []
  let from = 0
  for (let index = 0; index < table.count; index++) {
    if (isKept(index)) continue
    ranges.push({ table, from, to: index })
    from = index + 1
  }
  return from === 0 ? table : joinRanges([...ranges, { table, from, to: table.count }], shared)
}

/** Where the text of the entries before this one ends. */
function endOf(table: EntryTable, index: number): number {
  return index === 0 ? 0 : (table.ends[2 * index - 1] as number)
}

function copyInto<T extends Uint8Array | Uint32Array | Float64Array>(target: T, source: T): T {
  target.set(source)
  return target
}
