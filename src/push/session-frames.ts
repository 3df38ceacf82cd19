import { MypaasError } from '../errors.ts'

/** What the connection of a session is upgraded to. */
export const sessionProtocol = 'mypaas-session'

const kinds = ['input', 'endOfInput', 'size', 'beat', 'stdout', 'stderr', 'end'] as const

/** `input`, `endOfInput` and `size` go to the server, `stdout`, `stderr` and `end` come from it, `beat` goes both ways. */
export type FrameKind = (typeof kinds)[number]
export type Frame = Readonly<{ kind: FrameKind; data: Buffer }>

const headBytes = 5
const maxBytes = 256 * 1024

/** What goes over the wire for some data: a byte for the kind, four for the length, then that many; large data in parts. */
export function* frames(kind: FrameKind, data: Uint8Array): Generator<Uint8Array, void> {
  for (let at = 0; at === 0 || at < data.length; at += maxBytes) {
    const part = data.subarray(at, at + maxBytes)
    const head = Buffer.allocUnsafe(headBytes)
    head[0] = kinds.indexOf(kind)
    head.writeUInt32BE(part.length, 1)
    yield head
    if (part.length > 0) yield part
  }
}

/** Cuts frames out of a stream; holds at most one that is not whole yet. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)

  /** @throws {MypaasError} `usage` for what is no frame */
  feed(chunk: Buffer): readonly Frame[] {
    const found: Frame[] = []
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    while (bytes.length >= headBytes) {
      const kind = kinds[bytes[0] as number]
      const length = bytes.readUInt32BE(1)
      if (kind === undefined || length > maxBytes)
        throw new MypaasError('This is no session of mypaas.', { code: 'usage' })
      if (bytes.length < headBytes + length) break
      found.push({ kind, data: bytes.subarray(headBytes, headBytes + length) })
      bytes = bytes.subarray(headBytes + length)
    }
    this.#rest = bytes
    return found
  }
}
