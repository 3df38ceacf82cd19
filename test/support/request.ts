import http from 'node:http'
import https from 'node:https'

export type RequestOptions = Readonly<{
  /** Where on 127.0.0.1. Default: the URL's own port. */
  port?: number
  method?: string
  headers?: Readonly<Record<string, string>>
  body?: string | Uint8Array
  /** Default: a connection of its own for each request. */
  agent?: http.Agent
  /** Trust only this; without it any certificate will do, since routers under test sign their own. */
  ca?: string
  /** Default 30,000. */
  timeoutMs?: number
}>

export type Reply = Readonly<{
  status: number
  headers: http.IncomingHttpHeaders
  body: string
  json<T = Record<string, unknown>>(): T
  ms: number
}>

/** One request to 127.0.0.1, with the URL's host as Host and SNI; redirects are not followed. */
export async function request(url: string, options: RequestOptions = {}): Promise<Reply> {
  const { protocol, host, hostname, port, pathname, search } = new URL(url)
  const secure = protocol === 'https:'
  const started = performance.now()
  const signal = AbortSignal.timeout(options.timeoutMs ?? 30_000)
  const settings: https.RequestOptions = {
    host: '127.0.0.1',
    port: options.port ?? (port || (secure ? 443 : 80)),
    path: `${pathname}${search}`,
    method: options.method ?? 'GET',
    headers: {
      host,
      ...(options.body !== undefined && { 'content-length': Buffer.byteLength(options.body) }),
      ...options.headers,
    },
    agent: options.agent ?? false,
    signal,
    ...(secure && {
      servername: hostname,
      ...(options.ca === undefined ? { rejectUnauthorized: false } : { ca: options.ca }),
    }),
  }
  const sent = secure ? https.request(settings) : http.request(settings)
  const answered = new Promise<http.IncomingMessage>((resolve, reject) =>
    sent.once('response', resolve).on('error', reject),
  )
  sent.end(options.body)
  const response = await answered
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks).toString()
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body,
    json: <T>() => JSON.parse(body) as T,
    ms: performance.now() - started,
  }
}
