import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Execution, execute } from '../../src/deploy/execute.ts'
import { Docker } from '../../src/docker/index.ts'

const target = { release: 1, replica: 1, name: 'web-r1-1' }

test('a removal that the engine is at already is waited for', async (t) => {
  const { run, asked, finish } = await engineThatRemoves(t)
  let isDone = false
  const removing = execute([{ kind: 'remove', targets: [target] }], run).then(() => {
    isDone = true
  })
  await finish(() => assert.equal(isDone, false, 'not before it is gone'))
  await removing
  assert.deepEqual(asked, [
    'DELETE /containers/web-r1-1?force=true&v=true',
    'POST /containers/web-r1-1/wait?condition=removed',
  ])
})

/** An engine with one container, which it is removing: it says so as Docker does, until `finish`. */
async function engineThatRemoves(
  t: TestContext,
): Promise<{ run: Execution; asked: string[]; finish: (before: () => void) => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-engine-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const asked: string[] = []
  let waiting: (response: http.ServerResponse) => void = () => {}
  const waited = new Promise<http.ServerResponse>((resolve) => {
    waiting = resolve
  })
  const server = http.createServer((request, response) => {
    const url = (request.url ?? '').replace(/^\/v[\d.]+/, '')
    const json = (value: unknown, status = 200): void => {
      response
        .writeHead(status, { 'content-type': 'application/json', 'api-version': '1.41' })
        .end(JSON.stringify(value))
    }
    if (url === '/_ping' || url === '/version') return json({ ApiVersion: '1.41', MinAPIVersion: '1.12' })
    if (url.includes('/logs') || url.endsWith('/json')) return json({ message: 'No such container' }, 404)
    asked.push(`${request.method} ${url}`)
    if (request.method === 'DELETE')
      return json({ message: 'removal of container web-r1-1 is already in progress' }, 409)
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
    waiting(response)
  })
  const path = join(folder, 'docker.sock')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const docker = new Docker({ host: `unix://${path}` })
  t.after(() => {
    docker.close()
    server.closeAllConnections()
    server.close()
  })
  const host = { docker, directory: folder, engineTimeoutMs: 10_000 }
  const run = { host, service: 'web', emit: () => {} } as unknown as Execution
  const finish = async (before: () => void): Promise<void> => {
    const response = await waited
    before()
    response.end('{"StatusCode":0}\n')
  }
  return { run, asked, finish }
}
