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
  /** Bytes of a file, else 0. */
  size: number
  /** Where a symlink leads, as it is written in it. */
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
  flags: Uint8Array
}>

export const isIgnored = 1
export const isNotAscii = 2

export function pathOf(table: EntryTable, index: number): Uint8Array {
  return table.text.subarray(index === 0 ? 0 : table.ends[2 * index - 1], table.ends[2 * index])
}

export function linkTargetOf(table: EntryTable, index: number): Uint8Array {
  return table.text.subarray(table.ends[2 * index], table.ends[2 * index + 1])
}

export function typeOf(mode: number): ContextEntry['type'] | undefined {
  switch (mode & constants.S_IFMT) {
    case constants.S_IFREG:
      return 'file'
    case constants.S_IFDIR:
      return 'directory'
    case constants.S_IFLNK:
      return 'symlink'
    default:
      return undefined
  }
}

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
  #flags = new Uint8Array(1024)
  readonly #withheld = new Set<number>()

  get count(): number {
    return this.#count
  }

  add(entry: { path: string; mode: number; size: number; mtimeMs: number; linkTarget: string; flags: number }): number {
    const index = this.#count++
    if (index === this.#modes.length) this.#grow()
    const { path, linkTarget } = entry
    const length = path.length + linkTarget.length
    if (this.#used + length > this.#text.length) {
      const text = Buffer.allocUnsafeSlow(2 * this.#text.length + length)
      this.#text.copy(text, 0, 0, this.#used)
      this.#text = text
    }
    this.#used += this.#text.write(path, this.#used, 'latin1')
    this.#ends[2 * index] = this.#used
    if (linkTarget !== '') this.#used += this.#text.write(linkTarget, this.#used, 'latin1')
    this.#ends[2 * index + 1] = this.#used
    this.#modes[index] = entry.mode
    this.#sizes[index] = entry.size
    this.#mtimesMs[index] = entry.mtimeMs
    this.#flags[index] = entry.flags
    return index
  }

  /** Leave the entry out unless `release` is called for it: an ignored directory counts only if something below it does. */
  withhold(index: number): void {
    this.#withheld.add(index)
  }

  release(index: number): void {
    this.#withheld.delete(index)
  }

  /** @param shared in memory that workers can read without a copy */
  finish(shared: boolean): EntryTable {
    const kept: number[] = []
    if (this.#withheld.size > 0) {
      for (let index = 0; index < this.#count; index++) if (!this.#withheld.has(index)) kept.push(index)
    }
    const table: EntryTable = {
      count: this.#count,
      text: this.#text.subarray(0, this.#used),
      ends: this.#ends.subarray(0, 2 * this.#count),
      modes: this.#modes.subarray(0, this.#count),
      sizes: this.#sizes.subarray(0, this.#count),
      mtimesMs: this.#mtimesMs.subarray(0, this.#count),
      flags: this.#flags.subarray(0, this.#count),
    }
    return this.#withheld.size > 0 ? selectEntries(table, kept, shared) : copyTable(table, shared)
  }

  #grow(): void {
    const length = 2 * this.#modes.length
    this.#ends = copyInto(new Uint32Array(2 * length), this.#ends)
    this.#modes = copyInto(new Uint32Array(length), this.#modes)
    this.#sizes = copyInto(new Float64Array(length), this.#sizes)
    this.#mtimesMs = copyInto(new Float64Array(length), this.#mtimesMs)
    this.#flags = copyInto(new Uint8Array(length), this.#flags)
  }
}

/** A table of some of the entries, in the order given. */
export function selectEntries(table: EntryTable, indexes: readonly number[], shared: boolean): EntryTable {
  const builder = { text: [] as Uint8Array[], ends: new Uint32Array(2 * indexes.length) }
  let used = 0
  for (const [to, from] of indexes.entries()) {
    const path = pathOf(table, from)
    const linkTarget = linkTargetOf(table, from)
    builder.text.push(path, linkTarget)
    builder.ends[2 * to] = used += path.length
    builder.ends[2 * to + 1] = used += linkTarget.length
  }
  const pick = <T extends Uint8Array | Uint32Array | Float64Array>(column: T): T =>
    column.slice(0, indexes.length).map((_, to) => column[indexes[to] as number] as number) as T
  const selected: EntryTable = {
    count: indexes.length,
    text: Buffer.concat(builder.text),
    ends: builder.ends,
    modes: pick(table.modes),
    sizes: pick(table.sizes),
    mtimesMs: pick(table.mtimesMs),
    flags: pick(table.flags),
  }
  return shared ? copyTable(selected, true) : selected
}

function copyTable(table: EntryTable, shared: boolean): EntryTable {
  const room = (bytes: number): ArrayBufferLike => (shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes))
  const { count, text, ends, modes, sizes, mtimesMs, flags } = table
  return {
    count,
    text: copyInto(new Uint8Array(room(text.byteLength)), text),
    ends: copyInto(new Uint32Array(room(ends.byteLength)), ends),
    modes: copyInto(new Uint32Array(room(modes.byteLength)), modes),
    sizes: copyInto(new Float64Array(room(sizes.byteLength)), sizes),
    mtimesMs: copyInto(new Float64Array(room(mtimesMs.byteLength)), mtimesMs),
    flags: copyInto(new Uint8Array(room(flags.byteLength)), flags),
  }
}

function copyInto<T extends Uint8Array | Uint32Array | Float64Array>(target: T, source: T): T {
  target.set(source)
  return target
}
