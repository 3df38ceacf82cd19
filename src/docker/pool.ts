import type { Duplex } from 'node:stream'
import { DockerError, DockerUnavailableError, ProtocolError } from './errors.ts'
import { type Head, type ResponseHandler, ResponseReader } from './http.ts'

/**
 * The connections to one engine. A call takes an idle connection or opens a new one; afterwards it is kept for the next.
 *
 * Why not undici or node:http: a hijacked stream (attach, exec) keeps the engine's error text here, an answer that comes
 * while the upload is still running is read before the broken pipe counts, ssh's pipes work like a socket, and it is the
 * fastest of the three both per call and to load.
 */
export class ConnectionPool {
  readonly #dial: Dial
  readonly #explain: (error: Error) => Error
  readonly #quickLimit: number
  readonly #idleMs: number
  readonly #idle: Connection[] = []
  readonly #open = new Set<{ destroy(error: Error): void }>()
  readonly #waiting: Exchange[] = []
  readonly #closing = new AbortController()
  #quick = 0
  #sweeper: NodeJS.Timeout | undefined

  /**
   * @param options.quickLimit How many short calls run at once; more wait their turn. Long ones are not limited.
   * @param options.idleMs How long a connection is kept that nobody uses.
   * @param options.explain Puts what broke a connection into better words.
   */
  constructor(dial: Dial, options: PoolOptions = {}) {
    this.#dial = dial
    this.#explain = options.explain ?? ((error) => error)
    this.#quickLimit = options.quickLimit ?? 64
    this.#idleMs = options.idleMs ?? 30_000
  }

  /** Connections that exist now, idle ones included. */
  get size(): number {
    return this.#open.size
  }

  /** Sends a request; the receiver hears of the answer. Never throws: what fails goes to `receiver.onError`, later. */
  send(request: WireRequest, receiver: Receiver): Exchange {
    const exchange = new Exchange(request, receiver, () => this.#done(exchange))
    if (request.quick && this.#quick >= this.#quickLimit) this.#waiting.push(exchange)
    else this.#start(exchange)
    return exchange
  }

  /** Closes all connections. What is under way fails. */
  close(): void {
    const error = new DockerError('The Docker client was closed.', { code: 'aborted' })
    this.#closing.abort(error)
    clearInterval(this.#sweeper)
    for (const exchange of this.#waiting.splice(0)) exchange.abort(error)
    for (const connection of [...this.#open]) connection.destroy(error)
    this.#open.clear()
    this.#idle.length = 0
  }

  #start(exchange: Exchange): void {
    if (exchange.request.quick) {
      this.#quick++
      exchange.counted = true
    }
    for (let connection = this.#idle.pop(); connection; connection = this.#idle.pop()) {
      if (connection.usable) {
        connection.run(exchange)
        return
      }
    }
    void this.#startFresh(exchange)
  }

  async #startFresh(exchange: Exchange): Promise<void> {
    try {
      if (this.#closing.signal.aborted) throw this.#closing.signal.reason
      const socket = await this.#dial(this.#closing.signal)
      if (this.#closing.signal.aborted) {
        socket.destroy()
        throw this.#closing.signal.reason
      }
      const connection = new Connection(socket, {
        released: () => this.#keep(connection),
        closed: () => this.#forget(connection),
        upgraded: () => {
          this.#open.delete(connection)
          const stream = { destroy: (error: Error) => socket.destroy(error) }
          this.#open.add(stream)
          socket.once('close', () => this.#open.delete(stream))
        },
        again: (stale) => void this.#startFresh(stale),
        explain: this.#explain,
      })
      this.#open.add(connection)
      if (exchange.over) connection.release()
      else connection.run(exchange)
    } catch (error) {
      exchange.abort(error as Error)
    }
  }

  #done(exchange: Exchange): void {
    if (!exchange.counted) return
    this.#quick--
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      if (next.over) continue
      this.#start(next)
      return
    }
  }

  #keep(connection: Connection): void {
    this.#idle.push(connection)
    this.#sweeper ??= setInterval(() => this.#sweep(), Math.max(50, this.#idleMs / 4)).unref()
  }

  #forget(connection: Connection): void {
    this.#open.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
  }

  #sweep(): void {
    const before = performance.now() - this.#idleMs
    for (const connection of [...this.#idle]) if (connection.idleSince < before) connection.destroy()
    if (this.#idle.length > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}

export type PoolOptions = { quickLimit?: number; idleMs?: number; explain?: (error: Error) => Error }

/** Opens one byte stream to the engine. @throws {DockerUnavailableError} */
export type Dial = (signal: AbortSignal) => Promise<Wire>

/** A socket, a TLS socket, or the pipes of an ssh process. `unref`: does not keep the process alive. */
export type Wire = Duplex & { ref?(): unknown; unref?(): unknown }

export type WireRequest = {
  method: string
  /** Path and query as they go over the wire. */
  target: string
  /** Lines such as `Content-Type: application/json\r\n`; Host, length and encoding are added. */
  headers: string
  /** A stream's buffers are read before the next one is pulled, so the source may use one buffer again. */
  body: Buffer | AsyncIterable<Uint8Array> | undefined
  /** Short calls are limited in number; those that may last are not. */
  quick: boolean
  /** The protocol to switch to. */
  upgrade?: string | undefined
}

/** Hears of one answer: `onHead`, any number of `onBody`, then `onEnd`; or `onError` at any point, once. */
export interface Receiver {
  onHead(head: Head): void
  /** @returns false to stop the flow until {@link Exchange.resume} */
  onBody(part: Buffer): boolean
  onEnd(): void
  onError(error: Error): void
  onUpgraded?(socket: Wire, rest: Buffer): void
  /** Bytes came or went: for idle deadlines. */
  onActivity?(): void
}

/** One request and its answer. */
export class Exchange {
  readonly request: WireRequest
  readonly receiver: Receiver
  readonly #onOver: () => void
  connection: Connection | undefined
  counted = false
  over = false
  headed = false
  retried = false

  constructor(request: WireRequest, receiver: Receiver, onOver: () => void) {
    this.request = request
    this.receiver = receiver
    this.#onOver = onOver
  }

  resume(): void {
    this.connection?.resume()
  }

  /** Ends it: the connection is closed, the receiver gets the error. After the end it does nothing. */
  abort(error: Error): void {
    if (this.over) return
    this.finish()
    this.connection?.destroy(error)
    this.receiver.onError(error)
  }

  finish(): void {
    this.over = true
    this.#onOver()
  }
}

/** One connection: runs one exchange at a time. */
class Connection implements ResponseHandler {
  readonly #socket: Wire
  readonly #pool: PoolEvents
  readonly #reader: ResponseReader = new ResponseReader(this)
  #exchange: Exchange | undefined
  #keepAlive = true
  #sending = false
  #answered = false
  #heard = false
  #uses = 0
  #closed = false
  #error: Error | undefined
  idleSince = 0

  constructor(socket: Wire, pool: PoolEvents) {
    this.#socket = socket
    this.#pool = pool
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  get usable(): boolean {
    return !this.#closed && !this.#socket.destroyed && this.#socket.readable && this.#socket.writable
  }

  run(exchange: Exchange): void {
    this.#exchange = exchange
    exchange.connection = this
    this.#heard = false
    this.#answered = false
    this.#uses++
    const { method, target, headers, body, upgrade } = exchange.request
    this.#reader.expect(method)
    this.#socket.ref?.()
    const start = `${method} ${target} HTTP/1.1\r\nHost: docker\r\n${headers}`
    if (upgrade !== undefined) {
      const bytes = Buffer.isBuffer(body) ? body : undefined
      const length = bytes ? `Content-Length: ${bytes.length}\r\n` : ''
      this.#socket.write(`${start}Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n${length}\r\n`, 'latin1')
      if (bytes) this.#socket.write(bytes)
    } else if (body === undefined) {
      this.#socket.write(
        method === 'GET' || method === 'HEAD' ? `${start}\r\n` : `${start}Content-Length: 0\r\n\r\n`,
        'latin1',
      )
    } else if (Buffer.isBuffer(body)) {
      this.#socket.cork()
      this.#socket.write(`${start}Content-Length: ${body.length}\r\n\r\n`, 'latin1')
      this.#socket.write(body)
      this.#socket.uncork()
    } else {
      this.#socket.write(`${start}Transfer-Encoding: chunked\r\n\r\n`, 'latin1')
      this.#sending = true
      void this.#upload(body, exchange)
    }
  }

  resume(): void {
    this.#socket.resume()
  }

  destroy(error?: Error): void {
    if (this.#closed) return
    this.#error ??= error
    this.#socket.destroy()
    this.#close()
  }

  /** Back to the pool, or closed when it can't be used again. */
  release(): void {
    this.#exchange = undefined
    if (!this.#keepAlive || !this.usable) {
      this.destroy()
      return
    }
    this.#socket.resume()
    this.#socket.unref?.()
    this.idleSince = performance.now()
    this.#pool.released()
  }

  onHead(head: Head, keepAlive: boolean): void {
    this.#keepAlive = keepAlive
    if (!this.#exchange) return
    this.#exchange.headed = true
    this.#exchange.receiver.onHead(head)
  }

  onBody(part: Buffer): void {
    if (this.#exchange && !this.#exchange.receiver.onBody(part)) this.#socket.pause()
  }

  onEnd(tooMuch: boolean): void {
    const exchange = this.#exchange
    this.#answered = true
    if (!exchange || exchange.over) return
    // An answer that came before the whole request was sent: the rest is of no use, nor is the connection.
    if (this.#sending || tooMuch) this.#keepAlive = false
    this.release()
    exchange.finish()
    exchange.receiver.onEnd()
  }

  onUpgraded(rest: Buffer): void {
    const exchange = this.#exchange
    if (!exchange?.receiver.onUpgraded) throw new ProtocolError('The engine switched protocols unasked.')
    const socket = this.#socket
    socket.pause()
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('close', this.#onClose)
    this.#closed = true
    this.#exchange = undefined
    this.#pool.upgraded()
    exchange.finish()
    exchange.receiver.onUpgraded(socket, rest)
  }

  readonly #onData = (chunk: Buffer): void => {
    const exchange = this.#exchange
    // Nobody asked: a proxy that says goodbye to an idle connection, say.
    if (!exchange) {
      this.destroy()
      return
    }
    this.#heard = true
    exchange.receiver.onActivity?.()
    try {
      this.#reader.feed(chunk)
    } catch (error) {
      if (this.#exchange === exchange) exchange.abort(describe(error as Error, exchange))
      else this.destroy()
    }
  }

  readonly #onEnd = (): void => {
    if (this.#exchange && this.#reader.end()) return
    this.destroy()
  }

  readonly #onError = (error: Error): void => {
    this.#error ??= error
  }

  readonly #onClose = (): void => this.#close()

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#pool.closed()
    const exchange = this.#exchange
    this.#exchange = undefined
    if (!exchange || exchange.over) return
    if (this.#isStale(exchange)) {
      exchange.retried = true
      this.#pool.again(exchange)
      return
    }
    exchange.abort(describe(this.#error && this.#pool.explain(this.#error), exchange))
  }

  /** The engine had closed this idle connection (a restart), and the request did no harm: it may go over a fresh one. */
  #isStale(exchange: Exchange): boolean {
    if (this.#uses < 2 || this.#heard || exchange.retried) return false
    const { method, body } = exchange.request
    if (body !== undefined && !Buffer.isBuffer(body)) return false
    const unsent = (this.#error as NodeJS.ErrnoException | undefined)?.code === 'EPIPE'
    return method === 'GET' || method === 'HEAD' || unsent
  }

  async #upload(body: AsyncIterable<Uint8Array>, exchange: Exchange): Promise<void> {
    const socket = this.#socket
    const source = body[Symbol.asyncIterator]()
    const stopped = () => this.#answered || exchange.over || socket.destroyed
    try {
      while (!stopped()) {
        const { value: chunk, done } = await source.next()
        if (stopped()) break
        if (done) {
          socket.write('0\r\n\r\n', 'latin1')
          this.#sending = false
          return
        }
        if (chunk.length === 0) continue
        socket.cork()
        socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
        socket.write(chunk)
        await new Promise<void>((resolve) => {
          socket.write('\r\n', 'latin1', () => resolve())
          socket.uncork()
        })
        exchange.receiver.onActivity?.()
      }
      await source.return?.()
    } catch (error) {
      exchange.abort(error as Error)
    }
  }
}

interface PoolEvents {
  released(): void
  closed(): void
  upgraded(): void
  /** Runs an exchange once more, on a connection of its own. */
  again(exchange: Exchange): void
  explain(error: Error): Error
}

/** An error of the connection, told in terms of the call that it broke. */
function describe(error: Error | undefined, exchange: Exchange): Error {
  const { method, target } = exchange.request
  const path = target.split('?', 1)[0]
  if (error instanceof DockerUnavailableError || (error instanceof DockerError && !(error instanceof ProtocolError)))
    return error
  if (error instanceof ProtocolError) {
    return new ProtocolError(`${method} ${path}: ${error.message}`, { method, path, hint: error.hint, cause: error })
  }
  const when = exchange.headed ? 'in the middle of its answer to' : 'before it answered'
  const cause = error ? ` (${(error as NodeJS.ErrnoException).code ?? error.message})` : ''
  return new ProtocolError(`The engine closed the connection ${when} ${method} ${path}${cause}.`, {
    method,
    path,
    hint: 'Was the engine stopped or restarted? Look whether the call took effect before you repeat it.',
    cause: error,
  })
}
