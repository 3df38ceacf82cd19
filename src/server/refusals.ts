import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { MypaasError } from '../errors.ts'
import { type ErrorReport, reportError } from '../push/remote-error.ts'
import type { Audit } from './audit.ts'
import { DeniedError } from './authorise.ts'
import type { AuthorizedKey } from './keys.ts'
import { sendJson, statusOf } from './reply.ts'
import { fromOf, pathOf, type Via } from './request.ts'
import { nameOf } from './rights.ts'

type About = Readonly<{ action: string; service?: string }>

/** Answers what is refused, and writes it down: who wanted what, from where, and why not. */
export class Refusals {
  readonly #audit: Audit
  readonly #log: (line: string) => void
  readonly #known = new WeakMap<IncomingMessage, { key: AuthorizedKey; about: About }>()
  readonly #broken = new WeakSet<Socket>()

  constructor({ audit, log }: { audit: Audit; log: (line: string) => void }) {
    this.#audit = audit
    this.#log = log
  }

  /** Says who makes a request and for what, as soon as that is known. */
  note(request: IncomingMessage, key: AuthorizedKey, about: About): void {
    this.#known.set(request, { key, about })
  }

  /** Answers with an error: all who may not get in get the same one. */
  async refuse(request: IncomingMessage, response: ServerResponse, via: Via, error: unknown): Promise<void> {
    try {
      await this.#write(request, via, error)
    } catch (trouble) {
      this.#log(`the audit log can't be written: ${messageOf(trouble)}`)
    }
    const report: ErrorReport =
      error instanceof DeniedError ? { code: 'unauthorised', message: 'Access denied.' } : reportError(error)
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    const status = error instanceof DeniedError ? 401 : error instanceof MypaasError ? statusOf(error.code) : 500
    // What is still coming is not read: the connection ends with the answer.
    if (!request.complete) response.setHeader('connection', 'close')
    sendJson(response, status, { error: report })
    if (!request.complete) response.on('finish', () => request.destroy())
  }

  /** Writes down what never became a request; a connection that only broke is none of that. */
  async malformed(code: string, socket: Socket, via: Via): Promise<void> {
    const detail = malformed.find(([known]) => code.startsWith(known))?.[1]
    // What comes after the first error of a connection comes of it.
    if (detail === undefined || this.#broken.has(socket)) return
    this.#broken.add(socket)
    const from = via === 'socket' ? 'socket' : (socket.remoteAddress ?? '?')
    await this.#audit.write({ from, action: 'request', outcome: 'denied', detail })
  }

  async #write(request: IncomingMessage, via: Via, error: unknown): Promise<void> {
    // Whoever sent it comes again, and goes on.
    if (isBrokenLine(error)) return
    const { key, about } = this.#known.get(request) ?? { about: { action: pathOf(request) } }
    const from = fromOf(request, via)
    if (error instanceof DeniedError) {
      const shown = error.key ?? key?.fingerprint
      const detail = error.reason
      await this.#audit.write({
        ...about,
        ...(shown === undefined ? {} : { key: shown }),
        from,
        outcome: 'denied',
        detail,
      })
    } else if (key || (request.method === 'POST' && isRefusal(error))) {
      const outcome = error instanceof MypaasError && error.code === 'unauthorised' ? 'denied' : 'failed'
      const who = key ? { key: key.fingerprint, who: nameOf(key) } : {}
      await this.#audit.write({ ...about, ...who, from, outcome, detail: messageOf(error) })
    }
    if (!(error instanceof MypaasError) && !(error instanceof DeniedError)) {
      this.#log(`a bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    }
  }
}

/** Codes of node:http, the special before the general. */
const malformed = [
  ['HPE_HEADER_OVERFLOW', 'too large a header'],
  ['HPE_', 'no HTTP'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'no request in time'],
] as const

function isRefusal(error: unknown): boolean {
  return error instanceof MypaasError && error.code !== 'locked'
}

function isBrokenLine(error: unknown): boolean {
  const { code, name } = error as NodeJS.ErrnoException
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'EPIPE' || name === 'AbortError'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
