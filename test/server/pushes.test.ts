import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseMissing } from '../../src/push/missing.ts'
import { encodeFrame } from '../../src/push/packs.ts'
import { BlobStore } from '../../src/server/blobs.ts'
import { Push } from '../../src/server/pushes.ts'

test('after a cut nothing is called missing that came whole, also where the disk takes its time', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-pushes-'))
  const store = await BlobStore.open(folder)
  t.after(async () => {
    await store.close()
    await rm(folder, { recursive: true })
  })
  const put = store.put.bind(store)
  t.mock.method(store, 'put', async (...given: Parameters<typeof put>) => {
    await sleep(100)
    return put(...given)
  })
  const contents = ['a', 'b', 'c', 'd'].map((letter) => Buffer.alloc(100_000, letter))
  const segments = contents.map((data) => ({ digest: hash('sha256', data, 'hex'), size: data.length }))
  const index = { dockerfile: 'Dockerfile', entries: 0, bytes: 400_000, segments }
  const about = { id: 'i', token: 't', statement: {}, key: {}, index, indexText: '', store, limits: {} }
  const push = new Push(about as unknown as ConstructorParameters<typeof Push>[0])
  const body = async function* () {
    for (const at of [0, 1]) yield* await encodeFrame({ indexes: [at], data: contents[at] as Buffer }, false)
    throw new Error('cut')
  }
  await assert.rejects(
    push.receive('segments', body(), () => {}),
    /cut/,
  )
  assert.deepEqual(parseMissing(push.missing().segments, 4), [2, 3])
})
