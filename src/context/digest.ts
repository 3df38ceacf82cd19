import { hash } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { MypaasError } from '../errors.ts'
import { type EntryTable, isNotAscii, pathOf } from './entries.ts'
import { Helper, sliceMs } from './helper.ts'

/** What {@link digestFiles} found: of each file the digests of its chunks, and the bytes of the small ones. */
export type Digested = Readonly<{
  /** SHA-256 in hex, 64 characters for a chunk: of all files, one after another. */
  digests: Buffer
  /** When all of it was read, at the earliest: milliseconds since 1970. */
  begunAtMs: number
  /** The bytes of the file at that place of the list, where they were kept. */
  data: (place: number) => Buffer | undefined
}>

/**
 * Reads files of a directory and hashes them in chunks. A worker and this thread take them by turns; here in slices
 * between the turns of the event loop.
 * @param files places in the table, of files only
 * @param options.keepBytes so many bytes of files of one chunk are kept
 * @throws {MypaasError} `context` when a file can't be read, or is not what the table says
 */
export async function digestFiles(
  root: string,
  table: EntryTable,
  files: Uint32Array,
  options: {
    chunkBytes: number
    keepBytes: number
    onProgress?: ((files: number, bytes: number) => void) | undefined
    signal?: AbortSignal | undefined
  },
): Promise<Digested> {
  const { signal } = options
  const job = digestJob(root, table, files, options)
  const begunAtMs = Date.now()
  const isLarge = job.units.length > fewUnits || job.bytes > fewBytes
  await using helper = isLarge ? new Helper(signal) : undefined
  let isAsked = false
  let isDone = false
  while (!isDone) {
    if (!isAsked && helper?.isReady) {
      helper.send(job)
      isAsked = true
    }
    isDone = digestUnits(job, performance.now() + sliceMs)
    options.onProgress?.(...progressOf(job))
    await setImmediate()
    signal?.throwIfAborted()
  }
  if (isAsked) await helper?.next('digested')
  helper?.release()
  const { digests, data, offsets } = job
  return {
    digests: Buffer.from(digests.buffer, 0, digests.length),
    begunAtMs,
    data(place) {
      const from = offsets[place] as number
      if (from < 0) return undefined
      return Buffer.from(data.buffer, from, table.sizes[files[place] as number])
    },
  }
}

/** A worker is not worth starting for less. */
const fewUnits = 400
const fewBytes = 16 * 1024 ** 2
/** Parts of a large file that are read at a stretch. */
const unitChunks = 8

/** Files to be read and hashed, in shared memory: whoever has time takes the next units. */
export type DigestJob = Readonly<{
  kind: 'digest'
  root: string
  table: EntryTable
  chunkBytes: number
  bytes: number
  files: Uint32Array
  /** Of each unit: its place in `files`, and with which chunk it begins. */
  units: Uint32Array
  unitStarts: Uint32Array
  /** Of each file: which of all chunks its first one is. */
  starts: Uint32Array
  digests: Uint8Array
  data: Uint8Array
  /** Of each file: where its bytes are kept, or -1. */
  offsets: Float64Array
  /** One number: the units taken. */
  counters: Int32Array
}>

function digestJob(
  root: string,
  table: EntryTable,
  files: Uint32Array,
  { chunkBytes, keepBytes }: { chunkBytes: number; keepBytes: number },
): DigestJob {
  const starts = shared(Uint32Array, files.length + 1)
  const offsets = shared(Float64Array, files.length)
  let chunks = 0
  let kept = 0
  let bytes = 0
  let unitCount = 0
  for (const [place, index] of files.entries()) {
    const size = table.sizes[index] as number
    const own = Math.ceil(size / chunkBytes)
    starts[place] = chunks
    chunks += own
    bytes += size
    unitCount += Math.ceil(own / unitChunks)
    const isKept = own === 1 && kept + size <= keepBytes
    offsets[place] = isKept ? kept : -1
    if (isKept) kept += size
  }
  starts[files.length] = chunks
  const units = shared(Uint32Array, unitCount)
  const unitStarts = shared(Uint32Array, unitCount)
  let unit = 0
  for (let place = 0; place < files.length; place++) {
    const own = (starts[place + 1] as number) - (starts[place] as number)
    for (let chunk = 0; chunk < own; chunk += unitChunks) {
      units[unit] = place
      unitStarts[unit++] = chunk
    }
  }
  return {
    kind: 'digest',
    root,
    table,
    chunkBytes,
    bytes,
    files: isShared(files) ? files : copyShared(files),
    units,
    unitStarts,
    starts,
    digests: shared(Uint8Array, 64 * chunks),
    // One byte more than there should be shows whether the last file has grown.
    data: shared(Uint8Array, kept + 1),
    offsets,
    counters: shared(Int32Array, 1),
  }
}

/** So many units are taken at once. */
const batch = 16

/** @param until on the clock of `performance.now()`. @returns true when there is nothing left to take */
export function digestUnits(job: DigestJob, until: number): boolean {
  const { units, counters } = job
  const digests = Buffer.from(job.digests.buffer)
  do {
    const from = Atomics.add(counters, 0, batch)
    for (let unit = from; unit < Math.min(from + batch, units.length); unit++) digestUnit(job, unit, digests)
    if (from + batch >= units.length) return true
  } while (performance.now() <= until)
  return false
}

function progressOf({ units, files, bytes, counters }: DigestJob): [files: number, bytes: number] {
  const part = units.length === 0 ? 1 : Math.min(1, Atomics.load(counters, 0) / units.length)
  return [Math.round(files.length * part), Math.round(bytes * part)]
}

let scratch: Buffer | undefined

function digestUnit(job: DigestJob, unit: number, digests: Buffer): void {
  const { table, chunkBytes } = job
  const place = job.units[unit] as number
  const first = job.unitStarts[unit] as number
  const index = job.files[place] as number
  const size = table.sizes[index] as number
  const start = job.starts[place] as number
  const chunks = (job.starts[place + 1] as number) - start
  const offset = job.offsets[place] as number
  scratch ??= Buffer.allocUnsafeSlow(chunkBytes + 1)
  const file = openFile(job, index)
  try {
    if (chunks > 1) assertSame(job, index, file)
    for (let chunk = first; chunk < Math.min(chunks, first + unitChunks); chunk++) {
      const isLast = chunk === chunks - 1
      const want = isLast ? size - chunk * chunkBytes : chunkBytes
      let got = 0
      while (got < want) {
        const read = readSync(file, scratch, got, want - got + (isLast ? 1 : 0), chunk * chunkBytes + got)
        if (read === 0) break
        got += read
      }
      if (got !== want) throw changed(job, index)
      const bytes = scratch.subarray(0, want)
      digests.write(hash('sha256', bytes, 'hex'), 64 * (start + chunk), 'latin1')
      if (offset >= 0) job.data.set(bytes, offset)
    }
    if (chunks > 1) assertSame(job, index, file)
  } catch (error) {
    if (error instanceof MypaasError) throw error
    throw unreadable(job, index, error)
  } finally {
    closeSync(file)
  }
}

/** A link that has taken the file's place is not followed, a pipe does not hold us up. */
const openFlags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

function openFile(job: DigestJob, index: number): number {
  const { root, table } = job
  const path = pathOf(table, index)
  const isAscii = ((table.flags[index] as number) & isNotAscii) === 0
  try {
    return openSync(
      isAscii ? `${root}/${path.toString('latin1')}` : Buffer.concat([Buffer.from(`${root}/`), path]),
      openFlags,
    )
  } catch (error) {
    throw unreadable(job, index, error)
  }
}

/** A file that takes more than one read could be another one by the next. */
function assertSame(job: DigestJob, index: number, file: number): void {
  const { size, mtimeMs } = fstatSync(file)
  if (size !== job.table.sizes[index] || mtimeMs !== job.table.mtimesMs[index]) throw changed(job, index)
}

function unreadable(job: DigestJob, index: number, cause: unknown): MypaasError {
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO' || code === 'EISDIR') return changed(job, index)
  return new MypaasError(`Can't read ${pathOf(job.table, index)} (${code ?? cause}).`, {
    code: 'context',
    hint: 'Make it readable, or list it in .dockerignore.',
    cause,
  })
}

function changed({ table }: DigestJob, index: number): MypaasError {
  return fileChanged(pathOf(table, index).toString())
}

export function fileChanged(path: string): MypaasError {
  return new MypaasError(`${path} was written to during the push.`, {
    code: 'context',
    hint: 'Push again when nothing writes to it, or list it in .dockerignore.',
  })
}

function shared<T>(
  column: { readonly BYTES_PER_ELEMENT: number; new (room: SharedArrayBuffer): T },
  length: number,
): T {
  return new column(new SharedArrayBuffer(column.BYTES_PER_ELEMENT * length))
}

function isShared({ buffer }: Uint32Array): boolean {
  return buffer instanceof SharedArrayBuffer
}

function copyShared(files: Uint32Array): Uint32Array {
  const copy = shared(Uint32Array, files.length)
  copy.set(files)
  return copy
}
