import { setMaxListeners } from 'node:events'
import { isIP } from 'node:net'
import { type LookUp, lookUp } from './look-up.ts'
import { isPublicAddress } from './public-address.ts'

/** `private` when any address of a host is not public; `unknown` when that could not be found out, or there is none. */
export type Reach = 'public' | 'private' | 'unknown'

/** How many names of one Dockerfile are looked up, and how long that may take in all. */
const most = 32
const longestMs = 10_000

/**
 * Tells of hosts by their names whether they are on the Internet, for one request: each name is looked up once, only so many
 * are, and only for so long; what is not found out by then is `unknown`. A name may lead elsewhere a moment later, so this
 * is no promise for whoever looks it up again.
 */
export class HostReach {
  readonly #found = new Map<string, Promise<Reach>>()
  readonly #signal: AbortSignal
  readonly #lookUp: LookUp

  /** @param options.signal Whoever wants to know: where that is over, nothing more is looked up. */
  constructor(options: { signal?: AbortSignal | undefined; lookUp?: LookUp; longestMs?: number } = {}) {
    const { signal, lookUp: by = lookUp } = options
    const late = AbortSignal.timeout(options.longestMs ?? longestMs)
    this.#signal = signal ? AbortSignal.any([signal, late]) : late
    setMaxListeners(2 * most, this.#signal)
    this.#lookUp = by
  }

  /** @param host A name, an IPv4 address in any of its spellings, or an IPv6 address with or without brackets. */
  of(host: string): Promise<Reach> {
    let name: string
    try {
      // As programs take it: `127.1`, `0x7f000001` and `2130706433` are 127.0.0.1.
      name = new URL(`http://${isIP(host) === 6 ? `[${host}]` : host}/`).hostname.replace(/^\[|\]$/g, '')
    } catch {
      return Promise.resolve('private')
    }
    if (isIP(name) > 0) return Promise.resolve(isPublicAddress(name) ? 'public' : 'private')
    let found = this.#found.get(name)
    if (!found) {
      found = this.#found.size < most ? this.#ask(name) : Promise.resolve('unknown')
      this.#found.set(name, found)
    }
    return found
  }

  async #ask(name: string): Promise<Reach> {
    const addresses = await this.#lookUp(name, this.#signal)
    if (addresses === undefined || addresses.length === 0) return 'unknown'
    return addresses.every(isPublicAddress) ? 'public' : 'private'
  }
}
