import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { findEngine } from '../../src/docker/index.ts'

/**
 * What goes wrong with one call: nothing arrives at the engine (`…-before`), or it does its work and nobody hears of it
 * (`…-after`). `kill` ends the process that called, `hang` never answers, `500` is an answer of the proxy's own.
 */
export type Fault =
  | 'closed-before'
  | 'closed-after'
  | '500'
  | 'hang-before'
  | 'hang-after'
  | 'kill-before'
  | 'kill-after'

export const faults: readonly Fault[] = [
  'closed-before',
  'closed-after',
  '500',
  'hang-before',
  'hang-after',
  'kill-before',
  'kill-after',
]

export type PlannedFault = Readonly<{ call: string; fault: Fault; kill: () => void }>

export interface FaultProxy {
  /** For `env` of a command: it talks to the engine through the proxy. */
  readonly env: Readonly<Record<string, string>>
  /**
   * Starts to count anew. A call is named by its method and path, names and ids taken out of it, and its number among
   * those of that name: `POST /containers/{}/start 2`.
   * @param fault What happens to which call; nothing unless given.
   */
  arm(fault?: PlannedFault): void
  /** The calls since it was armed, in the order of arrival. */
  readonly calls: readonly string[]
  /** Whether the call of the fault came. */
  readonly hit: boolean
}

/** Stands between commands and this machine's engine, passes everything on, and breaks the one call that it is told to. */
export async function faultProxy(t: Pick<TestContext, 'after'>): Promise<FaultProxy> {
  const endpoint = await findEngine(process.env)
  if (endpoint.kind !== 'unix') throw new Error('The proxy stands before a unix socket only')
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  const proxy = new SocketProxy(endpoint.path, join(folder, 'docker.sock'))
  await proxy.listen()
  t.after(async () => {
    proxy.close()
    await rm(folder, { recursive: true, force: true })
  })
  return proxy
}

class SocketProxy implements FaultProxy {
  readonly env: Readonly<Record<string, string>>
  readonly #engine: string
  readonly #path: string
  readonly #server: http.Server
  readonly #sockets = new Set<Socket>()
  #counts = new Map<string, number>()
  #fault: PlannedFault | undefined
  calls: string[] = []
  hit = false

  constructor(engine: string, path: string) {
    this.#engine = engine
    this.#path = path
    this.env = { DOCKER_HOST: `unix://${path}` }
    this.#server = http.createServer({ requestTimeout: 0 }, (request, response) => this.#pass(request, response))
    this.#server.on('upgrade', (request, socket: Socket, head) => this.#upgrade(request, socket, head))
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(this.#path, resolve))
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  arm(fault?: PlannedFault): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#counts = new Map()
    this.#fault = fault
    this.calls = []
    this.hit = false
  }

  #pass(request: http.IncomingMessage, response: http.ServerResponse): void {
    const fault = this.#faultOf(request)
    const { socket } = request
    if (fault?.fault === 'closed-before') socket.destroy()
    else if (fault?.fault === 'hang-before') request.resume()
    else if (fault?.fault === 'kill-before') fault.kill()
    else if (fault?.fault === '500') {
      request.resume()
      response.writeHead(500, { 'content-type': 'application/json' })
      response.end('{"message":"the proxy says so"}')
    } else this.#forward(request, response, fault)
  }

  #forward(request: http.IncomingMessage, response: http.ServerResponse, fault: PlannedFault | undefined): void {
    const { method, url, headers, socket } = request
    const forward = http.request({ socketPath: this.#engine, method, path: url, headers }, (answer) => {
      if (fault === undefined) {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
        return
      }
      // The engine has done its work when its answer is whole.
      answer.resume().once('end', () => {
        if (fault.fault === 'closed-after') socket.destroy()
        else if (fault.fault === 'kill-after') fault.kill()
      })
    })
    forward.on('error', () => socket.destroy())
    // A caller that gives up, the build's too, is to be seen by the engine.
    response.once('close', () => forward.destroy())
    request.pipe(forward)
  }

  #upgrade(request: http.IncomingMessage, socket: Socket, head: Buffer): void {
    const { method, url, rawHeaders } = request
    const engine = connect(this.#engine)
    const lines = rawHeaders.flatMap((text, i) => (i % 2 === 0 ? [`${text}: ${rawHeaders[i + 1]}\r\n`] : []))
    engine.write(`${method} ${url} HTTP/1.1\r\n${lines.join('')}\r\n`)
    engine.write(head)
    engine.pipe(socket).pipe(engine)
    engine.on('error', () => socket.destroy())
    socket.on('close', () => engine.destroy())
  }

  #faultOf(request: http.IncomingMessage): PlannedFault | undefined {
    const name = nameOf(request.method ?? '', request.url ?? '')
    const count = (this.#counts.get(name) ?? 0) + 1
    this.#counts.set(name, count)
    const call = `${name} ${count}`
    this.calls.push(call)
    if (this.#fault?.call !== call || this.hit) return undefined
    this.hit = true
    return this.#fault
  }
}

/** `POST /v1.41/containers/t1-web-r7-1/start?x=y` → `POST /containers/{}/start` */
function nameOf(method: string, url: string): string {
  const path = url.replace(/\?.*$/, '').replace(/^\/v[\d.]+(?=\/)/, '')
  const parts = path.split('/').slice(1)
  const fixed =
    /^(create|json|start|stop|kill|wait|update|connect|disconnect|logs|archive|prune|tag|build|info|version|_ping|events)$/
  return `${method} /${parts.map((part, i) => (i === 0 || fixed.test(part) ? part : '{}')).join('/')}`
}
