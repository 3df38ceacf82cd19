import { spawn } from 'node:child_process'
import http from 'node:http'
import https from 'node:https'
import type net from 'node:net'
import { Duplex, Readable } from 'node:stream'
import { MypaasError } from '../errors.ts'
import { nearest } from '../nearest.ts'
import { unixAgent } from '../unix-socket.ts'

/** Where a server is reached, parsed. */
export type Address = Readonly<
  | { kind: 'http'; secure: boolean; host: string; port: number; path: string }
  | { kind: 'ssh'; target: string; port: number | undefined }
  | { kind: 'unix'; path: string }
>

/**
 * `example.com`, `https://example.com:8443/path`, `user@host`, `ssh://user@host:2222`, `unix:/path/daemon.sock`.
 * Plain http is for this machine only.
 * @throws {MypaasError} `usage`
 */
export function parseAddress(text: string, names: readonly string[] = []): Address {
  if (text.startsWith('unix:/')) return { kind: 'unix', path: text.slice('unix:'.length).replace(/^\/\/\//, '/') }
  const ssh =
    /^ssh:\/\/((?:[^@/\s:]+@)?[^@/\s:-][^@/\s:]*)(?::(\d{1,5}))?\/?$/.exec(text) ??
    /^([^@/\s:-][^@/\s:]*@[^@/\s:-][^@/\s:]*)$/.exec(text)
  if (ssh) return { kind: 'ssh', target: ssh[1] as string, port: ssh[2] === undefined ? undefined : Number(ssh[2]) }
  const isName = /^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d{1,5})?(\/\S*)?$|^localhost(:\d{1,5})?$/i.test(text)
  const url = URL.canParse(isName ? `https://${text}` : text) ? new URL(isName ? `https://${text}` : text) : undefined
  if (
    !url ||
    !['http:', 'https:'].includes(url.protocol) ||
    url.username !== '' ||
    url.search !== '' ||
    url.hash !== ''
  ) {
    const guess = nearest(text, names)
    throw new MypaasError(`There is no server ${text}.`, {
      code: 'usage',
      hint: guess
        ? `Did you mean ${guess}?`
        : `Give a domain (paas.example.com), user@host, or a name from: mypaas remote add ${/^[a-z0-9-]+$/i.test(text) ? text : 'NAME'} ADDRESS`,
    })
  }
  const secure = url.protocol === 'https:'
  const host = url.hostname
  if (!secure && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(host)) {
    throw new MypaasError(`${text} would go over the network as plain text.`, {
      code: 'usage',
      hint: `Use https://${host}, or ssh: user@${host}. Plain http is for this machine only.`,
    })
  }
  const path = url.pathname === '/' ? '/daemon' : url.pathname.replace(/\/+$/, '')
  return { kind: 'http', secure, host, port: Number(url.port || (secure ? 443 : 80)), path }
}

export function formatAddress(address: Address): string {
  switch (address.kind) {
    case 'http': {
      const usual = address.port === (address.secure ? 443 : 80)
      return `${address.secure ? 'https' : 'http'}://${address.host}${usual ? '' : `:${address.port}`}`
    }
    case 'ssh':
      return `ssh://${address.target}${address.port === undefined ? '' : `:${address.port}`}`
    case 'unix':
      return `unix:${address.path}`
    default:
      return address satisfies never
  }
}

/** What a statement calls the way to the server; the server checks it. */
export function hostOf(address: Address): string {
  return address.kind === 'http' ? address.host.toLowerCase() : address.kind
}

export type Answer = Readonly<{
  status: number
  body: Readable
  /** What an upgraded connection has become. */
  stream?: Duplex
}>

export type Ask = Readonly<{
  method: 'GET' | 'POST'
  path: string
  headers?: Readonly<Record<string, string>>
  body?: string | AsyncIterable<Uint8Array>
  signal?: AbortSignal | undefined
  /** Nothing came for that long: the line is broken. Default 60 s. */
  idleMs?: number
  /** Not over a connection that was used before: it may be closing just now. */
  fresh?: boolean
  /** The protocol that the connection is to be upgraded to. */
  upgrade?: string
  /** Called before the last of it goes out: from then on the server may have it, whatever becomes of the answer. */
  onOut?: () => void
}>

/** A way to a server, whatever it goes over: HTTP/1.1 on a socket, on TLS, or on the pipes of ssh. */
export type Transport = Readonly<{
  address: Address
  /** @throws {MypaasError} `unreachable` when there is no answer */
  ask: (ask: Ask) => Promise<Answer>
  close: () => void
}>

export type TransportOptions = Readonly<{
  /** Certificates (PEM) to trust beside the usual ones. */
  ca?: string | undefined
  connectMs?: number
}>

export function openTransport(address: Address, options: TransportOptions = {}): Transport {
  const connectMs = options.connectMs ?? 20_000
  const secure = address.kind === 'http' && address.secure
  const agentWith = (given: http.AgentOptions): http.Agent => {
    if (address.kind === 'unix') return unixAgent(address.path, { ...given, waitMs: connectMs })
    return secure ? new https.Agent(given) : new http.Agent(given)
  }
  const agent = agentWith({ keepAlive: true, maxSockets: address.kind === 'ssh' ? 1 : 2 })
  let said = ''
  const fixed: https.RequestOptions =
    address.kind === 'http'
      ? {
          host: address.host.replace(/^\[|\]$/g, ''),
          port: address.port,
          ...(options.ca === undefined ? {} : { ca: options.ca }),
        }
      : address.kind === 'unix'
        ? { socketPath: address.path }
        : {
            host: 'ssh',
            createConnection: () => {
              said = ''
              return connectSsh(address, (text) => {
                said = (said + text).slice(-2000)
              }) as unknown as net.Socket
            },
          }
  if (address.kind === 'ssh') (agent as { createConnection: unknown }).createConnection = fixed.createConnection
  const prefix = address.kind === 'http' ? address.path : ''

  const ask = (asked: Ask): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const { createConnection: _, ...base } = fixed
      const request = (secure ? https : http).request({
        ...base,
        agent: asked.fresh && address.kind !== 'ssh' ? agentWith({}) : agent,
        method: asked.method,
        path: `${prefix}${asked.path}`,
        headers: {
          ...(address.kind === 'http' ? {} : { host: 'mypaas' }),
          ...asked.headers,
          ...(asked.upgrade === undefined ? {} : { connection: 'upgrade', upgrade: asked.upgrade }),
          ...(typeof asked.body === 'string' ? { 'content-length': String(Buffer.byteLength(asked.body)) } : {}),
        },
        ...(asked.signal ? { signal: asked.signal } : {}),
      })
      const idleMs = asked.idleMs ?? 60_000
      let broken: Error | undefined
      const connecting = setTimeout(
        () => request.destroy(new Error(`no connection within ${connectMs / 1000} s`)),
        connectMs,
      )
      request.on('socket', (socket) => {
        const connected = (): void => {
          clearTimeout(connecting)
          if (typeof asked.body === 'string') asked.onOut?.()
        }
        // ssh is there when its process is; it has a time limit of its own.
        if (address.kind === 'ssh' || !socket.connecting) connected()
        else socket.once(secure ? 'secureConnect' : 'connect', connected)
      })
      request.setTimeout(idleMs, () => request.destroy(new Error(`nothing came for ${idleMs / 1000} s`)))
      request.on('response', (response) => {
        clearTimeout(connecting)
        resolve({ status: response.statusCode ?? 0, body: response })
      })
      request.on('upgrade', (response, socket, head) => {
        clearTimeout(connecting)
        socket.setTimeout(0)
        if (head.length > 0) socket.unshift(head)
        resolve({ status: response.statusCode ?? 0, body: response, stream: socket })
      })
      request.on('error', (cause) => {
        clearTimeout(connecting)
        if (asked.signal?.aborted) reject(asked.signal.reason as Error)
        else if (broken instanceof MypaasError) reject(broken)
        else if (address.kind !== 'ssh') reject(unreachable(address, cause, said))
        // What ssh has to say comes a moment after its end.
        else setTimeout(() => reject(unreachable(address, cause, said)), 50)
      })
      if (asked.body === undefined || typeof asked.body === 'string') {
        request.end(asked.body)
        return
      }
      const body = Readable.from(asked.body, { objectMode: true, highWaterMark: 1 })
      body.on('error', (error) => {
        broken = error
        request.destroy(error)
      })
      request.on('close', () => body.destroy())
      // Before the pipe hears of it, which ends the request.
      body.on('end', () => asked.onOut?.())
      body.pipe(request)
    })
  return { address, ask, close: () => agent.destroy() }
}

/**
 * A terminal's Ctrl-C goes to ssh as well. It is for us to say what becomes of what was asked, and the line is needed for
 * that: ssh goes on until we end it.
 */
const deafSsh = `
  command -v ssh >/dev/null || { echo 'there is no ssh program here' >&2; exit 127; }
  trap '' INT
  exec ssh "$@"`

/** Joins the pipes of `ssh TARGET mypaas server connect` to a stream: the user's own ssh, with all that is set up for it. */
function connectSsh(address: Extract<Address, { kind: 'ssh' }>, hear: (text: string) => void): Duplex {
  const { MYPAAS_PRIVATE_KEY: _, ...environment } = process.env
  const port = address.port === undefined ? [] : ['-p', String(address.port)]
  const asks = process.stdin.isTTY ? [] : ['-o', 'BatchMode=yes']
  const child = spawn(
    'sh',
    [
      ...['-c', deafSsh, 'ssh', ...port, ...asks],
      ...['-o', 'ConnectTimeout=20', '-T', '--', address.target, 'mypaas server connect'],
    ],
    {
      env: environment,
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  )
  child.stderr.setEncoding('utf8').on('data', hear)
  const stream = new Duplex({
    read: () => void child.stdout.resume(),
    write: (chunk, _encoding, done) => void child.stdin.write(chunk, (error) => done(error ?? null)),
    final: (done) => void child.stdin.end(() => done()),
    destroy: (error, done) => {
      child.stdin.destroy()
      child.stdout.destroy()
      child.kill()
      done(error)
    },
  })
  child.stdin.on('error', () => {})
  child.stdout.on('data', (chunk: Buffer) => stream.push(chunk) || child.stdout.pause())
  child.stdout.on('end', () => stream.push(null))
  child.on('error', (error) => stream.destroy(error))
  child.on('exit', (code) => code && stream.destroy(new Error(`ssh ended with ${code}`)))
  // node:http expects a socket's methods.
  return Object.assign(stream, {
    setTimeout: () => stream,
    setNoDelay: () => stream,
    setKeepAlive: () => stream,
    ref: () => child.ref(),
    unref: () => child.unref(),
  })
}

function unreachable(address: Address, cause: Error, said: string): MypaasError {
  const { code } = cause as NodeJS.ErrnoException
  const where = formatAddress(address)
  const say = (why: string, hint: string): MypaasError =>
    new MypaasError(`I can't reach ${where}: ${why}.`, { code: 'unreachable', hint, cause })
  if (address.kind === 'ssh') {
    const last = said.trim().split(/\r?\n/).at(-1)
    const missing = /command not found|not found/.test(last ?? '')
    return say(
      last?.replace(/\.$/, '') || 'ssh ended',
      missing
        ? `mypaas must be on the PATH of a command over there: ssh ${address.target} mypaas version`
        : `Try it by hand: ssh ${address.target} mypaas server connect`,
    )
  }
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return say('there is no such name in DNS', 'Is the name right, and are you online?')
    case 'ECONNREFUSED':
    case 'ENOENT':
      return say(
        'nothing listens there',
        address.kind === 'unix'
          ? 'Is the daemon running? mypaas server daemon'
          : 'Does the server run? On it: mypaas server status',
      )
    case 'EACCES':
      return say('no permission', 'The socket is for the user that runs the daemon.')
    case 'CERT_HAS_EXPIRED':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return say(
        `its certificate is not good (${cause.message})`,
        'It may not have one yet; ssh works without: mypaas push user@host DIR. For a CA of your own: mypaas remote add NAME ADDRESS --ca FILE',
      )
    default:
      return say(cause.message, 'Try again, or go another way: mypaas push user@host DIR')
  }
}
