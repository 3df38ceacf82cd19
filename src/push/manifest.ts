import { hash } from 'node:crypto'
import { type EntryTable, isIgnored, typeOf } from '../context/index.ts'

/**
 * The list of a context's files with digests, as it travels and is signed.
 *
 * One line per entry, sorted by the bytes of the paths: type, mode in octal, time in seconds, then what the type has.
 * Text is bytes, one character each (`latin1`); blanks, control characters and `%` in names are `%XX`.
 * ```
 * D 755 1700000000 src
 * F 644 1700000000 1234 DIGEST src/a.js      more than one chunk: DIGEST,DIGEST,…; empty: -
 * L 777 1700000000 ../a src/link             where it leads, then its path
 * S 644 1700000000 src/a.js src/b.js         a hard link: the same file as one above, then its path
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

const maxSegmentLines = 2000
/** Of a digest in hex. */
export const digestLength: number = 64
export const blank: number = 0x20
/** The first line of an index. */
export const title = 'mypaas manifest 1'

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
    if (lines.end - from > chunkSize) cut(start)
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
    const isHardLink = type === 'file' && end > middle
    const letter = isHardLink ? 0x53 : type === 'file' ? 0x46 : type === 'directory' ? 0x44 : 0x4c
    // The small letters are 32 behind the large ones.
    this.#byte(letter + ((flags[index] as number) & isIgnored ? 32 : 0))
    this.#number((modes[index] as number) & 0o7777, 8)
    this.#number(Math.floor((mtimesMs[index] as number) / 1000), 10)
    if (type === 'file' && !isHardLink) {
      this.#number(sizes[index] as number, 10)
      this.#byte(blank)
      this.#digests(index)
    } else if (type !== 'directory') {
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

/** Text as the manifest has it: a character for each byte. */
export function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** What a name can't have as it is. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is for
export const special: RegExp = /[\x00-\x20%\x7f]/

export function isSpecial(code: number): boolean {
  return code <= 0x20 || code === 0x25 || code === 0x7f
}

/** There is one way to write each name. */
export function escapeName(name: string): string {
  if (!special.test(name)) return name
  return name.replace(
    new RegExp(special, 'g'),
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}
