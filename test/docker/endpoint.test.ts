import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { explain } from '../../src/docker/connect.ts'
import {
  Docker,
  DockerError,
  DockerUnavailableError,
  type Endpoint,
  findEngine,
  parseHost,
} from '../../src/docker/index.ts'
import { fakeEngine } from './fake-engine.ts'

const addresses: [text: string, endpoint: Endpoint][] = [
  ['unix:///var/run/docker.sock', { kind: 'unix', path: '/var/run/docker.sock' }],
  ['/run/podman/podman.sock', { kind: 'unix', path: '/run/podman/podman.sock' }],
  ['tcp://10.0.0.1', { kind: 'tcp', host: '10.0.0.1', port: 2375, tls: undefined }],
  ['tcp://engine.example:80', { kind: 'tcp', host: 'engine.example', port: 80, tls: undefined }],
  ['tcp://[::1]:2375', { kind: 'tcp', host: '::1', port: 2375, tls: undefined }],
  ['http://localhost:2375', { kind: 'tcp', host: 'localhost', port: 2375, tls: undefined }],
  ['https://engine.example', { kind: 'tcp', host: 'engine.example', port: 2376, tls: {} }],
  ['ssh://engine.example', { kind: 'ssh', user: undefined, host: 'engine.example', port: undefined, path: undefined }],
  ['ssh://me@engine.example:2222', { kind: 'ssh', user: 'me', host: 'engine.example', port: 2222, path: undefined }],
  [
    'ssh://me@engine.example/run/user/1000/docker.sock',
    { kind: 'ssh', user: 'me', host: 'engine.example', port: undefined, path: '/run/user/1000/docker.sock' },
  ],
]

for (const [text, endpoint] of addresses) {
  test(`${text} is an address`, () => assert.deepEqual(parseHost(text), endpoint))
}

for (const text of [
  '',
  'docker.sock',
  'unix://',
  'unix://docker.sock',
  'tcp://',
  'tcp://user@host',
  'npipe:////./pipe/docker_engine',
  'ssh://-oProxyCommand=evil',
  'ssh://-oProxyCommand=evil@host',
  'ssh://me:secret@host',
  'ssh://host/a;reboot',
  'ftp://host',
]) {
  test(`${JSON.stringify(text)} is no address`, () =>
    assert.throws(() => parseHost(text), { name: 'DockerError', code: 'usage' }))
}

test('DOCKER_HOST counts before a context, and a context that was asked for before DOCKER_HOST', async (t) => {
  const home = await dockerHome(t, { currentContext: 'far' })
  await addContext(home, 'far', { Host: 'tcp://far.example:2375' })
  await addContext(home, 'near', { Host: 'unix:///near.sock' })
  const host = async (env: NodeJS.ProcessEnv, context?: string) => findEngine({ HOME: home, ...env }, { context })
  assert.deepEqual(await host({ DOCKER_HOST: 'unix:///env.sock', DOCKER_CONTEXT: 'near' }), unix('/env.sock'))
  assert.deepEqual(await host({ DOCKER_CONTEXT: 'near' }), unix('/near.sock'))
  assert.deepEqual(await host({}), { kind: 'tcp', host: 'far.example', port: 2375, tls: undefined })
  assert.deepEqual(await host({ DOCKER_HOST: 'unix:///env.sock' }, 'near'), unix('/near.sock'))
  assert.deepEqual(
    await host({ HOME: '/nowhere', DOCKER_CONFIG: join(home, '.docker'), DOCKER_CONTEXT: 'near' }),
    unix('/near.sock'),
  )
})

test('a context that does not exist, or has no engine, is an error with its name', async (t) => {
  const home = await dockerHome(t, {})
  await addContext(home, 'odd', {})
  const missing = findEngine({ HOME: home, DOCKER_CONTEXT: 'prod' })
  await assert.rejects(missing, { code: 'usage', message: 'There is no docker context "prod".' })
  await assert.rejects(findEngine({ HOME: home }, { context: 'odd' }), {
    message: 'The docker context "odd" has no address of an engine.',
  })
})

test('the TLS files of a context and of DOCKER_CERT_PATH are read', async (t) => {
  const home = await dockerHome(t, {})
  await addContext(
    home,
    'far',
    { Host: 'tcp://far.example:2376' },
    { 'ca.pem': 'CA', 'cert.pem': 'CERT', 'key.pem': 'KEY' },
  )
  await addContext(home, 'lax', { Host: 'tcp://far.example', SkipTLSVerify: true })
  const material = { ca: 'CA', cert: 'CERT', key: 'KEY' }
  const far = { kind: 'tcp', host: 'far.example', port: 2376 }
  const none = { ca: undefined, cert: undefined, key: undefined }
  assert.deepEqual(await findEngine({ HOME: home }, { context: 'far' }), { ...far, tls: { ...material, verify: true } })
  assert.deepEqual(await findEngine({ HOME: home }, { context: 'lax' }), { ...far, tls: { ...none, verify: false } })

  const files = join(home, 'certs')
  await mkdir(files)
  for (const [file, text] of Object.entries({ 'ca.pem': 'CA', 'cert.pem': 'CERT', 'key.pem': 'KEY' })) {
    await writeFile(join(files, file), text)
  }
  const env = { HOME: home, DOCKER_HOST: 'tcp://far.example:2376', DOCKER_CERT_PATH: files }
  assert.deepEqual(await findEngine({ ...env, DOCKER_TLS_VERIFY: '1' }), { ...far, tls: { ...material, verify: true } })
  assert.deepEqual(await findEngine({ ...env, DOCKER_TLS: '1' }), { ...far, tls: { ...material, verify: false } })
  assert.deepEqual(await findEngine(env), { ...far, tls: undefined })
})

test('without an address the first socket is taken that is there: system, rootless, Desktop, Podman', async (t) => {
  const home = await dockerHome(t, {})
  const runtime = join(home, 'run')
  const system = join(home, 'system.sock')
  const env = { HOME: home, XDG_RUNTIME_DIR: runtime }
  const found = async () => findEngine(env, { systemSocket: system })
  // Nothing is there: the system's one, so that the error names it (unless this machine has a Podman of its own).
  const nothing = await found()
  assert.ok([system, '/run/podman/podman.sock'].includes(nothing.kind === 'unix' ? nothing.path : ''))
  for (const path of [
    join(runtime, 'podman/podman.sock'),
    join(home, '.docker/desktop/docker.sock'),
    join(home, '.docker/run/docker.sock'),
    join(runtime, 'docker.sock'),
    system,
  ]) {
    await listen(t, path)
    assert.deepEqual(await found(), unix(path))
  }
})

test('no socket is an error that says how to start Docker', async (t) => {
  const home = await dockerHome(t, {})
  const path = join(home, 'none.sock')
  await using docker = new Docker({ host: `unix://${path}` })
  await assert.rejects(docker.containers.list(), (error) => {
    assert.ok(error instanceof DockerUnavailableError)
    const { message, hint, code } = error
    assert.deepEqual(
      { message, hint, code, cause: (error.cause as NodeJS.ErrnoException).code },
      {
        message: `There is no Docker engine: the socket ${path} does not exist.`,
        hint: 'Start Docker (systemctl start docker), or set DOCKER_HOST to where the engine listens.',
        code: 'unreachable',
        cause: 'ENOENT',
      },
    )
    return true
  })
})

test('a socket without an engine behind it, and a file that is no socket, are told apart', async (t) => {
  const home = await dockerHome(t, {})
  const dead = join(home, 'dead.sock')
  await listen(t, dead).then((server) => leaveBehind(server, dead))
  await assert.rejects(new Docker({ host: dead }).system.ping(), {
    name: 'DockerUnavailableError',
    message: `The connection to ${dead} was refused: no engine listens there.`,
  })
  const file = join(home, 'file')
  await writeFile(file, '')
  await assert.rejects(new Docker({ host: file }).system.ping(), { name: 'DockerUnavailableError' })
})

test('a socket that one may not use names the docker group', () => {
  // Root, who may use all sockets, runs this test too.
  const denied = Object.assign(new Error('connect EACCES'), { code: 'EACCES' })
  const { name, message, hint, cause } = explain(denied, { kind: 'unix', path: '/var/run/docker.sock' })
  assert.deepEqual(
    { name, message, hint, cause },
    {
      name: 'DockerUnavailableError',
      message: 'No permission to use the Docker socket /var/run/docker.sock.',
      hint: 'Run as root, or add the user to the docker group (usermod -aG docker USER) and log in again.',
      cause: denied,
    },
  )
})

test('a host that refuses, has no name, or does not answer is an error that names it', async (t) => {
  const free = await freePort()
  await assert.rejects(new Docker({ host: `tcp://127.0.0.1:${free}` }).system.ping(), {
    name: 'DockerUnavailableError',
    message: `The connection to tcp://127.0.0.1:${free} was refused: no engine listens there.`,
  })
  await assert.rejects(new Docker({ host: 'tcp://no-such-host.invalid' }).system.ping(), (error) => {
    assert.ok(error instanceof DockerUnavailableError)
    assert.match(error.message, /no-such-host\.invalid:2375/)
    return true
  })
  // An address that is for documentation only: packets to it are lost, or refused at once.
  const lost = new Docker({ host: 'tcp://192.0.2.1:2375', connectTimeoutMs: 100 })
  t.after(() => lost.close())
  await assert.rejects(lost.system.ping(), (error) => error instanceof DockerError && error.code === 'unreachable')
})

test('a client that was closed, or never used, keeps nothing open', async (t) => {
  const { docker, connections } = await fakeEngine(t, () => ({ json: [] }))
  {
    await using unused = new Docker({ host: 'unix:///nowhere' })
    assert.equal(unused.connections, 0)
  }
  await docker.containers.list()
  assert.equal(docker.connections, 1)
  assert.equal(connections(), 1)
  docker.close()
  assert.equal(docker.connections, 0)
})

function unix(path: string): Endpoint {
  return { kind: 'unix', path }
}

async function dockerHome(t: TestContext, config: object): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'docker-home-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  await mkdir(join(home, '.docker'))
  await writeFile(join(home, '.docker/config.json'), JSON.stringify(config))
  return home
}

async function addContext(home: string, name: string, docker: object, tls: Record<string, string> = {}): Promise<void> {
  const id = createHash('sha256').update(name).digest('hex')
  const meta = join(home, '.docker/contexts/meta', id)
  await mkdir(meta, { recursive: true })
  await writeFile(join(meta, 'meta.json'), JSON.stringify({ Name: name, Metadata: {}, Endpoints: { docker } }))
  const files = join(home, '.docker/contexts/tls', id, 'docker')
  await mkdir(files, { recursive: true })
  for (const [file, text] of Object.entries(tls)) await writeFile(join(files, file), text)
}

async function listen(t: TestContext, path: string) {
  await mkdir(dirname(path), { recursive: true })
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => server.close())
  return server
}

/** Ends a server as `kill -9` does: its socket file stays. */
async function leaveBehind(server: ReturnType<typeof createServer>, path: string): Promise<void> {
  const { rename } = await import('node:fs/promises')
  await rename(path, `${path}.kept`)
  await new Promise((resolve) => server.close(resolve))
  await rename(`${path}.kept`, path)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}
