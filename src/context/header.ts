/**
 * Writes the blocks that stand before an entry's bytes in a tar archive: a `ustar` header of 512 bytes and, where that has
 * no room for a name, a size or a time, a PAX header of two or more blocks before it. Owner 0:0 without names, no times but
 * the modification time in whole seconds: the same entry gives the same bytes.
 * @returns where the entry's bytes begin
 * @see https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13
 */
export function writeHeader(target: Buffer, at: number, entry: HeaderFields): number {
  const extended = needsExtension(entry) ? extensionOf(entry) : undefined
  if (extended === undefined) return writeBlock(target, at, entry, entry.typeFlag, entry.size)
  const name = Buffer.from('PaxHeader')
  const fields = { text: name, start: 0, middle: name.length, end: name.length, mode: 0o644, mtimeSeconds: 0 }
  const start = writeBlock(target, at, { ...fields, typeFlag: extensionType, size: 0 }, extensionType, extended.length)
  const end = start + paddedSize(extended.length)
  target.fill(0, start + extended.length, end)
  extended.copy(target, start)
  return writeBlock(target, end, entry, entry.typeFlag, entry.size)
}

/** The path is `text` from `start` to `middle`, without `/` at the end; the link target goes on to `end`. */
export type HeaderFields = {
  text: Buffer
  start: number
  middle: number
  end: number
  typeFlag: number
  /** Permission bits. */
  mode: number
  size: number
  mtimeSeconds: number
}

const blockSize = 512
export const fileType = 0x30
export const hardLinkType = 0x31
export const symlinkType = 0x32
export const directoryType = 0x35
const extensionType = 0x78

/** What {@link writeHeader} will write, in bytes. */
export function headerSize(entry: HeaderFields): number {
  return needsExtension(entry) ? 2 * blockSize + paddedSize(extensionOf(entry).length) : blockSize
}

/** Bytes → bytes in the archive, whole blocks. */
export function paddedSize(size: number): number {
  const rest = size % blockSize
  return rest === 0 ? size : size + blockSize - rest
}

/** Two blocks of zeros end an archive. */
export const trailerSize: number = 2 * blockSize

const nameRoom = 100
const prefixRoom = 155
/** Eleven octal digits: 8 GiB, and the year 2242. */
const maxOctal = 8 ** 11 - 1

function needsExtension(entry: HeaderFields): boolean {
  const nameLength = entry.middle - entry.start + (entry.typeFlag === directoryType ? 1 : 0)
  return (
    (nameLength > nameRoom && splitPath(entry) < 0) ||
    entry.end - entry.middle > nameRoom ||
    entry.size > maxOctal ||
    entry.mtimeSeconds < 0 ||
    entry.mtimeSeconds > maxOctal
  )
}

/** Where a long path can be cut at a `/` into prefix and name, or -1. */
function splitPath({ text, start, middle, typeFlag }: HeaderFields): number {
  const end = middle + (typeFlag === directoryType ? 1 : 0)
  const last = Math.min(start + prefixRoom, middle - 2)
  for (let at = Math.max(start + 1, end - nameRoom - 1); at <= last; at++) if (text[at] === slash) return at
  return -1
}

function extensionOf(entry: HeaderFields): Buffer {
  const path = Buffer.from(entry.text.subarray(entry.start, entry.middle))
  const records: Buffer[] = []
  const directory = entry.typeFlag === directoryType
  if (path.length + (directory ? 1 : 0) > nameRoom && splitPath(entry) < 0) {
    records.push(record('path', directory ? Buffer.concat([path, Buffer.from('/')]) : path))
  }
  const linkLength = entry.end - entry.middle
  if (linkLength > nameRoom) records.push(record('linkpath', Buffer.from(entry.text.subarray(entry.middle, entry.end))))
  if (entry.size > maxOctal) records.push(record('size', Buffer.from(String(entry.size))))
  const { mtimeSeconds } = entry
  if (mtimeSeconds < 0 || mtimeSeconds > maxOctal) records.push(record('mtime', Buffer.from(String(mtimeSeconds))))
  return Buffer.concat(records)
}

/** `LENGTH key=value\n`, where the length counts itself too. */
function record(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')])
  let length = rest.length + String(rest.length).length
  length = rest.length + String(length).length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

function writeBlock(target: Buffer, at: number, entry: HeaderFields, typeFlag: number, size: number): number {
  target.set(template, at)
  let sum = templateSum + typeFlag
  const { text, start, middle, end } = entry
  const slashed = typeFlag === directoryType ? 1 : 0
  let nameStart = start
  if (middle - start + slashed > nameRoom) {
    const split = splitPath(entry)
    if (split >= 0) {
      sum += copyText(target, at + prefixField, text, start, split)
      nameStart = split + 1
    }
  }
  // A name that a PAX header gives in full is cut here, for readers that don't know PAX.
  const nameEnd = Math.min(middle, nameStart + nameRoom - slashed)
  sum += copyText(target, at, text, nameStart, nameEnd)
  if (slashed) {
    target[at + nameEnd - nameStart] = slash
    sum += slash
  }
  if (end > middle) sum += copyText(target, at + linkField, text, middle, Math.min(end, middle + nameRoom))
  sum += writeOctal(target, at + modeField, entry.mode, 7)
  sum += writeOctal(target, at + sizeField, size > maxOctal ? 0 : size, 11)
  sum += writeOctal(target, at + mtimeField, Math.min(Math.max(entry.mtimeSeconds, 0), maxOctal), 11)
  target[at + typeField] = typeFlag
  writeOctal(target, at + checksumField, sum, 6)
  return at + blockSize
}

const modeField = 100
const sizeField = 124
const mtimeField = 136
const checksumField = 148
const typeField = 156
const linkField = 157
const prefixField = 345

/** What is the same in every header: owner 0:0, magic, no device. The checksum counts its own field as blanks. */
const template = Buffer.alloc(blockSize)
template.write('0000000\0'.repeat(2), modeField + 8, 'latin1')
template.write('ustar\x0000', linkField + nameRoom, 'latin1')
template.write('0000000\0'.repeat(2), 329, 'latin1')
const templateSum = template.reduce((sum, byte) => sum + byte, 8 * 0x20)
template[checksumField + 7] = 0x20

function copyText(target: Uint8Array, at: number, text: Uint8Array, start: number, end: number): number {
  let sum = 0
  for (let from = start; from < end; from++) {
    const byte = text[from] as number
    target[at + from - start] = byte
    sum += byte
  }
  return sum
}

/** @returns the sum of the bytes written */
function writeOctal(target: Uint8Array, at: number, value: number, digits: number): number {
  let sum = 0
  // Bit operations see 32 bits only.
  let rest = value % 2 ** 30
  const high = (value - rest) / 2 ** 30
  for (let digit = digits - 1; digit >= 0; digit--) {
    if (digit === digits - 11) rest = high
    const byte = 0x30 + (rest & 7)
    rest >>= 3
    target[at + digit] = byte
    sum += byte
  }
  return sum
}

const slash = 0x2f
