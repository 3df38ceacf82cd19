import type { Socket } from 'node:net'

type Guest = { peer: string; bytes: number }

/**
 * Connections of one kind. When there are too many, or they hold too much, the peer that has most loses the one that has
 * waited longest: so those who come, say what they want and get it always find a place.
 */
export class Guests {
  /** Since when each waits: the longest first. */
  readonly #waiting = new Map<Socket, Guest>()
  readonly #peers = new Map<string, { count: number; bytes: number }>()
  readonly #max: number
  readonly #maxBytes: number
  #bytes = 0

  constructor({ max, maxBytes = Number.POSITIVE_INFINITY }: { max: number; maxBytes?: number }) {
    this.#max = max
    this.#maxBytes = maxBytes
  }

  /** A connection waits from now on, and holds nothing yet. Whoever has it leave when it is closed. */
  wait(socket: Socket, peer: string): void {
    if (socket.destroyed) return
    this.leave(socket)
    this.#waiting.set(socket, { peer, bytes: 0 })
    const of = this.#peers.get(peer)
    if (of) of.count += 1
    else this.#peers.set(peer, { count: 1, bytes: 0 })
    if (this.#waiting.size > this.#max) this.#throwOut('count')
  }

  /** So much more of its request is kept. */
  hold(socket: Socket, bytes: number): void {
    const guest = this.#waiting.get(socket)
    const of = guest && this.#peers.get(guest.peer)
    if (!of) return
    guest.bytes += bytes
    of.bytes += bytes
    this.#bytes += bytes
    while (this.#bytes > this.#maxBytes) this.#throwOut('bytes')
  }

  /** Its request has come: it makes nobody wait for more of it. */
  whole(socket: Socket): void {
    this.hold(socket, -(this.#waiting.get(socket)?.bytes ?? 0))
  }

  /** It is of another kind now, or closed. */
  leave(socket: Socket): void {
    const guest = this.#waiting.get(socket)
    const of = guest && this.#peers.get(guest.peer)
    if (!of) return
    this.#waiting.delete(socket)
    this.#bytes -= guest.bytes
    of.bytes -= guest.bytes
    of.count -= 1
    if (of.count === 0) this.#peers.delete(guest.peer)
  }

  #throwOut(what: 'count' | 'bytes'): void {
    let most = ''
    let much = 0
    for (const [peer, has] of this.#peers) if (has[what] > much) [most, much] = [peer, has[what]]
    for (const [socket, guest] of this.#waiting) {
      if (guest.peer !== most || (what === 'bytes' && guest.bytes === 0)) continue
      this.leave(socket)
      socket.destroy()
      return
    }
  }
}
