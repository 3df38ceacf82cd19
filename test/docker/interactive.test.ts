import assert from 'node:assert/strict'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type TestContext, test } from 'node:test'
import { type Docker, DockerError, ProtocolError } from '../../src/docker/index.ts'
import { until } from '../support/until.ts'
import { type Answer, type FakeEngine, fakeEngine, frames, type Received } from './fake-engine.ts'
import { rawEngine } from './raw-engine.ts'

const switched = 'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'

test('output that comes with the answer, or in the same packet, is not lost', async (t) => {
  const { docker } = await engineWith(t, (socket) => {
    socket.write(Buffer.concat([Buffer.from(switched), frames(['stdout', 'early'])]))
    setTimeout(() => socket.end(frames(['stderr', 'late'])), 20)
  })
  const stream = await docker.containers.attach('c', { tty: false })
  assert.deepEqual(await told(stream), ['stdout:early', 'stderr:late'])
})

test('the end of the input is passed on while output still comes', async (t) => {
  const { docker } = await engineWith(t, (socket, head) => {
    socket.write(switched)
    const parts = [head]
    socket.on('data', (part: Buffer) => parts.push(part))
    socket.on('end', () => {
      const sorted = Buffer.concat(parts).toString().trim().split('\n').sort().join('\n')
      setTimeout(() => socket.end(frames(['stdout', sorted])), 20)
    })
  })
  const stream = await docker.containers.attach('c', { stdin: true, tty: false })
  await stream.write('b\nc\n')
  await stream.write(Buffer.from('a\n'))
  await stream.end()
  assert.deepEqual(await told(stream), ['stdout:a\nb\nc'])
})

test('a terminal’s output is one stream, as it is', async (t) => {
  const { docker, requests } = await engineWith(
    t,
    (socket) => {
      socket.write(switched)
      socket.end('\x1b[1mhello\r\n')
    },
    () => ({ json: { Config: { Tty: true } } }),
  )
  const stream = await docker.containers.attach('c')
  assert.deepEqual(await told(stream), ['stdout:\x1b[1mhello\r\n'])
  assert.equal(requests[0]?.path, '/v1.56/containers/c/json', 'the engine was asked whether it is a terminal')
})

test('resize and exit code go to the command, or to the container', async (t) => {
  const engine = await engineWith(
    t,
    (socket) => {
      socket.write(switched)
      socket.end()
    },
    ({ path }) =>
      path.endsWith('/wait')
        ? { json: { StatusCode: 4 } }
        : { json: { Running: false, ExitCode: 3, ProcessConfig: { tty: true } } },
  )
  const exec = await engine.docker.exec.start('x')
  await exec.resize({ rows: 24, columns: 80 })
  assert.equal(await exec.exitCode(), 3)
  const attached = await engine.docker.containers.attach('c', { tty: true })
  await attached.resize({ rows: 25, columns: 81 })
  assert.equal(await attached.exitCode(), 4)
  assert.deepEqual(
    engine.requests.map(({ method, path, query }) => `${method} ${path.slice(6)} ${JSON.stringify(query)}`),
    [
      'GET /exec/x/json {}',
      'POST /exec/x/resize {"h":"24","w":"80"}',
      'GET /exec/x/json {}',
      'POST /containers/c/resize {"h":"25","w":"81"}',
      'POST /containers/c/wait {}',
    ],
  )
})

test('the exit code of a command waits until the engine has noted its end', async (t) => {
  let asked = 0
  const { docker } = await engineWith(
    t,
    (socket) => {
      socket.write(switched)
      socket.end()
    },
    () => ({ json: ++asked < 4 ? { Running: true, ExitCode: null } : { Running: false, ExitCode: 9 } }),
  )
  const stream = await docker.exec.start('x', { tty: false })
  assert.deepEqual(await told(stream), [])
  assert.equal(await stream.exitCode(), 9)
})

test('an engine that does not open the stream says why', async (t) => {
  const { docker } = await fakeEngine(t, ({ path }) =>
    path.endsWith('/start')
      ? { status: 409, json: { message: 'Container c is not running' } }
      : { status: 200, body: 'x' },
  )
  await assert.rejects(docker.exec.start('x', { tty: false }), {
    name: 'ConflictError',
    message: 'Container c is not running',
  })
  await assert.rejects(docker.containers.attach('c', { tty: false }), ProtocolError)
})

test('signal, total and idle deadline hold for the stream too', async (t) => {
  const { docker, connections } = await rawEngine(t, (socket) => socket.write(switched))
  const aborter = new AbortController()
  const aborted = await docker.containers.attach('c', { tty: false, signal: aborter.signal })
  const failed = assert.rejects(told(aborted), { name: 'AbortError' })
  aborter.abort()
  await failed
  const total = await docker.containers.attach('c', { tty: false, timeoutMs: 80 })
  await assert.rejects(told(total), { name: 'TimeoutError', kind: 'total' })
  const idle = await docker.containers.attach('c', { tty: false, idleMs: 80 })
  await assert.rejects(told(idle), { name: 'TimeoutError', kind: 'idle' })
  await until(() => connections() === 0, { what: 'the end of all connections', everyMs: 5 })
})

test('a stream that is let go closes its connection, by close, by break and by await using', async (t) => {
  const { docker, connections } = await rawEngine(t, (socket) => {
    socket.write(switched)
    socket.write(frames(['stdout', 'a']))
  })
  const closed = await docker.containers.attach('c', { tty: false })
  closed.close()
  assert.deepEqual(await told(closed), [])
  {
    await using stream = await docker.containers.attach('c', { tty: false })
    assert.equal((await stream.next()).done, false)
  }
  for await (const _ of await docker.containers.attach('c', { tty: false })) break
  await until(() => connections() === 0, { what: 'the end of all connections', everyMs: 5 })
})

test('a stream that is read to its end closes its connection by itself', async (t) => {
  const { docker, connections } = await engineWith(t, (socket) => {
    socket.write(switched)
    socket.end(frames(['stdout', 'a']))
  })
  assert.deepEqual(await told(await docker.containers.attach('c', { stdin: true, tty: false })), ['stdout:a'])
  await until(() => connections() <= 1 && docker.connections <= 1, { what: 'the end of the stream', everyMs: 5 })
})

test('writing to a stream whose engine has gone fails', async (t) => {
  const { docker } = await rawEngine(t, (socket) => {
    socket.write(switched)
    setTimeout(() => socket.destroy(), 10)
  })
  const stream = await docker.containers.attach('c', { stdin: true, tty: false })
  await told(stream).catch(() => {})
  await assert.rejects(async () => {
    for (;;) await stream.write('x')
  })
})

test('the input takes a pipeline, at the pace of the other side', async (t) => {
  const received: number[] = []
  const { docker } = await engineWith(t, (socket) => {
    socket.write(switched)
    socket.on('data', (part: Buffer) => received.push(part.length))
    socket.on('end', () => socket.end(frames(['stdout', String(received.reduce((a, b) => a + b, 0))])))
  })
  const stream = await docker.containers.attach('c', { stdin: true, tty: false })
  async function* source(): AsyncGenerator<Buffer> {
    for (let i = 0; i < 100; i++) yield Buffer.alloc(50_000)
  }
  const [output] = await Promise.all([told(stream), pipeline(source, stream.stdin)])
  assert.deepEqual(output, ['stdout:5000000'])
})

test('a command in a container: its input, output and exit code in one call', async (t) => {
  const engine = await engineWith(
    t,
    (socket, head) => {
      socket.write(switched)
      const start = head.indexOf('}') + 1
      let input = head.subarray(start).toString()
      socket.on('data', (part: Buffer) => {
        input += part
      })
      socket.on('end', () => socket.end(frames(['stdout', `<${input}>`], ['stderr', 'err'])))
    },
    ({ path }) =>
      path.endsWith('/exec') ? { status: 201, json: { Id: 'x' } } : { json: { Running: false, ExitCode: 5 } },
  )
  const result = await engine.docker.containers.exec('c', ['cat'], {
    stdin: 'hello',
    env: ['A=b'],
    workingDir: '/',
    user: 'nobody',
    privileged: false,
  })
  assert.deepEqual(
    { ...result, stdout: result.stdout.toString(), stderr: result.stderr.toString() },
    { exitCode: 5, stdout: '<hello>', stderr: 'err' },
  )
  assert.deepEqual(JSON.parse(engine.requests[0]?.body.toString() ?? ''), {
    Cmd: ['cat'],
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Env: ['A=b'],
    WorkingDir: '/',
    User: 'nobody',
    Privileged: false,
  })
})

test('a command that writes more than it may is an error, and its stream is closed', async (t) => {
  const { docker, connections } = await engineWith(
    t,
    (socket) => {
      socket.write(switched)
      socket.write(frames(['stdout', 'x'.repeat(2000)]))
    },
    () => ({ status: 201, json: { Id: 'x' } }),
  )
  await assert.rejects(docker.containers.exec('c', ['yes'], { maxOutputBytes: 1000 }), (error) => {
    assert.ok(error instanceof DockerError)
    assert.deepEqual([error.message, error.hint], ['The command wrote more than 1000 bytes.', 'Raise maxOutputBytes.'])
    return true
  })
  await until(() => connections() <= 1, { what: 'the end of the stream', everyMs: 5 })
})

test('a command whose output breaks off while it runs is an error, not an empty success', async (t) => {
  const { docker } = await engineWith(
    t,
    (socket) => {
      socket.write(switched)
      socket.write(frames(['stdout', 'part']))
      setTimeout(() => socket.destroy(), 10)
    },
    ({ path }) =>
      path.endsWith('/exec') ? { status: 201, json: { Id: 'x' } } : { json: { Running: true, ExitCode: null } },
  )
  await assert.rejects(docker.containers.exec('c', ['make']), {
    name: 'ProtocolError',
    message: 'The output of exec x broke off: its command still runs.',
  })
})

test('a WebSocket that is refused, answers wrongly or breaks off is an error', async (t) => {
  const refused = await fakeEngine(t, () => ({ status: 404, json: { message: 'No such container: c' } }))
  await assert.rejects(refused.docker.containers.attachWebSocket('c'), { name: 'NotFoundError' })
  const wrong = await rawEngine(t, (socket) =>
    socket.write('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: no\r\n\r\n'),
  )
  await assert.rejects(wrong.docker.containers.attachWebSocket('c'), { name: 'ProtocolError' })
  await until(() => wrong.connections() === 0, { what: 'the end of the connection', everyMs: 5 })
})

/** An engine that hands connections out that are to be taken over; all else goes to the handler. */
async function engineWith(
  t: TestContext,
  takeOver: (socket: Duplex, head: Buffer) => void,
  handler: (request: Received) => Answer = () => ({ status: 204 }),
): Promise<FakeEngine & { docker: Docker }> {
  const engine = await fakeEngine(t, handler)
  engine.server.on('upgrade', (_, socket, head) => {
    socket.on('error', () => {})
    takeOver(socket, head)
  })
  return engine
}

async function told(stream: AsyncIterable<{ stream: string; data: Buffer }>): Promise<string[]> {
  const chunks: string[] = []
  for await (const { stream: name, data } of stream) chunks.push(`${name}:${data}`)
  return chunks
}
