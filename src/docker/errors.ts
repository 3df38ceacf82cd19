import { type ErrorCode, MypaasError } from '../errors.ts'

/**
 * The error for an answer of the engine with a status that is not success: one class per status, so that callers branch
 * with `instanceof`. This is the only place that maps a status to a class.
 * @param answer.message what the engine said
 * @param answer.podman it is Podman that answers: it lacks calls, and says 500 where Docker tells reasons apart
 */
export function errorFromStatus(answer: {
  status: number
  method: string
  path: string
  message: string
  podman?: boolean
}): DockerError {
  const { status, method, path, message, podman } = answer
  if (podman && status === 404 && /^(?:Not Found|Path \S+ is not supported)$/.test(message)) {
    return new NotImplementedError(`Podman does not know ${method} ${path}.`, { ...answer, hint: 'Use Docker for it.' })
  }
  const reason = podman && status === 500 ? podmanReasons.find(([pattern]) => pattern.test(message)) : undefined
  const Class = reason?.[1] ?? classByStatus[status] ?? (status >= 500 ? ServerError : DockerError)
  return new Class(message, answer)
}

type DockerErrorOptions = {
  status?: number | undefined
  method?: string | undefined
  path?: string | undefined
  code?: ErrorCode | undefined
  hint?: string | undefined
  cause?: unknown
}

/** The engine refused, failed or broke off. The message is the engine's own where there is one. */
export class DockerError extends MypaasError {
  override readonly name: string = 'DockerError'
  /** The HTTP status; `undefined` when the error came without one (in mid-stream, or before an answer). */
  readonly status: number | undefined
  readonly method: string | undefined
  /** The path as sent, without the query. */
  readonly path: string | undefined

  constructor(message: string, options: DockerErrorOptions = {}) {
    super(message, { code: options.code ?? 'engine', hint: options.hint, cause: options.cause })
    this.status = options.status
    this.method = options.method
    this.path = options.path
  }
}

/** 400: the engine does not accept the request as it is. */
export class BadRequestError extends DockerError {
  override readonly name = 'BadRequestError'
}

/** 401: the registry or the engine wants credentials. */
export class UnauthorizedError extends DockerError {
  override readonly name = 'UnauthorizedError'
}

/** 403: not allowed, or the object can't be used like that (a network of the engine's own, say). */
export class ForbiddenError extends DockerError {
  override readonly name = 'ForbiddenError'
}

/** 404: there is no such container, image, network, … */
export class NotFoundError extends DockerError {
  override readonly name = 'NotFoundError'
}

/** 409: the name is taken, or the object is in a state (running, in use) that forbids this. */
export class ConflictError extends DockerError {
  override readonly name = 'ConflictError'
}

/** 500 and above: the engine tried and failed. */
export class ServerError extends DockerError {
  override readonly name: string = 'ServerError'
}

/** 501: this engine can't do that (on this platform, or with this storage driver). */
export class NotImplementedError extends ServerError {
  override readonly name = 'NotImplementedError'
}

/** 503: a swarm operation on an engine that is not part of a swarm (or no manager of it). */
export class UnavailableError extends ServerError {
  override readonly name = 'UnavailableError'
}

const classByStatus: Record<number, typeof DockerError> = {
  400: BadRequestError,
  401: UnauthorizedError,
  403: ForbiddenError,
  404: NotFoundError,
  409: ConflictError,
  501: NotImplementedError,
  503: UnavailableError,
}

/** The ends of Podman's messages, which are the names of its errors. */
const podmanReasons: readonly (readonly [RegExp, typeof DockerError])[] = [
  [/: (?:that name is already in use|container state improper|image is in use by a container\b.*)$/, ConflictError],
  [/: (?:image used by [^:]*|volume being used|network is being used|\S+ already exists)$/, ConflictError],
  [/: (?:no such (?:container|image|volume|network|exec session)|image not known|network not found)$/, NotFoundError],
  [/: invalid argument$|^invalid filter\b|^"?\w+"? is an invalid \w+ filter$/, BadRequestError],
]

/** No engine answers there: no socket, no permission, refused, wrong TLS, or not Docker at all. The hint says what to do. */
export class DockerUnavailableError extends DockerError {
  override readonly name = 'DockerUnavailableError'

  constructor(message: string, options: DockerErrorOptions = {}) {
    super(message, { ...options, code: 'unreachable' })
  }
}

/** The connection broke off before the answer was complete, or the answer is not what the API promises. Never a success. */
export class ProtocolError extends DockerError {
  override readonly name = 'ProtocolError'
}

/** A deadline that the caller set (or the client's default) ran out. `kind` says which. */
export class TimeoutError extends DockerError {
  override readonly name = 'TimeoutError'
  readonly kind: 'total' | 'idle' | 'connect'

  constructor(message: string, options: DockerErrorOptions & { kind: 'total' | 'idle' | 'connect' }) {
    super(message, options)
    this.kind = options.kind
  }
}

/** The engine's API is too old (or too new) for what was asked. Thrown before anything is sent. */
export class ApiVersionError extends DockerError {
  override readonly name = 'ApiVersionError'
  /** The API version that would do, e.g. `1.44`. */
  readonly needed: string
  /** The API version that is in use with this engine, e.g. `1.41`. */
  readonly found: string

  constructor(message: string, options: DockerErrorOptions & { needed: string; found: string }) {
    super(message, options)
    this.needed = options.needed
    this.found = options.found
  }
}

/** A step of a Dockerfile failed, or the build could not run. */
export class BuildError extends DockerError {
  override readonly name = 'BuildError'
  /** The step as the builder shows it, e.g. `[3/7] RUN make`; `undefined` when no step had begun. */
  readonly step: string | undefined
  /** The Dockerfile instruction, e.g. `RUN make`. */
  readonly instruction: string | undefined
  /** The exit code of the command that failed, if it was a command. */
  readonly exitCode: number | undefined
  /** The last lines that the failing step wrote, oldest first. */
  readonly lastLines: string[]

  constructor(
    message: string,
    options: DockerErrorOptions & {
      step?: string | undefined
      instruction?: string | undefined
      exitCode?: number | undefined
      lastLines?: string[]
    } = {},
  ) {
    super(message, options)
    this.step = options.step
    this.instruction = options.instruction
    this.exitCode = options.exitCode
    this.lastLines = options.lastLines ?? []
  }
}
