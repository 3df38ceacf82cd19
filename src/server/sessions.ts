import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { RunningCommand } from '../deploy/command.ts'
import { MypaasError } from '../errors.ts'
import { reportError } from '../push/remote-error.ts'
import { type Frame, type FrameKind, FrameReader, frames } from '../push/session-frames.ts'
import type { AuthorizedKey } from './keys.ts'
import { beatMs } from './reply.ts'

/** A command that may be started by whoever has its token, once and soon. */
export type Offer = Readonly<{
  key: AuthorizedKey
  action: string
  service: string
  /** @param key As it is when the command is joined. */
  open: (key: AuthorizedKey, signal: AbortSignal) => Promise<RunningCommand>
}>

const joinMs = 30_000
const maxOffers = 256
/** As many as a key can have open. */
const maxOffersPerKey = 16

/** Commands that were signed for and wait for their client's connection. */
export class Sessions {
  readonly #offers = new Map<string, Offer & { tokenHash: Buffer; until: number }>()

  /** @throws {MypaasError} `locked` when too many wait, of this key or in all */
  offer(offer: Offer): { session: string; token: string } {
    const now = performance.now()
    for (const [id, { until }] of this.#offers) if (until < now) this.#offers.delete(id)
    const own = [...this.#offers.values()].filter(({ key }) => key.fingerprint === offer.key.fingerprint)
    if (this.#offers.size >= maxOffers || own.length >= maxOffersPerKey) {
      throw new MypaasError('The server is busy.', { code: 'locked', hint: 'Try again in a moment.' })
    }
    const session = randomBytes(9).toString('base64url')
    const token = randomBytes(32).toString('base64url')
    this.#offers.set(session, { ...offer, tokenHash: hash(token), until: now + joinMs })
    return { session, token }
  }

  /** The offer of that id and token, which is gone then; `undefined` for none. */
  take(session: string, token: string): Offer | undefined {
    const offer = this.#offers.get(session)
    if (!offer || offer.until < performance.now() || !timingSafeEqual(hash(token), offer.tokenHash)) return undefined
    this.#offers.delete(session)
    return offer
  }
}

function hash(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** A client that says nothing for longer is gone, without its end of the line having said so. */
const silenceMs = 60_000

/**
 * Joins a client's connection to a command until that ends or the client leaves. Either side is read only as fast as the
 * other takes it.
 * @returns the exit code
 * @throws {MypaasError} `aborted` when the client left, or the signal fired: then its reason, if that is such an error
 */
export async function relay(socket: Duplex, { stream }: RunningCommand, signal: AbortSignal): Promise<number> {
  let left = signal.aborted
  let lastSign = performance.now()
  let isFull = false
  const leave = (): void => {
    left = true
    socket.destroy()
    stream.close()
  }
  const take = ({ kind, data }: Frame): void => {
    if (kind === 'input' && data.length > 0 && !stream.stdin.write(data) && !isFull) {
      isFull = true
      socket.pause()
      stream.stdin.once('drain', () => {
        isFull = false
        lastSign = performance.now()
        socket.resume()
      })
    } else if (kind === 'endOfInput') stream.stdin.end()
    else if (kind === 'size') resize(stream, data)
  }
  const reader = new FrameReader()
  socket.on('error', leave)
  socket.on('close', leave)
  // A client has no half of a line: when it ends, it leaves.
  socket.on('end', leave)
  socket.on('data', (chunk: Buffer) => {
    lastSign = performance.now()
    try {
      reader.feed(chunk).forEach(take)
    } catch {
      leave()
    }
  })
  signal.addEventListener('abort', leave)
  const beat = setInterval(() => {
    if (!isFull && performance.now() - lastSign > silenceMs) leave()
    else if (!socket.writableNeedDrain) send(socket, 'beat')
  }, beatMs)
  const gone = (): MypaasError =>
    signal.reason instanceof MypaasError
      ? signal.reason
      : new MypaasError('The client left; the command was ended.', { code: 'aborted' })
  try {
    for await (const { stream: from, data } of stream) {
      if (!send(socket, from, data) && !left) await roomIn(socket)
      if (left) throw gone()
    }
    if (left) throw gone()
    const exitCode = await stream.exitCode()
    send(socket, 'end', Buffer.from(JSON.stringify({ ok: true, exitCode })))
    return exitCode
  } catch (error) {
    if (left) throw gone()
    send(socket, 'end', Buffer.from(JSON.stringify({ ok: false, error: reportError(error) })))
    throw error
  } finally {
    clearInterval(beat)
    signal.removeEventListener('abort', leave)
    socket.off('close', leave)
    socket.off('end', leave)
    socket.end()
    // A client that does not close its side holds nothing open for long.
    setTimeout(() => socket.destroy(), beatMs).unref()
  }
}

function resize(stream: RunningCommand['stream'], data: Buffer): void {
  let size: { rows?: unknown; columns?: unknown } = {}
  try {
    size = JSON.parse(data.toString()) as typeof size
  } catch {
    return
  }
  const isSize = (value: unknown): value is number =>
    Number.isInteger(value) && Number(value) > 0 && Number(value) < 10_000
  const { rows, columns } = size
  // A command that has ended has no terminal to resize any more.
  if (isSize(rows) && isSize(columns)) stream.resize({ rows, columns }).catch(() => {})
}

/** @returns whether there is room for more */
function send(socket: Duplex, kind: FrameKind, data: Uint8Array = new Uint8Array()): boolean {
  if (socket.destroyed || socket.writableEnded) return true
  let hasRoom = true
  for (const part of frames(kind, data)) hasRoom = socket.write(part)
  return hasRoom
}

function roomIn(socket: Duplex): Promise<void> {
  if (!socket.writableNeedDrain || socket.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    socket.on('drain', done)
    socket.on('close', done)
  })
}
