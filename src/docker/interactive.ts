import { Writable } from 'node:stream'
import { Demux, type OutputChunk } from './demux.ts'
import type { Hijacked } from './engine.ts'

/**
 * A running process that one can talk to: iterate it for its output, write to its input, end that, resize its terminal,
 * ask for its exit code. Closing it does not stop the process.
 */
export class InteractiveStream implements AsyncIterableIterator<OutputChunk> {
  /** The process's input. Ending it is the process's end of file; its output goes on. */
  readonly stdin: Writable
  readonly #hijacked: Hijacked
  readonly #demux: Demux | undefined
  readonly #ready: OutputChunk[] = []
  readonly #actions: InteractiveActions
  #firstOutput: Buffer | undefined
  #waiting = false
  #ended = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  constructor(hijacked: Hijacked, options: { tty: boolean } & InteractiveActions) {
    this.#hijacked = hijacked
    this.#actions = options
    this.#demux = options.tty ? undefined : new Demux()
    const { socket, rest, deadline } = hijacked
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('end', () => {
      this.#end()
      // Nobody is there any more who would read.
      socket.end()
    })
    socket.on('error', (error) => this.#end(error))
    socket.on('close', () => this.#end())
    deadline.guard({ abort: (error) => this.#fail(error), waits: () => this.#waiting })
    this.stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, (error) => done(error ?? null)),
      final: (done) => void socket.end(() => done()),
    })
    // What breaks the connection comes out of the output; a writer that wants to know listens for itself.
    this.stdin.on('error', () => {})
    socket.ref?.()
    if (rest.length > 0) this.#take(rest)
    socket.resume()
  }

  /** Writes to the process's input; done when it has been handed over. */
  write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => this.stdin.write(data, (error) => (error ? reject(error) : resolve())))
  }

  /** Ends the process's input: `cat | sort` sees the end of its file, and its output still comes. */
  end(): Promise<void> {
    return new Promise((resolve) => this.stdin.end(() => resolve()))
  }

  /** Gives the process's terminal a new size. */
  resize(size: { rows: number; columns: number }): Promise<void> {
    return this.#actions.resize(size)
  }

  /** Waits for the process's end. A container must have been started when this is asked. */
  exitCode(): Promise<number> {
    return this.#actions.exitCode(this.#firstOutput?.toString() ?? '')
  }

  async next(): Promise<IteratorResult<OutputChunk, undefined>> {
    for (;;) {
      const chunk = this.#ready.shift()
      if (chunk) return { value: chunk, done: false }
      if (this.#error) throw this.#error
      if (this.#ended) return { value: undefined, done: true }
      this.#waiting = true
      this.#hijacked.deadline.touch()
      this.#hijacked.socket.resume()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#waiting = false
    }
  }

  async return(): Promise<IteratorResult<OutputChunk, undefined>> {
    this.close()
    return { value: undefined, done: true }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Lets go of the stream; the process goes on. */
  close(): void {
    this.#ready.length = 0
    this.#end()
    this.#hijacked.socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  #take(chunk: Buffer): void {
    if (this.#ended) return
    this.#hijacked.deadline.touch()
    try {
      if (this.#demux) this.#ready.push(...this.#demux.feed(chunk))
      else this.#ready.push({ stream: 'stdout', data: chunk })
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    this.#firstOutput ??= this.#ready[0]?.data.subarray(0, 1024)
    if (!this.#waiting) this.#hijacked.socket.pause()
    this.#wake?.()
  }

  #fail(error: Error): void {
    this.#end(error)
    this.#hijacked.socket.destroy()
  }

  #end(error?: Error): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    try {
      this.#demux?.end()
    } catch (broken) {
      this.#error ??= broken as Error
    }
    this.#hijacked.deadline.done()
    this.#wake?.()
  }
}

export type InteractiveActions = {
  resize(size: { rows: number; columns: number }): Promise<void>
  /** @param firstOutput what the process wrote first, or the engine in its place */
  exitCode(firstOutput: string): Promise<number>
}
