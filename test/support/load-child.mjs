// The load generator's own process, so that a busy test does not slow it down: load.ts starts it and says what it does.
// Gets its options as the first argument, sends `{ requests }` as it goes and, after `stop`, `{ result }`.
import { createHash, randomBytes } from 'node:crypto'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

const options = JSON.parse(process.argv[2])
if (!/^127\.\d+\.\d+\.\d+$|^::1$/.test(options.address)) throw new Error(`${options.address} is not this machine`)

const kinds = {
  get: { one: ({ agent }) => exchange({ agent }), keepAlive: true },
  post: { one: ({ agent }) => post({ agent }), keepAlive: true },
  fresh: { one: () => exchange({ agent: false }), keepAlive: false },
  stream: { one: ({ agent }) => readStream({ agent }), keepAlive: true },
  http2: { one: exchangeHttp2, keepAlive: false },
  webSocket: { one: echo, keepAlive: false },
}
const url = new URL(options.url)
const secure = url.protocol === 'https:'
const began = performance.now()
const clients = Object.values(options.clients).reduce((sum, count) => sum + count, 0)
const intervalMs = (1000 * clients) / options.requestsPerSecond
const records = []
const webSockets = { opened: 0, echoed: 0, closedByServer: 0 }
let stopping = false

process.on('disconnect', () => process.exit(1)) // the test is gone
process.on('message', (message) => {
  stopping ||= message === 'stop'
})
const progress = setInterval(() => process.send({ requests: records.length }), 50)
const limit = setTimeout(() => {
  stopping = true
}, options.maxSeconds * 1000)

const running = Object.entries(options.clients).flatMap(([kind, count]) =>
  Array.from({ length: count }, (_, i) => runClient(kind, i / count)),
)
await Promise.all(running)
clearInterval(progress)
clearTimeout(limit)
process.send({ requests: records.length, result: { records, webSockets } }, () => process.exit(0))

/** One client: a request each `intervalMs`, never two at a time; a slow answer makes it skip some, not catch up. */
async function runClient(kind, share) {
  const client = {}
  if (kinds[kind].keepAlive) client.agent = new (secure ? https : http).Agent({ keepAlive: true, maxSockets: 1 })
  await pause(share * intervalMs)
  while (!stopping && records.length < options.maxRequests) {
    const at = performance.now()
    const outcome = await kinds[kind].one(client).catch(failure)
    const ms = performance.now() - at
    records.push({ kind, at: round(at - began), ms: round(ms), ...outcome })
    await pause(Math.max(intervalMs - ms, 1))
  }
  client.agent?.destroy()
  client.session?.destroy()
  client.socket?.destroy()
}

function failure({ code, name, message }) {
  return { error: name === 'AbortError' || name === 'TimeoutError' ? 'TIMEOUT' : (code ?? name), detail: message }
}

async function exchange(more) {
  const { status, headers, body } = await whole(await send(more))
  return { status, release: releaseOf(headers) ?? releaseIn(body) }
}

/** The answer must show that the body arrived as it was sent. */
async function post({ agent }) {
  const body = randomBytes(options.bodyBytes)
  const { status, headers, body: text } = await whole(await send({ agent, method: 'POST', body }))
  const outcome = { status, release: releaseOf(headers) ?? releaseIn(text) }
  if (status < 200 || status > 299) return outcome
  const sha256 = createHash('sha256').update(body).digest('hex')
  const arrived = text.includes(sha256)
  return arrived ? outcome : { ...outcome, error: 'BODY_DIFFERS', detail: `sent ${sha256}, got ${text.slice(0, 200)}` }
}

/** `/stream` of the test app: it ends with the line `end`, or it was cut. */
async function readStream({ agent }) {
  const path = `${url.pathname.replace(/\/$/, '')}/stream?seconds=${options.streamSeconds}`
  const { status, headers, body } = await whole(await send({ agent, path }))
  const outcome = { status, release: releaseOf(headers) }
  return status !== 200 || body.endsWith('end\n')
    ? outcome
    : { ...outcome, error: 'STREAM_CUT', detail: body.slice(-50) }
}

/** A request with a deadline that covers its whole answer. */
async function send({ body, ...more }) {
  const request = (secure ? https : http).request({
    host: options.address,
    port: options.port,
    path: `${url.pathname}${url.search}`,
    headers: { host: url.host, ...(body && { 'content-length': body.length }) },
    signal: AbortSignal.timeout(options.timeoutMs),
    ...(secure && { servername: url.hostname, rejectUnauthorized: false }),
    ...more,
  })
  const answered = new Promise((resolve, reject) => request.once('response', resolve).on('error', reject))
  request.end(body)
  return answered
}

async function whole(response) {
  const chunks = []
  for await (const chunk of response) chunks.push(chunk)
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() }
}

/** Each client keeps one connection with several streams over time, and opens another when that one is closed. */
async function exchangeHttp2(client) {
  if (!client.session || client.session.closed || client.session.destroyed) {
    client.session = http2.connect(
      `https://${options.address.includes(':') ? `[${options.address}]` : options.address}:${options.port}`,
      {
        servername: url.hostname,
        rejectUnauthorized: false,
      },
    )
    client.session.on('error', () => {}) // each stream reports it
  }
  const stream = client.session.request({ ':path': `${url.pathname}${url.search}`, ':authority': url.host })
  const timer = setTimeout(
    () => stream.destroy(Object.assign(new Error('too slow'), { code: 'TIMEOUT' })),
    options.timeoutMs,
  )
  try {
    const answered = new Promise((resolve, reject) => stream.once('response', resolve).on('error', reject))
    const headers = await answered
    const chunks = []
    for await (const chunk of stream) chunks.push(chunk)
    return { status: headers[':status'], release: releaseOf(headers) ?? releaseIn(Buffer.concat(chunks).toString()) }
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Sends a message on `/ws` and waits for its echo. That the server closes a WebSocket between two messages is no failed
 * request, it is counted apart; the client opens another.
 */
async function echo(client) {
  if (!client.socket || client.socket.destroyed) await openWebSocket(client)
  if (client.refused) return client.refused
  const message = randomBytes(8).toString('hex')
  const arrived = new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('TIMEOUT'), options.timeoutMs)
    const fail = (code) => finish(() => reject(Object.assign(new Error('no echo'), { code })))
    const cut = () => fail('WEBSOCKET_CUT')
    const read = (chunk) => chunk.includes(message) && finish(resolve)
    const finish = (then) => {
      clearTimeout(timer)
      client.socket.off('data', read).off('close', cut)
      then()
    }
    client.socket.on('data', read).on('close', cut)
  })
  client.socket.write(maskedText(message))
  await arrived
  webSockets.echoed += 1
  return { status: 101, release: client.release }
}

async function openWebSocket(client) {
  const headers = {
    host: url.host,
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64'),
  }
  const request = (secure ? https : http).request({
    host: options.address,
    port: options.port,
    path: `${url.pathname.replace(/\/$/, '')}/ws`,
    headers,
    agent: false,
    signal: AbortSignal.timeout(options.timeoutMs),
    ...(secure && { servername: url.hostname, rejectUnauthorized: false }),
  })
  const opened = new Promise((resolve, reject) => {
    request.once('upgrade', (response, socket) => resolve({ response, socket }))
    request.once('response', (response) => resolve({ response }))
    request.on('error', reject)
  })
  request.end()
  const { response, socket } = await opened
  client.refused = socket ? undefined : { status: response.statusCode, release: releaseOf(response.headers) }
  if (!socket) return response.destroy()
  webSockets.opened += 1
  client.release = releaseOf(response.headers)
  client.socket = socket
  socket.on('error', () => {}) // `close` follows
  socket.on('end', () => socket.end())
  socket.once('close', () => {
    if (!stopping) webSockets.closedByServer += 1
  })
  socket.resume()
}

function maskedText(text) {
  const payload = Buffer.from(text)
  const mask = randomBytes(4)
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, payload.map((byte, i) => byte ^ mask[i % 4])])
}

function releaseOf(headers) {
  return headers['x-release']
}

function releaseIn(text) {
  return /"release":"([^"]*)"/.exec(text)?.[1]
}

/** Sleeps in slices, so that `stop` is heard soon. */
async function pause(ms) {
  for (const end = performance.now() + ms; !stopping && performance.now() < end; )
    await sleep(Math.min(end - performance.now(), 50))
}

function round(ms) {
  return Math.round(ms * 100) / 100
}
