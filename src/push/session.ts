import type { Duplex } from 'node:stream'
import { Writable } from 'node:stream'
import { MypaasError } from '../errors.ts'
import type { Remote } from './remote.ts'
import { parseErrorReport, RemoteError } from './remote-error.ts'
import { type FrameKind, FrameReader, frames, sessionProtocol } from './session-frames.ts'

export type SessionOptions = Readonly<{
  /** Gives the command a terminal. */
  tty: boolean
  /** Of `exec`: in which one; the first that runs unless given. */
  replica?: number | undefined
  signal?: AbortSignal | undefined
}>

/**
 * Starts a command in a service over there: `exec` in a running replica, `run` in a new container of the current release.
 * @param words the command
 * @throws {RemoteError} when the server refused it
 */
export async function openSession(
  remote: Remote,
  action: 'exec' | 'run',
  service: string,
  words: readonly string[],
  options: SessionOptions,
): Promise<Session> {
  const body = JSON.stringify(words)
  const args = {
    service,
    ...(options.tty ? { tty: 'yes' } : {}),
    ...(options.replica === undefined ? {} : { replica: String(options.replica) }),
  }
  const answer = await remote.signed('/v1/call', { purpose: 'call', action, args, body }, {}, { retry: true })
  const { session, token } = (await remote.json(answer)) as { session: string; token: string }
  return new Session(
    await remote.upgrade(`/v1/sessions/${session}`, token, sessionProtocol, options.signal),
    remote.name,
  )
}

/**
 * A command that runs over there: iterate it for its output, write to its input, resize its terminal, ask for its exit
 * code at the end. Closing it ends the command.
 */
export class Session implements AsyncIterable<{ stream: 'stdout' | 'stderr'; data: Buffer }> {
  /** The command's input. Ending it is its end of file; its output goes on. */
  readonly stdin: Writable
  readonly #socket: Duplex
  readonly #name: string
  readonly #beat: NodeJS.Timeout
  #lastSign = performance.now()
  #isRead = true
  #end: End | undefined

  constructor(socket: Duplex, name: string) {
    this.#socket = socket
    this.#name = name
    socket.on('error', () => {}) // comes out of the output
    this.stdin = new Writable({
      write: (chunk: Buffer, _encoding, done) => this.#send('input', chunk, done),
      final: (done) => this.#send('endOfInput', none, done),
    })
    this.stdin.on('error', () => {})
    this.#beat = setInterval(() => {
      if (this.#isRead && performance.now() - this.#lastSign > silenceMs) {
        socket.destroy(new Error(`nothing came for ${silenceMs / 1000} s`))
      } else if (!socket.writableNeedDrain) this.#send('beat', none)
    }, beatMs)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<{ stream: 'stdout' | 'stderr'; data: Buffer }, void> {
    const reader = new FrameReader()
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        this.#lastSign = performance.now()
        for (const { kind, data } of reader.feed(chunk)) {
          if (kind === 'stdout' || kind === 'stderr') {
            // A reader that takes its time is not the server's silence.
            this.#isRead = false
            yield { stream: kind, data }
            this.#isRead = true
            this.#lastSign = performance.now()
          } else if (kind === 'end') {
            // Nothing comes after it; pipes of ssh would be held open for a while.
            this.#end = JSON.parse(data.toString()) as End
            return
          }
        }
      }
    } catch (cause) {
      if (!this.#end) throw this.#broken(cause)
    } finally {
      this.close()
    }
  }

  end(): Promise<void> {
    return new Promise((resolve) => this.stdin.end(() => resolve()))
  }

  async resize(size: { rows: number; columns: number }): Promise<void> {
    this.#send('size', Buffer.from(JSON.stringify(size)))
  }

  /** When the output has ended. @throws {RemoteError} when the server could not see the command to its end */
  async exitCode(): Promise<number> {
    if (!this.#end) throw this.#broken()
    if (this.#end.ok === true && typeof this.#end.exitCode === 'number') return this.#end.exitCode
    throw new RemoteError(parseErrorReport(this.#end.error))
  }

  close(): void {
    clearInterval(this.#beat)
    this.#socket.destroy()
  }

  #send(kind: FrameKind, data: Uint8Array, done: (error?: Error | null) => void = () => {}): void {
    for (const part of frames(kind, data)) this.#socket.write(part)
    this.#socket.write(none, (error) => done(error ?? null))
  }

  #broken(cause?: unknown): MypaasError {
    return new MypaasError(`The line to ${this.#name} broke; the command was ended there.`, {
      code: 'unreachable',
      cause,
    })
  }
}

type End = { ok?: unknown; exitCode?: unknown; error?: unknown }

const none = Buffer.alloc(0)
const beatMs = 10_000
const silenceMs = 60_000
