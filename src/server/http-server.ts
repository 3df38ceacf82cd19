import http from 'node:http'
import { BlockList, type Socket } from 'node:net'
import { routerHeader } from '../router/config.ts'
import type { Api } from './api.ts'
import { clientBehind } from './proxies.ts'
import { destroySoon } from './reply.ts'
import type { Via } from './request.ts'

/**
 * How many may wait to be accepted. Where there is no room, who comes by TCP tries again after a second, and who comes by
 * the socket at once: the shorter its queue, the sooner they have a place.
 */
export const maxWaiting: Readonly<Record<Via, number>> = { socket: 512, router: 4096 }

/**
 * A server whose clients may be strangers: small headers, no dawdling, and neither silence nor noise costs it much.
 * @param routerToken By which the router is known. What anybody else says of where a request comes from counts for
 *   nothing: containers reach that address, too.
 * @param proxies Whose word the router itself takes: behind them are the clients.
 */
export function httpServer(
  api: Api,
  via: Via,
  routerToken?: string,
  proxies: BlockList = new BlockList(),
): http.Server {
  const server = http.createServer(
    {
      maxHeaderSize: 8 * 1024,
      headersTimeout: 5_000,
      // Uploads take as long as they take; bodies have a rule of their own.
      requestTimeout: 0,
      // The router closes its own that idle long before.
      keepAliveTimeout: via === 'router' ? 10_000 : 75_000,
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
      takeAtItsWord(request)
      connections.begin(request, via)
      response.once('close', () => {
        if (answers.get(socket) !== response) return
        answers.delete(socket)
        connections.wait(socket, via)
      })
      void api.handle(request, response, via)
    },
  )
  server.maxRequestsPerSocket = 0
  const answers = new WeakMap<Socket, http.ServerResponse>()
  const { connections } = api
  server.on('connection', (socket) => {
    socket.once('close', () => connections.leave(socket))
    connections.wait(socket, via)
  })
  const takeAtItsWord = ({ headers }: http.IncomingMessage): void => {
    const said = headers['x-forwarded-for']
    if (routerToken === undefined || headers[routerHeader.toLowerCase()] !== routerToken)
      delete headers['x-forwarded-for']
    else if (said !== undefined) headers['x-forwarded-for'] = clientBehind(proxies, String(said))
  }
  server.on('upgrade', (request, socket, head) => {
    takeAtItsWord(request)
    connections.begin(request, via)
    void api.upgrade(request, socket as Socket, head, via)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    api.malformed(error.code ?? '', socket as Socket, via)
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    destroySoon(socket as Socket)
  })
  return server
}
