import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { MypaasError } from '../errors.ts'
import { type ErrorReport, reportError } from '../push/remote-error.ts'
import type { Audit } from './audit.ts'
import { DeniedError } from './authorise.ts'
import type { AuthorizedKey } from './keys.ts'
import { OpenError } from './open-error.ts'
import { Pace } from './pace.ts'
import { peerOf } from './peer.ts'
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
  readonly #pace = new Pace({ perSecond: 200, burst: 100 })
  #loggedAt = -Infinity

  constructor({ audit, log }: { audit: Audit; log: (line: string) => void }) {
    this.#audit = audit
    this.#log = log
  }

  /** Says who makes a request and for what, as soon as that is known: who has signed, or has a token of who did. */
  note(request: IncomingMessage, key: AuthorizedKey, about: About): void {
    this.#known.set(request, { key, about })
  }

  /** Answers with an error: all who may not get in get the same one, and strangers hear nothing of this server. */
  async refuse(request: IncomingMessage, response: ServerResponse, via: Via, error: unknown): Promise<void> {
    try {
      await this.#write(request, via, error)
    } catch (trouble) {
      this.#logNowAndThen(`the audit log can't be written: ${messageOf(trouble)}`)
    }
    const isKnown = this.#known.has(request)
    const { status, report } = answerTo(error, isKnown)
    if (!isKnown && request.complete) await this.#pace.turn(peerOf(request, via), response)
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    // What is still coming is not read: the connection ends with the answer.
    if (!request.complete) response.setHeader('connection', 'close')
    sendJson(response, status, { error: report })
    if (!request.complete) response.on('finish', () => request.destroy())
  }

  /** Answers all that still wait, and whoever comes from now on, at once. */
  end(): void {
    this.#pace.end()
  }

  /** Writes down what never became a request; a connection that only broke is none of that. */
  async malformed(code: string, socket: Socket, via: Via): Promise<void> {
    const detail = malformed.find(([known]) => code.startsWith(known))?.[1]
    // What comes after the first error of a connection comes of it.
    if (detail === undefined || this.#broken.has(socket)) return
    this.#broken.add(socket)
    const from = via === 'socket' ? 'socket' : (socket.remoteAddress ?? '?')
    await this.#audit.stranger({ from, action: 'request', outcome: 'denied', detail })
  }

  async #write(request: IncomingMessage, via: Via, error: unknown): Promise<void> {
    // Whoever sent it comes again, and goes on.
    if (isBrokenLine(error)) return
    const from = fromOf(request, via)
    const isDenied = error instanceof DeniedError
    if (!(error instanceof MypaasError) && !isDenied) {
      this.#logNowAndThen(`a bug: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    }
    const known = this.#known.get(request)
    if (known) {
      const { key, about } = known
      const outcome = isDenied || (error instanceof MypaasError && error.code === 'unauthorised') ? 'denied' : 'failed'
      const detail = isDenied ? error.reason : messageOf(error)
      await this.#audit.write({ ...about, key: key.fingerprint, who: nameOf(key), from, outcome, detail })
    } else if (isDenied) {
      const said = error.key === undefined ? {} : { key: error.key }
      const detail = error.reason
      await this.#audit.stranger({ action: pathOf(request), ...said, from, outcome: 'denied', detail })
    } else if (request.method === 'POST') {
      // What is no refusal is the daemon's own trouble: its log has that.
      const detail = error instanceof OpenError ? error.message : 'trouble of the server'
      await this.#audit.stranger({ action: pathOf(request), from, outcome: 'failed', detail })
      if (error instanceof MypaasError && !(error instanceof OpenError)) this.#logNowAndThen(messageOf(error))
    }
  }

  /** Strangers can bring it up as often as they like. */
  #logNowAndThen(line: string): void {
    const now = performance.now()
    if (now - this.#loggedAt < 5_000) return
    this.#loggedAt = now
    this.#log(line)
  }
}

function answerTo(error: unknown, isKnown: boolean): { status: number; report: ErrorReport } {
  if (error instanceof DeniedError) return { status: 401, report: { code: 'unauthorised', message: 'Access denied.' } }
  if (error instanceof OpenError) return { status: error.status, report: reportError(error) }
  if (!isKnown)
    return { status: 500, report: { code: 'failed', message: 'The server has trouble; its log says which.' } }
  return { status: error instanceof MypaasError ? statusOf(error.code) : 500, report: reportError(error) }
}

/** Codes of node:http, the special before the general. */
const malformed = [
  ['HPE_HEADER_OVERFLOW', 'too large a header'],
  ['HPE_', 'no HTTP'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'no request in time'],
] as const

function isBrokenLine(error: unknown): boolean {
  const { code, name } = error as NodeJS.ErrnoException
  return code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'EPIPE' || name === 'AbortError'
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
