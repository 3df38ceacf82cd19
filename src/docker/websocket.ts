import type { Call, Engine, Hijacked } from './engine.ts'
import { ProtocolError } from './errors.ts'

/** A WebSocket to a container: iterate it for its output, write to its input. Closing it does not stop the container. */
export class WebSocketStream implements AsyncIterable<Buffer> {
  readonly #hijacked: Hijacked

  private constructor(hijacked: Hijacked) {
    this.#hijacked = hijacked
  }

  static async open(engine: Engine, call: Omit<Call, 'method'>): Promise<WebSocketStream> {
    const { createHash, randomBytes } = await import('node:crypto')
    const key = randomBytes(16).toString('base64')
    const headers = { Origin: 'http://docker', 'Sec-WebSocket-Key': key, 'Sec-WebSocket-Version': '13' }
    const hijacked = await engine.hijack({ method: 'GET', ...call, headers, upgrade: 'websocket' })
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
    if (hijacked.headers['sec-websocket-accept'] === accept) return new WebSocketStream(hijacked)
    hijacked.deadline.done()
    hijacked.socket.destroy()
    throw new ProtocolError(`${call.path}: the engine did not accept the WebSocket.`)
  }

  /** Writes to the container's input; done when it has been handed over. */
  write(data: string | Uint8Array): Promise<void> {
    return this.#send(opcode.binary, Buffer.from(data))
  }

  /** Says goodbye and lets go; the container goes on. */
  async close(): Promise<void> {
    const { socket, deadline } = this.#hijacked
    deadline.done()
    if (!socket.destroyed) await this.#send(opcode.close, Buffer.from([0x03, 0xe8])).catch(() => {})
    socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void> {
    const { socket, rest, deadline } = this.#hijacked
    let failure: Error | undefined
    deadline.guard({
      abort: (error) => {
        failure = error
        socket.destroy(error)
      },
      waits: () => true,
    })
    const frames = new FrameReader()
    try {
      yield* await this.#answer(frames.feed(rest))
      if (frames.closed) return
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        deadline.touch()
        yield* await this.#answer(frames.feed(chunk))
        if (frames.closed) return
      }
      throw new ProtocolError('The WebSocket broke off.')
    } catch (error) {
      throw failure ?? error
    } finally {
      await this.close()
    }
  }

  async #answer(frames: Frame[]): Promise<Buffer[]> {
    const data: Buffer[] = []
    for (const frame of frames) {
      if (frame.opcode === opcode.ping) await this.#send(opcode.pong, frame.data)
      else if (frame.opcode <= opcode.binary) data.push(frame.data)
    }
    return data
  }

  #send(code: number, data: Buffer): Promise<void> {
    // Masks are against caches of proxies in browsers' ways; there are none here, so any four bytes do.
    const mask = Buffer.from(Array.from({ length: 4 }, () => Math.floor(Math.random() * 256)))
    const masked = Buffer.from(data.map((byte, i) => byte ^ (mask[i % 4] ?? 0)))
    return new Promise((resolve, reject) => {
      const { socket } = this.#hijacked
      socket.write(Buffer.concat([frameHeader(code, data.length), mask, masked]), (error) =>
        error ? reject(error) : resolve(),
      )
    })
  }
}

type Frame = { opcode: number; data: Buffer }

const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
const maxFrameBytes = 64 * 1024 * 1024

function frameHeader(code: number, length: number): Buffer {
  const fin = 0x80 | code
  if (length < 126) return Buffer.from([fin, 0x80 | length])
  if (length < 65536) return Buffer.from([fin, 0x80 | 126, length >> 8, length & 255])
  const header = Buffer.alloc(10)
  header[0] = fin
  header[1] = 0x80 | 127
  header.writeBigUInt64BE(BigInt(length), 2)
  return header
}

/** Cuts the frames out of what the server sends (RFC 6455; its frames are not masked). */
class FrameReader {
  #bytes: Buffer = Buffer.alloc(0)
  closed = false

  feed(chunk: Buffer): Frame[] {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    const frames: Frame[] = []
    for (let frame = this.#take(); frame; frame = this.#take()) {
      if (frame.opcode === opcode.close) this.closed = true
      frames.push(frame)
    }
    return frames
  }

  #take(): Frame | undefined {
    const bytes = this.#bytes
    if (bytes.length < 2) return undefined
    const short = (bytes[1] ?? 0) & 127
    const start = short === 126 ? 4 : short === 127 ? 10 : 2
    if (bytes.length < start) return undefined
    const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
    if (length > maxFrameBytes || ((bytes[1] ?? 0) & 128) !== 0)
      throw new ProtocolError('The WebSocket sent a broken frame.')
    if (bytes.length < start + length) return undefined
    this.#bytes = bytes.subarray(start + length)
    return { opcode: (bytes[0] ?? 0) & 15, data: bytes.subarray(start, start + length) }
  }
}
