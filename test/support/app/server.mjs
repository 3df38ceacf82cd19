// A service for tests, told by its environment how to behave. No dependencies, so that it runs on the bare Node image.
//
//   PORT (MYPAAS_PORT, 80), HOST    where it listens
//   BIND                            hostname: listens on what $HOSTNAME resolves to, as Next.js does · each: on each
//                                   address that it has at its start
//   ONE_NETWORK                     hangs up on whoever comes by another network than its first
//   LISTEN_DELAY_MS                 opens its port that late
//   ALSO_PORT                       opens this one at once, as debuggers and metrics do
//   SILENT_MS                       answers nobody for that long after its port is open
//   MISSING_MS                      answers 404 for that long after its port is open
//   UNREADY_MS                      answers 503 for that long after its port is open
//   READY_PATH                      answers 200 `ready` there
//   HOSTS                           answers 400 to every other host, as Django and Rails do (example.com,www.example.com)
//   FORCE_HTTPS                     sends on whoever has not come by https: to a host that is not there, or (own) to the same
//   STATUS                          answers / with that status
//   ON_SIGTERM                      exit: finishes open requests, then exits · slow:MS: takes at least that long
//                                   ignore · without it there is no handler, as in most apps
//   EXIT_AFTER_MS, EXIT_CODE (1)    exits by itself
//   EXIT_BY_ROUTER                  exits at the first request that comes through the router
//   SLOW_BY_ROUTER_MS               takes that long for the first request that comes through the router
//   FAIL_REPLICA                    the replica of that number exits at once with EXIT_CODE
//   VOLUME                          a folder that only one process may use: it holds a kernel lock there while it lives;
//                                   one that comes while another has it writes VIOLATION to the log and to `violations`
//
//   GET / · POST / · GET /slow?ms= · GET /stream?seconds= · GET /write · GET /env?key= · GET /fetch?url= · /ws (echo)
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFileSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const { env } = process
const exitCode = Number(env.EXIT_CODE ?? 1)
const release = env.MYPAAS_RELEASE ?? 'none'
const started = new Date().toISOString()
let openedAt = Number.POSITIVE_INFINITY
let readyAt = Number.POSITIVE_INFINITY

handleSigterm(env.ON_SIGTERM)
if (env.FAIL_REPLICA && env.MYPAAS_CONTAINER?.endsWith(`-${env.FAIL_REPLICA}`)) leave('this replica was told to fail')
if (env.EXIT_AFTER_MS) setTimeout(() => leave(`exits after ${env.EXIT_AFTER_MS} ms as told`), Number(env.EXIT_AFTER_MS))
if (env.VOLUME) await becomeTheOnlyWriter(env.VOLUME)

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error)
    if (response.headersSent) response.destroy(error)
    else response.writeHead(500).end(`${error}\n`)
  })
})
server.on('upgrade', echoWebSocket)
if (env.ALSO_PORT) createTcpServer().listen(Number(env.ALSO_PORT))
await sleep(Number(env.LISTEN_DELAY_MS ?? 0))
const addresses = Object.values(networkInterfaces())
  .flat()
  .flatMap(({ address, family }) => (family === 'IPv4' ? [address] : []))
if (env.ONE_NETWORK)
  server.on('connection', (socket) => {
    if (!addresses.includes(socket.localAddress.replace('::ffff:', ''))) socket.destroy()
  })
const port = Number(env.PORT ?? env.MYPAAS_PORT ?? 80)
if (env.BIND === 'each') for (const address of addresses) forward(address)
else server.listen(port, env.BIND === 'hostname' ? env.HOSTNAME : env.HOST, opened)

function opened() {
  openedAt = Date.now()
  readyAt = openedAt + Number(env.UNREADY_MS ?? 0)
  console.log(`listening on ${JSON.stringify(server.address())}`)
}

/** One more listener of the same server. */
function forward(address) {
  createTcpServer((socket) => server.emit('connection', socket)).listen(port, address, opened)
}

async function answer(request, response) {
  const url = new URL(request.url, 'http://here')
  response.setHeader('x-release', release)
  if (env.EXIT_BY_ROUTER && request.headers['x-forwarded-server']) leave('exits at a request as told')
  if (env.SLOW_BY_ROUTER_MS && request.headers['x-forwarded-server']) {
    const ms = Number(env.SLOW_BY_ROUTER_MS)
    env.SLOW_BY_ROUTER_MS = ''
    await sleep(ms)
  }
  if (env.SILENT_MS) await sleep(openedAt + Number(env.SILENT_MS) - Date.now())
  if (Date.now() < openedAt + Number(env.MISSING_MS ?? 0)) return response.writeHead(404).end('nothing here yet\n')
  if (Date.now() < readyAt) return response.writeHead(503).end('not ready yet\n')
  if (env.HOSTS && !env.HOSTS.split(',').includes(request.headers.host?.replace(/:.*/, '')))
    return response.writeHead(400).end(`not a host of mine: ${request.headers.host}\n`)
  if (env.FORCE_HTTPS && request.headers['x-forwarded-proto'] !== 'https')
    return response
      .writeHead(301, {
        location: `https://${env.FORCE_HTTPS === 'own' ? request.headers.host : 'elsewhere.invalid'}${request.url}`,
      })
      .end()
  if (url.pathname === env.READY_PATH) return response.end('ready\n')
  const number = (key) => Number(url.searchParams.get(key) ?? 0)
  switch (url.pathname) {
    case '/slow':
      await sleep(number('ms'))
      return json(response, { release, slept: number('ms') })
    case '/stream':
      for (const end = Date.now() + number('seconds') * 1000; Date.now() < end; await sleep(100))
        response.write('tick\n')
      return response.end('end\n')
    case '/write':
      return json(response, { release, count: write(env.VOLUME ?? '/tmp') })
    case '/env':
      return json(response, { value: env[url.searchParams.get('key')] ?? null })
    case '/fetch': {
      const inner = await fetch(url.searchParams.get('url'), { signal: AbortSignal.timeout(5000) })
      return json(response, { status: inner.status, body: await inner.text() })
    }
    default:
      if (request.method === 'POST' || request.method === 'PUT') return json(response, await digest(request))
      return json(response, describe(request), Number(env.STATUS ?? 200))
  }
}

function describe(request) {
  return {
    service: env.MYPAAS_SERVICE ?? null,
    release,
    container: env.MYPAAS_CONTAINER ?? null,
    hostname: hostname(),
    pid: process.pid,
    started,
    method: request.method,
    url: request.url,
    headers: request.headers,
  }
}

async function digest(request) {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of request) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest('hex'), release }
}

function json(response, value, status = 200) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`)
}

function leave(reason) {
  console.error(reason)
  process.exit(exitCode)
}

function handleSigterm(how) {
  if (!how) return
  const slowMs = how.startsWith('slow:') ? Number(how.slice(5)) : 0
  process.on('SIGTERM', async () => {
    console.log(`SIGTERM (${how})`)
    if (how === 'ignore') return
    const closed = new Promise((done) => server.close(done))
    server.closeIdleConnections()
    await Promise.all([closed, sleep(slowMs)])
    console.log('bye')
    process.exit(0)
  })
}

/** Holds `flock` on a file in `folder` through a child, which the kernel ends with this process or, in a container, before it. */
async function becomeTheOnlyWriter(folder) {
  const holder = spawn('flock', ['-n', '-x', join(folder, 'lock'), '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const locked = await new Promise((resolve, reject) => {
    holder.once('error', reject)
    holder.stdout.once('data', () => resolve(true))
    holder.once('exit', () => resolve(false))
  })
  const who = `${env.MYPAAS_CONTAINER ?? hostname()} ${started}\n`
  if (locked) return appendFileSync(join(folder, 'writers'), who)
  appendFileSync(join(folder, 'violations'), who)
  leave('VIOLATION: another writer is alive')
}

function write(folder) {
  appendFileSync(join(folder, 'writes'), `${release} ${env.MYPAAS_CONTAINER ?? hostname()}\n`)
  return readFileSync(join(folder, 'writes'), 'utf8').split('\n').length - 1
}

/** RFC 6455, as far as a test needs it: echoes text and binary messages in one frame each, answers ping and close. */
function echoWebSocket(request, socket) {
  if (Date.now() < readyAt) return socket.end('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n')
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.on('error', () => socket.destroy())
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
      `x-release: ${release}\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  )
  let received = Buffer.alloc(0)
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk])
    for (let frame = readFrame(received); frame; frame = readFrame(received)) {
      received = received.subarray(frame.length)
      if (frame.opcode === 8) return socket.end(writeFrame(8, frame.payload))
      socket.write(writeFrame(frame.opcode === 9 ? 10 : frame.opcode, frame.payload))
    }
  })
}

/** A client's frame (masked, less than 64 KiB) at the start of `bytes`; nothing while it is not whole. */
function readFrame(bytes) {
  if (bytes.length < 6) return undefined
  const short = bytes[1] & 0x7f
  if (short === 127) throw new Error('frames of 64 KiB and more are not for this server')
  const at = short === 126 ? 4 : 2
  const size = short === 126 ? bytes.readUInt16BE(2) : short
  const length = at + 4 + size
  if (bytes.length < length) return undefined
  const mask = bytes.subarray(at, at + 4)
  return {
    opcode: bytes[0] & 0x0f,
    payload: bytes.subarray(at + 4, length).map((byte, i) => byte ^ mask[i % 4]),
    length,
  }
}

function writeFrame(opcode, payload) {
  const head = payload.length < 126 ? Buffer.alloc(2) : Buffer.alloc(4)
  head[0] = 0x80 | opcode
  if (payload.length < 126) head[1] = payload.length
  else {
    head[1] = 126
    head.writeUInt16BE(payload.length, 2)
  }
  return Buffer.concat([head, payload])
}
