import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { appendFile, chmod, mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { brotliCompressSync, constants } from 'node:zlib'
import fc from 'fast-check'
import { buildManifest, chunkSize, type Manifest } from '../../src/push/manifest.ts'
import { encodeFrame } from '../../src/push/packs.ts'
import { frames } from '../../src/push/session-frames.ts'
import { sign } from '../../src/push/signature.ts'
import { type Reply, serverId, type TestApi, testApi } from '../support/api.ts'
import { fileKeyOf } from '../support/keys.ts'
import { chunksOf, tableOfFiles } from '../support/table.ts'
import { until } from '../support/until.ts'

const dockerfile = Buffer.from('# mypaas.service = blog\nFROM scratch\n')
const sha = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

function manifestOf(files: Record<string, Buffer>): Manifest {
  const paths = Object.keys(files).sort()
  const chunks = chunksOf(paths, (path) => {
    const data = files[path] as Buffer
    return Array.from({ length: Math.ceil(data.length / chunkSize) }, (_, chunk) =>
      sha(data.subarray(chunk * chunkSize, (chunk + 1) * chunkSize)),
    )
  })
  return buildManifest(
    'Dockerfile',
    tableOfFiles(paths.map((path) => ({ path, size: files[path]?.length ?? 0 }))),
    chunks,
  )
}

const small = manifestOf({ Dockerfile: dockerfile })

async function begin(
  api: TestApi,
  manifest: Manifest = small,
  key?: string,
): Promise<{ push: string; auth: Record<string, string> }> {
  const text = await api.statement({ manifest: manifest.digest })
  const { status, text: reply } = await api.send(text, { index: manifest.index.toString('latin1') }, key)
  assert.equal(status, 201, reply)
  const { push, token } = JSON.parse(reply) as { push: string; token: string }
  return { push, auth: { authorization: `Bearer ${token}` } }
}

async function frameOf(indexes: number[], data: Buffer, squeeze = false): Promise<Buffer> {
  return Buffer.concat(await encodeFrame({ indexes, data }, squeeze))
}

const denied: Reply = { status: 401, text: '{"error":{"code":"unauthorised","message":"Access denied."}}' }

/** What was denied without a word, and why the audit log says so. */
async function assertDenied(api: TestApi, reply: Reply, reason: string): Promise<void> {
  assert.deepEqual(reply, denied)
  const last = (await api.audit()).at(-1)
  assert.deepEqual([last?.['outcome'], last?.['detail']], ['denied', reason])
}

test('an honest statement lets in, once', async (t) => {
  const api = await testApi(t)
  const text = await api.statement({ manifest: small.digest })
  const index = small.index.toString('latin1')
  assert.equal((await api.send(text, { index })).status, 201)
  await assertDenied(api, await api.send(text, { index }), 'for no fresh challenge')
})

test('who may not get in gets the same answer, whatever the reason, and the audit log has it', async (t) => {
  const api = await testApi(t)
  const stranger = join(api.home, 'stranger')
  await fileKeyOf(stranger)
  await assertDenied(api, await api.send(await api.statement(), {}, stranger), 'unknown or expired key')

  await assertDenied(api, await api.send(await api.statement({ server: 'f'.repeat(16) })), 'for another server')
  await assertDenied(api, await api.send(await api.statement({ host: 'other.test' })), 'for another host: other.test')
  await assertDenied(api, await api.send(await api.statement({ host: 'paas.test' })), 'for another host: paas.test')
  await assertDenied(api, await api.send(await api.statement({ timeMs: Date.now() + 600_000 })), 'of another time')
  await assertDenied(api, await api.send(await api.statement({ timeMs: Date.now() - 600_000 })), 'of another time')
  await assertDenied(api, await api.send(await api.statement({ nonce: 'A'.repeat(75) })), 'for no fresh challenge')

  const old = await api.statement()
  api.clock.offsetMs = 4.9 * 60_000
  const late = await api.statement({ nonce: /nonce (\S+)/.exec(old)?.[1] ?? '' })
  api.clock.offsetMs = 10 * 60_000
  await assertDenied(
    api,
    await api.send(late.replace(/time .*/, `time ${new Date(Date.now() + 600_000).toISOString()}`)),
    'for no fresh challenge',
  )
  await assertDenied(api, await api.send(old), 'of another time')
  api.clock.offsetMs = -3_600_000
  const behind = (await api.statement()).replace(/nonce .*/, /nonce .*/.exec(old)?.[0] ?? '')
  await assertDenied(api, await api.send(behind), 'for no fresh challenge')
  api.clock.offsetMs = 0

  const text = await api.statement()
  const signature = await sign(text, api.key)
  const ask = (fields: Record<string, string>) => api.ask('POST', '/v1/push', JSON.stringify({ signature, ...fields }))
  await assertDenied(api, await ask({ statement: text.replace('blog', 'shop') }), 'wrong signature')
  await assertDenied(api, await ask({ statement: text, signature: 'none' }), 'no signature')
  // A challenge is for one signature.
  await assertDenied(api, await ask({ statement: text }), 'for no fresh challenge')
  const fresh = await api.statement()
  const good = await sign(fresh, api.key)
  const body = good.split('\n').at(-4) as string
  const flipped = good.replace(body, `${body.slice(0, 10)}${body[10] === 'A' ? 'B' : 'A'}${body.slice(11)}`)
  await assertDenied(api, await ask({ statement: fresh, signature: flipped }), 'wrong signature')
  assert.equal((await api.ask('POST', '/v1/call', JSON.stringify({ signature, statement: text }))).status, 401)
  assert.deepEqual(api.logged, [])
})

test('a signature for another purpose of the same key is none', async (t) => {
  const api = await testApi(t)
  const text = await api.statement()
  const { execFileSync } = await import('node:child_process')
  const signature = execFileSync('ssh-keygen', ['-Y', 'sign', '-q', '-n', 'file', '-f', api.key], {
    input: text,
  }).toString()
  await assertDenied(
    api,
    await api.ask('POST', '/v1/push', JSON.stringify({ statement: text, signature })),
    'wrong signature',
  )
})

test('a key that was taken away, has expired or is in a file that others can write lets nobody in, at once', async (t) => {
  const api = await testApi(t)
  const index = small.index.toString('latin1')
  const push = async () => api.send(await api.statement({ manifest: small.digest }), { index })
  assert.equal((await push()).status, 201)
  await api.setKeys('# nobody')
  await assertDenied(api, await push(), 'unknown or expired key')
  await api.setKeys(`expires="2020-01-01" ${api.keyLine}`)
  await assertDenied(api, await push(), 'unknown or expired key')
  await api.setKeys(`expires="2099-01-01" ${api.keyLine}`)
  assert.equal((await push()).status, 201)
  await chmod(join(api.home, '_mypaas', 'authorized_keys'), 0o666)
  await assertDenied(api, await push(), 'unknown or expired key')
})

test('a key does only what its line says', async (t) => {
  const api = await testApi(t)
  const refused = async (reply: Reply, message: string): Promise<void> => {
    assert.equal(reply.status, 403)
    assert.equal((JSON.parse(reply.text) as { error: { message: string } }).error.message, message)
    const last = (await api.audit()).at(-1)
    assert.deepEqual([last?.['outcome'], last?.['who'], last?.['detail']], ['denied', 'test', message])
  }
  await api.setKeys(`read-only ${api.keyLine}`)
  await refused(await api.send(await api.statement()), 'The key may only read.')
  for (const action of [
    'rollback',
    'restart',
    'scale',
    'stop',
    'start',
    'rm',
    'reconcile',
    'env-set',
    'env-rm',
    'exec',
    'run',
  ]) {
    await refused(
      await api.send(await api.statement({ purpose: 'call', action, args: { service: 'blog' } })),
      'The key may only read.',
    )
  }
  await api.setKeys(`services="shop,blog-*" ${api.keyLine}`)
  await refused(await api.send(await api.statement()), 'The key may not reach blog.')
  await refused(
    await api.send(await api.statement({ purpose: 'call', action: 'releases', args: { service: 'shop2' } })),
    'The key may not reach shop2.',
  )
  const env = await api.send(await api.statement({ purpose: 'call', action: 'env-ls', args: {} }))
  assert.match(env.text, /limited to some services and may see only secrets of theirs.*--service shop"/)
  for (const action of ['env-set', 'env-rm']) {
    const reply = await api.send(await api.statement({ purpose: 'call', action, args: { name: 'X' } }))
    assert.match(reply.text, /limited to some services and may change only secrets of theirs.*--service shop"/, action)
  }
  assert.equal((await api.audit()).at(-1)?.['outcome'], 'denied')
  assert.equal(
    (
      await api.send(await api.statement({ service: 'blog-x', manifest: small.digest }), {
        index: small.index.toString('latin1'),
      })
    ).status,
    201,
  )
})

test('a secret that is not there is not told to be removed', async (t) => {
  const api = await testApi(t)
  const rm = async (args: Record<string, string>): Promise<Reply> =>
    api.send(await api.statement({ purpose: 'call', action: 'env-rm', args }))
  assert.match((await rm({ name: 'NOPE' })).text, /There is no NOPE for all services, so nothing was removed/)
  assert.match((await rm({ name: 'NOPE', service: 'blog' })).text, /There is no NOPE of blog alone/)
})

test('of many that use one statement at once, one gets in', async (t) => {
  const api = await testApi(t)
  const text = await api.statement({ manifest: small.digest })
  const signature = await sign(text, api.key)
  const body = JSON.stringify({ statement: text, signature, index: small.index.toString('latin1') })
  const all = await Promise.all(Array.from({ length: 20 }, () => api.ask('POST', '/v1/push', body)))
  assert.equal(all.filter(({ status }) => status === 201).length, 1)
  assert.equal(all.filter(({ status }) => status === 401).length, 19)
})

test('only what was signed and announced is taken', async (t) => {
  const api = await testApi(t)
  const other = manifestOf({ Dockerfile: dockerfile, x: Buffer.from('x') })
  const text = await api.statement({ manifest: small.digest })
  assert.match((await api.send(text, { index: other.index.toString('latin1') })).text, /not the one that was signed/)
  const giant = Buffer.from(
    `mypaas manifest 1\ndockerfile Dockerfile\nentries 1\nbytes 1\n1073741824 ${'a'.repeat(64)}\n`,
  )
  const announced = await api.send(await api.statement({ manifest: sha(giant) }), { index: giant.toString() })
  assert.deepEqual([announced.status, /can't be accepted/.test(announced.text)], [400, true])

  const { push, auth } = await begin(api)
  const blobs = (body: Buffer) => api.ask('POST', `/v1/push/${push}/blobs`, body, auth)
  const early = await blobs(await frameOf([0], dockerfile))
  assert.match(early.text, /not time/)
  const [manifest] = small.texts as [Buffer]
  const whole = await frameOf([0], manifest, true)
  const segments = (body: Buffer) => api.ask('POST', `/v1/push/${push}/segments`, body, auth)
  for (const [name, body] of [
    ['cut off', whole.subarray(0, -1)],
    ['of another size', await frameOf([0], manifest.subarray(1))],
    ['of other bytes', await frameOf([0], Buffer.alloc(manifest.length))],
    ['of a blob that is none', await frameOf([7], manifest)],
    ['not compressed well', Buffer.concat([whole.subarray(0, 16), Buffer.alloc(whole.length - 16)])],
  ] as const) {
    const { status, text } = await segments(body)
    assert.equal(status, 400, `${name}: ${text}`)
  }
  assert.equal((await segments(whole)).status, 200)
  assert.match((await api.ask('POST', `/v1/push/${push}/commit`, '{}', auth)).text, /still missing/)
  const done = await blobs(await frameOf([0], dockerfile))
  assert.deepEqual(JSON.parse(done.text), { segments: 'AA==', blobs: 'AA==' })

  assert.equal(api.jobs.running, 0)
})

test('without the token of a push nobody gets at it, and the audit log has it', async (t) => {
  const api = await testApi(t)
  const { push, auth } = await begin(api)
  const wrong = { authorization: `Bearer ${'x'.repeat(43)}` }
  for (const [method, path] of [
    ['GET', `push/${push}/missing`],
    ['POST', `push/${push}/segments`],
    ['POST', `push/${push}/blobs`],
    ['POST', `push/${push}/blobs?commit`],
    ['POST', `push/${push}/commit`],
  ] as const) {
    const body = method === 'GET' ? undefined : '{}'
    for (const headers of [wrong, {}, { authorization: 'Bearer short' }] as Record<string, string>[])
      await assertDenied(api, await api.ask(method, `/v1/${path}`, body, headers), 'no token of that push')
    const other = path.replace(push, 'A'.repeat(12))
    await assertDenied(api, await api.ask(method, `/v1/${other}`, body, auth), 'no token of that push')
  }
  await assertDenied(
    api,
    await api.ask('GET', '/v1/jobs/20260101000000-01234567/events', undefined, wrong),
    'no token of that job',
  )
  assert.equal((await api.ask('GET', `/v1/push/${push}/missing`, undefined, auth)).status, 200)
  assert.equal(api.jobs.running, 0)
})

test('a key that is taken away while its push is on does not deploy', async (t) => {
  const api = await testApi(t)
  const { push, auth } = await begin(api)
  await api.ask('POST', `/v1/push/${push}/segments`, await frameOf([0], small.texts[0] as Buffer), auth)
  await api.ask('POST', `/v1/push/${push}/blobs`, await frameOf([0], dockerfile), auth)
  await api.setKeys('# nobody')
  await assertDenied(api, await api.ask('POST', `/v1/push/${push}/commit`, '{}', auth), 'key taken away meanwhile')
})

test('the deploy begins with the last file, if the sender says so, and once', async (t) => {
  const api = await testApi(t)
  const { push, auth } = await begin(api)
  await api.ask('POST', `/v1/push/${push}/segments`, await frameOf([0], small.texts[0] as Buffer), auth)
  const early = await api.ask('POST', `/v1/push/${push}/blobs?commit`, '', auth)
  assert.deepEqual(JSON.parse(early.text), { segments: 'AA==', blobs: 'AQ==' })
  assert.equal(api.jobs.running, 0)
  const { text } = await api.ask('POST', `/v1/push/${push}/blobs?commit`, await frameOf([0], dockerfile), auth)
  const { job, ...missing } = JSON.parse(text) as { job: string }
  assert.deepEqual(missing, { segments: 'AA==', blobs: 'AA==' })
  // Whose line broke before the answer came finds it out, whichever way it asks.
  const asked = await api.ask('GET', `/v1/push/${push}/missing`, undefined, auth)
  assert.equal((JSON.parse(asked.text) as { job: string }).job, job)
  const again = await api.ask('POST', `/v1/push/${push}/commit`, '{}', auth)
  assert.deepEqual(JSON.parse(again.text), { job })
})

test('a key that is taken away before the last file comes does not deploy with it', async (t) => {
  const api = await testApi(t)
  const { push, auth } = await begin(api)
  await api.ask('POST', `/v1/push/${push}/segments`, await frameOf([0], small.texts[0] as Buffer), auth)
  await api.setKeys('# nobody')
  await assertDenied(
    api,
    await api.ask('POST', `/v1/push/${push}/blobs?commit`, await frameOf([0], dockerfile), auth),
    'key taken away meanwhile',
  )
  assert.equal(api.jobs.running, 0)
})

test('a push that waits for its turn is deployed with what its key may then, or not at all', async (t) => {
  const api = await testApi(t)
  await appendFile(join(api.home, '_mypaas', 'config.toml'), 'builds = 1\n')
  const other = join(api.home, 'other')
  const otherLine = await fileKeyOf(other)
  const engine = await stuckEngine(t)
  const pushBy = async (key?: string): Promise<{ job: string; auth: Record<string, string> }> => {
    const { push, auth } = await begin(api, small, key)
    await api.ask('POST', `/v1/push/${push}/segments`, await frameOf([0], small.texts[0] as Buffer), auth)
    const { text } = await api.ask('POST', `/v1/push/${push}/blobs?commit`, await frameOf([0], dockerfile), auth)
    return { job: (JSON.parse(text) as { job: string }).job, auth }
  }
  for (const [now, why] of [
    [[], /"code":"unauthorised","message":"The key was taken away, or has expired, while this waited for its turn\."/],
    [[`read-only ${otherLine}`], /"code":"unauthorised","message":"The key may only read\."/],
    [[`services="shop" ${otherLine}`], /"code":"unauthorised","message":"The key may not reach blog\."/],
    [[otherLine], /"code":"engine"/],
  ] as const) {
    engine.refuse(false)
    await api.setKeys(api.keyLine, otherLine)
    const first = await pushBy()
    await until(() => engine.asked() > 0, { what: 'the first to build' })
    const second = await pushBy(other)
    await api.setKeys(api.keyLine, ...now)
    engine.refuse(true)
    for (const [{ job, auth }, end] of [
      [first, /"code":"(?!unauthorised)/],
      [second, why],
    ] as const)
      assert.match((await api.ask('GET', `/v1/jobs/${job}/events?after=-1`, undefined, auth)).text, end)
  }
})

test('a key that asks for many things at once has some of them done at a time, and keeps no other key waiting', async (t) => {
  const api = await testApi(t)
  const other = join(api.home, 'other')
  await api.setKeys(`read-only,services="x-*" ${api.keyLine}`, await fileKeyOf(other))
  const engine = await stuckEngine(t)
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const asked = Array.from({ length: 120 }, async () => {
    const statement = await api.statement({ purpose: 'call', action: 'status' })
    return api.send(statement, {}, api.key, agent)
  })
  await until(() => api.jobs.running === 8 + 100, { what: 'the rest to be refused', timeoutMs: 30_000 })
  const busy = engine.asked()
  assert.ok(busy <= 8 * 4, `${busy} requests of the engine`)
  const honest = await api.send(await api.statement({ purpose: 'call', action: 'env-ls' }), {}, other, agent)
  assert.match(honest.text, /"ok":true/)
  engine.refuse(true)
  const texts = (await Promise.all(asked)).map(({ text }) => text)
  assert.equal(texts.filter((text) => /"code":"locked"/.test(text)).length, 12)
})

test('who sets many secrets at once keeps nobody else from setting one', async (t) => {
  const api = await testApi(t)
  const other = join(api.home, 'other')
  await api.setKeys(`services="x-*" ${api.keyLine}`, await fileKeyOf(other))
  const engine = await stuckEngine(t)
  engine.refuse(true)
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const body = 'value'
  const order: string[] = []
  const set = async (name: string, service: string, key: string): Promise<void> => {
    const args = { name, service }
    const digest = createHash('sha256').update(body).digest('hex')
    const statement = await api.statement({ purpose: 'call', action: 'env-set', args, body: digest } as never)
    const { text } = await api.send(statement, { body }, key, agent)
    assert.match(text, /"ok":true/)
    order.push(name)
  }
  const many = Array.from({ length: 60 }, (_, n) => set(`A${n}`, 'x-1', api.key))
  await until(() => order.length > 0, { what: 'the first to be set' })
  const before = order.length
  await set('MINE', 'blog', other)
  const after = order.indexOf('MINE') - before
  await Promise.all(many)
  assert.ok(after < 20, `after ${after} others`)
})

/** An engine that lets all wait until it is told to refuse them. */
async function stuckEngine(t: TestContext): Promise<{ asked: () => number; refuse: (isOn: boolean) => void }> {
  const waiting = new Set<http.ServerResponse>()
  let refuses = false
  const refuse = (response: http.ServerResponse): void => {
    response.writeHead(500, { 'content-type': 'application/json' }).end('{"message":"refused"}')
  }
  const server = http.createServer((_, response) => {
    if (refuses) return refuse(response)
    waiting.add(response)
    response.once('close', () => waiting.delete(response))
  })
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-stuck-'))
  const path = join(folder, 'engine.sock')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const before = process.env['DOCKER_HOST']
  process.env['DOCKER_HOST'] = `unix://${path}`
  t.after(async () => {
    if (before === undefined) delete process.env['DOCKER_HOST']
    else process.env['DOCKER_HOST'] = before
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true })
  })
  return {
    asked: () => waiting.size,
    refuse(isOn) {
      refuses = isOn
      if (isOn) for (const response of waiting) refuse(response)
    },
  }
}

test('a pack that would become far more than it says costs no memory', async (t) => {
  const api = await testApi(t)
  const { push, auth } = await begin(api)
  const bomb = brotliCompressSync(Buffer.alloc(256 * 1024 ** 2), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })
  const size = small.texts[0]?.length ?? 0
  const head = Buffer.alloc(16)
  head.set([0x4d, 1, 0, 1])
  head.writeUInt32BE(size, 4)
  head.writeUInt32BE(Math.min(bomb.length, size - 1), 8)
  const before = process.memoryUsage().rss
  const { status } = await api.ask('POST', `/v1/push/${push}/segments`, Buffer.concat([head, bomb]), auth)
  assert.equal(status, 400)
  assert.ok(process.memoryUsage().rss - before < 100 * 1024 ** 2)
})

test('10 MB of headers, bodies without end and requests for nothing are sent away', async (t) => {
  const api = await testApi(t)
  const head = await rawReply(
    api.socket,
    `POST /v1/challenge HTTP/1.1\r\nHost: x\r\n${`X: ${'y'.repeat(1000)}\r\n`.repeat(10_000)}\r\n`,
  )
  assert.match(head, /^(HTTP\/1\.1 4\d\d |$)/)
  const large = await rawReply(api.socket, `POST /v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n`)
  assert.match(large, /^HTTP\/1\.1 400 /)
  const chunked = await rawReply(
    api.socket,
    `POST /v1/push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${`10000\r\n${'z'.repeat(65_536)}\r\n`.repeat(20)}`,
  )
  assert.match(chunked, /^(HTTP\/1\.1 400 |$)/)
  for (const path of ['/', '/v1', '/v2/challenge', '/v1/push/../../etc/passwd', '/v1/jobs/x', '//', '/v1/push/a/b/c']) {
    assert.equal((await api.ask('GET', path)).status, 404, path)
  }
})

test('a thousand connections that say nothing keep nobody out and cost little', async (t) => {
  const api = await testApi(t)
  const before = process.memoryUsage().rss
  const silent: net.Socket[] = []
  t.after(() => silent.forEach((socket) => void socket.destroy()))
  for (let count = 0; count < 1000; count += 1) {
    const socket = net.connect(api.socket).resume()
    socket.on('error', () => {})
    if (count % 2) socket.write('POST /v1/challenge HTTP/1.1\r\nHost: x\r\nX-Slow: ')
    silent.push(socket)
    await once(socket, 'connect')
  }
  const begin = performance.now()
  assert.equal((await api.ask('POST', '/v1/challenge', '{}')).status, 200)
  assert.ok(performance.now() - begin < 2000)
  assert.ok(process.memoryUsage().rss - before < 100 * 1024 ** 2)
  const closed = Promise.all(
    silent.map((socket) => socket.closed || new Promise((resolve) => socket.once('close', resolve))),
  )
  await Promise.race([
    closed,
    new Promise((_, reject) => setTimeout(() => reject(new Error('they are still open')), 20_000).unref()),
  ])
})

test('no valid message, changed anywhere, crashes the daemon, makes it answer 500, or begins a deploy', async (t: TestContext) => {
  const api = await testApi(t)
  const text = await api.statement({ manifest: small.digest })
  const signature = await sign(text, api.key)
  const push = Buffer.from(JSON.stringify({ statement: text, signature, index: small.index.toString('latin1') }))
  const call = await api.statement({ purpose: 'call', action: 'rm', args: { service: 'blog' } })
  const rm = Buffer.from(JSON.stringify({ statement: call, signature: await sign(call, api.key) }))
  const open = await begin(api)
  const frame = await frameOf([0], small.texts[0] as Buffer, true)
  const head = Buffer.from(
    `POST /v1/push/${open.push}/segments HTTP/1.1\r\nHost: x\r\nAuthorization: ${open.auth['authorization']}\r\nConnection: close\r\nContent-Length: ${frame.length}\r\n\r\n`,
  )
  const words = '["true"]'
  const exec = { purpose: 'call', action: 'exec', args: { service: 'blog' }, body: sha(Buffer.from(words)) } as const
  const granted = await api.send(await api.statement(exec), { body: words })
  const { session, token } = JSON.parse(granted.text) as { session: string; token: string }
  const join = Buffer.concat([
    Buffer.from(
      `GET /v1/sessions/${session} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: mypaas-session\r\n\r\n`,
    ),
    ...frames('input', Buffer.from('x')),
    ...frames('size', Buffer.from('{"rows":1,"columns":1}')),
  ])
  const change = fc.record({
    which: fc.constantFrom('push', 'call', 'frame', 'raw', 'join'),
    at: fc.nat(),
    cut: fc.nat(16),
    bytes: fc.uint8Array({ maxLength: 16 }),
  })
  const counts = new Map<number, number>()
  await fc.assert(
    fc.asyncProperty(change, async ({ which, at, cut, bytes }) => {
      const changed = (from: Buffer): Buffer => {
        const place = at % from.length
        return Buffer.concat([from.subarray(0, place), bytes, from.subarray(place + cut)])
      }
      let status = 0
      if (which === 'push') {
        const body = changed(push)
        if (body.equals(push)) return
        status = (await api.ask('POST', '/v1/push', body)).status
      } else if (which === 'call') {
        const body = changed(rm)
        if (body.equals(rm)) return
        status = (await api.ask('POST', '/v1/call', body)).status
      } else if (which === 'frame') {
        status = (await api.ask('POST', `/v1/push/${open.push}/segments`, changed(frame), open.auth)).status
      } else {
        const reply = await rawReply(api.socket, changed(which === 'join' ? join : Buffer.concat([head, frame])), true)
        status = Number(/^HTTP\/1\.1 (\d{3})/.exec(reply)?.[1] ?? 0)
      }
      counts.set(status, (counts.get(status) ?? 0) + 1)
      assert.ok([0, 200, 201, 400, 401, 403, 404, 408, 409, 413, 417, 422, 431].includes(status), `${which}: ${status}`)
      assert.equal(api.jobs.running, 0)
    }),
    { numRuns: Number(process.env['MYPAAS_TEST_RUNS'] ?? 3000) },
  )
  assert.deepEqual(api.logged, [])
  assert.equal((await api.ask('POST', '/v1/challenge', '{}')).status, 200)
  assert.ok((counts.get(400) ?? 0) > 100 && (counts.get(401) ?? 0) > 10, JSON.stringify([...counts]))
  assert.equal(serverId.length, 16)
})

/** What comes back for bytes as they are; what is sent may be cut short by the other side. */
function rawReply(path: string, bytes: string | Buffer, half = false): Promise<string> {
  return new Promise((resolve) => {
    let reply = ''
    const socket = net.connect(path)
    const timer = setTimeout(() => socket.destroy(), 10_000)
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => {
      reply += text
      if (/\r\n\r\n/.test(reply)) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(reply)
    })
    if (half) socket.end(bytes)
    else socket.write(bytes)
  })
}
