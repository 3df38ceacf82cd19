import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** How long a challenge may be answered, and how far the times of a statement may be off. */
export const nonceLifeMs: number = 5 * 60_000

/** Of nonces that came with a wrong signature, so many are remembered: whoever wants another one checked asks for it. */
const maxSpoilt = 4096

/**
 * Challenges that cost nothing to give: a nonce says itself when it was made, under a key that only this process has and
 * by a clock that nobody sets. So none outlives the process, or a step of the machine's clock, and nothing has to be written
 * down. The first eight letters are the same for all of one process: with others, the daemon was started anew.
 */
export class Nonces {
  readonly #key: Buffer = randomBytes(32)
  readonly #life: Buffer = randomBytes(6)
  /** With the time until when they would be fresh, the oldest first. */
  readonly #used = new Map<string, number>()
  readonly #spoilt = new Set<string>()
  readonly #now: () => number

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  make(): string {
    const body = Buffer.alloc(24)
    this.#life.copy(body)
    body.writeBigInt64BE(BigInt(Math.round(this.#now())), 6)
    randomBytes(10).copy(body, 14)
    return Buffer.concat([body, this.#mac(body)]).toString('base64url')
  }

  /** Whether this process made it, lately, and nobody has used or spoilt it. */
  isFresh(nonce: string): boolean {
    const made = this.#madeAt(nonce)
    if (made === undefined) return false
    const age = this.#now() - made
    return age <= nonceLifeMs && age >= -1_000 && !this.#used.has(nonce) && !this.#spoilt.has(nonce)
  }

  /** Takes it, once. False when somebody else was first. */
  use(nonce: string): boolean {
    if (!this.isFresh(nonce)) return false
    const now = this.#now()
    for (const [old, until] of this.#used) {
      if (until >= now) break
      this.#used.delete(old)
    }
    // What is made up to then is not fresh any more.
    this.#used.set(nonce, now + nonceLifeMs + 2_000)
    return true
  }

  /** A nonce is for one signature: that of a wrong one is not looked at again. */
  spoil(nonce: string): void {
    this.#spoilt.add(nonce)
    if (this.#spoilt.size > maxSpoilt) this.#spoilt.delete(this.#spoilt.values().next().value as string)
  }

  #madeAt(nonce: string): number | undefined {
    const bytes = Buffer.from(nonce, 'base64url')
    if (bytes.length !== 56 || bytes.toString('base64url') !== nonce) return undefined
    const body = bytes.subarray(0, 24)
    return timingSafeEqual(this.#mac(body), bytes.subarray(24)) ? Number(body.readBigInt64BE(6)) : undefined
  }

  #mac(body: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(body).digest()
  }
}
