import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'

/** So many connections of peers that have not signed are kept open, if the process may have files for them. */
const maxGuests = Math.min(1024, Math.floor(openFiles() / 4))
/** So much of requests that are not signed is kept in all. */
const maxGuestBytes = 8 * 1024 ** 2

/** What is to be done when the peer of a connection has signed, or has a token of who did. */
const proofs = new WeakMap<Socket, () => void>()

/** The peer of a connection is no stranger, as long as its request goes on. */
export function prove(socket: Socket): void {
  proofs.get(socket)?.()
}

type Guest = { peer: string; bytes: number }

/**
 * The connections of peers that have not signed: silent ones, those that dawdle, those that wait for an answer or idle after
 * one. When there are too many, or they hold too much, the peer that has most loses the one that has waited longest: so
 * those who come, say what they want and sign it always find a place.
 */
export class Guests {
  /** Since when each waits: the longest first. */
  readonly #waiting = new Map<Socket, Guest>()
  readonly #peers = new Map<string, { count: number; bytes: number }>()
  readonly #max: number
  readonly #maxBytes: number
  #bytes = 0

  constructor({ max = maxGuests, maxBytes = maxGuestBytes }: { max?: number; maxBytes?: number } = {}) {
    this.#max = max
    this.#maxBytes = maxBytes
  }

  /** A new connection, of which nothing is known. */
  welcome(socket: Socket): void {
    proofs.set(socket, () => this.leave(socket))
    socket.once('close', () => this.leave(socket))
    this.wait(socket, '')
  }

  /** A connection waits from now on: for its next request, the rest of one, or to be let in. It holds nothing yet. */
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

  /** It is none any more: it has signed, or is closed. */
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

/** How many files the process may have open. Node has set it to what it may set it to. */
function openFiles(): number {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit)
  } catch {
    return 4096
  }
}
