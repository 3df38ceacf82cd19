import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Docker, NotFoundError } from '../../src/docker/index.ts'
import { nodeImage, scratchImage } from '../support/images.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

test('nothing of a world is left after its test, and nothing else is touched', async (t) => {
  const docker = new Docker()
  const image = await scratchImage(docker)
  const foreign = await docker.containers.create({
    Image: image,
    Labels: { 'mypaas.test': '1', 'mypaas.server': 'of-somebody-else' },
  })
  t.after(async () => {
    await docker.containers.remove(foreign.Id, { force: true })
    docker.close()
  })

  const made = { home: '', containers: [''], network: '', volume: '', image: '', pid: 0 }
  await t.test('a world with something of each kind', async (inner) => {
    const one = await worldWithId(inner, 'test-server-id')
    const labels = { 'mypaas.server': 'test-server-id' }
    const labelled = await docker.containers.create({ Image: image, Labels: labels })
    await docker.containers.start(labelled.Id)
    const named = await docker.containers.create({ Image: image }, { name: `${one.instance}-traefik` })
    await docker.networks.create({ Name: `${one.instance}-net` })
    await docker.volumes.create({ Name: `${one.instance}-data` })
    await docker.images.tag(`${image}:latest`, { repo: `${one.instance}-image`, tag: 'r1' })
    const child = spawn('sleep', ['300'], { env: one.environment(), detached: true, stdio: 'ignore' })
    child.unref()
    Object.assign(made, {
      home: one.home,
      containers: [labelled.Id, named.Id],
      network: `${one.instance}-net`,
      volume: `${one.instance}-data`,
      image: `${one.instance}-image:r1`,
      pid: child.pid,
    })
    assert.deepEqual(
      (await one.containers()).map((container) => container.Id),
      [labelled.Id],
    )
  })

  for (const id of made.containers) await assert.rejects(docker.containers.inspect(id), NotFoundError)
  await assert.rejects(docker.networks.inspect(made.network), NotFoundError)
  await assert.rejects(docker.volumes.inspect(made.volume), NotFoundError)
  await assert.rejects(docker.images.inspect(made.image), NotFoundError)
  assert.equal(existsSync(made.home), false)
  await until(() => !existsSync(`/proc/${made.pid}`), { what: 'the end of the process' })
  assert.equal((await docker.images.inspect(image)).RepoTags?.includes(`${image}:latest`), true)
  assert.equal((await docker.containers.inspect(foreign.Id)).Id, foreign.Id)
})

test('the image for test apps runs the app of a written service, told by its environment how', async (t) => {
  const one = await worldWithId(t, 'test-service-id')
  const directory = await one.service('site', { app: { READY_PATH: '/ready', STATUS: 418 } })
  const { docker } = one
  const container = await docker.containers.create({
    Image: await nodeImage(docker),
    Labels: { 'mypaas.server': 'test-service-id' },
    Env: ['MYPAAS_PORT=8000', 'STATUS=418', 'MYPAAS_RELEASE=r7'],
    Cmd: ['node', '/app/server.mjs'],
    HostConfig: {
      Binds: [`${join(directory, 'server.mjs')}:/app/server.mjs:ro`],
      PortBindings: { '8000/tcp': [{ HostIp: '127.0.0.1', HostPort: `${one.ports.http}` }] },
    },
    ExposedPorts: { '8000/tcp': {} },
  })
  await docker.containers.start(container.Id)
  const reply = await until(() => one.request('http://site.test/hello?x=1'), { what: 'an answer' })
  const { release, headers, url } = reply.json<{ release: string; headers: { host: string }; url: string }>()
  assert.deepEqual(
    { status: reply.status, release, host: headers.host, url },
    { status: 418, release: 'r7', host: 'site.test', url: '/hello?x=1' },
  )
})

/** A world whose server has an id without an init. */
async function worldWithId(t: TestContext, id: string): Promise<World> {
  const one = await world(t)
  await mkdir(join(one.home, '_mypaas'))
  await writeFile(join(one.home, '_mypaas', 'server.json'), JSON.stringify({ id }))
  return one
}

test('a watch tells how many containers ran at the same time, also those that were there before', async (t) => {
  const one = await worldWithId(t, 'test-watch-id')
  const { docker } = one
  const image = await scratchImage(docker)
  const labels = { 'mypaas.server': 'test-watch-id', 'mypaas.service': 'web' }
  const create = async () =>
    (await docker.containers.create({ Image: image, Labels: labels, HostConfig: { Init: true } })).Id
  const [first, second] = [await create(), await create()]
  await docker.containers.start(first)
  const apart = await one.watch('web')
  await docker.containers.stop(first)
  await docker.containers.start(second)
  const { most, events } = await apart.stop()
  assert.deepEqual({ most, actions: events.map(({ action }) => action) }, { most: 1, actions: ['die', 'start'] })
  await using together = await one.watch('web')
  await docker.containers.start(first)
  await docker.containers.stop(second)
  assert.equal((await together.stop()).most, 2)
})
