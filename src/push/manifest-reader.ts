import type { ContextEntry } from '../context/index.ts'
import { MypaasError } from '../errors.ts'
import {
  type Blob,
  blank,
  chunkSize,
  digestLength,
  escapeName,
  isSpecial,
  latin1,
  type PushLimits,
  special,
  title,
} from './manifest.ts'

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
    return { size: count(match[1] as string, chunkSize, () => 'bytes in a segment'), digest: match[2] as string }
  })
  sameSizes(segments)
  return { dockerfile: Buffer.from(dockerfile, 'latin1').toString(), entries, bytes: total, segments }
}

const maxPathBytes = 4096
const maxNameBytes = 255

/** An entry of a manifest that was read; paths are bytes, one character each. */
export type ManifestEntry = Readonly<{
  path: string
  type: ContextEntry['type']
  mode: number
  mtimeSeconds: number
  size: number
  /** Of a symlink; of a hard link the path of the file that it is. */
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
    const isHardLink = type === 'S'
    const isLink = type === 'L' || type === 'l' || isHardLink
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
      type: isFile || isHardLink ? 'file' : isLink ? 'symlink' : 'directory',
      mode: Number.parseInt(mode, 8),
      mtimeSeconds: Number(seconds),
      size,
      linkTarget: isLink ? this.#target(unescapeName(words[3] as string), path, isHardLink) : '',
      ignored: type === 'f' || type === 'l',
      blobs: isFile ? this.#blobsOf(words[4] as string, size, path) : [],
    })
  }

  #noted(entry: ManifestEntry): ManifestEntry {
    if (entry.type === 'file' && entry.linkTarget === '' && entry.path === this.#dockerfile) this.dockerfile = entry
    return entry
  }

  /** A hard link is that of a file that was read already, and that the builder gets. */
  #target(target: string, path: string, isHardLink: boolean): string {
    checkTarget(target)
    if (!isHardLink) return target
    const file = this.#entryOf(target)
    if (file?.type !== 'file' || file.linkTarget !== '' || file.ignored)
      throw wrong(`${shown(path)} is a hard link of ${shown(target)}, which is no file above it`)
    return target
  }

  /** The entries stand in their order. */
  #entryOf(path: string): ManifestEntry | undefined {
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.entries[middle]?.path ?? '') < path) low = middle + 1
      else high = middle
    }
    return this.entries[low]?.path === path ? this.entries[low] : undefined
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
