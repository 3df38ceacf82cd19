import { promisify } from 'node:util'
import { brotliCompress, brotliDecompress, constants } from 'node:zlib'
import { MypaasError } from '../errors.ts'
import { type Blob, chunkSize } from './manifest.ts'

/**
 * Blobs on their way: frames, each of some blobs in one piece, as they are or compressed.
 * ```
 * 'M' u8 · codec u8 (0 as it is, 1 brotli) · count u16 · raw length u32 · length u32 · count × index u32 · bytes
 * ```
 * An index is a blob's place in the list that both sides have. Quality 1 of brotli is as small as gzip's 1 and twice as
 * fast (402 against 205 MB/s on JavaScript, 278 against 122 on a program; 0.21 and 0.40 of the size).
 */
export type Frame = Readonly<{ indexes: readonly number[]; data: Buffer }>

const headerSize = 12
const magic = 0x4d
/** A frame is full with that many bytes; one blob always fits. */
const frameSize: number = chunkSize
const maxFrameBlobs = 4096
const maxRaw = 2 * chunkSize

const compress = promisify(brotliCompress)
const decompress = promisify(brotliDecompress)

/** Groups blobs into frames' worth. */
export function* groupBlobs(indexes: readonly number[], blobs: readonly Blob[]): Generator<number[], void> {
  let group: number[] = []
  let bytes = 0
  for (const index of indexes) {
    const { size } = blobs[index] as Blob
    if (group.length > 0 && (bytes + size > frameSize || group.length >= maxFrameBlobs)) {
      yield group
      group = []
      bytes = 0
    }
    group.push(index)
    bytes += size
  }
  if (group.length > 0) yield group
}

/** @param squeeze compress it, if that makes it smaller */
export async function encodeFrame({ indexes, data }: Frame, squeeze: boolean): Promise<Buffer[]> {
  const squeezed = squeeze
    ? await compress(data, {
        params: { [constants.BROTLI_PARAM_QUALITY]: 1, [constants.BROTLI_PARAM_SIZE_HINT]: data.length },
      })
    : data
  const codec = squeezed.length < data.length ? 1 : 0
  const body = codec === 1 ? squeezed : data
  const head = Buffer.allocUnsafe(headerSize + 4 * indexes.length)
  head.writeUInt8(magic, 0)
  head.writeUInt8(codec, 1)
  head.writeUInt16BE(indexes.length, 2)
  head.writeUInt32BE(data.length, 4)
  head.writeUInt32BE(body.length, 8)
  for (const [at, index] of indexes.entries()) head.writeUInt32BE(index, headerSize + 4 * at)
  return [head, body]
}

/**
 * Reads frames from a body that comes from outside, one at a time. Memory is that of two frames, used by turns: a frame's
 * bytes are good until the one after the next is asked for.
 * @throws {MypaasError} `context` when a frame is none, too large, not what the list says, or cut off
 */
export async function* readFrames(
  body: AsyncIterable<Uint8Array>,
  blobs: readonly Blob[],
): AsyncGenerator<Frame, void> {
  const input = new Input(body)
  const rooms: Buffer[] = []
  for (let turn = 0; ; turn = 1 - turn) {
    const head = await input.take(headerSize)
    if (head === undefined) return
    const count = head.readUInt16BE(2)
    const rawLength = head.readUInt32BE(4)
    const length = head.readUInt32BE(8)
    const codec = head.readUInt8(1)
    if (head.readUInt8(0) !== magic || codec > 1) throw wrong('this is no frame')
    if (count === 0 || count > maxFrameBlobs) throw wrong(`a frame has ${count} blobs, at most ${maxFrameBlobs}`)
    if (rawLength > maxRaw) throw wrong(`a frame has ${rawLength} bytes, at most ${maxRaw}`)
    if (codec === 0 ? length !== rawLength : length >= rawLength) throw wrong('the lengths of a frame do not fit')
    const list = await input.take(4 * count)
    if (list === undefined) throw wrong('a frame is cut off')
    const indexes: number[] = []
    let total = 0
    for (let at = 0; at < count; at++) {
      const index = list.readUInt32BE(4 * at)
      const blob = blobs[index]
      if (blob === undefined) throw wrong('a frame has a blob that nobody asked for')
      indexes.push(index)
      total += blob.size
    }
    if (total !== rawLength) throw wrong('the blobs of a frame have another size than the manifest says')
    let room = rooms[turn]
    if (room === undefined || room.length < length) {
      room = Buffer.allocUnsafeSlow(Math.max(length, Math.min(2 * (room?.length ?? 0), maxRaw)))
      rooms[turn] = room
    }
    const bytes = room.subarray(0, length)
    await input.fill(bytes)
    yield { indexes, data: codec === 0 ? bytes : await expand(bytes, rawLength) }
  }
}

/** Never more than what the manifest says, whatever the bytes would become. */
async function expand(bytes: Buffer, rawLength: number): Promise<Buffer> {
  let data: Buffer
  try {
    data = await decompress(bytes, { maxOutputLength: Math.max(1, rawLength) })
  } catch {
    throw wrong('a frame does not decompress to what it says')
  }
  if (data.length !== rawLength) throw wrong('a frame does not decompress to what it says')
  return data
}

/** Takes pieces of known length from a stream. */
class Input {
  readonly #iterator: AsyncIterator<Uint8Array>
  #parts: Uint8Array[] = []
  #length = 0

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#iterator = body[Symbol.asyncIterator]()
  }

  /** `undefined` at the end, if nothing of the piece has come. */
  async take(length: number): Promise<Buffer | undefined> {
    while (this.#length < length) {
      const { value, done } = await this.#iterator.next()
      if (done) {
        if (this.#length === 0) return undefined
        throw wrong('a frame is cut off')
      }
      this.#parts.push(value)
      this.#length += value.length
    }
    const [first] = this.#parts
    if (first && first.length > length) {
      this.#parts[0] = first.subarray(length)
      this.#length -= length
      return Buffer.from(first.buffer, first.byteOffset, length)
    }
    const all = this.#parts.length === 1 ? Buffer.from(first as Uint8Array) : Buffer.concat(this.#parts)
    this.#parts = all.length > length ? [all.subarray(length)] : []
    this.#length = all.length - length
    return all.subarray(0, length)
  }

  /** Takes as much as the target has room for. */
  async fill(target: Buffer): Promise<void> {
    for (let filled = 0; filled < target.length; ) {
      let first = this.#parts.shift()
      if (first === undefined) {
        const { value, done } = await this.#iterator.next()
        if (done) throw wrong('a frame is cut off')
        first = value
        this.#length += value.length
      }
      const piece = first.subarray(0, target.length - filled)
      target.set(piece, filled)
      filled += piece.length
      this.#length -= piece.length
      if (piece.length < first.length) this.#parts.unshift(first.subarray(piece.length))
    }
  }
}

function wrong(why: string): MypaasError {
  return new MypaasError(`The pack can't be accepted: ${why}.`, { code: 'context' })
}
