import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect } from '../../src/docker/connect.ts'
import { Docker, ProtocolError } from '../../src/docker/index.ts'
import { ConnectionPool, type Receiver } from '../../src/docker/pool.ts'
import { until } from '../support/until.ts'

const ok = 'HTTP/1.1 200 OK\r\nApi-Version: 1.56\r\nContent-Length: 2\r\n\r\n[]'

test('a connection that the engine closes while it is idle costs a GET nothing; a POST is not sent twice', async (t) => {
  // Each connection answers one request, and closes at the second.
  let served = new WeakSet<Socket>()
  const { docker, requests } = await listen(t, (socket) => {
    if (served.has(socket)) socket.destroy()
    else {
      served.add(socket)
      socket.write(ok)
    }
  })
  assert.deepEqual(await docker.containers.list(), [])
  assert.deepEqual(await docker.containers.list(), [])
  assert.equal(requests.length, 3, 'once, lost, once more')

  served = new WeakSet()
  await docker.containers.list()
  await assert.rejects(docker.containers.start('c'), ProtocolError)
})

test('a request that fails on a fresh connection is not repeated', async (t) => {
  const { docker, requests } = await listen(t, (socket) => socket.destroy())
  await assert.rejects(docker.containers.list(), ProtocolError)
  assert.equal(requests.length, 1)
})

test('a goodbye on an idle connection is not taken for the next answer', async (t) => {
  const { docker, requests, sockets } = await listen(t, (socket) => socket.write(ok))
  await docker.containers.list()
  for (const socket of sockets) socket.write('HTTP/1.0 408 Request Time-out\r\nContent-Length: 0\r\n\r\n')
  await until(() => docker.connections === 0, { what: 'the end of the connection', everyMs: 2 })
  assert.deepEqual(await docker.containers.list(), [])
  assert.equal(requests.length, 2)
})

test('bytes behind an answer cost the connection, and are no part of the next one', async (t) => {
  const { docker, sockets } = await listen(t, (socket) =>
    socket.write(`${ok}HTTP/1.1 500 Evil\r\nContent-Length: 0\r\n\r\n`),
  )
  assert.deepEqual(await Promise.all([docker.containers.list(), docker.containers.list()]), [[], []])
  assert.deepEqual(await docker.containers.list(), [])
  await until(() => sockets.size === 0, { what: 'the end of all connections', everyMs: 2 })
})

test('idle connections are closed after a while', async (t) => {
  const { path, sockets } = await listen(t, (socket) => socket.write(ok))
  const pool = new ConnectionPool((signal) => connect({ kind: 'unix', path }, { timeoutMs: 1000, signal, env: {} }), {
    idleMs: 60,
  })
  t.after(() => pool.close())
  await new Promise<void>((resolve, reject) => {
    const receiver: Receiver = { onHead: () => {}, onBody: () => true, onEnd: resolve, onError: reject }
    pool.send({ method: 'GET', target: '/', headers: '', body: undefined, quick: true }, receiver)
  })
  assert.equal(pool.size, 1)
  await until(() => pool.size === 0 && sockets.size === 0, { what: 'the end of the connection', everyMs: 5 })
})

test('a connection that takes too long, or that nobody wants any more, is given up', async (t) => {
  // It takes connections, and never answers the greeting of TLS.
  const silent = createServer()
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const sockets = new Set<Socket>()
  silent.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket
      .on('close', () => sockets.delete(socket))
      .on('error', () => {})
      .resume()
  })
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    silent.close()
  })
  const { port } = silent.address() as { port: number }
  const endpoint = { kind: 'tcp', host: '127.0.0.1', port, tls: {} } as const
  const aborter = new AbortController()
  const pending = connect(endpoint, { timeoutMs: 10_000, signal: aborter.signal, env: {} })
  const reason = new Error('closed')
  const failed = assert.rejects(pending, (error) => error === reason)
  aborter.abort(reason)
  await failed
  await assert.rejects(connect(endpoint, { timeoutMs: 50, signal: new AbortController().signal, env: {} }), {
    name: 'TimeoutError',
    kind: 'connect',
    code: 'unreachable',
    message: `tcp://127.0.0.1:${port} did not take the connection within 50 ms.`,
  })
  await until(() => sockets.size === 0, { what: 'the end of the connections', everyMs: 5 })
})

test('idle connections do not keep a process alive', async (t) => {
  const { path } = await listen(t, (socket) => socket.write(ok))
  const client = fileURLToPath(new URL('../../src/docker/index.ts', import.meta.url))
  const script = `import { Docker } from ${JSON.stringify(client)}
    const docker = new Docker({ host: ${JSON.stringify(path)} })
    await docker.containers.list()
    console.log('listed', docker.connections)`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 20_000,
  })
  let out = ''
  child.stdout.on('data', (part: Buffer) => {
    out += part
  })
  const [code] = await once(child, 'close')
  assert.deepEqual([code, out], [0, 'listed 1\n'])
})

/** A server that notes the heads of requests (without body), and answers them like this. */
async function listen(t: TestContext, answer: (socket: Socket) => void) {
  const path = join(tmpdir(), `pool-${process.pid}-${Math.random().toString(36).slice(2)}.sock`)
  const requests: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      for (const head of chunk.toString().split('\r\n\r\n').slice(0, -1)) {
        if (head.startsWith('HEAD')) socket.write('HTTP/1.1 200 OK\r\nApi-Version: 1.56\r\n\r\n')
        else {
          requests.push(head.split('\r\n')[0] ?? '')
          answer(socket)
        }
      }
    })
  })
  server.listen(path)
  await once(server, 'listening')
  const docker = new Docker({ host: path, apiVersion: '1.56', env: {} })
  t.after(() => {
    docker.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { path, docker, requests, sockets }
}
