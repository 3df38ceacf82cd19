import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Host } from '../../src/deploy/host.ts'
import { persistently } from '../../src/deploy/persist.ts'
import { DeployError } from '../../src/deploy/why.ts'
import { ConflictError, Docker, ServerError } from '../../src/docker/index.ts'
import { MypaasError } from '../../src/errors.ts'

test('work that an engine breaks off is done anew, however often, once the engine answers', async (t) => {
  const { host, engine } = await engineThat(t, ['close', 'close', 'close', 'close', 200])
  const seen: boolean[] = []
  const result = await persistently(host, async (again) => {
    seen.push(again)
    await host.docker.containers.list()
    return 'done'
  })
  assert.equal(result, 'done')
  assert.deepEqual(seen, [false, true, true, true, true])
  assert.equal(engine.lists, 5)
})

test('an engine that refuses is asked three times, also when the error is told in other words', async (t) => {
  const { host, engine } = await engineThat(t, [500, 500, 500, 200])
  const work = () =>
    host.docker.containers.list().catch((cause: unknown) => {
      throw new DeployError('can’t start', { cause })
    })
  await assert.rejects(persistently(host, work), (error) => {
    return error instanceof DeployError && error.cause instanceof ServerError
  })
  assert.equal(engine.lists, 3)
})

test('what is no fault of the engine is told at once', async (t) => {
  const { host, engine } = await engineThat(t, [409, 200])
  await assert.rejects(
    persistently(host, () => host.docker.containers.list()),
    (error) => error instanceof ConflictError,
  )
  assert.equal(engine.lists, 1)
  const failed = new MypaasError('no', { code: 'failed' })
  await assert.rejects(
    persistently(host, () => Promise.reject(failed)),
    (error) => error === failed,
  )
})

/** An engine that answers the lists of containers in this way, one after the other, and pings always. */
async function engineThat(
  t: TestContext,
  answers: readonly (number | 'close')[],
): Promise<{ host: Host; engine: { lists: number } }> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(folder, { recursive: true }))
  const engine = { lists: 0 }
  const server = http.createServer((request, response) => {
    if (request.url === '/_ping')
      return void response.writeHead(200, { 'api-version': '1.41', connection: 'close' }).end()
    const answer = answers[engine.lists] ?? 200
    engine.lists += 1
    if (answer === 'close') request.socket.destroy()
    else response.writeHead(answer).end(answer === 200 ? '[]' : '{"message":"no"}')
  })
  const path = join(folder, 'docker.sock')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => server.close())
  const docker = new Docker({ host: `unix://${path}` })
  t.after(() => docker.close())
  return { host: { docker } as Host, engine }
}
