import { onAbort, reasonOf } from './abort.ts'
import { TimeoutError } from './errors.ts'

/** What every call takes. */
export type CallOptions = {
  /** Stops the call, which then throws the signal's reason. */
  signal?: AbortSignal | undefined
  /** Milliseconds for the whole call, its stream included. Default: 120 s for short calls, no limit for long ones. */
  timeoutMs?: number | undefined
  /** Milliseconds that may pass without a byte while the client waits for the engine. Default: no limit. */
  idleMs?: number | undefined
}

type Called = { method: string; path: string }

/** The caller's signal, the total and the idle deadline of one call, whichever comes first. */
export class Deadline {
  readonly #call: Called
  readonly #options: CallOptions | undefined
  #total: NodeJS.Timeout | undefined
  #idle: NodeJS.Timeout | undefined
  #error: Error | undefined
  #unwatch: (() => void) | undefined
  #target: { abort(error: Error): void; waits(): boolean } | undefined

  constructor(call: Called, options: CallOptions | undefined, defaultTimeoutMs?: number | undefined) {
    this.#call = call
    this.#options = options
    const timeoutMs = options?.timeoutMs ?? defaultTimeoutMs
    if (timeoutMs !== undefined && timeoutMs < maxTimerMs) {
      this.#total = setTimeout(() => this.#fail(this.#timeout('total', timeoutMs)), timeoutMs)
    }
    const signal = options?.signal
    if (signal?.aborted) this.#error = reasonOf(signal)
    else if (signal) this.#unwatch = onAbort(signal, () => this.#fail(reasonOf(signal)))
  }

  /** @throws what has ended the call before it began */
  check(): void {
    if (this.#error) throw this.#error
  }

  /** From now on the deadline aborts this; what is past already, at once. */
  guard(target: { abort(error: Error): void; waits(): boolean }): void {
    this.#target = target
    if (this.#error) {
      target.abort(this.#error)
      return
    }
    const idleMs = this.#options?.idleMs
    if (idleMs === undefined) return
    this.#idle ??= setTimeout(() => {
      // A reader that takes its time is not the engine's silence.
      if (this.#target?.waits()) this.#fail(this.#timeout('idle', idleMs))
      else this.#idle?.refresh()
    }, idleMs)
    this.#idle.refresh()
  }

  /** A byte came or went. */
  touch(): void {
    this.#idle?.refresh()
  }

  /** Waits for a promise of somebody else's, no longer than the deadline. */
  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(resolve, reject)
      this.guard({ abort: reject, waits: () => true })
    })
  }

  /** The call is over. */
  done(): void {
    clearTimeout(this.#total)
    clearTimeout(this.#idle)
    this.#target = undefined
    this.#unwatch?.()
  }

  #fail(error: Error): void {
    this.#error ??= error
    const target = this.#target
    this.done()
    target?.abort(this.#error)
  }

  #timeout(kind: 'total' | 'idle', ms: number): TimeoutError {
    const { method, path } = this.#call
    const message =
      kind === 'total'
        ? `The engine did not finish ${method} ${path} within ${ms} ms.`
        : `The engine was silent for ${ms} ms in ${method} ${path}.`
    const hint = 'Give it more time, or look at the engine (docker info, its log).'
    return new TimeoutError(message, { kind, method, path, hint })
  }
}

/**
 * The options of a call that is made of several: each of them gets what is left of the total time.
 * @returns what the next one gets
 */
export function sharing({ timeoutMs, ...rest }: CallOptions): () => CallOptions {
  if (timeoutMs === undefined) return () => rest
  const endsAt = performance.now() + timeoutMs
  return () => ({ ...rest, timeoutMs: Math.max(1, Math.ceil(endsAt - performance.now())) })
}

const maxTimerMs = 2 ** 31 - 1
