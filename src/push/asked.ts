/**
 * A request that can't be taken back once the server may have all of it. Until then the outer signal ends it; from then on
 * its answer is waited for a moment longer, for only that says what has become of it.
 */
export class Asked {
  /** For the request. */
  readonly signal: AbortSignal
  readonly #controller = new AbortController()
  readonly #outer: AbortSignal | undefined
  readonly #answerMs: number
  #isOut = false
  #isAnswered = false

  /** @param options.answerMs How long the answer may take after the signal. Default 5 s. */
  constructor(outer: AbortSignal | undefined, options: { answerMs?: number } = {}) {
    this.signal = this.#controller.signal
    this.#outer = outer
    this.#answerMs = options.answerMs ?? 5_000
    if (outer?.aborted) this.#leave()
    else outer?.addEventListener('abort', this.#leave, { once: true })
  }

  /** Whether the server may have it. */
  get isOut(): boolean {
    return this.#isOut
  }

  /** To be called before the last of it goes out. */
  readonly out = (): void => {
    if (!this.signal.aborted) this.#isOut = true
  }

  /** It is known what has become of it: the signal ends what is left at once. */
  answered(): void {
    this.#isAnswered = true
    if (this.#outer?.aborted) this.#leave()
  }

  [Symbol.dispose](): void {
    this.#outer?.removeEventListener('abort', this.#leave)
  }

  readonly #leave = (): void => {
    const abort = (): void => this.#controller.abort(this.#outer?.reason)
    if (this.#isOut && !this.#isAnswered) setTimeout(abort, this.#answerMs).unref()
    else abort()
  }
}
