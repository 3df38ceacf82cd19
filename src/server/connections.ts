import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Guests } from './guests.ts'
import { peerOf } from './peer.ts'
import type { Via } from './request.ts'

/** So many of each kind are kept, or a quarter of the files that the process may have. */
const maxOf = { strangers: 4096, members: 1024, between: 2048 }
/** So much of requests that are not signed is kept in all. */
const maxStrangeBytes = 8 * 1024 ** 2

/**
 * The connections of both ways in, each by what it is at a moment; of each kind there are so many at most. A connection of
 * the router brings requests of everybody, one after the other: while one is on, the connection is of the peer who made it,
 * and its loss is theirs alone; between two it is the router's.
 */
export class Connections {
  /** Requests whose sender has not shown who they are, and on the socket also those who sent none yet. */
  readonly #strangers: Guests
  /** Requests of who has signed, or has a token of who did, by their key. */
  readonly #members: Guests
  /**
   * Connections without a request where the router comes in, by the address that they really come from. More than the
   * router has at any moment, and than are accepted at once: those of the router are never the ones that waited longest.
   */
  readonly #between: Guests

  constructor({ strangers, members, between }: typeof maxOf = maxOf) {
    const files = Math.floor(openFiles() / 4)
    this.#strangers = new Guests({ max: Math.min(strangers, files), maxBytes: maxStrangeBytes })
    this.#members = new Guests({ max: Math.min(members, files) })
    this.#between = new Guests({ max: Math.min(between, files) })
  }

  /** A new connection, or one whose request has been answered. */
  wait(socket: Socket, via: Via): void {
    if (via === 'socket') this.#put(socket, this.#strangers, 'socket')
    else this.#put(socket, this.#between, socket.remoteAddress ?? '')
  }

  /** A request begins. It holds nothing yet. */
  begin(request: IncomingMessage, via: Via): void {
    this.#put(request.socket, this.#strangers, peerOf(request, via))
  }

  /** So much more of a stranger's request is kept. */
  hold(socket: Socket, bytes: number): void {
    this.#strangers.hold(socket, bytes)
  }

  /** A stranger's request has come: it makes nobody wait for more of it. */
  whole(socket: Socket): void {
    this.#strangers.whole(socket)
  }

  /** Whose request is on is no stranger, as long as it goes on. */
  prove(socket: Socket, member: string): void {
    this.#put(socket, this.#members, member)
  }

  /** A connection is closed. */
  leave(socket: Socket): void {
    for (const kind of [this.#strangers, this.#members, this.#between]) kind.leave(socket)
  }

  #put(socket: Socket, kind: Guests, peer: string): void {
    this.leave(socket)
    kind.wait(socket, peer)
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
