import { ProtocolError } from './errors.ts'

/** One or more frames of a container's output, in the order in which they were written. */
export type OutputChunk = { stream: 'stdout' | 'stderr'; data: Buffer }

/**
 * Takes apart what the engine sends for a container without a terminal: frames of an 8-byte header (stream, length) and
 * the bytes. Neighbouring frames of one stream come as one chunk, a part of the fed buffer (which it moves them together
 * in, and so owns); nothing is copied out.
 * @see https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
 */
export class Demux {
  readonly #header: Buffer = Buffer.alloc(8)
  #headerBytes = 0
  #stream = 1
  #left = 0
  #systemError: Buffer[] = []

  /** @throws {ProtocolError} for a header that is none, and with the engine's words when it reports an error of its own */
  feed(chunk: Buffer): OutputChunk[] {
    const out: OutputChunk[] = []
    const length = chunk.length
    let at = 0
    let runStream = 0
    let runStart = 0
    let runEnd = 0
    while (at < length) {
      if (this.#left === 0) {
        if (this.#headerBytes === 0 && length - at >= 8) {
          this.#readHeader(chunk, at)
          at += 8
        } else {
          const take = Math.min(8 - this.#headerBytes, length - at)
          chunk.copy(this.#header, this.#headerBytes, at, at + take)
          this.#headerBytes += take
          at += take
          if (this.#headerBytes < 8) break
          this.#headerBytes = 0
          this.#readHeader(this.#header, 0)
        }
        continue
      }
      const end = this.#left < length - at ? at + this.#left : length
      this.#left -= end - at
      if (this.#stream === 3) {
        this.#systemError.push(Buffer.from(chunk.subarray(at, end)))
        if (this.#left === 0) throw systemError(this.#systemError)
      } else if (this.#stream === runStream && end - at <= moveUpTo) {
        move(chunk, runEnd, at, end)
        runEnd += end - at
      } else {
        if (runEnd > runStart) out.push({ stream: nameOf(runStream), data: chunk.subarray(runStart, runEnd) })
        runStream = this.#stream
        runStart = at
        runEnd = end
      }
      at = end
    }
    if (runEnd > runStart) out.push({ stream: nameOf(runStream), data: chunk.subarray(runStart, runEnd) })
    return out
  }

  /** To be called at the end. @throws {ProtocolError} when it is in the middle of a frame */
  end(): void {
    if (this.#systemError.length > 0) throw systemError(this.#systemError)
    if (this.#left > 0 || this.#headerBytes > 0) {
      throw new ProtocolError('The output broke off in the middle of a frame: some of it is missing.')
    }
  }

  #readHeader(bytes: Buffer, at: number): void {
    const stream = bytes[at] as number
    if (stream > 3 || bytes[at + 1] !== 0 || bytes[at + 2] !== 0 || bytes[at + 3] !== 0) {
      throw new ProtocolError('The output is not in frames: its container has a terminal.', {
        hint: 'Say so: { tty: true }.',
      })
    }
    this.#stream = stream
    this.#left = bytes.readUInt32BE(at + 4)
  }
}

const moveUpTo = 4096

function move(bytes: Buffer, to: number, from: number, end: number): void {
  bytes.copyWithin(to, from, end)
}

function nameOf(stream: number): 'stdout' | 'stderr' {
  return stream === 2 ? 'stderr' : 'stdout'
}

function systemError(parts: Buffer[]): ProtocolError {
  return new ProtocolError(`The engine broke off the output: ${Buffer.concat(parts).toString().trim()}`)
}
