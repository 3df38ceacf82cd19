import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Host } from '../../src/deploy/host.ts'
import { prepareVolumes } from '../../src/deploy/volumes.ts'
import { Docker } from '../../src/docker/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { parseSpec } from '../../src/service/parse.ts'

const spec = parseSpec('# mypaas.service=blog\n# mypaas.volume=data:/data\n')

test('a volume that somebody makes between the look and the making is not taken for one of the service', async (t) => {
  for (const [labels, isRefused] of [
    [{ owner: 'somebody' }, true],
    [{ 'mypaas.server': 's1', 'mypaas.volume.service': 'shop' }, true],
    [{ 'mypaas.server': 's2', 'mypaas.volume.service': 'blog' }, true],
    [{ 'mypaas.server': 's1', 'mypaas.volume.service': 'blog' }, false],
  ] as const) {
    const host = await hostWhereCreateFinds(t, labels)
    const strict = prepareVolumes(host, spec, { strict: true })
    if (isRefused) {
      await assert.rejects(
        strict,
        (error) =>
          error instanceof MypaasError &&
          error.code === 'directives' &&
          /set in \[services\.blog\] of \/h\/_mypaas\/config\.toml: volumes = \["data"\]/.test(error.message),
      )
    } else await strict
    // What runs already has it already.
    await prepareVolumes(host, spec)
    await prepareVolumes({ ...host, foreignVolumes: () => ['data'] }, spec, { strict: true })
  }
})

/** An engine that knows of no volume when it is asked, and gives back one with these labels when it is to make it. */
async function hostWhereCreateFinds(t: TestContext, Labels: Readonly<Record<string, string>>): Promise<Host> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(folder, { recursive: true }))
  const server = http.createServer((request, response) => {
    if (request.url === '/_ping')
      return void response.writeHead(200, { 'api-version': '1.41', connection: 'close' }).end()
    if (request.method === 'POST') response.writeHead(201).end(JSON.stringify({ Name: 'data', Labels }))
    else response.writeHead(404).end('{"message":"no such volume"}')
  })
  const path = join(folder, 'docker.sock')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => server.close())
  const docker = new Docker({ host: `unix://${path}` })
  t.after(() => docker.close())
  return {
    docker,
    server: 's1',
    directory: '/h/_mypaas',
    foreignVolumes: () => [] as readonly string[],
  } as unknown as Host
}
