import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { join } from 'node:path'
import { openPrivate, privateFolder, readIfThere, writeDurably } from '../files.ts'

/** How long a challenge may be answered, and how far the times of a statement may be off. */
export const nonceLifeMs: number = 5 * 60_000

/**
 * Challenges that cost nothing to give: a nonce says itself when it was made, under a key that only this server has. Used
 * ones are written down until they expire, so that a restart opens no second chance.
 */
export class Nonces {
  readonly #key: Buffer
  readonly #file: string
  readonly #used: Map<string, number>
  readonly #now: () => number
  #writes = 0
  #lastWrite: Promise<void> = Promise.resolve()

  private constructor(key: Buffer, file: string, used: Map<string, number>, now: () => number) {
    this.#key = key
    this.#file = file
    this.#used = used
    this.#now = now
  }

  static async open(folder: string, now: () => number = Date.now): Promise<Nonces> {
    await privateFolder(folder)
    const keyFile = join(folder, 'nonce.key')
    let key = Buffer.from((await readIfThere(keyFile)) ?? '', 'hex')
    if (key.length !== 32) {
      key = randomBytes(32)
      await writeDurably(keyFile, key.toString('hex'))
    }
    const file = join(folder, 'nonces.used')
    const used = new Map<string, number>()
    for (const line of ((await readIfThere(file)) ?? '').split('\n')) {
      const [nonce, expires] = line.split(' ')
      if (nonce && Number(expires) > now()) used.set(nonce, Number(expires))
    }
    const nonces = new Nonces(key, file, used, now)
    await nonces.#compact()
    return nonces
  }

  make(): string {
    const body = Buffer.alloc(24)
    body.writeBigUInt64BE(BigInt(this.#now()), 0)
    randomBytes(16).copy(body, 8)
    return Buffer.concat([body, this.#mac(body)]).toString('base64url')
  }

  /** Whether this server made it, lately, and nobody has used it. */
  isFresh(nonce: string): boolean {
    const bytes = Buffer.from(nonce, 'base64url')
    if (bytes.length !== 56 || bytes.toString('base64url') !== nonce) return false
    const body = bytes.subarray(0, 24)
    if (!timingSafeEqual(this.#mac(body), bytes.subarray(24))) return false
    const age = this.#now() - Number(body.readBigUInt64BE(0))
    return age <= nonceLifeMs && age >= -1_000 && !this.#used.has(nonce)
  }

  /** Takes it, once. False when somebody else was first. Done when that would outlive a power cut. */
  async use(nonce: string): Promise<boolean> {
    if (!this.isFresh(nonce)) return false
    const expires = this.#now() + nonceLifeMs + 60_000
    this.#used.set(nonce, expires)
    const written = this.#lastWrite.then(() => this.#write(nonce, expires))
    this.#lastWrite = written.catch(() => {})
    await written
    return true
  }

  /** One after the other: a line that is appended while the file is replaced would be lost with the old one. */
  async #write(nonce: string, expires: number): Promise<void> {
    if (++this.#writes % 1000 === 0) await this.#compact()
    await using handle = await openPrivate(this.#file, 'a')
    await handle.writeFile(`${nonce} ${expires}\n`)
    await handle.datasync()
  }

  #mac(body: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(body).digest()
  }

  async #compact(): Promise<void> {
    for (const [nonce, expires] of this.#used) if (expires <= this.#now()) this.#used.delete(nonce)
    await writeDurably(this.#file, [...this.#used].map(([nonce, expires]) => `${nonce} ${expires}\n`).join(''))
  }
}
