import { hash } from 'node:crypto'
import { type ContextEntry, type EntryTable, isIgnored, typeOf } from '../context/index.ts'
import { MypaasError } from '../errors.ts'

/**
 * The list of a context's files with digests, as it travels and is signed.
 *
 * One line per entry, sorted by the bytes of the paths: type, mode in octal, time in seconds, then what the type has.
 * Text is bytes, one character each (`latin1`); blanks, control characters and `%` in names are `%XX`.
 * ```
 * D 755 1700000000 src
 * F 644 1700000000 1234 DIGEST src/a.js      more than one chunk: DIGEST,DIGEST,…; empty: -
 * L 777 1700000000 ../a src/link             where it leads, then its path
 * ```
 * `f` and `l` are entries that the ignore file leaves out and the builder reads all the same. The lines are cut into
 * segments, which travel like files do, so that a change sends the segment that it is in. The index lists the segments:
 * who signs its digest signs everything.
 */
export type Manifest = Readonly<{
  index: Buffer
  digest: string
  segments: readonly Blob[]
  /** The segments' bytes. */
  texts: readonly Buffer[]
  /** The distinct blobs of all files, in the order of their first appearance. */
  blobs: readonly Blob[]
  /** For each blob its first place: the entry, and the byte at which it begins in that file. */
  places: readonly Readonly<{ entry: number; offset: number }>[]
}>

/** Bytes that travel and are kept as one. */
export type Blob = Readonly<{ digest: string; size: number }>

/** Files are cut into parts of this size: what a cut line costs, and what a change of a large file does. */
export const chunkSize: number = 1024 * 1024

/** What a server takes; the client checks the same before it sends. */
export type PushLimits = Readonly<{
  files: number
  bytes: number
  fileBytes: number
  indexBytes: number
}>

export const defaultLimits: PushLimits = {
  files: 200_000,
  bytes: 8 * 1024 ** 3,
  fileBytes: 4 * 1024 ** 3,
  indexBytes: 256 * 1024,
}

const maxPathBytes = 4096
const maxNameBytes = 255
const maxSegmentLines = 2000
const maxSegmentBytes: number = chunkSize
const title = 'mypaas manifest 1'

/**
 * The digests of a context's files: of entry `i` those of the chunks from `starts[i]` to `starts[i + 1]`, each of 64
 * characters of hex.
 */
export type Chunks = Readonly<{ digests: Buffer; starts: Uint32Array }>

/**
 * Writes a manifest.
 * @param dockerfile its path in the context
 */
export function buildManifest(dockerfile: string, table: EntryTable, chunks: Chunks): Manifest {
  const lines = new Lines(table, chunks)
  const texts: Buffer[] = []
  let from = 0
  let count = 0
  let total = 0
  const cut = (at: number): void => {
    if (at > from) texts.push(lines.text.subarray(from, at))
    from = at
    count = 0
  }
  for (let index = 0; index < table.count; index++) {
    const start = lines.end
    const isEnd = lines.add(index)
    if (lines.end - from > maxSegmentBytes) cut(start)
    count += 1
    total += table.sizes[index] as number
    if (isEnd || count >= maxSegmentLines) cut(lines.end)
  }
  cut(lines.end)
  const segments = texts.map((text) => ({ digest: hash('sha256', text, 'hex'), size: text.length }))
  const index = Buffer.from(
    [
      title,
      `dockerfile ${escapeName(latin1(dockerfile))}`,
      `entries ${table.count}`,
      `bytes ${total}`,
      ...segments.map(({ digest, size }) => `${size} ${digest}`),
      '',
    ].join('\n'),
    'latin1',
  )
  let distinct: ReturnType<typeof distinctBlobs> | undefined
  const find = (): ReturnType<typeof distinctBlobs> => {
    distinct ??= distinctBlobs(table, chunks)
    return distinct
  }
  return {
    index,
    digest: hash('sha256', index, 'hex'),
    segments,
    texts,
    // Who has nothing to send never asks.
    get blobs() {
      return find().blobs
    },
    get places() {
      return find().places
    },
  }
}

function distinctBlobs(
  table: EntryTable,
  { digests, starts }: Chunks,
): { blobs: Blob[]; places: { entry: number; offset: number }[] } {
  const blobs: Blob[] = []
  const places: { entry: number; offset: number }[] = []
  const known = new Set<string>()
  for (let entry = 0; entry < table.count; entry++) {
    const first = starts[entry] as number
    for (let chunk = first; chunk < (starts[entry + 1] as number); chunk++) {
      const digest = digests.toString('latin1', digestLength * chunk, digestLength * (chunk + 1))
      if (known.has(digest)) continue
      known.add(digest)
      const offset = (chunk - first) * chunkSize
      blobs.push({ digest, size: Math.min(chunkSize, (table.sizes[entry] as number) - offset) })
      places.push({ entry, offset })
    }
  }
  return { blobs, places }
}

/** Writes the lines of entries, byte by byte: of 20,000 entries in a few milliseconds. */
class Lines {
  /** Room for all lines. */
  readonly text: Buffer
  end = 0
  readonly #table: EntryTable
  readonly #chunks: Chunks

  constructor(table: EntryTable, chunks: Chunks) {
    this.#table = table
    this.#chunks = chunks
    // At most: type, mode, time, size, digests with what stands between, names with every byte escaped.
    this.text = Buffer.allocUnsafeSlow(
      64 * table.count + (digestLength + 1) * (chunks.starts[table.count] as number) + 3 * table.text.length,
    )
  }

  /** @returns whether a segment ends here: at one path of 256 */
  add(index: number): boolean {
    const { modes, mtimesMs, sizes, flags, ends, text } = this.#table
    const start = index === 0 ? 0 : (ends[2 * index - 1] as number)
    const middle = ends[2 * index] as number
    const end = ends[2 * index + 1] as number
    const type = typeOf(modes[index] as number)
    const letter = type === 'file' ? 0x46 : type === 'directory' ? 0x44 : 0x4c
    // The small letters are 32 behind the large ones.
    this.#byte(letter + ((flags[index] as number) & isIgnored ? 32 : 0))
    this.#number((modes[index] as number) & 0o7777, 8)
    this.#number(Math.floor((mtimesMs[index] as number) / 1000), 10)
    if (type === 'file') {
      this.#number(sizes[index] as number, 10)
      this.#byte(blank)
      this.#digests(index)
    } else if (type === 'symlink') {
      this.#byte(blank)
      this.#name(text, middle, end)
    }
    this.#byte(blank)
    const sum = this.#name(text, start, middle)
    this.#byte(0x0a)
    return ((sum >>> 13) & 0xff) === 0
  }

  #byte(byte: number): void {
    this.text[this.end++] = byte
  }

  /** With a blank before it. */
  #number(value: number, base: 8 | 10): void {
    this.#byte(blank)
    if (value < 0) this.#byte(0x2d)
    let rest = Math.abs(value)
    let digits = 1
    for (let above = base; above <= rest; above *= base) digits++
    for (let at = this.end + digits - 1; at >= this.end; at--) {
      const next = Math.floor(rest / base)
      this.text[at] = 0x30 + rest - next * base
      rest = next
    }
    this.end += digits
  }

  #digests(index: number): void {
    const { digests, starts } = this.#chunks
    const first = starts[index] as number
    const end = starts[index + 1] as number
    if (first === end) this.#byte(0x2d)
    const { text } = this
    for (let chunk = first; chunk < end; chunk++) {
      if (chunk > first) this.#byte(0x2c)
      const from = digestLength * chunk
      const to = this.end
      // For so few bytes this is faster than a copy by the runtime.
      for (let at = 0; at < digestLength; at++) text[to + at] = digests[from + at] as number
      this.end = to + digestLength
    }
  }

  /** @returns a sum over what was written: a segment's ends depend on paths, so that one more file moves no other one's */
  #name(source: Uint8Array, from: number, to: number): number {
    const { text } = this
    let at = this.end
    let sum = 0x811c9dc5
    for (let read = from; read < to; read++) {
      const byte = source[read] as number
      if (isSpecial(byte)) {
        for (const other of [0x25, hexDigit(byte >> 4), hexDigit(byte & 15)]) {
          text[at++] = other
          sum = Math.imul(sum ^ other, 0x01000193)
        }
      } else {
        text[at++] = byte
        sum = Math.imul(sum ^ byte, 0x01000193)
      }
    }
    this.end = at
    return sum
  }
}

function hexDigit(value: number): number {
  return value < 10 ? 0x30 + value : 0x41 + value - 10
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is for
const special = /[\x00-\x20%\x7f]/

function isSpecial(code: number): boolean {
  return code <= 0x20 || code === 0x25 || code === 0x7f
}

function escapeName(name: string): string {
  if (!special.test(name)) return name
  return name.replace(
    new RegExp(special, 'g'),
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

/** What an index says. */
export type ManifestIndex = Readonly<{
  dockerfile: string
  entries: number
  bytes: number
  segments: readonly Blob[]
}>

/** Reads an index that came from outside. @throws {MypaasError} `context` */
export function parseIndex(bytes: Buffer, limits: PushLimits): ManifestIndex {
  if (bytes.length > limits.indexBytes) throw wrong(`its index has ${bytes.length} bytes, at most ${limits.indexBytes}`)
  const lines = bytes.toString('latin1').split('\n')
  const field = (at: number, key: string): string => {
    const [found, value, ...rest] = (lines[at] ?? '').split(' ')
    if (found !== key || value === undefined || rest.length > 0)
      throw wrong(`its index has no ${key} in line ${at + 1}`)
    return value
  }
  if (lines[0] !== title) throw wrong('it is of another version')
  if (lines.at(-1) !== '') throw wrong('its index is cut off')
  const dockerfile = checkPath(unescapeName(field(1, 'dockerfile')))
  const entries = count(field(2, 'entries'), limits.files, () => 'entries')
  const total = count(field(3, 'bytes'), limits.bytes, () => 'bytes')
  const segments = lines.slice(4, -1).map((line) => {
    const match = /^([1-9]\d{0,7}) ([0-9a-f]{64})$/.exec(line)
    if (!match) throw wrong('its index has a line that is none of a segment')
    return { size: count(match[1] as string, maxSegmentBytes, () => 'bytes in a segment'), digest: match[2] as string }
  })
  sameSizes(segments)
  return { dockerfile: Buffer.from(dockerfile, 'latin1').toString(), entries, bytes: total, segments }
}

/** An entry of a manifest that was read; paths are bytes, one character each. */
export type ManifestEntry = Readonly<{
  path: string
  type: ContextEntry['type']
  mode: number
  mtimeSeconds: number
  size: number
  linkTarget: string
  ignored: boolean
  /** Which blobs it consists of. */
  blobs: readonly number[]
}>

/** Reads a manifest's segments one by one, in order; {@link finish} says whether it is whole. */
export class ManifestReader {
  readonly entries: ManifestEntry[] = []
  readonly blobs: Blob[] = []
  /** The Dockerfile's entry, once it was read. */
  dockerfile: ManifestEntry | undefined
  readonly #index: ManifestIndex
  readonly #limits: PushLimits
  readonly #numbers = new Map<string, number>()
  readonly #directories = new Set<string>()
  /** As paths are in here. */
  readonly #dockerfile: string
  /** The directory of the last path, with its `/`. */
  #parent = ''
  #last: string | undefined
  #bytes = 0

  constructor(index: ManifestIndex, limits: PushLimits) {
    this.#index = index
    this.#limits = limits
    this.#dockerfile = latin1(index.dockerfile)
  }

  /** @throws {MypaasError} `context` at the first line that may not be */
  add(segment: Buffer): void {
    const text = segment.toString('latin1')
    if (!text.endsWith('\n')) throw wrong('a segment is cut off')
    for (let from = 0; from < text.length; ) {
      const end = text.indexOf('\n', from)
      const entry = this.#readPlain(text, from, end) ?? this.#read(text.slice(from, end))
      if (this.entries.length >= this.#index.entries) throw wrong('it has more entries than its index says')
      this.entries.push(entry)
      from = end + 1
    }
  }

  finish(): void {
    if (this.entries.length !== this.#index.entries) throw wrong('it has fewer entries than its index says')
    if (this.#bytes !== this.#index.bytes) throw wrong('its files have another size than its index says')
    if (!this.dockerfile) throw wrong(`it has no file ${this.#index.dockerfile}`)
  }

  /**
   * A line of the usual kind: a file of one chunk whose name needs no escapes. Numbers are read where they stand, which is
   * three times as fast as taking the line apart. @returns `undefined` for any other line, and for one that is none
   */
  #readPlain(text: string, from: number, end: number): ManifestEntry | undefined {
    if (text.charCodeAt(from) !== 0x46 || text.charCodeAt(from + 1) !== blank) return undefined
    const modeEnd = numberEnd(text, from + 2)
    const mode = octalAt(text, from + 2, modeEnd)
    const secondsEnd = numberEnd(text, modeEnd + 1)
    const mtimeSeconds = decimalAt(text, modeEnd + 1, secondsEnd, 12)
    const sizeEnd = numberEnd(text, secondsEnd + 1)
    const size = decimalAt(text, secondsEnd + 1, sizeEnd, 16)
    const digestEnd = sizeEnd + 1 + digestLength
    if (mode < 0 || mtimeSeconds < 0 || size < 1 || size > chunkSize || size > this.#limits.fileBytes) return undefined
    if (digestEnd + 1 >= end || text.charCodeAt(digestEnd) !== blank) return undefined
    for (let at = digestEnd + 1; at < end; at++) if (isSpecial(text.charCodeAt(at))) return undefined
    const path = text.slice(digestEnd + 1, end)
    this.#take(path)
    this.#addBytes(size)
    const blobs = [this.#blob(text.slice(sizeEnd + 1, digestEnd), size, path)]
    return this.#noted({ path, type: 'file', mode, mtimeSeconds, size, linkTarget: '', ignored: false, blobs })
  }

  #read(line: string): ManifestEntry {
    const words = line.split(' ')
    const [type = '', mode = '', seconds = ''] = words
    const isFile = type === 'F' || type === 'f'
    const isLink = type === 'L' || type === 'l'
    if (words.length !== (isFile ? 6 : isLink ? 5 : type === 'D' ? 4 : 0)) throw wrong(`a line is none: ${shown(line)}`)
    if (!/^(0|[1-7][0-7]{0,3})$/.test(mode)) throw wrong(`a mode is none: ${shown(mode)}`)
    if (!/^(0|-?[1-9]\d{0,11})$/.test(seconds)) throw wrong(`a time is none: ${shown(seconds)}`)
    const path = unescapeName(words.at(-1) as string)
    this.#take(path)
    if (type === 'D') this.#directories.add(path)
    const size = isFile ? count(words[3] as string, this.#limits.fileBytes, () => `bytes in ${shown(path)}`) : 0
    this.#addBytes(size)
    return this.#noted({
      path,
      type: isFile ? 'file' : isLink ? 'symlink' : 'directory',
      mode: Number.parseInt(mode, 8),
      mtimeSeconds: Number(seconds),
      size,
      linkTarget: isLink ? checkTarget(unescapeName(words[3] as string)) : '',
      ignored: type === 'f' || type === 'l',
      blobs: isFile ? this.#blobsOf(words[4] as string, size, path) : [],
    })
  }

  #noted(entry: ManifestEntry): ManifestEntry {
    if (entry.type === 'file' && entry.path === this.#dockerfile) this.dockerfile = entry
    return entry
  }

  /** The next path: a good one, behind the last one in the order. */
  #take(path: string): void {
    this.#check(path)
    if (this.#last !== undefined && path <= this.#last) {
      throw wrong(path === this.#last ? `${shown(path)} is in it twice` : `${shown(path)} is not in its order`)
    }
    this.#last = path
  }

  #addBytes(size: number): void {
    this.#bytes += size
    if (this.#bytes > this.#index.bytes) throw wrong('its files are larger than its index says')
  }

  /** What is beside a path that was good already needs a good name only. */
  #check(path: string): void {
    const slash = path.lastIndexOf('/')
    if (slash + 1 === this.#parent.length && path.startsWith(this.#parent) && path.length <= maxPathBytes) {
      checkName(path.slice(slash + 1), path)
      return
    }
    checkPath(path)
    if (slash >= 0 && !this.#directories.has(path.slice(0, slash))) throw wrong(`${shown(path)} is in no directory`)
    this.#parent = path.slice(0, slash + 1)
  }

  #blobsOf(list: string, size: number, path: string): number[] {
    if (list === '-') {
      if (size > 0) throw wrong(`${shown(path)} has no digests`)
      return []
    }
    const chunks = Math.ceil(size / chunkSize)
    if (chunks === 1 && list.length === digestLength) return [this.#blob(list, size, path)]
    const digests = list.split(',')
    if (digests.length !== chunks) throw wrong(`${shown(path)} has too many or too few digests`)
    return digests.map((digest, chunk) => this.#blob(digest, Math.min(chunkSize, size - chunk * chunkSize), path))
  }

  #blob(digest: string, size: number, path: string): number {
    const known = this.#numbers.get(digest)
    if (known === undefined) {
      if (!isDigest(digest)) throw wrong(`a digest of ${shown(path)} is none`)
      this.#numbers.set(digest, this.blobs.length)
      this.blobs.push({ digest, size })
      return this.blobs.length - 1
    }
    if (this.blobs[known]?.size !== size) throw wrong('one digest stands for two sizes')
    return known
  }
}

const digestLength = 64
const blank = 0x20

function isDigest(text: string): boolean {
  if (text.length !== digestLength) return false
  for (let at = 0; at < digestLength; at++) {
    const code = text.charCodeAt(at)
    if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false
  }
  return true
}

/** Where the digits end; -1 when no blank follows them. */
function numberEnd(text: string, from: number): number {
  for (let at = from; ; at++) {
    const code = text.charCodeAt(at)
    if (code >= 0x30 && code <= 0x39) continue
    return code === blank && at > from ? at : Number.NEGATIVE_INFINITY
  }
}

/** The number that is written there in digits, without zeros before it; -1 when there is none. */
function decimalAt(text: string, from: number, end: number, maxDigits: number): number {
  const length = end - from
  if (!(length >= 1 && length <= maxDigits) || (length > 1 && text.charCodeAt(from) === 0x30)) return -1
  let value = 0
  for (let at = from; at < end; at++) value = 10 * value + text.charCodeAt(at) - 0x30
  return value
}

function octalAt(text: string, from: number, end: number): number {
  const length = end - from
  if (!(length >= 1 && length <= 4) || (length > 1 && text.charCodeAt(from) === 0x30)) return -1
  let value = 0
  for (let at = from; at < end; at++) {
    const digit = text.charCodeAt(at) - 0x30
    if (digit > 7) return -1
    value = 8 * value + digit
  }
  return value
}

/** A path inside the context: nothing in it may lead elsewhere, whoever reads it. */
function checkPath(path: string): string {
  if (path.length > maxPathBytes) throw wrong(`a path has ${path.length} bytes, at most ${maxPathBytes}`)
  if (path.startsWith('/')) throw wrong(`a path is absolute: ${shown(path)}`)
  for (const name of path.split('/')) checkName(name, path)
  return path
}

function checkName(name: string, path: string): void {
  if (name.includes('\0')) throw wrong(`a path has a zero byte in it: ${shown(path)}`)
  if (name === '') throw wrong(`a path has an empty name in it: ${shown(path)}`)
  if (name === '.' || name === '..') throw wrong(`a path has ${name} in it: ${shown(path)}`)
  if (name.length > maxNameBytes) throw wrong(`a name has ${name.length} bytes, at most ${maxNameBytes}`)
}

function checkTarget(target: string): string {
  if (target === '' || target.length > maxPathBytes || target.includes('\0')) throw wrong('a link leads to no path')
  return target
}

/** There is one way to write each name. */
function unescapeName(text: string): string {
  if (!special.test(text)) return text
  const name = text.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  if (escapeName(name) !== text) throw wrong(`a name is not written as it must be: ${shown(text)}`)
  return name
}

function count(text: string, max: number, what: () => string): number {
  const value = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : -1
  if (value < 0) throw wrong(`a number is none: ${shown(text)}`)
  if (value > max) throw wrong(`it has ${value} ${what()}, at most ${max}`)
  return value
}

function sameSizes(blobs: readonly Blob[]): void {
  const sizes = new Map<string, number>()
  for (const { digest, size } of blobs) {
    if ((sizes.get(digest) ?? size) !== size) throw wrong('one digest stands for two sizes')
    sizes.set(digest, size)
  }
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}

function wrong(why: string): MypaasError {
  return new MypaasError(`The manifest can't be accepted: ${why}.`, { code: 'context' })
}
