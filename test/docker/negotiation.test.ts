import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiVersionError, type Docker, DockerUnavailableError, ServerError } from '../../src/docker/index.ts'
import { fakeEngine } from './fake-engine.ts'

const platform = { os: 'linux', architecture: 'arm64' }
const emptyList = () => ({ json: [] })

test('many calls at once agree on the version by one ping', async (t) => {
  const { docker, pings, requests } = await fakeEngine(t, emptyList, { apiVersion: '1.47' })
  await Promise.all(Array.from({ length: 50 }, () => docker.containers.list()))
  assert.deepEqual(
    pings.map(({ method, path }) => `${method} ${path}`),
    ['HEAD /_ping'],
  )
  assert.equal(requests.length, 50)
  assert.deepEqual(new Set(requests.map(({ path }) => path)), new Set(['/v1.47/containers/json']))
  assert.equal(await docker.apiVersion(), '1.47')
})

test('an engine that is newer than the client is spoken to in the newest version that the client knows', async (t) => {
  const { docker } = await fakeEngine(t, emptyList, { apiVersion: '1.70' })
  assert.equal(await docker.apiVersion(), '1.56')
})

test('an engine that is too old is an error that says so, and nothing else is sent', async (t) => {
  const { docker, requests } = await fakeEngine(t, emptyList, { apiVersion: '1.39' })
  await assert.rejects(docker.containers.list(), (error) => {
    assert.ok(error instanceof ApiVersionError)
    const { message, needed, found, hint } = error
    assert.deepEqual(
      { message, needed, found, hint },
      {
        message: 'The engine speaks API 1.39; this client needs 1.40 or newer.',
        needed: '1.40',
        found: '1.39',
        hint: 'Update Docker to 19.03 or newer.',
      },
    )
    return true
  })
  assert.deepEqual(requests, [])
})

test('a proxy that refuses HEAD is asked by GET', async (t) => {
  const { docker, pings } = await fakeEngine(t, emptyList, {
    ping: ({ method }) => (method === 'HEAD' ? { status: 405 } : { headers: { 'Api-Version': '1.44' }, body: 'OK' }),
  })
  assert.equal(await docker.apiVersion(), '1.44')
  assert.deepEqual(
    pings.map(({ method }) => method),
    ['HEAD', 'GET'],
  )
})

test('an engine that is not well, but says its version, is used', async (t) => {
  const { docker } = await fakeEngine(t, emptyList, {
    ping: () => ({ status: 500, headers: { 'Api-Version': '1.44' } }),
  })
  assert.deepEqual(await docker.containers.list(), [])
})

test('an engine that only says that it is not well is that error', async (t) => {
  const { docker } = await fakeEngine(t, emptyList, { ping: () => ({ status: 502, body: 'bad gateway' }) })
  await assert.rejects(
    docker.containers.list(),
    (error) => error instanceof ServerError && error.message === 'bad gateway',
  )
})

test('a server that is not Docker is told apart', async (t) => {
  const { docker, socket } = await fakeEngine(t, emptyList, { ping: () => ({ status: 404, body: 'not found' }) })
  await assert.rejects(docker.containers.list(), (error) => {
    assert.ok(error instanceof DockerUnavailableError)
    assert.equal(
      error.message,
      `What answers at unix://${socket} is not a Docker engine: its ping names no API version.`,
    )
    assert.equal(error.hint, 'Set DOCKER_HOST to where the engine listens.')
    return true
  })
})

test('DOCKER_API_VERSION is used without asking', async (t) => {
  const { docker, pings, requests } = await fakeEngine(t, emptyList, {
    docker: { env: { DOCKER_API_VERSION: '1.45' } },
  })
  await docker.containers.list()
  assert.deepEqual(pings, [])
  assert.equal(requests[0]?.path, '/v1.45/containers/json')
})

test('an API version that is none is refused', async () => {
  const { Docker } = await import('../../src/docker/index.ts')
  for (const apiVersion of ['v1.41', '1', 'latest', '1.41/../..']) {
    assert.throws(() => new Docker({ apiVersion }), { name: 'DockerError', code: 'usage' })
  }
})

test('after a restart the version is agreed on again', async (t) => {
  let version = '1.56'
  const engine = await fakeEngine(t, emptyList, { apiVersion: () => version })
  await engine.docker.containers.list()
  await engine.stop()
  await assert.rejects(engine.docker.containers.list(), DockerUnavailableError)
  version = '1.41'
  await engine.start()
  await engine.docker.containers.list()
  assert.deepEqual(
    engine.requests.map(({ path }) => path),
    ['/v1.56/containers/json', '/v1.41/containers/json'],
  )
})

test('an engine that was replaced by an older one behind our back is asked again, once', async (t) => {
  let version = '1.56'
  const refusal = { message: 'client version 1.56 is too new. Maximum supported API version is 1.41' }
  const { docker, requests, pings } = await fakeEngine(
    t,
    ({ path }) => (path.startsWith(`/v${version}/`) ? { json: [] } : { status: 400, json: refusal }),
    { apiVersion: () => version },
  )
  await docker.containers.list()
  version = '1.41'
  assert.deepEqual(await docker.containers.list(), [])
  assert.equal(pings.length, 2)
  assert.deepEqual(
    requests.map(({ path }) => path),
    ['/v1.56/containers/json', '/v1.56/containers/json', '/v1.41/containers/json'],
  )
})

test('a version that the engine refuses although it was set is an ApiVersionError', async (t) => {
  const message = 'client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client'
  const { docker } = await fakeEngine(t, () => ({ status: 400, json: { message } }), { docker: { apiVersion: '1.41' } })
  await assert.rejects(docker.containers.list(), { name: 'ApiVersionError', message, needed: '1.44', found: '1.41' })
})

test('a client that found no engine finds it later', async (t) => {
  const engine = await fakeEngine(t, emptyList)
  await engine.stop()
  await assert.rejects(engine.docker.containers.list(), { name: 'DockerUnavailableError' })
  await engine.start()
  assert.deepEqual(await engine.docker.containers.list(), [])
})

test('a caller that gives up waiting for the version does not fail the others', async (t) => {
  let answer = () => {}
  const { docker } = await fakeEngine(t, emptyList, {
    ping: () =>
      new Promise((resolve) => {
        answer = () => resolve({ headers: { 'Api-Version': '1.44' } })
      }),
  })
  const aborter = new AbortController()
  const impatient = docker.containers.list({ signal: aborter.signal })
  const short = docker.containers.list({ timeoutMs: 50 })
  const patient = docker.containers.list()
  aborter.abort()
  await assert.rejects(impatient, { name: 'AbortError' })
  await assert.rejects(short, { name: 'TimeoutError', kind: 'total' })
  answer()
  assert.deepEqual(await patient, [])
})

const tooNew: [what: string, needed: string, call: (docker: Docker) => Promise<unknown>][] = [
  ['stopSignal of containers.stop', '1.42', (d) => d.containers.stop('c', { stopSignal: 'SIGINT' })],
  ['stopSignal of containers.restart', '1.42', (d) => d.containers.restart('c', { stopSignal: 'SIGINT' })],
  [
    'stdin: false of containers.attachWebSocket',
    '1.42',
    (d) => d.containers.attachWebSocket('c', { stdin: false, stdout: true }),
  ],
  ['sharedSize of images.list', '1.42', (d) => d.images.list({ sharedSize: true })],
  ['manifests of images.list', '1.47', (d) => d.images.list({ manifests: true })],
  ['identity of images.list', '1.54', (d) => d.images.list({ identity: true })],
  ['manifests of images.inspect', '1.48', (d) => d.images.inspect('i', { manifests: true })],
  ['platform of images.inspect', '1.49', (d) => d.images.inspect('i', { platform })],
  ['images.attestations', '1.55', (d) => d.images.attestations('i')],
  ['platform of images.history', '1.48', (d) => d.images.history('i', { platform })],
  ['platform of images.push', '1.46', (d) => d.images.push('i', { platform }).next()],
  ['platforms of images.remove', '1.50', (d) => d.images.remove('i', { platforms: [platform] })],
  ['platforms of images.save', '1.48', (d) => d.images.save('i', { platforms: [platform] }).next()],
  ['platforms of images.load', '1.48', (d) => d.images.load(nothing(), { platforms: [platform] })],
  ['maxUsedBytes of images.pruneBuildCache', '1.48', (d) => d.images.pruneBuildCache({ maxUsedBytes: 1 })],
  ['minFreeBytes of images.pruneBuildCache', '1.48', (d) => d.images.pruneBuildCache({ minFreeBytes: 1 })],
  ['types of system.df', '1.42', (d) => d.system.df({ types: ['image'] })],
  ['verbose of system.df', '1.52', (d) => d.system.df({ verbose: true })],
  ['volumes.update', '1.42', (d) => d.volumes.update('v', 1)],
  ['ConsoleSize', '1.42', (d) => d.exec.create('c', { ConsoleSize: [1, 2] })],
  ['consoleSize of exec.start', '1.42', (d) => d.exec.start('x', { tty: true, consoleSize: [1, 2] })],
  ['Healthcheck.StartInterval', '1.44', (d) => d.containers.create({ Healthcheck: { StartInterval: 1 } })],
  ['HostConfig.Annotations', '1.43', (d) => d.containers.create({ HostConfig: { Annotations: { a: 'b' } } })],
  [
    'HostConfig.Mounts[].Type image',
    '1.48',
    (d) => d.containers.create({ HostConfig: { Mounts: [{ Type: 'bind' }, { Type: 'image' }] } }),
  ],
  [
    'HostConfig.Mounts[].VolumeOptions.Subpath',
    '1.45',
    (d) => d.containers.create({ HostConfig: { Mounts: [{ VolumeOptions: { Subpath: 'a' } }] } }),
  ],
  [
    'HostConfig.Mounts[].BindOptions.CreateMountpoint',
    '1.42',
    (d) => d.containers.create({ HostConfig: { Mounts: [{ BindOptions: { CreateMountpoint: true } }] } }),
  ],
  [
    'NetworkingConfig.EndpointsConfig[].GwPriority',
    '1.48',
    (d) => d.containers.create({ NetworkingConfig: { EndpointsConfig: { n: { GwPriority: 1 } } } }),
  ],
  [
    'More than one network in NetworkingConfig.EndpointsConfig',
    '1.44',
    (d) => d.containers.create({ NetworkingConfig: { EndpointsConfig: { n: {}, m: {} } } }),
  ],
  ['BlkioWeightDevice', '1.55', (d) => d.containers.update('c', { BlkioWeightDevice: [] })],
  ['EnableIPv4', '1.48', (d) => d.networks.create({ Name: 'n', EnableIPv4: true })],
  [
    'EndpointConfig.MacAddress',
    '1.44',
    (d) => d.networks.connect('n', { Container: 'c', EndpointConfig: { MacAddress: 'm' } }),
  ],
  ['ClusterVolumeSpec', '1.42', (d) => d.volumes.create({ ClusterVolumeSpec: {} })],
  [
    'TaskTemplate.ContainerSpec.OomScoreAdj',
    '1.46',
    (d) => d.services.create({ TaskTemplate: { ContainerSpec: { OomScoreAdj: 1 } } }),
  ],
  [
    'TaskTemplate.Resources.SwapBytes',
    '1.52',
    (d) => d.services.update('s', { TaskTemplate: { Resources: { SwapBytes: 1 } } }, { version: 1 }),
  ],
]

for (const [what, needed, call] of tooNew) {
  test(`${what} needs API ${needed}: an older engine is not even asked`, async (t) => {
    const { docker, requests } = await fakeEngine(t, () => ({ json: {} }), { apiVersion: '1.41' })
    await assert.rejects(call(docker), (error) => {
      assert.ok(error instanceof ApiVersionError, String(error))
      assert.deepEqual(
        { message: error.message, needed: error.needed, found: error.found, hint: error.hint },
        {
          message: `${what} needs API ${needed} or newer; this engine speaks 1.41.`,
          needed,
          found: '1.41',
          hint: 'Leave it out, or update Docker.',
        },
      )
      return true
    })
    assert.deepEqual(requests, [])
  })
}

test('more than one platform for images.save needs API 1.52', async (t) => {
  const { docker, requests } = await fakeEngine(t, () => ({ body: '' }), { apiVersion: '1.51' })
  await docker.images.save('i', { platforms: [platform] }).next()
  await assert.rejects(docker.images.save('i', { platforms: [platform, platform] }).next(), { needed: '1.52' })
  assert.equal(requests.length, 1)
})

test('options that are left out, or undefined, need nothing', async (t) => {
  const { docker, requests } = await fakeEngine(t, () => ({ json: {} }), { apiVersion: '1.41' })
  await docker.containers.create({ Healthcheck: { StartInterval: undefined }, HostConfig: { Annotations: null } })
  await docker.containers.stop('c', { stopSignal: undefined })
  assert.equal(requests.length, 2)
})

test('the part of the build cache that is kept has another name for older engines', async (t) => {
  const { docker, requests } = await fakeEngine(t, () => ({ json: {} }), { apiVersion: '1.47' })
  await docker.images.pruneBuildCache({ reservedBytes: 7 })
  assert.deepEqual(requests[0]?.query, { 'keep-storage': '7' })
})

async function* nothing(): AsyncGenerator<Uint8Array> {}
