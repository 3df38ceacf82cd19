import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { copyFile, cp, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { BlobStore } from '../../src/server/blobs.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mypaas-blobs-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

const blobOf = (data: Buffer) => ({ digest: createHash('sha256').update(data).digest('hex'), size: data.length })

async function put(store: BlobStore, ...contents: Buffer[]): Promise<number> {
  return store.put(contents.map(blobOf), Buffer.concat(contents))
}

test('what was kept is there when the store is opened again, once, however often it came', async (t) => {
  const path = await folder(t)
  const contents = [Buffer.from('a'), randomBytes(5000), Buffer.alloc(0)]
  const store = await BlobStore.open(path)
  assert.equal(await put(store, ...contents), 5001)
  assert.equal(await put(store, contents[1] as Buffer, Buffer.from('b'), Buffer.from('b')), 1)
  assert.equal(store.bytes, 5002)
  await store.sync()
  await store.close()
  const again = await BlobStore.open(path)
  t.after(() => again.close())
  for (const data of [...contents, Buffer.from('b')]) assert.deepEqual(again.read(blobOf(data).digest), data)
  assert.equal(again.bytes, 5002)
  assert.equal(await put(again, Buffer.from('c')), 1)
  assert.deepEqual(again.read(blobOf(Buffer.from('c')).digest), Buffer.from('c'))
})

test('what is not what its digest says is not kept, nor what came with it', async (t) => {
  const store = await BlobStore.open(await folder(t))
  t.after(() => store.close())
  const good = Buffer.from('good')
  await assert.rejects(
    store.put([blobOf(good), blobOf(Buffer.from('other'))], Buffer.from('goodwrong')),
    (error) => error instanceof MypaasError && error.code === 'context',
  )
  await assert.rejects(store.put([blobOf(good)], Buffer.from('goo')))
  assert.equal(store.has(blobOf(good).digest), false)
  assert.equal(store.bytes, 0)
})

test('wherever a crash cuts pack or list off, each blob is there whole or missing, and can come again', async (t) => {
  const path = await folder(t)
  const contents = Array.from({ length: 6 }, (_, at) => randomBytes(300 + at))
  const store = await BlobStore.open(path)
  await put(store, ...contents.slice(0, 2))
  await store.sync()
  const synced = (await stat(join(path, '1.pack'))).size
  for (const data of contents.slice(2)) await put(store, data)
  await store.close()
  const sizes = { '1.pack': (await stat(join(path, '1.pack'))).size, '1.list': (await stat(join(path, '1.list'))).size }
  for (const [name, size] of Object.entries(sizes)) {
    for (let length = name === '1.pack' ? synced : 0; length <= size; length += 41) {
      const copy = join(await folder(t), 'store')
      await cp(path, copy, { recursive: true })
      await truncate(join(copy, name), length)
      // As after a power cut: the file has its length, but not its bytes.
      if (name === '1.pack') await truncate(join(copy, name), size)
      const opened = await BlobStore.open(copy)
      for (const data of contents) {
        const { digest } = blobOf(data)
        if (opened.has(digest)) assert.deepEqual(opened.read(digest), data, `${name} cut at ${length}`)
      }
      await put(opened, ...contents)
      await opened.close()
      const later = await BlobStore.open(copy)
      for (const data of contents)
        assert.deepEqual(later.read(blobOf(data).digest), data, `${name} cut at ${length}, later`)
      await later.close()
    }
  }
})

test('damage on the disk is noticed when the blob is read; then it is missing and comes again', async (t) => {
  const path = await folder(t)
  const store = await BlobStore.open(path)
  t.after(() => store.close())
  const data = randomBytes(1000)
  await put(store, data)
  const pack = await readFile(join(path, '1.pack'))
  pack.writeUInt8(pack.readUInt8(500) ^ 1, 500)
  await writeFile(join(path, '1.pack'), pack)
  assert.throws(() => store.read(blobOf(data).digest), MypaasError)
  assert.equal(store.has(blobOf(data).digest), false)
  await put(store, data)
  assert.deepEqual(store.read(blobOf(data).digest), data)
})

test('a sweep keeps what is named and gives the room of the rest back', async (t) => {
  const path = await folder(t)
  const store = await BlobStore.open(path)
  const contents = Array.from({ length: 10 }, () => randomBytes(10_000))
  await put(store, ...contents)
  const kept = contents.slice(3, 5)
  await store.sweep(new Set(kept.map((data) => blobOf(data).digest)))
  assert.equal(store.bytes, 20_000)
  assert.deepEqual((await readdir(path)).sort(), ['2.list', '2.pack'])
  for (const data of kept) assert.deepEqual(store.read(blobOf(data).digest), data)
  assert.equal(store.has(blobOf(contents[0] as Buffer).digest), false)
  await put(store, contents[0] as Buffer)
  await store.close()
  const again = await BlobStore.open(path)
  t.after(() => again.close())
  for (const data of [...kept, contents[0] as Buffer]) assert.deepEqual(again.read(blobOf(data).digest), data)
})

test('a crash in the middle of a sweep loses nothing', async (t) => {
  const path = await folder(t)
  const store = await BlobStore.open(path)
  const contents = Array.from({ length: 4 }, () => randomBytes(1000))
  await put(store, ...contents)
  await store.close()
  const before = join(await folder(t), 'before')
  await cp(path, before, { recursive: true })
  const swept = await BlobStore.open(path)
  await swept.sweep(new Set(contents.map((data) => blobOf(data).digest)))
  await swept.close()
  // Both generations are there, and of the old one only half.
  for (const name of ['1.list', '1.pack']) {
    const both = join(await folder(t), 'both')
    await cp(path, both, { recursive: true })
    await copyFile(join(before, name), join(both, name))
    const opened = await BlobStore.open(both)
    for (const data of contents) assert.deepEqual(opened.read(blobOf(data).digest), data)
    await opened.close()
  }
})
