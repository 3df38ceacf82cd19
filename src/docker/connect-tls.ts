import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import type { TlsMaterial } from './address.ts'

/** Starts a TLS connection; the caller waits for `secureConnect`. A file of its own so that local engines load no TLS. */
export function connectTls({ host, port, tls }: { host: string; port: number; tls: TlsMaterial }): TLSSocket {
  const name = tls.serverName ?? host
  const socket = connect({
    host,
    port,
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: tls.verify !== false,
    ...(isIP(name) ? {} : { servername: name }),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
  })
  socket.setNoDelay(true)
  socket.setKeepAlive(true, 30_000)
  return socket
}
