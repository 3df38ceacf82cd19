import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import {
  BuildError,
  type CallOptions,
  type Docker,
  DockerError,
  ProtocolError,
  ServerError,
  TimeoutError,
} from '../../src/docker/index.ts'
import { until } from '../support/until.ts'
import { rawEngine } from './raw-engine.ts'

type Kind = {
  call: (docker: Docker, options: CallOptions) => Promise<unknown>
  answer: 'json' | 'lines' | 'bytes' | 'frames' | 'nothing' | 'stream'
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

async function* tar(): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < 8; i++) yield Buffer.alloc(64 * 1024)
}

const kinds: Record<string, Kind> = {
  'a list': { call: (d, o) => d.containers.list(o), answer: 'json' },
  'a start': { call: (d, o) => d.containers.start('c', o), answer: 'nothing' },
  'a wait': { call: async (d, o) => (await d.containers.wait('c', o)).exit, answer: 'json' },
  'a pull': { call: (d, o) => drain(d.images.pull('i', o)), answer: 'lines' },
  'a push': { call: (d, o) => drain(d.images.push('i', o)), answer: 'lines' },
  'an import': { call: (d, o) => d.images.import(tar(), { repo: 'i', ...o }), answer: 'lines' },
  'a load': { call: (d, o) => d.images.load(tar(), o), answer: 'lines' },
  'a build': { call: (d, o) => drain(d.images.build(tar(), o)), answer: 'lines' },
  'the stats': { call: (d, o) => drain(d.containers.watchStats('c', o)), answer: 'lines' },
  'the events': { call: (d, o) => drain(d.system.events({ once: true, ...o })), answer: 'lines' },
  'an upload': { call: (d, o) => d.containers.putArchive('c', '/', tar(), o), answer: 'nothing' },
  'a download': { call: (d, o) => drain(d.containers.export('c', o)), answer: 'bytes' },
  'the logs': { call: (d, o) => drain(d.containers.logs('c', { tty: false, ...o })), answer: 'frames' },
  'an attach': {
    call: async (d, o) => drain(await d.containers.attach('c', { tty: false, ...o })),
    answer: 'stream',
  },
  'an exec': { call: async (d, o) => drain(await d.exec.start('x', { tty: false, ...o })), answer: 'stream' },
}

const start = {
  json: 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
  lines: 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
  bytes: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  frames: 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  nothing: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n',
  stream: 'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
}
const part = {
  json: '5\r\n[{"Id\r\n',
  lines: '11\r\n{"status":"one"}\n\r\n',
  bytes: '3\r\ntar\r\n',
  frames: 'b\r\n\x01\0\0\0\0\0\0\x08out\r\n',
  nothing: 'abc',
  stream: '\x01\0\0\0\0\0\0\x08out',
}

type Fault = {
  behave: (socket: Socket, answer: Kind['answer']) => void
  check: (error: DockerError, kind: Kind) => void
  /** Kinds of answers that it can't happen to. */
  not?: Kind['answer'][]
  options?: CallOptions
}

const isBroken = (error: DockerError) => {
  assert.ok(error instanceof ProtocolError, `${error.name}: ${error.message}`)
  assert.equal(error.code, 'engine')
}
const isTimeout = (kind: 'total' | 'idle') => (error: DockerError) => {
  assert.ok(error instanceof TimeoutError, `${error.name}: ${error.message}`)
  assert.equal(error.kind, kind)
}

const faults: Record<string, Fault> = {
  'closed before the answer': { behave: (socket) => socket.destroy(), check: isBroken },
  'closed within the headers': {
    behave: (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Le'),
    check: isBroken,
  },
  'closed within the body': {
    behave: (socket, answer) => socket.end(start[answer] + part[answer]),
    check: isBroken,
  },
  'reset within the body': {
    behave: (socket, answer) => {
      socket.write(start[answer] + part[answer])
      setImmediate(() => socket.destroy())
    },
    check: isBroken,
  },
  'ended within a JSON value': {
    behave: (socket, answer) => socket.write(`${start[answer]}8\r\n{"status\r\n0\r\n\r\n`),
    check: isBroken,
    not: ['bytes', 'frames', 'nothing', 'stream'],
  },
  'with garbage for JSON': {
    behave: (socket, answer) => socket.write(`${start[answer]}c\r\n<html>no\n{}\n\r\n0\r\n\r\n`),
    check: isBroken,
    not: ['bytes', 'frames', 'nothing', 'stream'],
  },
  'with garbage for frames': {
    behave: (socket, answer) =>
      answer === 'stream'
        ? socket.end(`${start.stream}hello world`)
        : socket.write(`${start[answer]}b\r\nhello world\r\n0\r\n\r\n`),
    check: (error) => {
      isBroken(error)
      assert.match(error.message, /has a terminal/)
    },
    not: ['json', 'lines', 'bytes', 'nothing'],
  },
  'with a broken chunk': {
    behave: (socket, answer) => socket.write(`${start[answer]}zz\r\n`),
    check: isBroken,
    not: ['nothing', 'stream'],
  },
  'with something that is not HTTP': {
    behave: (socket) => socket.write('SSH-2.0-OpenSSH_9.2p1 Debian\r\n'),
    check: (error) => {
      isBroken(error)
      assert.match(error.message, /does not speak HTTP: it says "SSH-2\.0/)
    },
  },
  'with a status 500 in plain text': {
    behave: (socket) => socket.write('HTTP/1.1 500 Oops\r\nContent-Length: 17\r\n\r\nthe disk is full\n'),
    check: (error, kind) => {
      assert.ok(error instanceof (kind === kinds['a build'] ? BuildError : ServerError), error.name)
      assert.equal(error.message, 'the disk is full')
      assert.equal(error.status, 500)
    },
  },
  'silent before the answer': { behave: () => {}, check: isTimeout('total'), options: { timeoutMs: 150 } },
  'silent for too long before the answer': { behave: () => {}, check: isTimeout('idle'), options: { idleMs: 150 } },
  'silent within the body': {
    behave: (socket, answer) => socket.write(start[answer] + part[answer]),
    check: isTimeout('total'),
    options: { timeoutMs: 150 },
  },
  'silent for too long within the body': {
    behave: (socket, answer) => socket.write(start[answer] + part[answer]),
    check: isTimeout('idle'),
    options: { idleMs: 150 },
  },
}

for (const [what, kind] of Object.entries(kinds)) {
  for (const [how, fault] of Object.entries(faults)) {
    if (fault.not?.includes(kind.answer)) continue
    test(`${what}, ${how}, is an error in time and leaves no connection`, async (t) => {
      const { docker, connections } = await rawEngine(t, (socket) => fault.behave(socket, kind.answer))
      const startedAt = performance.now()

      const error = await within(5000, kind.call(docker, fault.options ?? {})).then(
        () => assert.fail('taken for success'),
        (error: unknown) => error,
      )

      assert.ok(error instanceof DockerError, String(error))
      fault.check(error, kind)
      assert.ok(performance.now() - startedAt < 4000)
      docker.close()
      assert.equal(docker.connections, 0)
      await until(() => connections() === 0, { what: 'the end of all connections', timeoutMs: 2000, everyMs: 5 })
    })
  }

  test(`${what} that is aborted throws the signal's reason, and leaves no connection`, async (t) => {
    const { docker, connections, requests } = await rawEngine(t, () => {})
    await docker.apiVersion()
    const reason = new Error('enough')
    const aborter = new AbortController()
    const call = kind.call(docker, { signal: aborter.signal })
    const failed = assert.rejects(call, (error) => error === reason)
    await until(() => requests.length === 1, { what: 'the request', everyMs: 2 })
    aborter.abort(reason)
    await within(1000, failed)
    await until(() => connections() === 0, { what: 'the end of all connections', timeoutMs: 2000, everyMs: 5 })
  })

  test(`${what} with a signal that is aborted already sends nothing`, async (t) => {
    const { docker, requests } = await rawEngine(t, () => {})
    await assert.rejects(kind.call(docker, { signal: AbortSignal.abort() }), { name: 'AbortError' })
    assert.deepEqual(requests, [])
  })
}

test('a reader that stops in mid-stream closes the connection, and the next call works', async (t) => {
  const { docker, connections } = await rawEngine(t, (socket) => socket.write(start.lines + part.lines))
  for await (const event of docker.images.pull('i')) {
    assert.deepEqual(event, { status: 'one' })
    break
  }
  await until(() => connections() === 0, { what: 'the end of the connection', timeoutMs: 2000, everyMs: 5 })
  assert.equal((await docker.system.ping()).apiVersion, '1.56')
})

test('an answer that comes before the upload has ended counts, not the broken pipe', async (t) => {
  const { docker } = await rawEngine(t, (socket) =>
    socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 31\r\n\r\n{"message":"No such container"}'),
  )
  let pulled = 0
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      pulled++
      yield Buffer.alloc(1024 * 1024)
    }
  }
  await assert.rejects(docker.containers.putArchive('c', '/', endless()), { name: 'NotFoundError', status: 404 })
  const then = pulled
  await docker.system.ping()
  assert.equal(pulled, then, 'the source is left alone')
})

test('a source that fails in mid-upload fails the call with its own error, and the engine sees no end of the body', async (t) => {
  const { docker, connections } = await rawEngine(t, () => {})
  const broken = new Error('disk error')
  async function* source(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('abc')
    throw broken
  }
  await assert.rejects(docker.containers.putArchive('c', '/', source()), (error) => error === broken)
  await until(() => connections() === 0, { what: 'the end of the connection', timeoutMs: 2000, everyMs: 5 })
})

test('a close while calls are under way fails them', async (t) => {
  const { docker, requests } = await rawEngine(t, () => {})
  const calls = [docker.containers.list(), docker.containers.start('c'), drain(docker.images.pull('i'))]
  const failed = Promise.all(calls.map((call) => assert.rejects(call, { name: 'DockerError', code: 'aborted' })))
  await until(() => requests.length === 3, { what: 'the requests', everyMs: 2 })
  docker.close()
  await within(1000, failed)
  await assert.rejects(docker.containers.list(), { code: 'aborted' })
})

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}
