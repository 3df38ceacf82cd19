import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import { constants, createSecureServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startLoad } from './load.ts'
import { until } from './until.ts'

test('each answer that is not 2xx, each cut connection and each damaged body counts, and nothing else', async (t) => {
  const told = { ok: 0, status: 0, cut: 0, half: 0, wrongBody: 0 }
  let count = 0
  const port = await listen(t, async (request, response) => {
    const body: Buffer[] = []
    for await (const chunk of request) body.push(chunk as Buffer)
    count += 1
    if (count % 11 === 0) {
      told.status += 1
      response.writeHead(count % 2 ? 500 : 302).end()
    } else if (count % 13 === 0) {
      told.cut += 1
      request.socket.destroy()
    } else if (count % 17 === 0) {
      told.half += 1
      response.writeHead(200, { 'content-length': 1000 })
      response.write('{"release":"r1"', () => response.destroy())
    } else if (request.method === 'POST') {
      told.wrongBody += 1
      response.end('{"release":"r1","sha256":"0"}')
    } else {
      told.ok += 1
      response.end('{"release":"r1"}')
    }
  })
  await using load = await startLoad({
    url: 'http://site.test/',
    port,
    clients: { get: 3, post: 1, fresh: 2 },
    requestsPerSecond: 1000,
    maxRequests: 600,
  })
  await load.more(500)
  const result = await load.stop()
  assert.deepEqual(
    { requests: result.requests, failed: result.failed },
    { requests: count, failed: told.status + told.cut + told.half + told.wrongBody },
  )
  assert.equal(result.byRelease['r1'], told.ok + told.wrongBody)
  assert.equal(result.failures.length, 20)
  assert.ok(
    told.ok > 100 && told.status > 10 && told.cut > 10 && told.half > 10 && told.wrongBody > 10,
    JSON.stringify(told),
  )
})

test('the test app passes with every kind of client, and a WebSocket that it closes is no failed request', async (t) => {
  const port = await startApp(t)
  await using load = await startLoad({
    url: 'http://site.test/',
    port,
    clients: { get: 2, post: 2, fresh: 1, stream: 1, webSocket: 2 },
    streamSeconds: 0.3,
  })
  await load.more(100)
  const result = await load.stop()
  assert.deepEqual({ failures: result.failures, inOrder: result.releasesInOrder }, { failures: [], inOrder: true })
  assert.deepEqual(Object.keys(result.byKind).sort(), ['fresh', 'get', 'post', 'stream', 'webSocket'])
  assert.deepEqual(Object.keys(result.byRelease), ['r3'])
  assert.equal(result.webSockets.echoed, result.byKind['webSocket'])
})

test('HTTP/2 clients keep their one connection and report the streams that the server resets', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(folder, { recursive: true }))
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')]
  const request = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    '/CN=site.test',
  ]
  await promisify(execFile)('openssl', [...request, '-keyout', key, '-out', cert])
  const server = createSecureServer({ key: await readFile(key), cert: await readFile(cert) })
  const seen = { sessions: 0, streams: 0, resets: 0 }
  server.on('session', () => (seen.sessions += 1))
  server.on('stream', (stream) => {
    seen.streams += 1
    stream.on('error', () => {}) // its own reset
    if (seen.streams % 5 !== 0) return stream.respond({ ':status': 200, 'x-release': 'r2' }, { endStream: true })
    seen.resets += 1
    return stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  })
  server.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await using load = await startLoad({ url: 'https://site.test/', port, clients: { http2: 2 }, maxRequests: 50 })
  await load.more(40)
  const result = await load.stop()
  assert.deepEqual(
    { requests: result.requests, failed: result.failed, sessions: 2, r2: result.byRelease['r2'] },
    { requests: seen.streams, failed: seen.resets, sessions: seen.sessions, r2: seen.streams - seen.resets },
  )
})

test('an answer of an older release after one of a newer release is seen', async (t) => {
  let count = 0
  const port = await listen(t, (_, response) => {
    count += 1
    response.end(JSON.stringify({ release: count === 30 ? 'r1' : 'r2' }))
  })
  await using load = await startLoad({
    url: 'http://site.test/',
    port,
    clients: { get: 1 },
    requestsPerSecond: 1000,
    maxRequests: 40,
  })
  await until(() => count === 40, { what: '40 requests' })
  assert.equal((await load.stop()).releasesInOrder, false)
})

test('requests keep to the asked pace, and a request that gets no answer fails by its deadline', async (t) => {
  let silent = false
  const port = await listen(t, (_, response) => {
    if (!silent) response.end()
  })
  await using load = await startLoad({
    url: 'http://site.test/',
    port,
    clients: { get: 4 },
    requestsPerSecond: 50,
    timeoutMs: 300,
  })
  await load.more(40)
  silent = true
  await load.more(10)
  const result = await load.stop()
  const answered = result.records.filter((record) => record.status === 200)
  const seconds = ((answered.at(-1)?.at ?? 0) - (answered[0]?.at ?? 0)) / 1000
  assert.ok(answered.length / seconds < 60, `${answered.length} requests in ${seconds} s`)
  assert.ok(result.failures.length >= 10)
  for (const failure of result.failures) assert.equal(failure.error, 'TIMEOUT')
})

test('load goes to this machine only', async () => {
  await assert.rejects(startLoad({ url: 'http://site.test/', port: 80, address: '192.0.2.1' }), /this machine only/)
})

async function listen(t: TestContext, listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  await new Promise((resolve) => server.once('listening', resolve))
  return (server.address() as AddressInfo).port
}

async function startApp(t: TestContext): Promise<number> {
  const program = join(dirname(fileURLToPath(import.meta.url)), 'app', 'server.mjs')
  const env = { ...process.env, PORT: '0', HOST: '127.0.0.1', MYPAAS_RELEASE: 'r3' }
  const app = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => app.kill('SIGKILL'))
  let log = ''
  app.stdout.on('data', (chunk) => (log += chunk))
  const listening = await until(() => /"port":(\d+)/.exec(log), { what: 'the test app' })
  return Number(listening[1])
}
