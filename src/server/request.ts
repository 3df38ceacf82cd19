import type { IncomingMessage } from 'node:http'
import { OpenError } from './open-error.ts'

/** How a request came in: on the daemon's socket (ssh comes there, too), or by the router. */
export type Via = 'socket' | 'router'

const bodyMs = 15_000
/** A sender that brings less than that in half a minute is no sender. */
const slowBytes = 64 * 1024
const slowMs = 30_000

/** The fields of a JSON object, all text, none but the known. @throws {OpenError} */
export function readFields<K extends string>(text: string, known: readonly K[]): Partial<Record<K, string>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  const fields = typeof value === 'object' && value !== null ? Object.entries(value) : []
  if (fields.length === 0 || fields.some(([name, field]) => !known.includes(name as K) || typeof field !== 'string')) {
    throw new OpenError('This is no request of mypaas.', { hint: 'Is mypaas here and there of the same version?' })
  }
  return Object.fromEntries(fields) as Partial<Record<K, string>>
}

/**
 * A body that is to come at once.
 * @param sofar is told how much has come whenever something has; nothing more is read until it is done
 * @throws {OpenError} when it is too large
 */
export async function readAll(
  request: IncomingMessage,
  maxBytes: number,
  sofar?: (length: number, begin: () => Buffer) => Promise<void>,
): Promise<string> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes)
  const timer = setTimeout(() => request.destroy(), bodyMs)
  const parts: Buffer[] = []
  let length = 0
  try {
    for await (const part of request as AsyncIterable<Buffer>) {
      length += part.length
      if (length > maxBytes) throw tooLarge(maxBytes)
      // What a part is cut from is larger than it by far.
      parts.push(part.length < part.buffer.byteLength / 2 ? Buffer.from(part) : part)
      await sofar?.(length, () => Buffer.concat(parts))
    }
  } finally {
    clearTimeout(timer)
  }
  return Buffer.concat(parts).toString()
}

function tooLarge(maxBytes: number): OpenError {
  return new OpenError(`A request of that kind has at most ${maxBytes} bytes.`)
}

/** Ends a body that hardly moves. */
export class SlowGuard {
  readonly #timer: NodeJS.Timeout

  constructor(request: IncomingMessage) {
    let before = request.socket.bytesRead
    this.#timer = setInterval(() => {
      const now = request.socket.bytesRead
      if (now - before < slowBytes) request.destroy()
      before = now
    }, slowMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

/** The bearer token; empty for none. */
export function tokenOf(request: IncomingMessage): string {
  return /^Bearer ([A-Za-z0-9_-]{20,100})$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
}

/** Where it came from: the router says it for those that come by it. */
export function fromOf(request: IncomingMessage, via: Via): string {
  if (via === 'socket') return 'socket'
  const forwarded = String(request.headers['x-forwarded-for'] ?? '')
    .split(',')
    .at(-1)
    ?.trim()
  const peer = request.socket?.remoteAddress ?? '?'
  return forwarded && /^[0-9a-fA-F.:]{2,45}$/.test(forwarded) ? `${forwarded} by ${peer}` : peer
}

/** What a request is for, as far as its path says. */
export function pathOf(request: IncomingMessage): string {
  return (
    (request.url ?? '')
      .split('?')[0]
      ?.replace(/^\/v1\//, '')
      .split('/')
      .at(-1)
      ?.slice(0, 40) ?? ''
  )
}
