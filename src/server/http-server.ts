import http from 'node:http'
import type { Socket } from 'node:net'
import type { Api } from './api.ts'
import { peerOf } from './peer.ts'
import { destroySoon } from './reply.ts'
import type { Via } from './request.ts'

/** A server whose clients may be strangers: small headers, no dawdling, and neither silence nor noise costs it much. */
export function httpServer(api: Api, via: Via): http.Server {
  const server = http.createServer(
    {
      maxHeaderSize: 8 * 1024,
      headersTimeout: 5_000,
      // Uploads take as long as they take; bodies have a rule of their own.
      requestTimeout: 0,
      keepAliveTimeout: 75_000,
      connectionsCheckingInterval: 1_000,
      noDelay: true,
    },
    (request, response) => {
      const { socket } = request
      // Clients of ours wait for an answer before they ask for more.
      if (answers.get(socket)?.writableEnded === false) {
        socket.destroy()
        return
      }
      answers.set(socket, response)
      guests.wait(socket, peerOf(request, via))
      response.once('close', () => {
        if (answers.get(socket) === response) answers.delete(socket)
        // By the router come others over the same connection.
        guests.wait(socket, via === 'socket' ? 'socket' : '')
      })
      void api.handle(request, response, via)
    },
  )
  server.maxRequestsPerSocket = 0
  const answers = new WeakMap<Socket, http.ServerResponse>()
  const { guests } = api
  server.on('connection', (socket) => guests.welcome(socket))
  server.on('upgrade', (request, socket, head) => {
    guests.wait(socket as Socket, peerOf(request, via))
    void api.upgrade(request, socket as Socket, head, via)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    api.malformed(error.code ?? '', socket as Socket, via)
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    destroySoon(socket as Socket)
  })
  return server
}
