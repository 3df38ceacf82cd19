import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  BadRequestError,
  ConflictError,
  DockerError,
  ForbiddenError,
  NotFoundError,
  NotImplementedError,
  ServerError,
  UnauthorizedError,
  UnavailableError,
} from '../../src/docker/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { fakeEngine } from './fake-engine.ts'

const classes: [number, typeof DockerError][] = [
  [400, BadRequestError],
  [401, UnauthorizedError],
  [403, ForbiddenError],
  [404, NotFoundError],
  [409, ConflictError],
  [418, DockerError],
  [500, ServerError],
  [501, NotImplementedError],
  [502, ServerError],
  [503, UnavailableError],
]

for (const [status, Class] of classes) {
  test(`status ${status} is a ${Class.name} with the engine's words`, async (t) => {
    const { docker } = await fakeEngine(t, () => ({ status, json: { message: 'No such container: web' } }))
    const error = await docker.containers.inspect('web').catch((error: unknown) => error)
    assert.ok(error instanceof Class && error instanceof DockerError && error instanceof MypaasError)
    assert.equal(error.constructor, Class)
    const { name, message, method, path, code } = error
    assert.deepEqual(
      { name, message, status: error.status, method, path, code },
      {
        name: Class.name,
        message: 'No such container: web',
        status,
        method: 'GET',
        path: '/containers/web/json',
        code: 'engine',
      },
    )
  })
}

test('an error in plain text, without text, in other JSON or without end still says something', async (t) => {
  let body = ''
  const { docker } = await fakeEngine(t, () => ({ status: 500, body }))
  const message = async (text: string) => {
    body = text
    return docker.containers.start('web').then(
      () => assert.fail('no error'),
      (error: DockerError) => error.message,
    )
  }
  assert.equal(await message('  the disk is full\n'), 'the disk is full')
  assert.equal(await message('{"error":"x"}'), '{"error":"x"}')
  assert.equal(await message(''), 'The engine answered POST /containers/web/start with status 500 and no message.')
  assert.ok((await message('x'.repeat(3 * 1024 * 1024))).length < 5000)
})

test('statuses that mean “so it is already” are success for start and stop, and for nothing else', async (t) => {
  const { docker } = await fakeEngine(t, () => ({ status: 304 }))
  await docker.containers.start('web')
  await docker.containers.stop('web')
  await assert.rejects(docker.containers.restart('web'), { name: 'DockerError', status: 304 })
  await assert.rejects(docker.containers.list(), { name: 'DockerError', status: 304 })
})

test('a redirect is an error, not an empty success', async (t) => {
  const { docker } = await fakeEngine(t, () => ({ status: 301, headers: { Location: '/elsewhere' } }))
  await assert.rejects(docker.containers.start('web'), { name: 'DockerError', status: 301 })
})

test('errors in mid-stream are thrown behind what came before them', async (t) => {
  const lines = '{"status":"Pulling"}\n{"errorDetail":{"message":"toomanyrequests"},"error":"toomanyrequests"}\n'
  const { docker } = await fakeEngine(t, () => ({ body: lines }))
  const seen: unknown[] = []
  await assert.rejects(
    async () => {
      for await (const event of docker.images.pull('a:1')) seen.push(event)
    },
    { name: 'DockerError', message: 'Pull of a:1 failed: toomanyrequests' },
  )
  assert.deepEqual(seen, [{ status: 'Pulling' }])
  await assert.rejects(docker.images.load(empty()), { message: 'Load failed: toomanyrequests' })
  await assert.rejects(docker.images.import(empty(), { repo: 'a' }), { message: 'Import of a failed: toomanyrequests' })
})

test('names that would lead to another path are refused before anything is sent', async (t) => {
  const { docker, requests } = await fakeEngine(t)
  for (const name of ['', '.', '..', '../x', 'a/../b', 'a//b', undefined as unknown as string]) {
    await assert.rejects(docker.containers.inspect(name), { name: 'DockerError', code: 'usage' })
    await assert.rejects(docker.containers.remove(name), { name: 'DockerError', code: 'usage' })
  }
  assert.deepEqual(requests, [])
})

test('names are escaped in the path', async (t) => {
  const { docker, server } = await fakeEngine(t, () => ({ json: {} }))
  const urls: string[] = []
  server.on('request', ({ url }) => urls.push(url ?? ''))
  await docker.containers.inspect('a?b#c d%é')
  await docker.images.inspect('reg.example:5000/a/b@sha256:1')
  assert.deepEqual(
    urls.filter((url) => !url.includes('_ping')),
    ['/v1.56/containers/a%3Fb%23c%20d%25%C3%A9/json', '/v1.56/images/reg.example:5000/a/b@sha256:1/json'],
  )
})

test('headers can not smuggle others in', async (t) => {
  const { docker, requests } = await fakeEngine(t)
  const call = docker.system.session({ uuid: 'u', name: 'n\r\nX-Evil: 1' })
  await assert.rejects(call, { name: 'DockerError', code: 'usage' })
  assert.deepEqual(requests, [])
})

async function* empty(): AsyncGenerator<Uint8Array> {}
