import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { RunningCommand } from '../../src/deploy/command.ts'
import { MypaasError } from '../../src/errors.ts'
import { sign } from '../../src/push/signature.ts'
import type { AuthorizedKey } from '../../src/server/keys.ts'
import { relay } from '../../src/server/sessions.ts'
import { Places } from '../../src/server/streams.ts'
import type { ServiceSpec } from '../../src/service/spec.ts'
import { serverId, type TestApi, testApi } from '../support/api.ts'
import { fileKeyOf } from '../support/keys.ts'
import { until } from '../support/until.ts'

const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))

type Chatter = { sentBytes: () => number; followers: () => number }

/** An engine with one container, `web-r1-1`, which writes as fast as it is read, without end. */
async function chatter(t: TestContext): Promise<Chatter> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-engine-'))
  let sent = 0
  const followers = new Set<http.ServerResponse>()
  const text = `2026-11-23T12:00:00.000000000Z ${'x'.repeat(200)}\n`
  const frame = Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)])
  const batch = Buffer.concat(Array.from({ length: 200 }, () => frame))
  const labels = { server: serverId, service: 'web', release: '1', replica: '1' }
  const container = {
    Id: 'c'.repeat(64),
    ImageID: `sha256:${'d'.repeat(64)}`,
    Names: ['/web-r1-1'],
    Name: '/web-r1-1',
    Labels: Object.fromEntries(Object.entries(labels).map(([key, value]) => [`mypaas.${key}`, value])),
    Config: { Tty: false },
    HostConfig: { RestartPolicy: { Name: 'always' } },
    NetworkSettings: { Networks: {} },
  }
  const server = http.createServer((request, response) => {
    const path = (request.url ?? '').replace(/^\/v[\d.]+/, '')
    const json = (value: unknown): void => {
      response.writeHead(200, { 'content-type': 'application/json', 'api-version': '1.41' }).end(JSON.stringify(value))
    }
    if (path.startsWith('/_ping')) return json('OK')
    if (path.startsWith('/containers/json')) return json([{ ...container, State: 'running' }])
    if (/^\/containers\/[^/]+\/json/.test(path)) return json({ ...container, State: { Status: 'running' } })
    if (/^\/images\/[^/]+\/json/.test(path)) return json({ Id: container.ImageID, Config: { Labels: {} }, RootFS: {} })
    // What was written before is nothing.
    if (!path.includes('follow=')) return response.writeHead(200).end()
    followers.add(response)
    response.on('close', () => followers.delete(response))
    const talk = (): void => {
      while (!response.destroyed) {
        sent += batch.length
        if (!response.write(batch)) break
      }
    }
    response.on('drain', talk)
    talk()
  })
  const socket = join(folder, 'engine.sock')
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  const before = process.env['DOCKER_HOST']
  process.env['DOCKER_HOST'] = `unix://${socket}`
  t.after(async () => {
    if (before === undefined) delete process.env['DOCKER_HOST']
    else process.env['DOCKER_HOST'] = before
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await rm(folder, { recursive: true, force: true })
  })
  return { sentBytes: () => sent, followers: () => followers.size }
}

async function withService(api: TestApi, spec?: Partial<ServiceSpec>): Promise<void> {
  const folder = join(api.home, '_mypaas', 'services')
  await mkdir(folder, { recursive: true })
  const whole = {
    service: 'web',
    urls: [],
    volumes: [],
    env: [],
    port: 80,
    publish: [],
    rollout: 'stop-first',
    ...spec,
  }
  await writeFile(
    join(folder, 'web.json'),
    JSON.stringify({
      version: 1,
      service: 'web',
      server: serverId,
      lastRelease: 1,
      ...(spec ? { current: { release: 1, image: '', spec: whole, deployedAt: '', secretsFrom: 'server' } } : {}),
    }),
  )
  await mkdir(join(api.home, '_mypaas', 'traefik', 'state'), { recursive: true })
}

/** Asks for a stream; the answer stands still until it is read. */
async function open(api: TestApi, action: string, args: Record<string, string>): Promise<http.IncomingMessage> {
  const statement = await api.statement({ purpose: 'call', action, args, body: undefined })
  const body = JSON.stringify({ statement, signature: await sign(statement, api.key) })
  const request = http.request({ socketPath: api.socket, method: 'POST', path: '/v1/call', agent: false })
  request.on('error', () => {})
  request.end(body)
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  response.on('error', () => {})
  return response
}

/** Done when `value` has stopped changing, as what it came to. */
async function atRest(value: () => number): Promise<number> {
  let last = -1
  return until(
    () => {
      const now = value()
      const rests = now > 0 && now === last
      last = now
      return rests && now
    },
    { what: 'it to stand still', everyMs: 400 },
  )
}

const follow = { service: 'web', follow: 'yes' }

test('a reader that reads nothing holds up the log, and the server holds no more than a little of it', async (t) => {
  const engine = await chatter(t)
  const api = await testApi(t)
  await withService(api)
  const response = await open(api, 'logs', follow)
  assert.equal(response.statusCode, 200)
  const stood = await atRest(engine.sentBytes)
  assert.ok(stood < 16 * 1024 ** 2, `${stood} bytes were taken from the engine`)
  // And goes on when it is read again, each line once and whole.
  let text = ''
  response.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  await until(() => engine.sentBytes() > stood + 1024 ** 2, { what: 'more of the log' })
  response.destroy()
  const lines = text
    .split('\n')
    .slice(0, -1)
    .filter((line) => line !== '')
  const seen = lines.map((line) => JSON.parse(line) as { seq: number; event: { text: string } })
  assert.deepEqual(
    seen.map(({ seq }) => seq),
    Array.from(seen.keys()),
  )
  assert.ok(seen.every(({ event }) => event.text === 'x'.repeat(200)))
  t.diagnostic(`${Math.round(stood / 1024)} KiB were taken from the engine for a reader that reads nothing`)
})

test('a client whose reader reads nothing holds no more than a little of a log either', async (t) => {
  const engine = await chatter(t)
  const api = await testApi(t)
  await withService(api)
  const words = ['logs', `unix:${api.socket}`, 'web', '-f', '--key', api.key]
  const client = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), main, ...words], {
    env: { ...process.env, HOME: api.home, MYPAAS_SERVER_KEY: api.expected.keys[0] },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => client.kill('SIGKILL'))
  await once(client.stdout, 'readable')
  const stood = await atRest(engine.sentBytes)
  const status = await readFile(`/proc/${client.pid}/status`, 'utf8')
  const kib = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1])
  assert.ok(stood < 16 * 1024 ** 2, `${stood} bytes were taken from the engine`)
  assert.ok(kib < 200 * 1024, `${kib} KiB`)
  t.diagnostic(`the client had ${Math.round(kib / 1024)} MiB at most, tsx included`)
})

test('a reader that leaves frees all that was held for it, and nothing of a log is kept', async (t) => {
  const engine = await chatter(t)
  const api = await testApi(t)
  await withService(api)
  const all = await Promise.all(Array.from({ length: 16 }, () => open(api, 'logs', follow)))
  await until(() => engine.followers() === 16, { what: 'all of them to be followed' })
  const more = await open(api, 'logs', follow)
  assert.equal(more.statusCode, 409)
  more.resume()
  for (const response of all) response.destroy()
  await until(() => engine.followers() === 0, { what: 'nobody to be followed' })
  const again = await open(api, 'logs', follow)
  assert.equal(again.statusCode, 200)
  again.destroy()
  await until(() => engine.followers() === 0, { what: 'nobody to be followed' })
  assert.deepEqual(await api.jobs.list(), [])
  assert.deepEqual(await readdir(join(api.home, '_mypaas', 'push', 'jobs')), [])
  assert.deepEqual(api.logged, [])
})

test('a session is joined once, with its token, by a key that still may', async (t) => {
  await chatter(t)
  const api = await testApi(t)
  await withService(api)
  const words = JSON.stringify(['true'])
  const grant = async (): Promise<{ session: string; token: string }> => {
    const body = createHash('sha256').update(words).digest('hex')
    const statement = await api.statement({ purpose: 'call', action: 'exec', args: { service: 'web' }, body })
    const { status, text } = await api.send(statement, { body: words })
    assert.equal(status, 201, text)
    return JSON.parse(text) as { session: string; token: string }
  }
  const join = (session: string, token: string, more: Record<string, string> = {}) =>
    api.ask('GET', `/v1/sessions/${session}`, undefined, {
      authorization: `Bearer ${token}`,
      connection: 'upgrade',
      upgrade: 'mypaas-session',
      ...more,
    })
  const denied = async (reply: { status: number; text: string }, why: string): Promise<void> => {
    assert.deepEqual(reply, { status: 401, text: '{"error":{"code":"unauthorised","message":"Access denied."}}' })
    assert.equal((await api.audit()).at(-1)?.['detail'], why)
  }
  const { session, token } = await grant()
  await denied(await join(session, 'x'.repeat(43)), 'no token of that session')
  await denied(await join('A'.repeat(12), token), 'no token of that session')
  // The token is used up by this, whatever comes of it: here no replica is one of the current release.
  assert.match((await join(session, token)).text, /No replica of web runs/)
  await denied(await join(session, token), 'no token of that session')

  const other = await grant()
  assert.equal((await join(other.session, other.token, { upgrade: 'websocket' })).status, 404)
  await api.setKeys(`read-only ${api.keyLine}`)
  assert.match((await join(other.session, other.token)).text, /may only read/)
  await api.setKeys(api.keyLine)
  const last = await grant()
  await api.setKeys('# nobody')
  await denied(await join(last.session, last.token), 'key taken away meanwhile')
  await api.setKeys(api.keyLine)
  for (const body of ['', '[]', '"sh"', '[1]', '["a\\u0000b"]', '{}']) {
    const digest = createHash('sha256').update(body).digest('hex')
    const statement = await api.statement({ purpose: 'call', action: 'exec', args: { service: 'web' }, body: digest })
    assert.equal((await api.send(statement, { body })).status, 400, body)
  }
})

test('a key that asks for commands and joins none keeps no other key from one', async (t) => {
  const api = await testApi(t)
  const other = join(api.home, 'other')
  await api.setKeys(api.keyLine, await fileKeyOf(other))
  const words = JSON.stringify(['true'])
  const body = createHash('sha256').update(words).digest('hex')
  const grant = async (key?: string): Promise<number> => {
    const statement = await api.statement({ purpose: 'call', action: 'exec', args: { service: 'web' }, body })
    return (await api.send(statement, { body: words }, key)).status
  }
  const statuses: number[] = []
  for (let n = 0; n < 20; n += 1) statuses.push(await grant())
  assert.deepEqual(statuses, [...Array(16).fill(201), ...Array(4).fill(409)])
  assert.equal(await grant(other), 201)
})

test('a command that was granted runs with what its key may have when it is joined', async (t) => {
  await chatter(t)
  const api = await testApi(t)
  // What no limited key may have.
  await withService(api, { urls: [{ scheme: 'http', host: 'paas.test', path: '/' }] })
  const words = JSON.stringify(['true'])
  const body = createHash('sha256').update(words).digest('hex')
  const statement = await api.statement({ purpose: 'call', action: 'run', args: { service: 'web' }, body })
  const { session, token } = JSON.parse((await api.send(statement, { body: words })).text) as Record<string, string>
  await api.setKeys(`services="web" ${api.keyLine}`)
  const { text } = await api.ask('GET', `/v1/sessions/${session}`, undefined, {
    authorization: `Bearer ${token}`,
    connection: 'upgrade',
    upgrade: 'mypaas-session',
  })
  assert.match(text, /The key may not use:.*http:\/\/paas\.test/)
})

test('a key that is taken away, expires or is limited further ends what it has open', async (t) => {
  const engine = await chatter(t)
  const api = await testApi(t)
  await withService(api)
  const other = '# nothing'
  for (const [how, now] of [
    ['taken away', [other]],
    ['limited to others', [`services="shop" ${api.keyLine}`]],
    ['expired', [`expires="2020-01-01" ${api.keyLine}`]],
  ] as const) {
    await api.setKeys(api.keyLine)
    const response = await open(api, 'logs', follow)
    await until(() => engine.followers() === 1, { what: 'the log to be followed' })
    // What changes in the file otherwise ends nothing.
    await api.setKeys(other, `read-only,services="web" ${api.keyLine}`)
    await new Promise((resolve) => setTimeout(resolve, 2500))
    assert.equal(engine.followers(), 1, how)
    await api.setKeys(...now)
    await until(() => engine.followers() === 0, { what: `it to be ended, when the key is ${how}` })
    response.destroy()
  }
})

test('a place ends at the second look without its key, and none sooner than it must', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const key = { fingerprint: 'f' } as unknown as AuthorizedKey
  let found = true
  let readOnly = false
  const places = new Places(async () => {
    if (!found) throw new Error('none')
    return { ...key, readOnly }
  })
  using reading = places.take(key, () => {})
  using writing = places.take(key, (now) => assert.equal(now.readOnly, false))
  const look = async (): Promise<readonly boolean[]> => {
    t.mock.timers.tick(1000)
    await new Promise((resolve) => setImmediate(resolve))
    return [reading.signal.aborted, writing.signal.aborted]
  }
  assert.deepEqual(await look(), [false, false])
  found = false
  assert.deepEqual(await look(), [false, false])
  found = true
  assert.deepEqual(await look(), [false, false], 'the file was being written')
  readOnly = true
  assert.deepEqual(await look(), [false, false])
  assert.deepEqual(await look(), [false, true])
  assert.match(String(writing.signal.reason), /The key was taken away/)
  found = false
  await look()
  assert.deepEqual(await look(), [true, true])
})

test('a command whose key is taken away is closed, and its client with it', { timeout: 20_000 }, async () => {
  const place = new AbortController()
  const socket = new PassThrough()
  let close = (): void => {}
  const closed = new Promise<void>((resolve) => {
    close = resolve
  })
  const stream = {
    stdin: new PassThrough(),
    close,
    async *[Symbol.asyncIterator]() {
      await closed
      yield* []
    },
  }
  const running = { stream, [Symbol.asyncDispose]: async () => {} } as unknown as RunningCommand
  const ended = relay(socket, running, place.signal)
  const reason = new MypaasError('gone', { code: 'unauthorised' })
  place.abort(reason)
  await assert.rejects(ended, reason)
  assert.ok(socket.destroyed)
})
