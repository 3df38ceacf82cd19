import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { MypaasError } from '../errors.ts'
import { type EntryTable, isNotAscii, pathOf, typeOf } from './entries.ts'
import {
  directoryType,
  fileType,
  type HeaderFields,
  hardLinkType,
  headerSize,
  paddedSize,
  symlinkType,
  writeHeader,
} from './header.ts'

/** A table with the place of each entry in the archive: any part of the archive can be made by itself, in any order. */
export type TarPlan = Readonly<{
  /** An absolute path. */
  root: string
  table: EntryTable
  /** Where each entry's header begins, and at last where the entries end. All are multiples of 512. */
  starts: Float64Array
}>

export function planTar(root: string, table: EntryTable): TarPlan {
  const starts = new Float64Array(new SharedArrayBuffer(8 * (table.count + 1)))
  const fields = emptyFields(table)
  let at = 0
  for (let index = 0; index < table.count; index++) {
    starts[index] = at
    at += headerSize(readFields(fields, table, index)) + paddedSize(fields.size)
  }
  starts[table.count] = at
  return { root, table, starts }
}

/** Bytes of the entries, without the trailer. */
export function plannedSize(plan: TarPlan): number {
  return plan.starts[plan.table.count] as number
}

/**
 * Fills the target with the archive's bytes from `from` on, `length` of them. It works without returning to the event loop.
 * @param target has {@link spareRoom} more bytes than `length`, which are overwritten
 * @throws {MypaasError} `context` when a file is not what the table says: it is gone, shorter, longer, or written to
 */
export function fillTar(plan: TarPlan, from: number, target: Buffer, length: number): void {
  const { table, starts } = plan
  const fields = emptyFields(table)
  let index = entryAt(starts, table.count, from)
  let filled = 0
  while (filled < length) {
    const start = starts[index] as number
    const end = starts[index + 1] as number
    const skip = from + filled - start
    const { size } = readFields(fields, table, index)
    const header = end - start - paddedSize(size)
    if (skip === 0 && filled + header <= length) {
      filled = writeHeader(target, filled, fields)
    } else if (skip < header) {
      const whole = Buffer.alloc(header)
      writeHeader(whole, 0, fields)
      filled += whole.copy(target, filled, skip, Math.min(header, skip + length - filled))
    }
    const done = Math.max(0, skip - header)
    if (size > done && filled < length) filled += readFile(plan, index, fields, done, target, filled, length)
    // What is left of the entry then is padding: less than a block.
    if (filled < length && filled < end - from) {
      target.fill(0, filled, end - from)
      filled = end - from
    }
    index += 1
  }
}

/** Room for the byte that shows that a file has grown. */
export const spareRoom = 1

/** The entry that the byte belongs to. */
function entryAt(starts: Float64Array, count: number, at: number): number {
  let low = 0
  let high = count
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((starts[middle] as number) <= at) low = middle
    else high = middle
  }
  return low
}

function emptyFields(table: EntryTable): HeaderFields {
  const text = Buffer.from(table.text.buffer, table.text.byteOffset, table.text.byteLength)
  return { text, start: 0, middle: 0, end: 0, typeFlag: fileType, mode: 0, size: 0, mtimeSeconds: 0 }
}

function readFields(fields: HeaderFields, table: EntryTable, index: number): HeaderFields {
  const mode = table.modes[index] as number
  const type = typeOf(mode)
  fields.start = index === 0 ? 0 : (table.ends[2 * index - 1] as number)
  fields.middle = table.ends[2 * index] as number
  fields.end = table.ends[2 * index + 1] as number
  const leaf = fields.end > fields.middle ? hardLinkType : fileType
  fields.typeFlag = type === 'file' ? leaf : type === 'directory' ? directoryType : symlinkType
  fields.mode = mode & 0o7777
  fields.size = table.sizes[index] as number
  fields.mtimeSeconds = Math.floor((table.mtimesMs[index] as number) / 1000)
  return fields
}

/**
 * @param offset where in the file to begin
 * @param at where in the target
 * @returns how many bytes it has read: to the file's end or the target's limit
 */
function readFile(
  plan: TarPlan,
  index: number,
  fields: HeaderFields,
  offset: number,
  target: Buffer,
  at: number,
  limit: number,
): number {
  const { size } = fields
  const wanted = Math.min(size - offset, limit - at)
  const isLast = offset + wanted === size
  const file = openFile(plan, index, fields)
  try {
    if (wanted < size) assertSame(plan, index, file)
    let got = 0
    while (got < wanted) {
      const read = readSync(
        file,
        target,
        at + got,
        wanted - got + (isLast ? spareRoom : 0),
        offset === 0 ? null : offset + got,
      )
      if (read === 0) throw changed(plan, index, `it had ${size} bytes and now has fewer`)
      got += read
    }
    if (got > wanted) throw changed(plan, index, `it had ${size} bytes and now has more`)
    return wanted
  } finally {
    closeSync(file)
  }
}

/** A link that has taken the file's place is not followed, a pipe does not hold us up. */
const openFlags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

function openFile(plan: TarPlan, index: number, { text, start, middle }: HeaderFields): number {
  const isAscii = ((plan.table.flags[index] as number) & isNotAscii) === 0
  try {
    if (isAscii) return openSync(`${plan.root}/${text.toString('latin1', start, middle)}`, openFlags)
    return openSync(Buffer.concat([Buffer.from(`${plan.root}/`), text.subarray(start, middle)]), openFlags)
  } catch (error) {
    throw unreadable(plan, index, error)
  }
}

/** A file that takes more than one part to read could be another one by the second. */
function assertSame(plan: TarPlan, index: number, file: number): void {
  const { size, mtimeMs } = fstatSync(file)
  if (size !== plan.table.sizes[index]) {
    throw changed(plan, index, `it had ${plan.table.sizes[index]} bytes and now has ${size}`)
  }
  if (mtimeMs !== plan.table.mtimesMs[index]) throw changed(plan, index, 'it was written to')
}

function changed(plan: TarPlan, index: number, how: string): MypaasError {
  return new MypaasError(`${pathOf(plan.table, index)} changed while it was packed: ${how}.`, {
    code: 'context',
    hint: 'Try again when nothing writes to it, or list it in .dockerignore.',
  })
}

function unreadable(plan: TarPlan, index: number, cause: unknown): MypaasError {
  const path = pathOf(plan.table, index).toString()
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'ENOENT') return changed(plan, index, 'it is gone')
  if (code === 'ELOOP' || code === 'ENXIO') return changed(plan, index, 'it is no longer a file')
  return new MypaasError(`Can't read ${path} (${code ?? cause}).`, {
    code: 'context',
    hint: 'Make it readable, or list it in .dockerignore.',
    cause,
  })
}
