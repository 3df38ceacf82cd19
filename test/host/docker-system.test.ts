import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  BadRequestError,
  ConflictError,
  compareVersions,
  type Docker,
  DockerError,
  ForbiddenError,
  NotFoundError,
  UnavailableError,
} from '../../src/docker/index.ts'
import { backwards } from '../support/private-engine.ts'
import { type Bench, bench } from './docker.ts'

let b: Bench
before(async () => {
  b = await bench('system')
})
after(() => b.close())

test('ping, version and info agree', async () => {
  const { docker } = b
  const [get, head, version, info] = await Promise.all([
    docker.system.ping(),
    docker.system.ping({ head: true }),
    docker.system.version(),
    docker.system.info(),
  ])
  assert.deepEqual(get, head)
  assert.equal(get.apiVersion, version.ApiVersion)
  assert.equal(get.osType, b.podman ? undefined : version.Os)
  assert.equal(info.ServerVersion, version.Version)
  assert.ok(info.NCPU > 0 && info.MemTotal > 0)
  const used = await docker.apiVersion()
  assert.equal(used, compareVersions(version.ApiVersion, '1.56') < 0 ? version.ApiVersion : '1.56')
})

test('the use of the disk is told', async () => {
  const { docker } = b
  const df = await docker.system.df()
  if (compareVersions(await docker.apiVersion(), '1.52') < 0) {
    assert.ok(Array.isArray(df.Images) && df.Images.length > 0)
    assert.ok((df.LayersSize ?? 0) > 0)
  } else assert.ok((df.ImageUsage?.TotalSize ?? 0) > 0)
})

test('the stream for gRPC opens, and speaks HTTP/2', async () => {
  const socket = await b.docker.system.session({ uuid: b.unique('session') })
  const [first] = await new Promise<Buffer[]>((resolve, reject) => {
    socket.once('data', (chunk: Buffer) => resolve([chunk]))
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed')))
    socket.resume()
  })
  socket.destroy()
  assert.match(String(first?.subarray(0, 24)), /^PRI \* HTTP\/2\.0/)
})

test('a network is made, listed, inspected, joined, left and removed', async (t) => {
  // Containers go before what they use.
  const inOrder = backwards(t)
  const { docker, unique } = b
  const [home, name] = [unique('home'), unique('net')]
  const Labels = { [name]: '1', 'mypaas.test': '1' }
  await docker.networks.create({ Name: home, Internal: true, Labels: { 'mypaas.test': '1' } })
  const { Id } = await docker.networks.create({ Name: name, Internal: true, Labels })
  const removeNetworks = async () => {
    for (const network of [home, name]) await docker.networks.remove(network).catch(ignoreMissing)
  }
  inOrder.after(() => removeNetworks())
  const list = await docker.networks.list({ filters: { label: [name] } })
  assert.deepEqual(
    list.map((network) => [network.Id, network.Internal]),
    [[Id, true]],
  )
  const one = await b.running(inOrder, { HostConfig: { NetworkMode: home, Init: true } })
  const two = await b.running(inOrder, { HostConfig: { NetworkMode: home, Init: true } })
  await docker.networks.connect(name, { Container: one, EndpointConfig: { Aliases: ['first'] } })
  await docker.networks.connect(name, { Container: two })
  const { Containers } = await docker.networks.inspect(name)
  assert.deepEqual(Object.keys(Containers).sort(), [one, two].sort())
  const { NetworkSettings } = await docker.containers.inspect(one)
  assert.ok(NetworkSettings.Networks[name]?.Aliases?.includes('first'))
  const { exitCode } = await docker.containers.exec(two, ['ping', '-c', '1', 'first'])
  assert.equal(exitCode, 0)

  await assert.rejects(docker.networks.connect(name, { Container: one }), ForbiddenError)
  await assert.rejects(docker.networks.remove(name), ForbiddenError)
  await docker.networks.disconnect(name, { Container: one })
  await docker.networks.disconnect(name, { Container: two, Force: true })
  await docker.networks.remove(name)
  await assert.rejects(docker.networks.inspect(name), NotFoundError)
  await assert.rejects(docker.networks.connect(name, { Container: one }), NotFoundError)
  await assert.rejects(docker.networks.remove('bridge'), ForbiddenError)
  for (const id of [one, two]) await docker.containers.remove(id, { force: true })
  await removeNetworks()
})

test('a volume is made, listed, inspected, used and removed', async (t) => {
  // Containers go before what they use.
  const inOrder = backwards(t)
  const { docker, unique } = b
  const name = unique('volume')
  const made = await docker.volumes.create({ Name: name, Labels: { [name]: '1', 'mypaas.test': '1' } })
  inOrder.after(() => docker.volumes.remove(name, { force: true }))
  assert.equal(made.Driver, 'local')
  const { Volumes } = await docker.volumes.list({ filters: { label: [name] } })
  assert.deepEqual(
    Volumes?.map(({ Name }) => Name),
    [name],
  )
  assert.equal((await docker.volumes.inspect(name)).Mountpoint, made.Mountpoint)
  const id = await b.running(inOrder, { HostConfig: { Binds: [`${name}:/data`], NetworkMode: 'none', Init: true } })
  await assert.rejects(docker.volumes.remove(name), ConflictError)
  await docker.containers.remove(id, { force: true })
  await docker.volumes.remove(name)
  await assert.rejects(docker.volumes.inspect(name), NotFoundError)
  await assert.rejects(docker.volumes.remove(name), NotFoundError)
})

test('prunes of networks and volumes take what has the label and nobody uses', async (t) => {
  // Containers go before what they use.
  const inOrder = backwards(t)
  const { docker, unique } = b
  const name = unique('prune')
  const Labels = { [name]: '1', 'mypaas.test': '1' }
  await docker.networks.create({ Name: `${name}-used`, Labels })
  await docker.networks.create({ Name: `${name}-idle`, Labels })
  await docker.volumes.create({ Name: `${name}-used`, Labels })
  await docker.volumes.create({ Name: `${name}-idle`, Labels })
  inOrder.after(async () => {
    await docker.networks.remove(`${name}-used`).catch(ignoreMissing)
    await docker.volumes.remove(`${name}-used`, { force: true })
  })
  const id = await b.running(inOrder, {
    HostConfig: { Binds: [`${name}-used:/data`], NetworkMode: `${name}-used`, Init: true },
  })
  const networks = await docker.networks.prune({ filters: { label: [name] } })
  assert.deepEqual(networks.NetworksDeleted, [`${name}-idle`])
  const isNew = compareVersions(await docker.apiVersion(), '1.42') >= 0
  const volumes = await docker.volumes.prune({ filters: { label: [name], ...(isNew ? { all: ['true'] } : {}) } })
  assert.deepEqual(volumes.VolumesDeleted, [`${name}-idle`])
  await docker.containers.remove(id, { force: true })
})

test('plugins are listed; one that is not there is an error of each call', async () => {
  const { docker } = b
  assert.ok(Array.isArray(await docker.plugins.list({ filters: { enabled: ['true'] } })))
  const none = 'mypaas-test/none'
  await assert.rejects(docker.plugins.inspect(none), NotFoundError)
  await assert.rejects(docker.plugins.enable(none), NotFoundError)
  await assert.rejects(docker.plugins.disable(none), NotFoundError)
  await assert.rejects(docker.plugins.set(none, ['A=b']), NotFoundError)
  await assert.rejects(docker.plugins.remove(none), NotFoundError)
  await assert.rejects(docker.plugins.push(none).next(), NotFoundError)
  // Engine 20.10 says `[]` where it reached no registry.
  const privileges = await docker.plugins.privileges('localhost:1/none').catch((error: unknown) => error)
  assert.ok(privileges instanceof DockerError || (Array.isArray(privileges) && privileges.length === 0))
  await assert.rejects(docker.plugins.pull('localhost:1/none').next(), DockerError)
  await assert.rejects(docker.plugins.upgrade(none, 'localhost:1/none').next(), DockerError)
  async function* rubbish(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('not a tar archive'.repeat(100))
  }
  await assert.rejects(docker.plugins.create(b.unique('plugin'), rubbish()), DockerError)
})

const swarmCalls: Record<string, (docker: Docker) => Promise<unknown>> = {
  'swarm.inspect': (d) => d.swarm.inspect(),
  'swarm.update': (d) => d.swarm.update({}, { version: 1 }),
  'swarm.unlockKey': (d) => d.swarm.unlockKey(),
  'nodes.list': (d) => d.nodes.list(),
  'nodes.inspect': (d) => d.nodes.inspect('none'),
  'nodes.update': (d) => d.nodes.update('none', {}, { version: 1 }),
  'nodes.remove': (d) => d.nodes.remove('none'),
  'services.list': (d) => d.services.list(),
  'services.inspect': (d) => d.services.inspect('none'),
  'services.create': (d) => d.services.create({ TaskTemplate: { ContainerSpec: { Image: 'none' } } }),
  'services.update': (d) => d.services.update('none', {}, { version: 1 }),
  'services.remove': (d) => d.services.remove('none'),
  'services.logs': (d) => d.services.logs('none').next(),
  'tasks.list': (d) => d.tasks.list(),
  'tasks.inspect': (d) => d.tasks.inspect('none'),
  'tasks.logs': (d) => d.tasks.logs('none').next(),
  'secrets.list': (d) => d.secrets.list(),
  'secrets.create': (d) => d.secrets.create({ Name: 'none', Data: 'eA==' }),
  'secrets.inspect': (d) => d.secrets.inspect('none'),
  'secrets.update': (d) => d.secrets.update('none', {}, { version: 1 }),
  'secrets.remove': (d) => d.secrets.remove('none'),
  'configs.list': (d) => d.configs.list(),
  'configs.create': (d) => d.configs.create({ Name: 'none', Data: 'eA==' }),
  'configs.inspect': (d) => d.configs.inspect('none'),
  'configs.update': (d) => d.configs.update('none', {}, { version: 1 }),
  'configs.remove': (d) => d.configs.remove('none'),
}

for (const [what, call] of Object.entries(swarmCalls)) {
  test(`${what} on an engine that is in no swarm says so`, async () => {
    await assert.rejects(call(b.docker), (error) => {
      assert.ok(error instanceof UnavailableError, String(error))
      assert.match(error.message, /not a swarm manager/)
      return true
    })
  })
}

test('to leave, to unlock, or to join no swarm is an error', async () => {
  const { docker } = b
  await assert.rejects(docker.swarm.leave(), UnavailableError)
  await assert.rejects(docker.swarm.unlock('SWMKEY-1-none'), DockerError)
  const nowhere = { ListenAddr: '127.0.0.1:0', RemoteAddrs: [], JoinToken: '' }
  await assert.rejects(docker.swarm.join(nowhere), BadRequestError)
  assert.equal((await docker.system.info()).Swarm.LocalNodeState, 'inactive')
})

test('a filter that the engine does not know is a BadRequestError', async () => {
  const { docker } = b
  await assert.rejects(docker.containers.list({ filters: { status: ['nonsense'] } }), BadRequestError)
  await assert.rejects(docker.networks.list({ filters: { nonsense: ['a'] } }), BadRequestError)
})

function ignoreMissing(error: unknown): void {
  if (!(error instanceof NotFoundError)) throw error
}
