import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import {
  BadRequestError,
  BuildError,
  type BuildEvent,
  ConflictError,
  type DockerError,
  NotFoundError,
  NotImplementedError,
  ServerError,
} from '../../src/docker/index.ts'
import { type FakeEngine, fakeEngine, type Handler } from './fake-engine.ts'

const headers = { 'Api-Version': '1.41', 'Libpod-Api-Version': '4.3.1' }

const reasons: [message: string, Class: typeof DockerError][] = [
  [
    'creating container storage: the container name "web" is already in use by 7bef: that name is already in use',
    ConflictError,
  ],
  ['cannot remove container 4a0f as it is running: container state improper', ConflictError],
  ['image used by 4a0f: image is in use by a container: consider listing external containers', ConflictError],
  ['no container with name or ID "web" found: no such container', NotFoundError],
  ['unknown container state: nonsense: invalid argument', BadRequestError],
  ['crun: setrlimit: Operation not permitted: OCI permission denied', ServerError],
]
for (const [message, Class] of reasons) {
  test(`Podman's 500 "…${message.slice(-30)}" is a ${Class.name}, of Docker a ServerError`, async (t) => {
    const classes: unknown[] = []
    for (const start of [podman, fakeEngine]) {
      const { docker } = await start(t, () => refusal(message))
      const error = (await docker.containers.start('web').catch((thrown: unknown) => thrown)) as DockerError
      classes.push(error.constructor)
      assert.deepEqual([error.status, error.message], [500, message])
    }
    assert.deepEqual(classes, [Class, ServerError])
  })
}

test('a call that Podman does not have is told apart from an object that is not there', async (t) => {
  let answer = { status: 404, body: 'Not Found\n' }
  const { docker } = await podman(t, () => answer)
  const unknown = { name: 'NotImplementedError', message: 'Podman does not know GET /nodes.' }
  await assert.rejects(docker.nodes.list(), unknown)
  answer = { status: 404, body: '{"cause":"","message":"Path /v1.41/plugins is not supported","response":0}' }
  await assert.rejects(docker.plugins.list(), NotImplementedError)
  answer = { status: 404, body: '{"message":"no such volume: no such volume"}' }
  await assert.rejects(docker.volumes.inspect('v'), NotFoundError)
  const other = await fakeEngine(t, () => ({ status: 404, body: 'Not Found\n' }))
  await assert.rejects(other.docker.nodes.list(), NotFoundError)
})

test('what Podman answers amiss is not sent to it, but to Docker', async (t) => {
  const handler: Handler = ({ path }) => ({ json: path.endsWith('/commit') ? { Id: 'i' } : [] })
  const sent: unknown[] = []
  for (const { docker, requests } of [await podman(t, handler), await fakeEngine(t, handler, { apiVersion: '1.41' })]) {
    await docker.images.list({ digests: true })
    await docker.containers.commit('c')
    await docker.containers.commit('c', { config: { Cmd: ['a'] } })
    sent.push(requests.map(({ query, body }) => query['digests'] ?? body.toString()))
  }
  assert.deepEqual(sent, [
    ['', '{}', '{"Cmd":["a"]}'],
    ['true', '', '{"Cmd":["a"]}'],
  ])
})

test('ids, names and errors that Podman tells in other ways are the same as of Docker', async (t) => {
  const id = 'a8d96ed6d2b059fb4ae86b9ac9535cdd803755178d813fc0c7612aab7f8cf4b2'
  const { docker } = await podman(t, ({ path }) => {
    if (path.endsWith('/commit')) return { status: 201, json: { Id: id } }
    if (path.endsWith('/load')) return { body: lines('Loaded image: localhost/a:1,localhost/b:2') }
    return {
      body: `${JSON.stringify({ error: 'reading manifest none in localhost:1/a: manifest unknown: unknown' })}\n`,
    }
  })
  assert.deepEqual(await docker.containers.commit('c'), { Id: `sha256:${id}` })
  assert.deepEqual(await docker.images.load(context()), ['localhost/a:1', 'localhost/b:2'])
  await assert.rejects(docker.images.pull('localhost:1/a:none').next(), NotFoundError)
})

test('a build of Podman has steps, cached steps and logs without its own lines, whichever builder is asked for', async (t) => {
  const id = 'a8d96ed6d2b059fb4ae86b9ac9535cdd803755178d813fc0c7612aab7f8cf4b2'
  const { docker, requests } = await podman(t, () => ({
    body: lines(
      'STEP 1/3: FROM base',
      'STEP 2/3: COPY a /',
      `--> Using cache ${id}`,
      '--> a8d96ed6d2b',
      'STEP 3/3: RUN make',
      'hello',
      'COMMIT docker.io/library/x',
      '--> a8d96ed6d2b',
      'Successfully tagged docker.io/library/x:latest',
      id,
      { aux: { ID: `sha256:${id}` } },
      'Successfully built a8d96ed6d2b0',
      'Successfully tagged x',
    ),
  }))
  const events: BuildEvent[] = []
  for await (const event of docker.images.build(context(), { builder: 'buildkit' })) events.push(event)
  assert.equal(requests[0]?.query['version'], '1')
  assert.deepEqual(
    events.map((event) => (event.type === 'step' ? `${event.id} ${event.status}` : event)),
    [
      '1 started',
      '1 done',
      '2 started',
      '2 cached',
      '3 started',
      { type: 'log', id: '3', stream: 'stdout', text: 'hello\n' },
      '3 done',
      { type: 'image', imageId: `sha256:${id}` },
    ],
  )
})

test('a step that fails on Podman is told with its instruction, exit code and last lines', async (t) => {
  const message = 'building at STEP "RUN echo 2; exit 42": while running runtime: exit status 42\n'
  const error = { errorDetail: { message }, error: message }
  const { docker } = await podman(t, () => ({ body: lines('STEP 1/1: RUN echo 2; exit 42', '2', error) }))
  const building = (async () => {
    for await (const _ of docker.images.build(context()));
  })()
  await assert.rejects(building, (thrown) => {
    assert.ok(thrown instanceof BuildError)
    assert.equal(thrown.exitCode, 42)
    assert.equal(thrown.instruction, 'RUN echo 2; exit 42')
    assert.deepEqual(thrown.lastLines, ['2'])
    return true
  })
})

function podman(t: TestContext, handler: Handler): Promise<FakeEngine> {
  return fakeEngine(t, handler, { ping: () => ({ headers }) })
}

function refusal(message: string): { status: number; json: unknown } {
  return { status: 500, json: { cause: 'c', message, response: 500 } }
}

function lines(...all: (string | object)[]): string {
  return all.map((one) => `${JSON.stringify(typeof one === 'string' ? { stream: `${one}\n` } : one)}\n`).join('')
}

async function* context(): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(1024)
}
