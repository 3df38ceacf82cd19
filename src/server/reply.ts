import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ErrorCode } from '../errors.ts'

/** A peer that never closes its half of a connection that was answered and ended holds it open for a moment only. */
export function destroySoon(socket: Duplex): void {
  // What goes on sending after an error causes one more with each piece.
  if (ending.has(socket)) return
  ending.add(socket)
  const timer = setTimeout(() => socket.destroy(), 5_000).unref()
  socket.once('close', () => clearTimeout(timer))
}

const ending = new WeakSet<Duplex>()

/** A reader that hears nothing for longer than that may think the line broken. */
export const beatMs = 10_000

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  })
  response.end(text)
}

const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  usage: 400,
  context: 400,
  directives: 400,
  unauthorised: 403,
  locked: 409,
}

/** The status of an answer that is an error. */
export function statusOf(code: ErrorCode): number {
  return statuses[code] ?? 422
}

/** Done when the reader has taken what was written, or the signal says that nobody will. */
export function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    response.once('drain', done)
    signal.addEventListener('abort', done)
  })
}
