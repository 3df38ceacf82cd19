import { ProtocolError } from './errors.ts'

/** The first part of an answer: status and headers, names in lower case; a header that comes twice is joined by `, `. */
export type Head = { status: number; headers: Record<string, string> }

/**
 * Reads one HTTP/1.1 answer after the other from the bytes of a connection. Feed it each chunk; it calls back.
 *
 * The buffers that it hands to `onBody` are parts of the fed chunk, which it owns: small HTTP chunks (the engine sends
 * one per log line) are moved together inside it, so that a read of 64 KiB gives one piece, not six hundred.
 */
export class ResponseReader {
  readonly #handler: ResponseHandler
  #state: State = 'head'
  #headParts: Buffer[] = []
  #headBytes = 0
  #left = 0
  #sizeText = ''
  #bodyless = false
  #isEmpty = false

  constructor(handler: ResponseHandler) {
    this.#handler = handler
  }

  /** To be called before each request. @param method `HEAD` has an answer without body, whatever its headers say. */
  expect(method: string): void {
    this.#bodyless = method === 'HEAD'
    this.#isEmpty = false
    this.#state = 'head'
  }

  /** @throws {ProtocolError} when the bytes are not HTTP/1.x */
  feed(chunk: Buffer): void {
    let at = 0
    let runStart = 0
    let runEnd = 0
    const flush = () => {
      if (runEnd > runStart) this.#handler.onBody(chunk.subarray(runStart, runEnd))
      runStart = runEnd = 0
    }
    while (at < chunk.length) {
      switch (this.#state) {
        case 'head': {
          const end = this.#takeHead(chunk, at)
          if (end === undefined) return
          at = end
          if (this.#isEmpty) {
            this.#finish(at < chunk.length)
            return
          }
          // Method calls change it, which the type checker does not see.
          if ((this.#state as State) === 'upgraded') {
            this.#handler.onUpgraded(chunk.subarray(at))
            return
          }
          break
        }
        case 'length':
        case 'chunk': {
          const end = Math.min(chunk.length, at + this.#left)
          this.#left -= end - at
          if (runEnd === runStart) {
            runStart = at
            runEnd = end
          } else if (end - at <= moveUpTo) {
            chunk.copyWithin(runEnd, at, end)
            runEnd += end - at
          } else {
            flush()
            runStart = at
            runEnd = end
          }
          at = end
          if (this.#left > 0) break
          if (this.#state === 'chunk') {
            this.#state = 'chunk-end'
            break
          }
          flush()
          this.#finish(at < chunk.length)
          return
        }
        case 'chunk-size': {
          const newline = chunk.indexOf(10, at)
          const end = newline < 0 ? chunk.length : newline
          this.#sizeText += chunk.toString('latin1', at, end)
          if (this.#sizeText.length > 4096) throw new ProtocolError('The answer has an endless chunk size.')
          at = end + 1
          if (newline >= 0) this.#startChunk()
          break
        }
        case 'chunk-end': {
          const byte = chunk[at++]
          if (byte === 10) this.#state = 'chunk-size'
          else if (byte !== 13) throw new ProtocolError('The answer is broken: a chunk is longer than announced.')
          break
        }
        case 'trailer': {
          const newline = chunk.indexOf(10, at)
          const end = newline < 0 ? chunk.length : newline
          this.#sizeText += chunk.toString('latin1', at, end)
          if (this.#sizeText.length > maxHeadBytes) throw new ProtocolError('The answer has an endless trailer.')
          at = end + 1
          if (newline < 0) break
          const empty = this.#sizeText === '' || this.#sizeText === '\r'
          this.#sizeText = ''
          if (!empty) break
          flush()
          this.#finish(at < chunk.length)
          return
        }
        case 'until-close':
          this.#handler.onBody(chunk.subarray(at))
          return
        case 'upgraded':
        case 'done':
          flush()
          throw new ProtocolError('The engine sent more than the answer.')
        default:
          this.#state satisfies never
      }
    }
    flush()
  }

  /** The other side has ended its stream. @returns whether the answer is complete by that. */
  end(): boolean {
    if (this.#state === 'until-close') {
      this.#finish(false)
      return true
    }
    return this.#state === 'done'
  }

  #takeHead(chunk: Buffer, at: number): number | undefined {
    // Only the last three bytes of what came before can be part of the blank line.
    const carried = this.#headBytes
    let bytes = at === 0 ? chunk : chunk.subarray(at)
    if (carried > 0) bytes = Buffer.concat([...this.#headParts, bytes])
    const from = Math.max(0, carried - 3)
    const blank = bytes.indexOf('\r\n\r\n', from)
    if (blank < 0) {
      if (bytes.length > maxHeadBytes) throw new ProtocolError('The answer has endless headers.')
      if (bytes.length >= 5 && bytes.toString('latin1', 0, 5) !== 'HTTP/') throw notHttp(bytes)
      this.#headParts = [bytes]
      this.#headBytes = bytes.length
      return undefined
    }
    this.#headParts = []
    this.#headBytes = 0
    const head = parseHead(bytes.toString('latin1', 0, blank))
    if (!head) throw notHttp(bytes)
    const end = at + blank + 4 - carried
    if (head.status >= 100 && head.status < 200 && head.status !== 101) return end
    this.#startBody(head)
    return end
  }

  #startBody(head: ParsedHead): void {
    const { status, headers } = head
    const encoding = headers['transfer-encoding']
    const length = headers['content-length']
    let keepAlive = !head.http10 && !/\bclose\b/i.test(headers['connection'] ?? '')
    let empty = false
    if (status === 101) this.#state = 'upgraded'
    else if (this.#bodyless || status === 204 || status === 304) empty = true
    else if (encoding !== undefined && /\bchunked\s*$/i.test(encoding)) {
      this.#state = 'chunk-size'
      this.#sizeText = ''
    } else if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) throw new ProtocolError(`The answer has a bad Content-Length: ${length}.`)
      this.#left = Number(length)
      this.#state = 'length'
      empty = this.#left === 0
    } else {
      this.#state = 'until-close'
      keepAlive = false
    }
    this.#handler.onHead({ status, headers }, keepAlive)
    this.#isEmpty = empty
  }

  #startChunk(): void {
    const size = /^([0-9a-f]{1,12})[ \t]*(?:;.*)?\r?$/i.exec(this.#sizeText)
    if (!size) throw new ProtocolError('The answer is broken: a chunk has no size.')
    this.#sizeText = ''
    this.#left = Number.parseInt(size[1] ?? '', 16)
    this.#state = this.#left === 0 ? 'trailer' : 'chunk'
  }

  #finish(tooMuch: boolean): void {
    this.#state = 'done'
    // The next answer may be expected from here on.
    this.#handler.onEnd(tooMuch)
  }
}

/** What a {@link ResponseReader} tells. */
export interface ResponseHandler {
  onHead(head: Head, keepAlive: boolean): void
  onBody(part: Buffer): void
  /** The answer is complete. @param tooMuch more came than the answer: nothing that follows can be trusted */
  onEnd(tooMuch: boolean): void
  /** After `101`: from here on the bytes are the stream's, `rest` the first of them. */
  onUpgraded(rest: Buffer): void
}

type State = 'head' | 'length' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer' | 'until-close' | 'upgraded' | 'done'
type ParsedHead = Head & { http10: boolean }

const maxHeadBytes = 256 * 1024
/** Up to this size a part is moved to its neighbour; above, handing out two parts costs less than the move. */
const moveUpTo = 8192

function parseHead(text: string): ParsedHead | undefined {
  const lines = text.split('\r\n')
  const status = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(lines[0] ?? '')
  if (!status) return undefined
  const headers: Record<string, string> = Object.create(null)
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] ?? ''
    const colon = line.indexOf(':')
    if (colon <= 0) return undefined
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    const before = headers[name]
    headers[name] = before === undefined ? value : `${before}, ${value}`
  }
  return { status: Number(status[2]), headers, http10: status[1] === '0' }
}

function notHttp(bytes: Buffer): ProtocolError {
  const start = JSON.stringify(bytes.subarray(0, 40).toString('latin1'))
  return new ProtocolError(`What answers there does not speak HTTP: it says ${start}.`, {
    hint: 'Is that a Docker engine? An engine with TLS wants DOCKER_TLS_VERIFY=1 and certificates.',
  })
}
