import type { DeployEvent } from './events.ts'
import type { Receipt } from './history.ts'

/** Reads a receipt off the events of a deploy as they pass. */
export class Stopwatch {
  readonly #begin: number
  readonly #now: () => number
  #imageMs = 0
  #readyMs = 0
  #liveMs = 0
  #drainMs = 0
  #heldFrom: number | undefined
  #heldMs = 0
  #live = false

  /** @param now Milliseconds from a clock that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#begin = now()
  }

  elapsedMs(): number {
    return Math.round(this.#now() - this.#begin)
  }

  see(event: DeployEvent): void {
    switch (event.type) {
      case 'planned':
        this.#imageMs = this.elapsedMs()
        break
      case 'live':
        this.#live = true
        this.#liveMs = event.ms
        if (this.#heldFrom !== undefined) this.#heldMs = Math.round(this.#now() - this.#heldFrom)
        break
      case 'step':
        if (event.step === 'route' && event.holds && event.state === 'started') this.#heldFrom ??= this.#now()
        if (event.state !== 'done') break
        if (!this.#live && (event.step === 'create' || event.step === 'start' || event.step === 'ready')) {
          this.#readyMs += event.ms
        }
        if (event.step === 'drain') this.#drainMs += event.ms
        break
      default:
        break
    }
  }

  receipt(): Receipt {
    return {
      imageMs: this.#imageMs,
      readyMs: this.#readyMs,
      liveMs: this.#liveMs,
      drainMs: this.#drainMs,
      heldMs: this.#heldMs,
      totalMs: this.elapsedMs(),
    }
  }
}
