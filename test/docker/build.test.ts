import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { decodeTrace } from '../../src/docker/buildkit.ts'
import { BuildError, type BuildEvent, type BuildOptions, DockerError, ProtocolError } from '../../src/docker/index.ts'
import { until } from '../support/until.ts'
import { fakeEngine } from './fake-engine.ts'
import { rawEngine } from './raw-engine.ts'
import { trace } from './trace.ts'

const imageLine = `${JSON.stringify({ id: 'moby.image.id', aux: { ID: 'sha256:1' } })}\n`
const image: BuildEvent = { type: 'image', imageId: 'sha256:1' }
const errorLine = (message: string, code?: number) =>
  `${JSON.stringify({ errorDetail: { code, message }, error: message })}\n`
const stream = (...texts: string[]) => texts.map((text) => `${JSON.stringify({ stream: text })}\n`).join('')

async function* context(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('tar')
}

/** Builds with an engine that answers with these lines. */
async function build(t: TestContext, body: string, options: BuildOptions = {}) {
  const { docker, requests } = await fakeEngine(t, () => ({ body }))
  const events: BuildEvent[] = []
  let error: unknown
  try {
    for await (const event of docker.images.build(context(), options)) events.push(event)
  } catch (thrown) {
    error = thrown
  }
  return { events, error, request: requests[0] }
}

test('BuildKit’s steps come once for each state, with their logs, transfers and warnings', async (t) => {
  const { events, error } = await build(
    t,
    trace({
      vertexes: [
        { digest: 'd1', name: '[1/2] FROM base' },
        { digest: 'd2', name: '[2/2] RUN make' },
      ],
    }) +
      trace({ vertexes: [{ digest: 'd1', name: '[1/2] FROM base', started: true }] }) +
      trace({ statuses: [{ id: 'sha256:layer', vertex: 'd1', current: 10, total: 300_000_000_000 }] }) +
      trace({ vertexes: [{ digest: 'd1', name: '[1/2] FROM base', started: true, completed: true, cached: true }] }) +
      trace({ vertexes: [{ digest: 'd1', name: '[1/2] FROM base', started: true, completed: true, cached: true }] }) +
      trace({
        vertexes: [{ digest: 'd2', name: '[2/2] RUN make', started: true }],
        logs: [
          { vertex: 'd2', stream: 1, message: 'one\ntw' },
          { vertex: 'd2', stream: 2, message: 'oops\n' },
        ],
      }) +
      trace({
        logs: [{ vertex: 'd2', stream: 1, message: 'o\nthree' }],
        warnings: [{ short: 'Bad', detail: ['why'] }],
      }) +
      trace({ vertexes: [{ digest: 'd2', name: '[2/2] RUN make', started: true, completed: true }] }) +
      imageLine,
  )
  assert.equal(error, undefined)
  assert.deepEqual(events, [
    { type: 'step', id: 'd1', name: '[1/2] FROM base', status: 'started' },
    { type: 'progress', id: 'd1', name: 'sha256:layer', current: 10, total: 300_000_000_000 },
    { type: 'step', id: 'd1', name: '[1/2] FROM base', status: 'cached' },
    { type: 'step', id: 'd2', name: '[2/2] RUN make', status: 'started' },
    { type: 'log', id: 'd2', stream: 'stdout', text: 'one\n' },
    { type: 'log', id: 'd2', stream: 'stderr', text: 'oops\n' },
    { type: 'log', id: 'd2', stream: 'stdout', text: 'two\n' },
    { type: 'warning', text: 'Bad\nwhy' },
    { type: 'log', id: 'd2', stream: 'stdout', text: 'three' },
    { type: 'step', id: 'd2', name: '[2/2] RUN make', status: 'done' },
    image,
  ])
})

test('a failing step of BuildKit is a BuildError with step, instruction, exit code and the last lines', async (t) => {
  const lines = Array.from({ length: 30 }, (_, i) => `line ${i}`)
  const failure = 'executor failed running [/bin/sh -c make]: exit code: 3'
  const { events, error } = await build(
    t,
    trace({
      vertexes: [
        { digest: 'd1', name: '[build 1/2] FROM base', started: true, completed: true },
        { digest: 'd2', name: '[build 2/2] RUN make', started: true },
      ],
      logs: [{ vertex: 'd2', stream: 2, message: `${lines.join('\r\n')}\n` }],
    }) +
      trace({
        vertexes: [{ digest: 'd2', name: '[build 2/2] RUN make', started: true, completed: true, error: failure }],
      }) +
      errorLine(failure),
  )
  assert.deepEqual(events.at(-1), {
    type: 'step',
    id: 'd2',
    name: '[build 2/2] RUN make',
    status: 'failed',
    error: failure,
  })
  assert.ok(error instanceof BuildError)
  const { message, step, instruction, exitCode, lastLines, code } = error
  assert.deepEqual(
    { message, step, instruction, exitCode, lastLines, code },
    {
      message: failure,
      step: '[build 2/2] RUN make',
      instruction: 'RUN make',
      exitCode: 3,
      lastLines: lines.slice(-20),
      code: 'engine',
    },
  )
})

test('the classic builder’s text becomes the same events', async (t) => {
  const { events, error, request } = await build(
    t,
    stream('Step 1/3 : FROM base', '\n') +
      `${JSON.stringify({ status: 'Downloading', id: 'l1', progressDetail: { current: 1, total: 2 } })}\n` +
      stream(' ---> 1234\n', 'Step 2/3 : RUN a', '\n', ' ---> Using cache\n', ' ---> 2345\n') +
      stream(
        'Step 3/3 : RUN b',
        '\n',
        ' ---> Running in 99\n',
        'out\n',
        '\u001b[91merr\n\u001b[0m',
        '[Warning] Careful\n',
      ) +
      stream('Removing intermediate container 99\n', ' ---> 3456\n') +
      `${JSON.stringify({ aux: { ID: 'sha256:1' } })}\n` +
      stream('Successfully built 1\n', 'Successfully tagged a:1\n'),
    { builder: 'classic' },
  )
  assert.equal(error, undefined)
  assert.equal(request?.query['version'], '1')
  assert.deepEqual(events, [
    { type: 'step', id: '1', name: 'Step 1/3 : FROM base', status: 'started' },
    { type: 'progress', id: '1', name: 'Downloading l1', current: 1, total: 2 },
    { type: 'step', id: '1', name: 'Step 1/3 : FROM base', status: 'done' },
    { type: 'step', id: '2', name: 'Step 2/3 : RUN a', status: 'started' },
    { type: 'step', id: '2', name: 'Step 2/3 : RUN a', status: 'cached' },
    { type: 'step', id: '3', name: 'Step 3/3 : RUN b', status: 'started' },
    { type: 'log', id: '3', stream: 'stdout', text: 'out\n' },
    { type: 'log', id: '3', stream: 'stderr', text: 'err\n' },
    { type: 'warning', text: 'Careful' },
    { type: 'step', id: '3', name: 'Step 3/3 : RUN b', status: 'done' },
    image,
  ])
})

test('a failing step of the classic builder is the same BuildError', async (t) => {
  const failure = "The command '/bin/sh -c make' returned a non-zero code: 7"
  const { events, error } = await build(t, stream('Step 1/1 : RUN make', '\n', 'no rule\n') + errorLine(failure, 7))
  const name = 'Step 1/1 : RUN make'
  assert.deepEqual(events.at(-1), { type: 'step', id: '1', name, status: 'failed', error: failure })
  assert.ok(error instanceof BuildError)
  const { step, instruction, exitCode, lastLines } = error
  assert.deepEqual(
    { step, instruction, exitCode, lastLines },
    { step: 'Step 1/1 : RUN make', instruction: 'RUN make', exitCode: 7, lastLines: ['no rule'] },
  )
})

test('a build that ends without image and without error broke off', async (t) => {
  for (const body of ['', stream('Step 1/1 : FROM a', '\n'), trace({ vertexes: [{ digest: 'd', started: true }] })]) {
    const { events, error } = await build(t, body)
    assert.ok(error instanceof ProtocolError, String(error))
    assert.match(error.message, /named neither an image nor an error/)
    assert.ok(!events.some(({ type }) => type === 'image'))
  }
})

test('progress that can not be read is an error, at any place where it is cut', async (t) => {
  const { aux } = JSON.parse(trace({ vertexes: [{ digest: 'd1', name: 'a name', started: true }] })) as { aux: string }
  const message = Buffer.from(aux, 'base64')
  for (let end = 1; end < message.length; end++) assert.throws(() => decodeTrace(message.subarray(0, end)), RangeError)
  const { error } = await build(
    t,
    `${JSON.stringify({ id: 'moby.buildkit.trace', aux: message.subarray(0, 5).toString('base64') })}\n`,
  )
  assert.ok(error instanceof ProtocolError)
})

test('values of build arguments show nowhere: not in steps, logs, errors, however they are cut or quoted', async (t) => {
  const secret = 'to"ken-1234'
  const key = 'first-key-line\nsecond-key-line'
  const failure = `process "echo ${secret}" failed: exit code: 1`
  const { events, error, request } = await build(
    t,
    trace({ vertexes: [{ digest: 'd', name: `RUN echo ${secret}`, started: true }] }) +
      trace({ logs: [{ vertex: 'd', stream: 1, message: `a ${secret.slice(0, 5)}` }] }) +
      trace({
        logs: [
          { vertex: 'd', stream: 1, message: `${secret.slice(5)} b\nsecond-key-line\n"${JSON.stringify(secret)}"\n` },
        ],
      }) +
      trace({ statuses: [{ id: secret, vertex: 'd' }], warnings: [{ short: secret }] }) +
      trace({
        vertexes: [{ digest: 'd', name: `RUN echo ${secret}`, started: true, completed: true, error: failure }],
      }) +
      errorLine(failure),
    { buildArgs: { TOKEN: secret, KEY: key, VERSION: '1.2', MODE: 'production' }, shownArgs: ['MODE'] },
  )
  assert.equal(
    request?.query['buildargs'],
    JSON.stringify({ TOKEN: secret, KEY: key, VERSION: '1.2', MODE: 'production' }),
  )
  assert.ok(error instanceof BuildError)
  const told = JSON.stringify([events, error, error.message, error.stack, String(error.cause)])
  for (const part of ['ken-1234', 'second-key-line', 'first-key-line']) assert.ok(!told.includes(part), part)
  assert.deepEqual(
    events.find(({ type }) => type === 'log'),
    { type: 'log', id: 'd', stream: 'stdout', text: 'a ••• b\n•••\n""•••""\n' },
  )
  assert.equal(error.message, 'process "echo •••" failed: exit code: 1')
  assert.equal(error.instruction, 'RUN echo •••')
})

test('nor do secrets that are none of its arguments, whatever the encoding in which a step shows them', async (t) => {
  const secret = 'sesame-open-1234'
  const shown = [secret, Buffer.from(`me:${secret}`).toString('base64'), Buffer.from(secret).toString('hex')]
  const { events } = await build(
    t,
    trace({ vertexes: [{ digest: 'd', name: 'RUN cat .env', started: true }] }) +
      trace({ logs: [{ vertex: 'd', stream: 1, message: `${shown.join('\n')}\nsesame\n` }] }) +
      trace({ vertexes: [{ digest: 'd', name: 'RUN cat .env', started: true, completed: true }] }),
    { secrets: [secret] },
  )
  assert.deepEqual(
    events.filter(({ type }) => type === 'log').map((event) => 'text' in event && event.text),
    ['•••\nbWU6•••==\n•••\nsesame\n'],
  )
})

test('a secret in a refusal of the whole build is masked, and the refusal is a BuildError', async (t) => {
  const { docker } = await fakeEngine(t, () => ({ status: 400, json: { message: 'bad argument secret-value' } }))
  const next = docker.images.build(context(), { buildArgs: { A: 'secret-value' } }).next()
  await assert.rejects(next, (error) => {
    assert.ok(error instanceof BuildError)
    assert.deepEqual([error.message, error.status, error.cause], ['bad argument •••', 400, undefined])
    return true
  })
})

test('text in the middle of a character is put together', async (t) => {
  const [first, second] = [Buffer.from('é').subarray(0, 1), Buffer.from('é\n').subarray(1)]
  const { events } = await build(
    t,
    trace({
      vertexes: [{ digest: 'd', name: 'RUN', started: true }],
      logs: [
        { vertex: 'd', stream: 1, message: first },
        { vertex: 'd', stream: 1, message: second },
      ],
    }) + imageLine,
  )
  assert.deepEqual(events[1], { type: 'log', id: 'd', stream: 'stdout', text: 'é\n' })
})

test('a line without end does not fill the memory', async (t) => {
  const part = 'x'.repeat(50_000)
  const logs = Array.from({ length: 4 }, () => trace({ logs: [{ vertex: 'd', stream: 1, message: part }] })).join('')
  const { events } = await build(
    t,
    trace({ vertexes: [{ digest: 'd', name: 'RUN', started: true }] }) + logs + imageLine,
  )
  const texts = events.flatMap((event) => (event.type === 'log' ? [event.text] : []))
  assert.ok(texts.length >= 2)
  assert.equal(texts.join(''), part.repeat(4))
})

test('a feature that needs a session says that there is none', async (t) => {
  const { error } = await build(t, errorLine('failed to solve: no active sessions'))
  assert.ok(error instanceof BuildError)
  assert.match(error.hint ?? '', /--mount=type=secret/)
})

test('syntax that the engine is too old for is told from a slip', async (t) => {
  const body = errorLine('dockerfile parse error line 3: unknown instruction: ECHO')
  for (const [apiVersion, hint] of [
    ['1.41', /here-documents/],
    ['1.51', /^undefined$/],
  ] as const) {
    const { docker } = await fakeEngine(t, () => ({ body }), { apiVersion })
    await assert.rejects(docker.images.build(context()).next(), (error) => {
      assert.ok(error instanceof BuildError)
      assert.match(String(error.hint), hint)
      return true
    })
  }
})

const builders: [what: string, headers: Record<string, string>, version: string][] = [
  ['an engine that recommends BuildKit', { 'Builder-Version': '2' }, '2'],
  ['an engine that does not say (20.10)', {}, '2'],
  ['an engine that recommends the classic builder', { 'Builder-Version': '1' }, '1'],
  ['an engine on Windows', { Ostype: 'windows' }, '1'],
  ['Podman', { 'Libpod-API-Version': '5.0.0' }, '1'],
]
for (const [what, headers, version] of builders) {
  test(`the builder for ${what} is version ${version}`, async (t) => {
    const ping = () => ({ headers: { 'Api-Version': '1.41', ...headers } })
    const { docker, requests, pings } = await fakeEngine(t, () => ({ body: imageLine }), { ping })
    for await (const _ of docker.images.build(context()));
    assert.equal(requests[0]?.query['version'], version)
    assert.equal(pings.length, 1)
  })
}

test('base images are pulled first where they are missing, with credentials', async (t) => {
  const { docker, requests } = await fakeEngine(t, ({ path, query }) => {
    if (path.endsWith('/there/json')) return { json: { Id: 'i' } }
    if (path.endsWith('/json')) return { status: 404, json: { message: 'No such image' } }
    if (path.endsWith('/images/create')) {
      return query['fromImage'] === 'gone'
        ? { status: 404, json: { message: 'pull access denied for gone' } }
        : { body: `{"status":"Downloading","id":"l","progressDetail":{"current":1,"total":2}}\n{"status":"Done"}\n` }
    }
    return { body: imageLine }
  })
  const events: BuildEvent[] = []
  for await (const event of docker.images.build(context(), { baseImages: ['there', 'missing'] })) events.push(event)
  assert.deepEqual(events, [
    { type: 'step', id: 'pull missing', name: 'Pull missing', status: 'started' },
    { type: 'progress', id: 'pull missing', name: 'Downloading l', current: 1, total: 2 },
    { type: 'step', id: 'pull missing', name: 'Pull missing', status: 'done' },
    image,
  ])
  const calls = () => requests.splice(0).map(({ path, query }) => `${path.slice(6)} ${query['fromImage'] ?? ''}`.trim())
  assert.deepEqual(calls(), ['/images/there/json', '/images/missing/json', '/images/create missing', '/build'])

  for await (const _ of docker.images.build(context(), { baseImages: ['there'], pull: true }));
  assert.equal(requests.at(-1)?.query['pull'], undefined, 'the builder is to take what was pulled')
  assert.deepEqual(calls(), ['/images/create there', '/build'])

  const failing = docker.images.build(context(), { baseImages: ['gone'] })
  await assert.rejects(
    async () => {
      for await (const _ of failing);
    },
    {
      name: 'BuildError',
      message: 'pull access denied for gone',
      step: 'Pull gone',
      instruction: 'FROM gone',
      status: 404,
    },
  )
})

test('events come while the context is still being sent', async (t) => {
  const { docker } = await fakeEngine(
    t,
    (_, response) => {
      response.writeHead(200)
      response.write(trace({ vertexes: [{ digest: 'd', name: 'a', started: true }] }))
      return undefined
    },
    { early: true },
  )
  let sent = 0
  async function* slow(): AsyncGenerator<Uint8Array> {
    for (; ; sent++) {
      yield Buffer.from('tar')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  for await (const event of docker.images.build(slow())) {
    assert.equal(event.type, 'step')
    break
  }
  const then = sent
  await docker.system.ping()
  assert.ok(sent <= then + 1, 'the context is left alone when the reader stops')
})

test('a build that is aborted closes its connection, which stops it on the engine', async (t) => {
  const { docker, connections, requests } = await rawEngine(t, (socket) =>
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
  )
  const aborter = new AbortController()
  const next = docker.images.build(context(), { signal: aborter.signal }).next()
  const failed = assert.rejects(next, { name: 'AbortError' })
  await until(() => requests.length === 1, { what: 'the build', everyMs: 2 })
  aborter.abort()
  await failed
  await until(() => connections() === 0, { what: 'the end of its connection', everyMs: 2 })
})

test('a context that can not be read fails the build with its own error', async (t) => {
  const { docker } = await fakeEngine(t, () => ({ body: imageLine }))
  const broken = new DockerError('no permission to read ./secret')
  async function* unreadable(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('tar')
    throw broken
  }
  await assert.rejects(docker.images.build(unreadable()).next(), (error) => error === broken)
})

test('who watches a build sees each step with what it builds on before anything of it is told', async (t) => {
  const from = { digest: 'd1', name: '[1/2] FROM base', inputs: [] }
  const run = { digest: 'd2', name: '[2/2] RUN make', inputs: ['d1'] }
  const seen: string[] = []
  const known = new Set<string>()
  const watch: NonNullable<BuildOptions['watch']> = {
    announced: ({ id, name, inputs }) => {
      seen.push(`${id} ${name} <${inputs.join()}>`)
      known.add(id)
    },
    mayTell: (id) => known.has(id) && (id === 'd1' || known.has('d1')),
  }
  const started = trace({
    vertexes: [{ ...run, started: true }],
    logs: [{ vertex: 'd2', stream: 1, message: 'early\n' }],
    statuses: [{ id: 'x', vertex: 'd2', current: 1 }],
  })
  const ended = trace({
    vertexes: [{ ...from, started: true, completed: true }],
    logs: [{ vertex: 'd2', stream: 1, message: 'late\n' }],
  })
  const { events } = await build(t, started + ended + imageLine, { watch })
  assert.deepEqual(seen, ['d2 [2/2] RUN make <d1>', 'd1 [1/2] FROM base <>'])
  assert.deepEqual(events, [
    { type: 'step', id: 'd2', name: '[2/2] RUN make', status: 'started' },
    { type: 'step', id: 'd1', name: '[1/2] FROM base', status: 'done' },
    { type: 'log', id: 'd2', stream: 'stdout', text: 'early\n' },
    { type: 'log', id: 'd2', stream: 'stdout', text: 'late\n' },
    image,
  ])

  known.clear()
  const failed = trace({ vertexes: [{ ...run, started: true, completed: true, error: 'it prints gold' }] })
  const broken = await build(t, started + failed + errorLine('it prints gold'), { watch })
  assert.deepEqual(broken.events, [
    { type: 'step', id: 'd2', name: '[2/2] RUN make', status: 'started' },
    { type: 'step', id: 'd2', name: '[2/2] RUN make', status: 'failed' },
  ])
  assert.ok(broken.error instanceof BuildError)
  assert.equal(broken.error.message, 'The build failed before it was known what it is made from.')
  assert.deepEqual(broken.error.lastLines, [])
})

test('who watches a build can end it, and is told of no other builder than BuildKit', async (t) => {
  const no = new Error('not that one')
  const watch = {
    announced: () => {
      throw no
    },
    mayTell: () => true,
  }
  const { events, error } = await build(
    t,
    trace({
      vertexes: [{ digest: 'd1', name: 'x', started: true }],
      logs: [{ vertex: 'd1', stream: 1, message: 'y\n' }],
    }),
    { watch },
  )
  assert.equal(error, no)
  assert.deepEqual(events, [])
  const classic = await build(t, imageLine, { watch, builder: 'classic' })
  assert.ok(classic.error instanceof DockerError)
  assert.match(classic.error.message, /Only builds by BuildKit/)
})
