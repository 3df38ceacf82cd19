import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { readContext } from '../../src/context/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { attach, push } from '../../src/push/client.ts'
import type { PushEvent } from '../../src/push/events.ts'
import { findKeys } from '../../src/push/keys.ts'
import { chunkSize } from '../../src/push/manifest.ts'
import { Remote } from '../../src/push/remote.ts'
import { Remotes } from '../../src/push/remotes.ts'
import { openTransport } from '../../src/push/transport.ts'
import { type TestApi, testApi } from '../support/api.ts'
import { type CuttingProxy, cuttingProxy } from '../support/cutting-proxy.ts'
import { fakeBuilder, type Seen } from '../support/fake-build.ts'

type Bench = { api: TestApi; root: string; seen: Seen[] }

async function bench(t: TestContext): Promise<Bench> {
  const builder = await fakeBuilder(t)
  process.env['DOCKER_HOST'] = builder.host
  t.after(() => delete process.env['DOCKER_HOST'])
  const api = await testApi(t)
  const root = await mkdtemp(join(tmpdir(), 'mypaas-site-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  await writeFile(join(root, 'Dockerfile'), '# mypaas.service = blog\nFROM scratch\nCOPY . /\n')
  return { api, root, seen: builder.seen }
}

async function remoteAt(t: TestContext, { api }: Bench, path: string): Promise<Remote> {
  const transport = openTransport({ kind: 'unix', path })
  t.after(() => transport.close())
  return new Remote(transport, {
    findKeys: () => findKeys({ keyFile: api.key }),
    known: await Remotes.open(join(api.home, 'client')),
    expected: api.expected,
  })
}

/** Pushes; the deploy ends where the engine only looks. */
async function pushTo(
  remote: Remote,
  root: string,
  more: { signal?: AbortSignal; patienceMs?: number } = {},
): Promise<PushEvent[]> {
  const events: PushEvent[] = []
  const pushing = push(remote, await readContext(root), {
    root,
    service: 'blog',
    emit: (event) => events.push(event),
    onEvent: () => {},
    ...more,
  })
  await assert.rejects(pushing, (error) => error instanceof MypaasError && /this engine only looks/.test(error.message))
  return events
}

async function tarDigest(root: string): Promise<Seen> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const part of (await readContext(root)).tar({ builder: 'buildkit' })) {
    hash.update(part)
    bytes += part.length
  }
  return { digest: hash.digest('hex'), bytes }
}

async function fill(root: string, megabytes: number): Promise<number> {
  let bytes = 0
  for (let file = 0; bytes < megabytes * 1024 ** 2; file += 1) {
    const data = randomBytes([3 * chunkSize + 17, 100_000, 5000, 12 * chunkSize][file % 4] as number)
    await mkdir(join(root, `d${file % 7}`), { recursive: true })
    await writeFile(join(root, `d${file % 7}`, `f${file}`), data)
    bytes += data.length
  }
  return bytes
}

function randomPoints(count: number, upTo: number): number[] {
  return Array.from({ length: count }, () => Math.floor(Math.random() * upTo))
}

test('the build gets, byte for byte, the archive that the directory itself would give', async (t) => {
  const it = await bench(t)
  const { root } = it
  await mkdir(join(root, 'a b/empty'), { recursive: true })
  await writeFile(join(root, 'a b', 'ü\n%.sh'), 'x', { mode: 0o755 })
  await writeFile(join(root, 'a-b'), '')
  await writeFile(join(root, 'big'), randomBytes(2 * chunkSize + 1))
  await writeFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x66, 0xff])]), 'not UTF-8')
  await writeFile(join(root, '.dockerignore'), '.dockerignore\nsecret*\n')
  await writeFile(join(root, 'secret.txt'), 'stays at home')
  await symlink('../../etc/passwd', join(root, 'link'))
  await writeFile(join(root, 'n'.repeat(200)), 'long')
  await utimes(join(root, 'a-b'), -5, -5)
  await pushTo(await remoteAt(t, it, it.api.socket), root)
  assert.deepEqual(it.seen, [await tarDigest(root)])
})

test('a push asks no more of the server than it must: few requests, whatever the line takes for each', async (t) => {
  const it = await bench(t)
  await writeFile(join(it.root, 'a'), 'a')
  const push = async (): Promise<string[]> => {
    const remote = await remoteAt(t, it, it.api.socket)
    const { ask } = remote.transport
    const asked: string[] = []
    const transport = {
      ...remote.transport,
      ask: (what: Parameters<typeof ask>[0]) => {
        asked.push(`${what.method} ${what.path.replace(/push\/[^/]+/, 'push/ID').replace(/jobs\/[^/]+/, 'jobs/ID')}`)
        return ask(what)
      },
    }
    const known = await Remotes.open(join(it.api.home, 'client'))
    const { key, expected } = it.api
    await pushTo(new Remote(transport, { findKeys: () => findKeys({ keyFile: key }), known, expected }), it.root)
    return asked
  }
  const first = [
    'POST /v1/challenge',
    'POST /v1/push',
    'POST /v1/push/ID/segments',
    'POST /v1/push/ID/blobs?commit',
    'GET /v1/jobs/ID/events?after=-1',
  ]
  assert.deepEqual(await push(), first)
  assert.deepEqual(await push(), [
    'POST /v1/challenge',
    'POST /v1/push',
    'POST /v1/push/ID/commit',
    'GET /v1/jobs/ID/events?after=-1',
  ])
  await writeFile(join(it.root, 'a'), 'b')
  assert.deepEqual(await push(), first)
})

test('names that differ only in case are told of, and pushed', async (t) => {
  const it = await bench(t)
  for (const name of ['a', 'Ä', 'READ.me', 'b', 'read.ME', 'ä']) await writeFile(join(it.root, name), name)
  const events = await pushTo(await remoteAt(t, it, it.api.socket), it.root)
  assert.deepEqual(
    events.filter(({ type }) => type === 'warning'),
    [{ type: 'warning', message: 'READ.me and read.ME differ only in case: on some machines they are one file.' }],
  )
  await rm(join(it.root, 'b'))
  await rm(join(it.root, 'read.ME'))
  assert.deepEqual(
    (await pushTo(await remoteAt(t, it, it.api.socket), it.root)).filter(({ type }) => type === 'warning'),
    [{ type: 'warning', message: 'Ä and ä differ only in case: on some machines they are one file.' }],
  )
})

test('cut at 20 random points of 200 MB, a push goes on: no blob that has arrived travels again', async (t) => {
  const it = await bench(t)
  const megabytes = Number(process.env['MYPAAS_TEST_MEGABYTES'] ?? 200)
  const bytes = await fill(it.root, megabytes)
  const points = randomPoints(20, bytes)
  const proxy: CuttingProxy = await cuttingProxy(t, {
    path: join(it.api.home, 'p.sock'),
    target: it.api.socket,
    cutAt: points,
    down: 1,
  })
  const remote = await remoteAt(t, it, proxy.path)
  const events = await pushTo(remote, it.root)
  assert.equal(proxy.cuts, 20, `cut at ${points.join(' ')}`)
  assert.ok(events.some(({ type }) => type === 'line-broke'))
  assert.deepEqual(it.seen, [await tarDigest(it.root)])
  const store = await it.api.pushes.store('blog')
  // What a cut costs is the frame that it hits, a chunk at most, and the requests around it.
  const limit = bytes * 1.002 + 20 * (chunkSize + 64 * 1024)
  assert.ok(proxy.sentBytes < limit, `${proxy.sentBytes} bytes for ${bytes}, at most ${Math.round(limit)}`)
  assert.ok(store.bytes < bytes + 100_000, 'each blob is kept once')
  t.diagnostic(`${bytes} bytes, ${proxy.sentBytes} on the wire, cut at ${proxy.cuts} points`)
})

test('a line that breaks while a deploy is followed loses no event and shows none twice', async (t) => {
  const it = await bench(t)
  const proxy = await cuttingProxy(t, { path: join(it.api.home, 'p.sock'), target: it.api.socket, cutAt: [] })
  const remote = await remoteAt(t, it, proxy.path)
  const numbers = Array.from({ length: 60 }, (_, number) => number)
  let go = (): void => {}
  const begun = new Promise<void>((resolve) => {
    go = resolve
  })
  it.api.jobs.start({ what: 'push', service: 'blog', who: 'test' }, async (emit) => {
    await begun
    for (const number of numbers) {
      emit({ type: 'warning', message: String(number) })
      if (number % 20 === 10) proxy.cut()
      await sleep(2)
    }
    return 'done'
  })
  const seen: number[] = []
  const breaks: string[] = []
  const following = attach(remote, undefined, {
    onEvent: (event) => seen.push(Number((event as { message: string }).message)),
    onLineBroke: (message) => breaks.push(message),
  })
  go()
  assert.equal(await following, 'done')
  assert.deepEqual(seen, numbers)
  assert.ok(proxy.cuts === 3)
  // Also after its end, from the file, from any machine.
  const later: number[] = []
  await attach(await remoteAt(t, it, it.api.socket), undefined, {
    onEvent: (event) => later.push(Number((event as { message: string }).message)),
  })
  assert.deepEqual(later, numbers)
})

test('a push that is ended and begun anew sends only what had not arrived', async (t) => {
  const it = await bench(t)
  const bytes = await fill(it.root, 40)
  const proxy = await cuttingProxy(t, { path: join(it.api.home, 'p.sock'), target: it.api.socket, cutAt: [] })
  const remote = await remoteAt(t, it, proxy.path)
  const controller = new AbortController()
  const context = await readContext(it.root)
  await assert.rejects(
    push(remote, context, {
      root: it.root,
      service: 'blog',
      emit: (event) => {
        if (event.type === 'sent-part' && event.bytes > bytes / 2) controller.abort()
      },
      onEvent: () => {},
      signal: controller.signal,
    }),
    { code: 'aborted', message: 'Stopped: nothing was deployed.' },
  )
  assert.deepEqual(it.seen, [])
  const before = proxy.sentBytes
  await pushTo(remote, it.root)
  assert.ok(proxy.sentBytes - before < bytes * 0.6, `${proxy.sentBytes - before} of ${bytes} bytes were sent again`)
  const again = proxy.sentBytes
  await pushTo(remote, it.root)
  assert.ok(proxy.sentBytes - again < 20_000, `${proxy.sentBytes - again} bytes though nothing had changed`)
  assert.equal(it.seen.length, 2)
  assert.deepEqual(it.seen[0], it.seen[1])
})

test('who leaves a push at any of its requests is told what is true: nothing was deployed, or it goes on', async (t) => {
  const it = await bench(t)
  await fill(it.root, 5)
  const { jobs, expected, key, home, socket } = it.api
  const said = { nothing: 0, on: 0, ended: 0 }
  for (const request of ['challenge', 'push', 'segments', 'blobs?commit', 'commit', 'events?after=-1']) {
    for (const when of ['before', 'while', 'after'] as const) {
      // The first time there are segments and blobs to send, the second time there is nothing.
      if (request !== 'commit') await writeFile(join(it.root, 'new'), randomBytes(3 * chunkSize))
      const controller = new AbortController()
      const { signal } = controller
      const transport = openTransport({ kind: 'unix', path: socket })
      const ask: typeof transport.ask = async (asked) => {
        const isIt = asked.path.endsWith(`/${request}`)
        if (isIt && when === 'before') controller.abort()
        const answering = transport.ask(asked)
        if (isIt && when === 'while') setTimeout(() => controller.abort(), Math.random() * 4)
        const answer = await answering
        if (isIt && when === 'after') controller.abort()
        return answer
      }
      const known = await Remotes.open(join(home, 'client'))
      const findOurs = (): ReturnType<typeof findKeys> => findKeys({ keyFile: key })
      const remote = new Remote({ ...transport, ask }, { findKeys: findOurs, known, expected, signal })
      const before = (await jobs.list()).length
      const context = await readContext(it.root)
      const options = { root: it.root, service: 'blog', emit: () => {}, onEvent: () => {}, signal }
      const error: MypaasError = await push(remote, context, options).then(
        () => assert.fail('it can not succeed'),
        (error) => error as MypaasError,
      )
      transport.close()
      await sleep(50)
      const after = await jobs.list()
      const where = `${when} ${request}: ${error.message}`
      if (error.message === 'Stopped: nothing was deployed.') {
        said.nothing += 1
        assert.equal(after.length, before, where)
      } else {
        assert.equal(after.length, before + 1, where)
        const isOver = /this engine only looks/.test(error.message)
        said[isOver ? 'ended' : 'on'] += 1
        if (!isOver) {
          assert.equal(error.message, 'It goes on over there, with nobody here following it.', where)
          assert.match(error.hint ?? '', new RegExp(`mypaas attach \\S+ ${after[0]?.job}$`))
        }
      }
      for (const { job } of after) for await (const _ of jobs.follow(job, -1, new AbortController().signal));
    }
  }
  t.diagnostic(JSON.stringify(said))
  assert.ok(said.nothing >= 9 && said.on >= 3, JSON.stringify(said))
})

test('who leaves when the deploy was asked for and no answer comes is told that it may be on', async (t) => {
  const it = await bench(t)
  const controller = new AbortController()
  const { signal } = controller
  const transport = openTransport({ kind: 'unix', path: it.api.socket })
  t.after(() => transport.close())
  const ask: typeof transport.ask = async (asked) => {
    const answer = await transport.ask(asked)
    if (!asked.path.endsWith('?commit')) return answer
    controller.abort()
    return new Promise((_, reject) => asked.signal?.addEventListener('abort', () => reject(asked.signal?.reason)))
  }
  const known = await Remotes.open(join(it.api.home, 'client'))
  const findOurs = (): ReturnType<typeof findKeys> => findKeys({ keyFile: it.api.key })
  const remote = new Remote({ ...transport, ask }, { findKeys: findOurs, known, expected: it.api.expected, signal })
  const options = { root: it.root, service: 'blog', emit: () => {}, onEvent: () => {}, signal }
  await assert.rejects(push(remote, await readContext(it.root), options), {
    code: 'aborted',
    message: 'Stopped when the deploy had been asked for: it may be on over there.',
    hint: `If it is, this follows it: mypaas attach ${remote.name}`,
  })
})

test('the first ask of a follow is repeated when the line breaks, as the others are', async (t) => {
  const it = await bench(t)
  const transport = openTransport({ kind: 'unix', path: it.api.socket })
  t.after(() => transport.close())
  let refused = 0
  const ask: typeof transport.ask = (asked) => {
    const isFollow = asked.path.includes('/events') || asked.path === '/v1/call'
    if (!isFollow || refused >= 6) return transport.ask(asked)
    refused += 1
    return Promise.reject(new MypaasError('it is away for a moment', { code: 'unreachable' }))
  }
  const known = await Remotes.open(join(it.api.home, 'client'))
  const findOurs = (): ReturnType<typeof findKeys> => findKeys({ keyFile: it.api.key })
  const remote = new Remote({ ...transport, ask }, { findKeys: findOurs, known, expected: it.api.expected })
  await pushTo(remote, it.root)
  assert.equal(refused, 6)
  refused = 0
  await assert.rejects(attach(remote, undefined, { onEvent: () => {} }), /this engine only looks/)
  assert.equal(refused, 6)
})

test('a server that is not there, or goes away for good, is told from one that failed', async (t) => {
  const it = await bench(t)
  await fill(it.root, 5)
  const nowhere = await remoteAt(t, it, join(it.api.home, 'nothing.sock'))
  const options = { root: it.root, service: 'blog', emit: () => {}, onEvent: () => {}, patienceMs: 300 }
  const context = await readContext(it.root)
  await assert.rejects(
    push(nowhere, context, options),
    (error) =>
      error instanceof MypaasError &&
      error.code === 'unreachable' &&
      /I can't reach unix:.*nothing listens there/.test(error.message),
  )
  const proxy = await cuttingProxy(t, {
    path: join(it.api.home, 'p.sock'),
    target: it.api.socket,
    cutAt: [3_000_000],
    down: 1_000_000,
  })
  const remote = await remoteAt(t, it, proxy.path)
  await assert.rejects(
    push(remote, context, options),
    (error) => error instanceof MypaasError && error.code === 'unreachable',
  )
  assert.deepEqual(it.seen, [])
})

test('a file that is written to during the push ends it with the name of the file, and nothing is deployed', async (t) => {
  const it = await bench(t)
  await writeFile(join(it.root, 'log'), randomBytes(3 * chunkSize))
  const remote = await remoteAt(t, it, it.api.socket)
  const context = await readContext(it.root)
  await assert.rejects(
    push(remote, context, {
      root: it.root,
      service: 'blog',
      emit: async (event) => {
        if (event.type === 'hashed')
          (await import('node:fs')).writeFileSync(join(it.root, 'log'), randomBytes(3 * chunkSize))
      },
      onEvent: () => {},
    }),
    (error) =>
      error instanceof MypaasError &&
      error.code === 'context' &&
      error.message === 'log was written to during the push.',
  )
  assert.deepEqual(it.seen, [])
})
