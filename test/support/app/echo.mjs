// Answers with what it was asked, as it came over the wire: { service, method, url, headers: [name, value, …] }.
import { createHash } from 'node:crypto'
import http from 'node:http'
import { gzipSync } from 'node:zlib'

const seen = ({ method, url, rawHeaders: headers }) =>
  JSON.stringify({ service: process.env.MYPAAS_SERVICE, method, url, headers })

const server = http.createServer((request, response) => {
  const path = request.url.split('?')[0]
  if (path !== '/page') return response.end(seen(request))
  // As nginx and others compress: another variant has another ETag and another length.
  const compressed = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
  const page = compressed ? gzipSync('a page') : Buffer.from('a page')
  response.setHeader('etag', compressed ? '"page-gzip"' : '"page"')
  response.setHeader('vary', 'Accept-Encoding')
  if (compressed) response.setHeader('content-encoding', 'gzip')
  response.setHeader('content-length', page.length)
  response.end(request.method === 'HEAD' ? undefined : page)
})

server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Seen: ${seen(request)}\r\n\r\n`,
  )
})

server.listen(80)
process.on('SIGTERM', () => process.exit(0))
