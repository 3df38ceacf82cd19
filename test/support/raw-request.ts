import net from 'node:net'
import tls from 'node:tls'

/** One service's answer, as it came over the wire. */
export type RawAnswer = Readonly<{ status: number; head: string; body: string }>

/**
 * Sends one request as it is written, so that no client tidies its path or headers, to 127.0.0.1.
 * @param options.secure By TLS, with this name.
 * @param options.lines Header lines besides `Host` and `Connection: close`.
 */
export async function rawRequest(
  port: number,
  options: Readonly<{ host: string; path: string; secure?: boolean; method?: string; lines?: readonly string[] }>,
): Promise<RawAnswer> {
  const { host, path, secure = false, method = 'GET', lines = [] } = options
  const socket = secure
    ? tls.connect({ host: '127.0.0.1', port, servername: host, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    : net.connect(port, '127.0.0.1')
  socket.setTimeout(20_000, () => socket.destroy(new Error(`no answer to ${method} ${path}`)))
  const close = lines.some((line) => /^connection:/i.test(line)) ? [] : ['Connection: close']
  socket.write([`${method} ${path} HTTP/1.1`, `Host: ${host}`, ...close, ...lines, '', ''].join('\r\n'), 'latin1')
  let text = ''
  for await (const chunk of socket) {
    text += (chunk as Buffer).toString('latin1')
    // A connection that was taken for another protocol stays open.
    if (/^HTTP\/1\.1 101 /.test(text) && text.includes('\r\n\r\n')) break
  }
  socket.destroy()
  const end = text.indexOf('\r\n\r\n')
  const head = text.slice(0, end)
  const body = text.slice(end + 4)
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0),
    head,
    body: /^transfer-encoding: chunked/im.test(head) ? dechunked(body) : body,
  }
}

function dechunked(body: string): string {
  let text = ''
  for (let at = 0; ; ) {
    const end = body.indexOf('\r\n', at)
    const length = Number.parseInt(body.slice(at, end), 16)
    if (!(length > 0)) return text
    text += body.slice(end + 2, end + 2 + length)
    at = end + 2 + length + 2
  }
}
