import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { until } from '../support/until.ts'
import { fakeEngine, frames, type Received } from './fake-engine.ts'

test('a run attaches and waits before it starts, and removes the container', async (t) => {
  const { docker, requests } = await engineThatRuns(t)
  const chunks: string[] = []
  const result = await docker.run('busybox', ['sh', '-c', 'x'], {
    env: { A: 'b' },
    workingDir: '/tmp',
    user: 'nobody',
    name: 'once',
    platform: 'linux/arm64',
    config: { HostConfig: { Memory: 1e7 }, Env: ['C=d'] },
    onOutput: ({ stream, data }) => void chunks.push(`${stream}:${data}`),
  })
  assert.deepEqual(
    { ...result, stdout: result.stdout.toString(), stderr: result.stderr.toString() },
    { exitCode: 6, stdout: 'out', stderr: 'err' },
  )
  assert.deepEqual(chunks, ['stdout:out', 'stderr:err'])
  assert.deepEqual(requests.map(show), [
    'POST /containers/create {"name":"once","platform":"linux/arm64"}',
    'POST /containers/c1/attach {"stream":"true","stdin":"false","stdout":"true","stderr":"true"}',
    'POST /containers/c1/wait {"condition":"next-exit"}',
    'POST /containers/c1/start {}',
    'DELETE /containers/c1 {"force":"true","v":"true"}',
  ])
  assert.deepEqual(JSON.parse(String(requests[0]?.body)), {
    HostConfig: { Memory: 1e7 },
    Image: 'busybox',
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    Cmd: ['sh', '-c', 'x'],
    Env: ['C=d', 'A=b'],
    WorkingDir: '/tmp',
    User: 'nobody',
  })
})

test('a missing image is pulled if that is wished, else it is the error', async (t) => {
  const { docker, requests } = await engineThatRuns(t, { missing: 1 })
  assert.equal((await docker.run('busybox', undefined, { pull: true })).exitCode, 6)
  assert.deepEqual(requests.map(show).slice(0, 3), [
    'POST /containers/create {}',
    'POST /images/create {"fromImage":"busybox","tag":"latest"}',
    'POST /containers/create {}',
  ])
  const other = await engineThatRuns(t, { missing: 1 })
  await assert.rejects(other.docker.run('busybox'), { name: 'NotFoundError' })
  assert.equal(other.requests.length, 1)
})

test('a run that is aborted, or whose start fails, still removes its container', async (t) => {
  const failing = await engineThatRuns(t, { start: 500 })
  await assert.rejects(failing.docker.run('busybox'), { name: 'ServerError', message: 'no start' })
  assert.equal(failing.requests.map(show).at(-1), 'DELETE /containers/c1 {"force":"true","v":"true"}')

  const hanging = await engineThatRuns(t, { hang: true })
  const aborter = new AbortController()
  const reason = new Error('enough')
  const run = assert.rejects(hanging.docker.run('busybox', [], { signal: aborter.signal }), (error) => error === reason)
  await until(() => hanging.requests.length === 4, { what: 'the start', everyMs: 5 })
  aborter.abort(reason)
  await run
  assert.equal(hanging.requests.map(show).at(-1), 'DELETE /containers/c1 {"force":"true","v":"true"}')

  const slow = await engineThatRuns(t, { hang: true })
  await assert.rejects(slow.docker.run('busybox', [], { timeoutMs: 100 }), { name: 'TimeoutError', kind: 'total' })
  assert.equal(slow.requests.map(show).at(-1), 'DELETE /containers/c1 {"force":"true","v":"true"}')
})

function show({ method, path, query }: Received): string {
  return `${method} ${path.slice(6)} ${JSON.stringify(query)}`
}

async function engineThatRuns(t: TestContext, behaviour: { missing?: number; start?: number; hang?: boolean } = {}) {
  let missing = behaviour.missing ?? 0
  const engine = await fakeEngine(t, ({ path }, response) => {
    if (path.endsWith('/containers/create')) {
      return missing-- > 0 ? { status: 404, json: { message: 'No such image' } } : { status: 201, json: { Id: 'c1' } }
    }
    if (path.endsWith('/images/create')) return { body: '{"status":"Done"}\n' }
    if (path.endsWith('/start') && behaviour.start) return { status: behaviour.start, json: { message: 'no start' } }
    if (path.endsWith('/wait')) {
      response.writeHead(200)
      response.flushHeaders()
      if (!behaviour.hang) setTimeout(() => response.end('{"StatusCode":6}\n'), 50)
      return undefined
    }
    return { status: 204 }
  })
  engine.server.on('upgrade', (incoming, socket) => {
    const url = new URL(incoming.url ?? '', 'http://docker')
    const query = Object.fromEntries(url.searchParams)
    const { method = '', headers } = incoming
    engine.requests.push({ method, path: url.pathname, query, headers, body: Buffer.alloc(0) })
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
    if (!behaviour.hang) setTimeout(() => socket.end(frames(['stdout', 'out'], ['stderr', 'err'])), 20)
  })
  return engine
}
