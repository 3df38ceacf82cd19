/**
 * Calls `listener` when the signal is aborted; returns what takes it back. However many listeners there are, the signal
 * itself gets one: Node 20 warns of a leak from the eleventh on, and many calls may share a signal.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let watch = watches.get(signal)
  if (!watch) {
    watch = new Watch(signal)
    watches.set(signal, watch)
  }
  watch.add(listener)
  return () => watch.remove(listener)
}

/** Why it was aborted, as an error. */
export function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new DOMException(String(signal.reason), 'AbortError')
}

const watches = new WeakMap<AbortSignal, Watch>()

class Watch {
  readonly #signal: AbortSignal
  readonly #listeners = new Set<() => void>()

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  add(listener: () => void): void {
    if (this.#listeners.size === 0) this.#signal.addEventListener('abort', this.#tell, { once: true })
    this.#listeners.add(listener)
  }

  remove(listener: () => void): void {
    if (this.#listeners.delete(listener) && this.#listeners.size === 0) {
      this.#signal.removeEventListener('abort', this.#tell)
    }
  }

  readonly #tell = (): void => {
    for (const listener of [...this.#listeners]) listener()
    this.#listeners.clear()
  }
}
