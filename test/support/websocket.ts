import { randomBytes } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import type { Duplex } from 'node:stream'
import type { World } from './world.ts'

/** A WebSocket on `/ws` of the test app, through the router. */
export type OpenWebSocket = Readonly<{
  /** The release that took it: `r7`. */
  release: string
  /** Sends a message and waits for its echo. @throws when the WebSocket is closed before */
  echo(): Promise<void>
  /** When it was closed, by `performance.now()`. */
  closed: Promise<number>
}>

/** Opens one; closed with the test's end at the latest. `url` as its users would write it: `https://a.test/ws`. */
export async function openWebSocket(w: World, url: string): Promise<OpenWebSocket> {
  const { protocol, host, pathname } = new URL(url)
  const secure = protocol === 'https:'
  const request = (secure ? https : http).request({
    host: '127.0.0.1',
    port: secure ? w.ports.https : w.ports.http,
    path: pathname,
    agent: false,
    headers: {
      host,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': randomBytes(16).toString('base64'),
    },
    ...(secure && { servername: host, rejectUnauthorized: false }),
    signal: AbortSignal.timeout(30_000),
  })
  const opened = new Promise<{ headers: http.IncomingHttpHeaders; socket: Duplex }>((resolve, reject) => {
    request.once('upgrade', ({ headers }, socket) => resolve({ headers, socket }))
    request.once('response', ({ statusCode }) => reject(new Error(`no WebSocket, but status ${statusCode}`)))
    request.once('error', reject)
  })
  request.end()
  const { headers, socket } = await opened
  const closed = new Promise<number>((resolve) => socket.once('close', () => resolve(performance.now())))
  socket.on('error', () => {}) // `close` follows
  socket.on('end', () => socket.end())
  socket.resume()
  return {
    release: `${headers['x-release']}`,
    closed,
    echo() {
      const message = randomBytes(8).toString('hex')
      const arrived = new Promise<void>((resolve, reject) => {
        socket.on('data', (chunk: Buffer) => {
          if (chunk.includes(message)) resolve()
        })
        void closed.then(() => reject(new Error('the WebSocket was closed before the echo came')))
      })
      const mask = randomBytes(4)
      const payload = Buffer.from(message).map((byte, i) => byte ^ (mask[i % 4] ?? 0))
      socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, payload]))
      return arrived
    },
  }
}
