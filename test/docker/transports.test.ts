import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { Docker, DockerUnavailableError } from '../../src/docker/index.ts'
import { until } from '../support/until.ts'
import { fakeEngine, frames } from './fake-engine.ts'

const run = promisify(execFile)

test('an engine behind TLS is used with client certificates, over one connection', async (t) => {
  const { directory, port, clients } = await tlsEngine(t)
  const env = { DOCKER_HOST: `tcp://127.0.0.1:${port}`, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: directory }
  await using docker = new Docker({ env })
  assert.deepEqual(await docker.containers.list(), [{ Id: 'c1' }])
  assert.deepEqual(await docker.containers.list(), [{ Id: 'c1' }])
  assert.equal(docker.connections, 1)
  assert.deepEqual(new Set(clients), new Set(['mypaas-test-client']))
})

test('a hijacked stream works over TLS, with its half-close', async (t) => {
  const { directory, port, server } = await tlsEngine(t)
  server.on('upgrade', (_, socket) => {
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
    let input = ''
    socket.on('data', (chunk: Buffer) => {
      input += chunk
    })
    socket.on('end', () => socket.end(frames(['stdout', input.toUpperCase()])))
  })
  const env = { DOCKER_HOST: `tcp://127.0.0.1:${port}`, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: directory }
  await using docker = new Docker({ env })
  const stream = await docker.containers.attach('c', { stdin: true, tty: false })
  await stream.write('hello')
  await stream.end()
  const told: string[] = []
  for await (const { data } of stream) told.push(data.toString())
  assert.deepEqual(told, ['HELLO'])
})

test('a server whose certificate nobody vouches for, or that does not know the client, is refused with what to do', async (t) => {
  const { directory, port } = await tlsEngine(t)
  const read = (file: string) => readFile(join(directory, file), 'utf8')
  const [cert, key, ca] = await Promise.all([read('cert.pem'), read('key.pem'), read('ca.pem')])
  const host = { kind: 'tcp', host: '127.0.0.1', port } as const
  const failed = async (tls: object) => {
    await using docker = new Docker({ host: { ...host, tls } })
    return await docker.containers.list().then(
      () => assert.fail('accepted'),
      (error: unknown) => {
        assert.ok(error instanceof DockerUnavailableError, String(error))
        return error
      },
    )
  }
  const unknownServer = await failed({ cert, key })
  assert.match(unknownServer.message, new RegExp(`^The TLS connection to tcp://127\\.0\\.0\\.1:${port} failed: `))
  assert.match(unknownServer.hint ?? '', /ca\.pem/)
  const unknownClient = await failed({ ca })
  assert.match(unknownClient.message, /TLS/)
  assert.match(unknownClient.hint ?? '', /cert\.pem/)
  await using lax = new Docker({ host: { ...host, tls: { cert, key, verify: false } } })
  assert.deepEqual(await lax.containers.list(), [{ Id: 'c1' }])
})

test('plain HTTP to an engine with TLS, and TLS to one without, say so', async (t) => {
  const { directory, port } = await tlsEngine(t)
  await using plain = new Docker({ host: `tcp://127.0.0.1:${port}` })
  await assert.rejects(plain.containers.list(), (error) => {
    assert.ok(error instanceof Error)
    assert.match(`${error.message} ${(error as DockerUnavailableError).hint}`, /TLS|closed the connection/)
    return true
  })
  const { server } = await fakeEngine(t)
  const tcp = (await import('node:net')).createServer((socket) => server.emit('connection', socket))
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve))
  t.after(() => tcp.close())
  const { port: tcpPort } = tcp.address() as { port: number }
  const ca = await readFile(join(directory, 'ca.pem'), 'utf8')
  await using secure = new Docker({ host: { kind: 'tcp', host: '127.0.0.1', port: tcpPort, tls: { ca } } })
  await assert.rejects(secure.containers.list(), (error) => {
    assert.ok(error instanceof DockerUnavailableError, String(error))
    assert.match(error.message, /^The TLS connection to /)
    return true
  })
})

test('an engine behind ssh is reached by the system’s ssh, and its connections are kept', async (t) => {
  const { docker: near, socket, opened } = await fakeEngine(t, () => ({ json: [] }))
  await near.system.ping()
  const { env, calls } = await fakeSsh(t, `exec ${await relay(t)} ${socket}`)
  await using docker = new Docker({ host: 'ssh://me@far.example:2222', env })
  for (let i = 0; i < 3; i++) assert.deepEqual(await docker.containers.list(), [])
  assert.deepEqual(await calls(), ['-l me -p 2222 -o ConnectTimeout=30 -T -- far.example docker system dial-stdio'])
  assert.equal(docker.connections, 1)
  assert.equal(opened(), 2)

  await Promise.all([docker.containers.list(), docker.containers.list()])
  assert.equal((await calls()).length, 2, 'two calls at once take two connections')
  docker.close()
  await until(async () => (await running(env)) === 0, { what: 'the end of ssh', timeoutMs: 5000 })
})

test('uploads, half-close and large answers go over ssh', async (t) => {
  const large = Buffer.alloc(3_000_000, 'x')
  const { socket, server, requests } = await fakeEngine(t, ({ path }) =>
    path.endsWith('export') ? { body: large } : {},
  )
  server.on('upgrade', (_, upgraded) => {
    upgraded.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n')
    let input = ''
    upgraded.on('data', (chunk: Buffer) => {
      input += chunk
    })
    upgraded.on('end', () => upgraded.end(frames(['stdout', input.toUpperCase()])))
  })
  const { env } = await fakeSsh(t, `exec ${await relay(t)} ${socket}`)
  await using docker = new Docker({ host: 'ssh://far.example', env })
  await docker.containers.putArchive('c', '/', large)
  assert.equal(requests[0]?.body.equals(large), true)
  let bytes = 0
  for await (const part of docker.containers.export('c')) bytes += part.length
  assert.equal(bytes, large.length)
  const stream = await docker.containers.attach('c', { stdin: true, tty: false })
  await stream.write('hello')
  await stream.end()
  const told: string[] = []
  for await (const { data } of stream) told.push(data.toString())
  assert.deepEqual(told, ['HELLO'])
})

test('what ssh says against a connection is the error, with the command to try by hand', async (t) => {
  const { env } = await fakeSsh(t, 'echo "me@far.example: Permission denied (publickey)." >&2; exit 255')
  await using docker = new Docker({ host: 'ssh://me@far.example', env })
  await assert.rejects(docker.containers.list(), (error) => {
    assert.ok(error instanceof DockerUnavailableError, String(error))
    const { message, hint } = error
    assert.deepEqual(
      { message, hint },
      {
        message: 'The connection to ssh://me@far.example failed: me@far.example: Permission denied (publickey).',
        hint: 'Try it by hand: ssh me@far.example docker version',
      },
    )
    return true
  })
})

test('a machine without ssh is told to install it', async (t) => {
  const { env } = await fakeSsh(t, '')
  await using docker = new Docker({ host: 'ssh://far.example', env: { ...env, PATH: '/nowhere' } })
  await assert.rejects(docker.containers.list(), { name: 'DockerUnavailableError', hint: 'Install an OpenSSH client.' })
})

test('an engine that ssh loses in mid-answer is a broken connection, not an end', async (t) => {
  const { socket } = await fakeEngine(t, (_, response) => {
    response.writeHead(200)
    response.write('half')
    setTimeout(() => response.socket?.destroy(), 50)
    return undefined
  })
  const { env } = await fakeSsh(t, `exec ${await relay(t)} ${socket}`)
  await using docker = new Docker({ host: 'ssh://far.example', env })
  await assert.rejects(
    async () => {
      for await (const _ of docker.containers.export('c'));
    },
    { name: 'ProtocolError' },
  )
})

/** An engine with TLS that wants client certificates; the files of a client are in the directory. */
async function tlsEngine(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'tls-engine-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  await makeCertificates(directory)
  const read = (file: string) => readFile(join(directory, file))
  const clients: string[] = []
  const server = createServer(
    {
      ca: await read('ca.pem'),
      cert: await read('server-cert.pem'),
      key: await read('server-key.pem'),
      requestCert: true,
      rejectUnauthorized: true,
    },
    (request, response) => {
      clients.push(String((request.socket as TLSSocket).getPeerCertificate().subject.CN))
      response.writeHead(200, { 'Api-Version': '1.56' })
      response.end(request.url === '/_ping' ? (request.method === 'HEAD' ? '' : 'OK') : '[{"Id":"c1"}]')
    },
  )
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as { port: number }
  return { directory, port, clients, server }
}

async function makeCertificates(directory: string): Promise<void> {
  const openssl = (...args: string[]) => run('openssl', args, { cwd: directory })
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-batch']
  await openssl('req', '-x509', ...ec, '-keyout', 'ca-key.pem', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=test-ca')
  const sign = async (name: string, prefix: string, extensions: string) => {
    await writeFile(join(directory, `${prefix}ext`), extensions)
    await openssl('req', ...ec, '-keyout', `${prefix}key.pem`, '-out', `${prefix}csr`, '-subj', `/CN=${name}`)
    const ca = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial']
    await openssl(
      'x509',
      '-req',
      '-in',
      `${prefix}csr`,
      ...ca,
      '-out',
      `${prefix}cert.pem`,
      '-days',
      '2',
      '-extfile',
      `${prefix}ext`,
    )
  }
  await sign('engine', 'server-', 'subjectAltName=IP:127.0.0.1')
  await sign('mypaas-test-client', '', 'extendedKeyUsage=clientAuth')
}

/** A program named `ssh` in front of PATH, which notes how it was called. */
async function fakeSsh(t: TestContext, script: string) {
  const directory = await mkdtemp(join(tmpdir(), 'fake-ssh-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const bin = join(directory, 'bin')
  const log = join(directory, 'calls')
  await mkdir(bin)
  await writeFile(join(bin, 'ssh'), `#!/bin/sh\necho "$@" >> ${log}\n${script}\n`, { mode: 0o755 })
  const env = { HOME: directory, PATH: `${bin}${delimiter}${process.env['PATH']}`, MYPAAS_TEST_SSH: directory }
  const calls = async () => (await readFile(log, 'utf8')).trim().split('\n')
  return { env, calls }
}

/** A program that joins its stdio to a unix socket and passes half-closes on, as `docker system dial-stdio` does. */
async function relay(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'relay-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const file = join(directory, 'relay.mjs')
  await writeFile(
    file,
    `import { connect } from 'node:net'
const socket = connect({ path: process.argv[2], allowHalfOpen: true })
process.stdin.pipe(socket)
socket.pipe(process.stdout)
socket.on('error', () => process.exit(1))
socket.on('end', () => process.stdout.write('', () => process.exit(0)))
`,
  )
  return `${process.execPath} ${file}`
}

/** How many processes of a fake ssh there are. */
async function running({ MYPAAS_TEST_SSH }: { MYPAAS_TEST_SSH: string }): Promise<number> {
  const { readdir } = await import('node:fs/promises')
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const environments = await Promise.all(ids.map((id) => readFile(`/proc/${id}/environ`, 'utf8').catch(() => '')))
  return environments.filter((text) => text.includes(`MYPAAS_TEST_SSH=${MYPAAS_TEST_SSH}`)).length
}
