import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { MypaasError } from '../../src/errors.ts'
import { buildManifest, chunkSize, defaultLimits, type Manifest } from '../../src/push/manifest.ts'
import { encodeFrame } from '../../src/push/packs.ts'
import type { AuthorizedKey } from '../../src/server/keys.ts'
import type { PushQuota } from '../../src/server/push-quota.ts'
import { type Push, Pushes } from '../../src/server/pushes.ts'
import { storeSizes } from '../../src/server/store-sizes.ts'
import { chunksOf, tableOfFiles } from '../support/table.ts'

const mib = 1024 ** 2
const sha = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

type Content = Readonly<{ manifest: Manifest; chunks: readonly Buffer[] }>

const dockerfile = Buffer.from('FROM scratch\n')
let serial = 0

/** A Dockerfile, and a file of so many chunks, each with content of its own. */
function content(count: number): Content {
  const chunks = Array.from({ length: count }, () => {
    const data = Buffer.alloc(chunkSize)
    data.writeUInt32BE(++serial)
    return data
  })
  const sizes = { Dockerfile: dockerfile.length, data: count * chunkSize }
  const table = tableOfFiles(Object.entries(sizes).map(([path, size]) => ({ path, size })))
  const digests = chunksOf(Object.keys(sizes), (path) => (path === 'data' ? chunks : [dockerfile]).map(sha))
  return { manifest: buildManifest('Dockerfile', table, digests), chunks: [dockerfile, ...chunks] }
}

const admin = { fingerprint: 'admin', services: undefined } as AuthorizedKey
const limited = { fingerprint: 'x', services: ['x-*'] } as unknown as AuthorizedKey

type Store = Readonly<{
  pushes: Pushes
  quota: { -readonly [K in keyof PushQuota]: PushQuota[K] }
  folder: string
  known: Set<string>
}>

async function open(t: TestContext, quota: Partial<PushQuota>): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-store-'))
  const known = new Set<string>()
  const all = {
    limits: defaultLimits,
    storeBytes: 100 * mib,
    serviceBytes: 50 * mib,
    reserveBytes: 0,
    perKey: 100,
    inAll: 100,
    waitingPerKey: 100,
    idleMs: 60_000,
    ...quota,
  }
  const pushes = await Pushes.open(
    folder,
    async () => ({ ...all }),
    async (service) => known.has(service),
  )
  t.after(async () => {
    await pushes.close()
    await rm(folder, { recursive: true })
  })
  return { pushes, quota: all, folder, known }
}

async function begin({ pushes }: Store, service: string, { manifest }: Content, key: AuthorizedKey): Promise<Push> {
  const statement = { service, manifest: manifest.digest } as Parameters<Pushes['begin']>[0]
  return (await pushes.begin(statement, key, manifest.index.toString('latin1'))).push
}

async function send(push: Push, { manifest, chunks }: Content, upTo = chunks.length): Promise<void> {
  const body = (list: readonly Buffer[]) =>
    (async function* () {
      for (const [index, data] of list.entries()) yield* await encodeFrame({ indexes: [index], data }, false)
    })()
  await push.receive('segments', body(manifest.texts), () => {})
  await push.receive('blobs', body(chunks.slice(0, upTo)), () => {})
}

/** As a deploy that is over. */
async function pushWhole(store: Store, service: string, what: Content, key: AuthorizedKey): Promise<void> {
  const push = await begin(store, service, what, key)
  await send(push, what)
  await push.context()
  await push.kept()
  push.end()
}

const noRoom = (what: RegExp) => (error: unknown) =>
  error instanceof MypaasError && error.code === 'failed' && what.test(error.message)

test('a service takes no more than its share, whoever pushes it, and leaves the rest to others', async (t) => {
  const store = await open(t, { storeBytes: 20 * mib, serviceBytes: 10 * mib })
  await assert.rejects(begin(store, 'big', content(11), admin), noRoom(/no room for 11 MiB more of big .* of 10 MiB/))
  await pushWhole(store, 'big', content(9), admin)
  await pushWhole(store, 'other', content(9), admin)
})

test('more room that the server is given counts for the next push, also for one that is on', async (t) => {
  const store = await open(t, { storeBytes: 100 * mib, serviceBytes: 10 * mib })
  const on = await begin(store, 'on', content(9), admin)
  const what = content(11)
  await assert.rejects(begin(store, 'big', what, admin), noRoom(/of 10 MiB/))
  store.quota.serviceBytes = 20 * mib
  await pushWhole(store, 'big', what, admin)
  store.quota.limits = { ...defaultLimits, bytes: 5 * mib }
  await assert.rejects(begin(store, 'big', what, admin), { code: 'context' })
  assert.equal(on.isOver, false)
})

test('a limited key gets no more room by pushing under many names', async (t) => {
  const store = await open(t, { storeBytes: 30 * mib, serviceBytes: 15 * mib })
  for (const name of ['x-1', 'x-2']) await pushWhole(store, name, content(6), limited)
  await assert.rejects(
    begin(store, 'x-3', content(6), limited),
    noRoom(/more of the services of this key \(x-\*\) .* 12 MiB of 15 MiB/),
  )
  await pushWhole(store, 'victim', content(8), admin)
  // Of a service, by somebody else, only that one's counts.
  await pushWhole(store, 'x-3', content(6), admin)
})

test('what is sent and never deployed counts, too: the share is of what lies on the disk', async (t) => {
  const store = await open(t, { storeBytes: 100 * mib, serviceBytes: 10 * mib })
  const pushes: Push[] = []
  await assert.rejects(
    async () => {
      for (let round = 0; round < 20; round += 1) {
        const what = content(4)
        const push = await begin(store, `x-${round % 5}`, what, limited)
        pushes.push(push)
        await send(push, what, 3)
      }
    },
    noRoom(/no room for/),
  )
  const sizes = await storeSizes(store.folder)
  const sum = [...sizes.values()].reduce((a, b) => a + b, 0)
  assert.ok(sum <= 10 * mib, `${sum} on the disk`)
  assert.ok(pushes.length >= 3)
})

test('room is made of what only earlier pushes need, never of what a push that is on needs', async (t) => {
  const store = await open(t, { storeBytes: 100 * mib, serviceBytes: 10 * mib })
  for (let round = 0; round < 6; round += 1) await pushWhole(store, 'blog', content(4), admin)
  const on = content(4)
  const push = await begin(store, 'blog', on, admin)
  await send(push, on)
  // Waits for its turn to be built.
  const missing = push.missing()
  push.rest()
  assert.deepEqual(push.missing(), missing)
  const next = content(5)
  await send(await begin(store, 'blog', next, admin), next)
  const context = await push.context()
  assert.equal(context.dockerfile, 'Dockerfile')
  assert.ok(((await storeSizes(store.folder)).get('blog') ?? 0) <= 10 * mib)
})

test('a key has so many pushes that wait for their turn, and no more', async (t) => {
  const store = await open(t, { waitingPerKey: 3 })
  const what = content(1)
  const pushes: Push[] = []
  for (let n = 0; n < 3; n += 1) {
    const push = await begin(store, `x-${n}`, what, limited)
    await send(push, what)
    await push.context()
    push.job = `job-${n}`
    pushes.push(push)
  }
  await assert.rejects(
    begin(store, 'x-9', what, limited),
    (error) =>
      error instanceof MypaasError && error.code === 'locked' && /^3 pushes of this key are on/.test(error.message),
  )
  await begin(store, 'x-9', what, admin)
  pushes[0]?.end()
  await begin(store, 'x-9', what, limited)
})

test('stores count that were not opened since the daemon was started', async (t) => {
  const store = await open(t, { storeBytes: 20 * mib, serviceBytes: 15 * mib })
  await pushWhole(store, 'x-1', content(12), limited)
  await store.pushes.close()
  await assert.rejects(begin(store, 'x-2', content(4), limited), noRoom(/12 MiB of 15 MiB/))
  await assert.rejects(begin(store, 'other', content(9), admin), noRoom(/12 MiB of 20 MiB for pushes are used/))
})

test('what was removed with its service takes up no room, and the next push brings everything anew', async (t) => {
  const store = await open(t, { storeBytes: 20 * mib, serviceBytes: 10 * mib })
  const what = content(8)
  await pushWhole(store, 'x-1', what, limited)
  await rm(join(store.folder, 'x-1'), { recursive: true })
  await pushWhole(store, 'x-2', content(8), limited)
  await rm(join(store.folder, 'x-2'), { recursive: true })
  await store.pushes.forgetRemoved()
  await pushWhole(store, 'x-1', what, limited)
  assert.deepEqual(await readdir(store.folder), ['x-1'])
})

test('a push that begins while its service is removed, and its store looked at, brings everything', async (t) => {
  const store = await open(t, { perKey: 1000, inAll: 1000 })
  const what = content(1)
  for (let round = 0; round < 30; round += 1) {
    await pushWhole(store, 'x-1', what, limited)
    await pushWhole(store, 'x-2', what, limited)
    await rm(join(store.folder, 'x-1'), { recursive: true })
    const before = new Date(Date.now() - 25 * 3_600_000)
    await utimes(join(store.folder, 'x-2', 'recent.json'), before, before)
    // At every turn of the loop somebody else may look: the timer, the end of a deploy, another push.
    let looking = true
    const look = async (act: () => Promise<void>): Promise<void> => {
      while (looking) {
        await act()
        await turn()
      }
    }
    const looks = [look(() => store.pushes.forgetRemoved()), look(() => store.pushes.collectGarbage(['x-2']))]
    for (let turns = round; turns > 0; turns -= 1) await turn()
    try {
      await Promise.all(['x-1', 'x-2'].map((service) => pushWhole(store, service, what, limited)))
    } finally {
      looking = false
      await Promise.all(looks)
    }
    assert.deepEqual((await readdir(store.folder)).sort(), ['x-1', 'x-2'])
  }
})

test('what was pushed for a service that never came to be goes after a day', async (t) => {
  const store = await open(t, {})
  for (const name of ['known', 'never']) await pushWhole(store, name, content(1), admin)
  store.known.add('known')
  const before = new Date(Date.now() - 25 * 3_600_000)
  for (const name of ['known', 'never']) await utimes(join(store.folder, name, 'recent.json'), before, before)
  await store.pushes.collectGarbage()
  assert.deepEqual(await readdir(store.folder), ['known'])
})
