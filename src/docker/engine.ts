import { type Endpoint, formatEndpoint } from './address.ts'
import { connect, explain } from './connect.ts'
import { type CallOptions, Deadline } from './deadline.ts'
import { ApiVersionError, DockerError, DockerUnavailableError, errorFromStatus, ProtocolError } from './errors.ts'
import { ConnectionPool, type WireRequest } from './pool.ts'
import { Reply, type UpgradedStream } from './reply.ts'

/** One call of the API. */
export type Call = {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'
  /** From {@link path}: escaped, without the version. */
  path: string
  query?: Query | undefined
  headers?: Record<string, string | undefined> | undefined
  /** Sent as JSON. */
  json?: unknown
  /** Sent as it is. */
  body?: Buffer | AsyncIterable<Uint8Array> | undefined
  /** Statuses besides 2xx that are a success of this call. */
  success?: readonly number[]
  /** It may last (it waits, streams or moves many bytes): no default deadline, not limited in number. */
  long?: boolean
  /** Goes without a version, and needs none to be known. */
  unversioned?: boolean
  /** The protocol to switch to, for `hijack`. Default `tcp`. */
  upgrade?: 'tcp' | 'websocket' | 'h2c'
  /** Asks the engine to give up the connection after the answer. */
  close?: boolean
  options?: CallOptions | undefined
  /** What of this call not every engine knows. */
  since?: readonly Since[] | undefined
}

/** `[what it is, API version that brought it, the value: undefined when it is not used]` */
export type Since = readonly [what: string, version: string, value: unknown]

/** Arrays repeat the key; `undefined` leaves it out. */
export type Query = Record<string, string | number | boolean | readonly string[] | undefined>

export type Answer = { status: number; headers: Record<string, string>; body: Buffer }
/** An answer whose body is still to come. Iterate it to the end, or `cancel()` it. */
export type OpenAnswer = { status: number; headers: Record<string, string>; body: Reply }
/** A connection taken over: a plain stream in both directions. */
export type Hijacked = UpgradedStream & { headers: Record<string, string> }

export type EngineOptions = {
  endpoint: () => Endpoint | Promise<Endpoint>
  apiVersion?: string | undefined
  timeoutMs?: number | undefined
  connectTimeoutMs?: number | undefined
  env: NodeJS.ProcessEnv
}

/** The newest API that this client knows. */
const newestApiVersion = '1.56'
/** The oldest API that this client still speaks (Docker 19.03). */
const oldestApiVersion = '1.40'

/** Sends calls to one engine: version, query, deadlines, and the one place where an answer's status is judged. */
export class Engine {
  readonly #options: EngineOptions
  readonly #pool: ConnectionPool
  #endpoint: Promise<Endpoint> | undefined
  #where: Endpoint | undefined
  #version: string | undefined
  #about: Record<string, string> | undefined
  #negotiation: Promise<string> | undefined

  constructor(options: EngineOptions) {
    this.#options = options
    this.#version = options.apiVersion
    const dial = async (signal: AbortSignal) => {
      try {
        const endpoint = await this.endpoint()
        this.#where = endpoint
        return await connect(endpoint, { timeoutMs: options.connectTimeoutMs ?? 10_000, signal, env: options.env })
      } catch (error) {
        this.#forgetVersion()
        throw error
      }
    }
    // TLS 1.3 tells only afterwards that it does not take a client's certificate.
    const explainTls = (error: NodeJS.ErrnoException) =>
      this.#where && error.code?.startsWith('ERR_SSL') ? explain(error, this.#where) : error
    this.#pool = new ConnectionPool(dial, { explain: explainTls })
  }

  /** Where the engine is. */
  endpoint(): Promise<Endpoint> {
    this.#endpoint ??= (async () => this.#options.endpoint())().catch((error: unknown) => {
      this.#endpoint = undefined
      throw error
    })
    return this.#endpoint
  }

  /** How many connections are open now. */
  get connections(): number {
    return this.#pool.size
  }

  close(): void {
    this.#pool.close()
  }

  /** The API version that calls use; asks the engine on first use, once for all callers. */
  async apiVersion(options?: CallOptions): Promise<string> {
    if (this.#version !== undefined) return this.#version
    this.#negotiation ??= this.#negotiate().finally(() => {
      this.#negotiation = undefined
    })
    return this.#withDeadline(this.#negotiation, options)
  }

  /** The headers of the engine's ping, which say what it is. */
  async about(options?: CallOptions): Promise<Record<string, string>> {
    if (this.#version === undefined) await this.apiVersion(options)
    else if (!this.#about) await this.#withDeadline(this.#ping(), options)
    return this.#about ?? {}
  }

  /** Whether it is Podman that answers: it takes some options for errors, and others amiss. */
  async podman(options?: CallOptions): Promise<boolean> {
    return isPodman(await this.about(options))
  }

  /** Calls and parses the JSON of the answer. */
  async json<T>(call: Call): Promise<T> {
    const { body } = await this.send(call)
    try {
      return JSON.parse(body.toString('utf8')) as T
    } catch (cause) {
      const start = JSON.stringify(body.toString('utf8', 0, 200))
      throw new ProtocolError(`${call.method} ${call.path}: the answer is not JSON: ${start}`, { ...call, cause })
    }
  }

  /** Calls and reads the whole answer. */
  async send(call: Call): Promise<Answer> {
    const reply = await this.#call(call)
    const { status, headers } = await reply.head
    return { status, headers, body: await reply.bytes(maxAnswerBytes) }
  }

  /** Calls and hands out the answer as soon as its headers are there. */
  async open(call: Call): Promise<OpenAnswer> {
    const reply = await this.#call({ long: true, ...call })
    const { status, headers } = await reply.head
    return { status, headers, body: reply }
  }

  /** Calls and takes over the connection. */
  async hijack(call: Call): Promise<Hijacked> {
    const reply = await this.#call({ long: true, upgrade: 'tcp', ...call })
    const { status, headers } = await reply.head
    if (reply.upgraded) return { ...reply.upgraded, headers }
    reply.cancel()
    throw new ProtocolError(
      `${call.method} ${call.path}: the engine answered ${status} and did not open a stream.`,
      call,
    )
  }

  /** What callers share goes on when one of them gives up. */
  #withDeadline<T>(shared: Promise<T>, options: CallOptions | undefined): Promise<T> {
    const deadline = new Deadline(
      { method: 'HEAD', path: '/_ping' },
      options,
      this.#options.timeoutMs ?? defaultTimeoutMs,
    )
    return deadline.race(shared).finally(() => deadline.done())
  }

  async #call(call: Call): Promise<Reply> {
    const defaultMs = call.long ? undefined : (this.#options.timeoutMs ?? defaultTimeoutMs)
    const deadline = new Deadline(call, call.options, defaultMs)
    try {
      for (let again = false; ; again = true) {
        const version = call.unversioned ? undefined : (this.#version ?? (await deadline.race(this.apiVersion())))
        if (version !== undefined && call.since) checkSince(call.since, version)
        deadline.check()
        const reply = new Reply(deadline)
        reply.exchange = this.#pool.send(wireRequest(call, version), reply)
        const { status, headers } = await reply.head
        if ((status >= 200 && status < 300) || status === 101 || call.success?.includes(status)) return reply
        const podman = isPodman(headers) || isPodman(this.#about)
        const error = errorFromAnswer({ ...call, podman }, status, await reply.bytes(maxErrorBytes, 'cut'), version)
        const repeatable = call.body === undefined || Buffer.isBuffer(call.body)
        if (again || !repeatable || !(error instanceof ApiVersionError) || this.#options.apiVersion) throw error
        // An engine of another version has taken the place of the one that was asked at first.
        this.#version = undefined
      }
    } catch (error) {
      if (error instanceof ProtocolError) this.#forgetVersion()
      deadline.done()
      throw error
    }
  }

  async #ping(): Promise<Answer> {
    const ping = { path: '/_ping', unversioned: true, success: anyStatus } as const
    let answer = await this.send({ method: 'HEAD', ...ping })
    if (answer.status !== 200) answer = await this.send({ method: 'GET', ...ping })
    this.#about = answer.headers
    return answer
  }

  async #negotiate(): Promise<string> {
    const answer = await this.#ping()
    const found = answer.headers['api-version']
    if (found === undefined && answer.status >= 500) {
      throw errorFromAnswer({ method: 'GET', path: '/_ping' }, answer.status, answer.body, undefined)
    }
    if (found === undefined || !isVersion(found)) {
      const where = formatEndpoint(await this.endpoint())
      throw new DockerUnavailableError(
        `What answers at ${where} is not a Docker engine: its ping names no API version.`,
        {
          status: answer.status,
          hint: 'Set DOCKER_HOST to where the engine listens.',
        },
      )
    }
    if (compareVersions(found, oldestApiVersion) < 0) {
      throw new ApiVersionError(`The engine speaks API ${found}; this client needs ${oldestApiVersion} or newer.`, {
        needed: oldestApiVersion,
        found,
        hint: 'Update Docker to 19.03 or newer.',
      })
    }
    this.#version = compareVersions(found, newestApiVersion) < 0 ? found : newestApiVersion
    return this.#version
  }

  /** After a break the next call asks again: another engine may have come up. */
  #forgetVersion(): void {
    this.#version = this.#options.apiVersion
    this.#about = undefined
  }
}

const defaultTimeoutMs = 120_000
const maxAnswerBytes = 512 * 1024 * 1024
const maxErrorBytes = 1024 * 1024
const anyStatus = Array.from({ length: 500 }, (_, i) => 100 + i)

/**
 * Puts names into a path: path`/containers/${id}/json`. They are escaped, except for slashes, which image names have.
 * @throws {DockerError} for a name that is empty or would lead to another path
 */
export function path(parts: TemplateStringsArray, ...names: string[]): string {
  let text = parts[0] ?? ''
  names.forEach((name, i) => {
    if (typeof name !== 'string' || name.split('/').some((part) => part === '' || part === '.' || part === '..')) {
      throw new DockerError(`${JSON.stringify(name) ?? 'Nothing'} is no name or id that the engine could know.`, {
        code: 'usage',
        hint: `It was to stand in ${parts.join('…')}.`,
      })
    }
    text +=
      encodeURIComponent(name).replaceAll('%2F', '/').replaceAll('%3A', ':').replaceAll('%40', '@') +
      (parts[i + 1] ?? '')
  })
  return text
}

/** Filters as the engine wants them: JSON of lists. */
export function filtersJson(filters: Filters | undefined): string | undefined {
  return filters === undefined || Object.keys(filters).length === 0 ? undefined : JSON.stringify(filters)
}

/** E.g. `{ label: ['mypaas.service=web'], status: ['running'] }`: all keys must match, one of each key's values. */
export type Filters = Record<string, readonly string[]>

/** A time as the engine wants it: Unix seconds. */
export function unixTime(time: Date | number | string | undefined): string | number | undefined {
  return time instanceof Date ? (time.getTime() / 1000).toFixed(3) : time
}

/** `1.9` < `1.41`: negative, 0 or positive, as sort wants it. */
export function compareVersions(a: string, b: string): number {
  const [aMajor = 0, aMinor = 0] = a.split('.').map(Number)
  const [bMajor = 0, bMinor = 0] = b.split('.').map(Number)
  return aMajor - bMajor || aMinor - bMinor
}

export function isVersion(text: string): boolean {
  return /^\d+\.\d+$/.test(text)
}

function wireRequest(call: Call, version: string | undefined): WireRequest {
  let headers = 'User-Agent: mypaas\r\n'
  for (const [name, value] of Object.entries(call.headers ?? {}))
    if (value !== undefined) headers += header(name, value)
  if (call.close) headers += 'Connection: close\r\n'
  let body = call.body
  if (call.json !== undefined) {
    body = Buffer.from(JSON.stringify(call.json))
    headers += 'Content-Type: application/json\r\n'
  }
  const target = `${version === undefined ? '' : `/v${version}`}${call.path}${call.query ? queryString(call.query) : ''}`
  return { method: call.method, target, headers, body, quick: !call.long, upgrade: call.upgrade }
}

function header(name: string, value: string): string {
  if (/[\r\n\0]/.test(value)) throw new DockerError(`The header ${name} can't have a line break.`, { code: 'usage' })
  return `${name}: ${value}\r\n`
}

function queryString(query: Query): string {
  let text = ''
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? (value as readonly string[]) : [String(value)]) {
      text += `${text === '' ? '?' : '&'}${encodeURIComponent(key)}=${encodeURIComponent(one)}`
    }
  }
  return text
}

function errorFromAnswer(
  { method, path, podman = false }: Pick<Call, 'method' | 'path'> & { podman?: boolean },
  status: number,
  body: Buffer,
  version: string | undefined,
): DockerError {
  const message = messageOf(body) ?? `The engine answered ${method} ${path} with status ${status} and no message.`
  const wanted = /client version \S+ is too (?:new|old).*?API version(?: is)? (\d+\.\d+)/i.exec(message)
  if (status === 400 && wanted) {
    return new ApiVersionError(message, { status, method, path, needed: wanted[1] ?? '', found: version ?? '' })
  }
  return errorFromStatus({ status, method, path, message, podman })
}

function messageOf(body: Buffer): string | undefined {
  const text = body.toString('utf8').trim()
  try {
    const parsed = JSON.parse(text) as { message?: unknown; cause?: unknown }
    if (typeof parsed.message === 'string' && parsed.message !== '') return parsed.message
  } catch {
    // Plain text: from a proxy, or an old engine.
  }
  return text === '' ? undefined : text.slice(0, 4000)
}

function isPodman(headers: Record<string, string> = {}): boolean {
  return 'libpod-api-version' in headers
}

function isUsed([, , value]: Since): boolean {
  return value !== undefined
}

function checkSince(since: readonly Since[], version: string): void {
  for (const one of since) {
    const [what, needed] = one
    if (!isUsed(one) || compareVersions(version, needed) >= 0) continue
    throw new ApiVersionError(`${what} needs API ${needed} or newer; this engine speaks ${version}.`, {
      needed,
      found: version,
      hint: 'Leave it out, or update Docker.',
    })
  }
}
