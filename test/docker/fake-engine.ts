import { mkdtemp, rm } from 'node:fs/promises'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Docker, type DockerOptions } from '../../src/docker/index.ts'

/** A request as the fake engine got it. */
export type Received = {
  method: string
  /** With the version, without the query. */
  path: string
  /** A repeated key gives a list. */
  query: Record<string, string | string[]>
  headers: IncomingHttpHeaders
  body: Buffer
}

export type Answer = { status?: number; headers?: Record<string, string>; json?: unknown; body?: string | Buffer }

/** Answers a request; what it returns is sent. It may also answer by itself, and return nothing. */
export type Handler = (request: Received, response: ServerResponse) => Answer | undefined | Promise<Answer | undefined>

export type FakeEngine = {
  socket: string
  docker: Docker
  server: Server
  /** All requests, pings left out. */
  requests: Received[]
  pings: Received[]
  /** Connections that are open now, as the server counts them. */
  connections(): number
  /** How many were ever opened. */
  opened(): number
  /** Ends all connections at once, as an engine does that is killed. */
  cut(): void
  stop(): Promise<void>
  start(): Promise<void>
}

/**
 * A server on a unix socket that acts as an engine. It answers pings; everything else is the handler's.
 * @param options.apiVersion what the ping says; default `1.56`, the newest
 * @param options.early give the request to the handler before its body has come
 */
export async function fakeEngine(
  t: TestContext,
  handler: Handler = () => ({ status: 204 }),
  options: { apiVersion?: string | (() => string); early?: boolean; docker?: DockerOptions; ping?: Handler } = {},
): Promise<FakeEngine> {
  const directory = await mkdtemp(join(tmpdir(), 'fake-engine-'))
  const socket = join(directory, 'docker.sock')
  const requests: Received[] = []
  const pings: Received[] = []
  const sockets = new Set<Socket>()
  let opened = 0

  const listener = async (incoming: IncomingMessage, response: ServerResponse) => {
    const received = options.early ? describe(incoming, Buffer.alloc(0)) : describe(incoming, await readBody(incoming))
    const isPing = received.path === '/_ping'
    ;(isPing ? pings : requests).push(received)
    const answer = await (isPing ? (options.ping ?? defaultPing) : handler)(received, response)
    if (answer) send(response, answer)
  }
  const defaultPing: Handler = ({ method }) => {
    const version = typeof options.apiVersion === 'function' ? options.apiVersion() : (options.apiVersion ?? '1.56')
    const headers = { 'Api-Version': version, Ostype: 'linux', 'Builder-Version': '2' }
    return { headers, body: method === 'HEAD' ? '' : 'OK' }
  }
  const server = createServer((incoming, response) => void listener(incoming, response).catch(() => incoming.destroy()))
  server.on('connection', (connection: Socket) => {
    opened++
    sockets.add(connection)
    connection.on('close', () => sockets.delete(connection))
    connection.on('error', () => {})
  })
  const cut = () => {
    for (const connection of sockets) connection.destroy()
  }
  const start = () => new Promise<void>((resolve) => server.listen(socket, resolve))
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      cut()
    })
  await start()
  const docker = new Docker({
    host: `unix://${socket}`,
    env: { HOME: directory, PATH: process.env['PATH'] },
    ...options.docker,
  })
  t.after(async () => {
    docker.close()
    await stop()
    await rm(directory, { recursive: true, force: true })
  })
  return {
    socket,
    docker,
    server,
    requests,
    pings,
    connections: () => sockets.size,
    opened: () => opened,
    cut,
    stop,
    start,
  }
}

/** Frames of a container's output as the engine sends them. */
export function frames(...parts: readonly ['stdout' | 'stderr', string | Buffer][]): Buffer {
  return Buffer.concat(
    parts.flatMap(([stream, text]) => {
      const data = Buffer.from(text)
      const header = Buffer.alloc(8)
      header[0] = stream === 'stdout' ? 1 : 2
      header.writeUInt32BE(data.length, 4)
      return [header, data]
    }),
  )
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of incoming) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

export function describe(incoming: IncomingMessage, body: Buffer): Received {
  const url = new URL(incoming.url ?? '', 'http://docker')
  const query: Received['query'] = {}
  for (const key of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(key)
    query[key] = values.length === 1 ? (values[0] ?? '') : values
  }
  return { method: incoming.method ?? '', path: decodeURI(url.pathname), query, headers: incoming.headers, body }
}

function send(response: ServerResponse, answer: Answer): void {
  const type = answer.json === undefined ? {} : { 'Content-Type': 'application/json' }
  response.writeHead(answer.status ?? 200, { ...type, ...answer.headers })
  response.end(answer.json === undefined ? (answer.body ?? '') : JSON.stringify(answer.json))
}
