import type { Deadline } from './deadline.ts'
import { ProtocolError } from './errors.ts'
import type { Head } from './http.ts'
import type { Exchange, Receiver, Wire } from './pool.ts'

/**
 * The answer to one call as it comes in: first `head`, then either all bytes at once, or one part after the other with
 * back-pressure: the connection is read only as far as the reader keeps up.
 */
export class Reply implements Receiver, AsyncIterableIterator<Buffer> {
  readonly head: Promise<Head>
  exchange: Exchange | undefined
  readonly #deadline: Deadline
  #onHeadDone!: (head: Head) => void
  #onHeadFailed!: (error: Error) => void
  #parts: Buffer[] = []
  #bytes = 0
  #limit = Number.POSITIVE_INFINITY
  #collecting = false
  #paused = false
  #ended = false
  #error: Error | undefined
  #wake: (() => void) | undefined
  #stream: UpgradedStream | undefined

  constructor(deadline: Deadline) {
    this.#deadline = deadline
    this.head = new Promise((resolve, reject) => {
      this.#onHeadDone = resolve
      this.#onHeadFailed = reject
    })
    deadline.guard({
      abort: (error) => this.exchange?.abort(error),
      waits: () => !this.#paused,
    })
  }

  /** The whole body. @param limit more bytes than that are an error, or with `cut` left away */
  async bytes(limit: number, over: 'fail' | 'cut' = 'fail'): Promise<Buffer> {
    this.#collecting = true
    this.#limit = limit
    this.#resume()
    while (!this.#ended && !this.#error && this.#bytes <= limit) await this.#more()
    if (this.#bytes > limit) {
      this.cancel()
      if (over === 'fail') throw new ProtocolError(`The answer is larger than ${limit} bytes.`)
    } else if (this.#error) throw this.#error
    const { [0]: first, length } = this.#parts
    return first && length === 1 ? first : Buffer.concat(this.#parts)
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    for (;;) {
      const part = this.#parts.shift()
      if (part) {
        this.#bytes -= part.length
        return { value: part, done: false }
      }
      if (this.#error) throw this.#error
      if (this.#ended) return { value: undefined, done: true }
      this.#resume()
      await this.#more()
    }
  }

  async return(): Promise<IteratorResult<Buffer, undefined>> {
    this.cancel()
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Stops reading. An answer that is not complete costs its connection. */
  cancel(): void {
    if (this.#ended || this.#error) return
    this.#ended = true
    this.#parts = []
    this.#deadline.done()
    this.exchange?.abort(new ProtocolError('The reader has stopped.'))
    this.#wake?.()
  }

  /** The connection itself, when the engine has switched protocols. */
  get upgraded(): UpgradedStream | undefined {
    return this.#stream
  }

  onHead(head: Head): void {
    this.#onHeadDone(head)
  }

  onBody(part: Buffer): boolean {
    if (this.#ended) return true
    this.#parts.push(part)
    this.#bytes += part.length
    const flow = this.#collecting ? true : this.#bytes < highWaterBytes
    if (!flow) this.#paused = true
    if (!this.#collecting || this.#bytes > this.#limit) this.#wake?.()
    return flow
  }

  onEnd(): void {
    this.#ended = true
    this.#deadline.done()
    this.#wake?.()
  }

  onError(error: Error): void {
    if (this.#ended) return
    this.#error = error
    this.#deadline.done()
    this.#onHeadFailed(error)
    this.#wake?.()
  }

  onUpgraded(socket: Wire, rest: Buffer): void {
    this.#stream = { socket, rest, deadline: this.#deadline }
    this.#ended = true
    this.#wake?.()
  }

  onActivity(): void {
    this.#deadline.touch()
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined
        resolve()
      }
    })
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#deadline.touch()
    this.exchange?.resume()
  }
}

/** `rest` came before everything that the socket will yield; `deadline` goes on and is the taker's to end. */
export type UpgradedStream = { socket: Wire; rest: Buffer; deadline: Deadline }

const highWaterBytes = 256 * 1024
