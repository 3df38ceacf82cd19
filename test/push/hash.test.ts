import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readContext } from '../../src/context/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { hashFiles } from '../../src/push/hash.ts'
import { HashCache } from '../../src/push/hash-cache.ts'
import { chunkSize } from '../../src/push/manifest.ts'

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mypaas-hash-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

const sha = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex')

async function site(t: TestContext): Promise<{ root: string; cacheFolder: string }> {
  const root = await folder(t)
  await writeFile(join(root, 'Dockerfile'), 'FROM scratch\n')
  await writeFile(join(root, 'a'), 'aaa')
  await writeFile(join(root, 'empty'), '')
  const old = new Date(Date.now() - 60_000)
  for (const name of ['Dockerfile', 'a', 'empty']) await utimes(join(root, name), old, old)
  return { root, cacheFolder: await folder(t) }
}

async function digests(root: string, cacheFolder?: string) {
  const { entries } = await readContext(root)
  const hashed = await hashFiles(root, entries, { cacheFolder })
  const of = Object.fromEntries(entries.map(({ path }, at) => [path, hashed.digestsOf(at)]))
  return { hashed, of, entries }
}

test('files are hashed in chunks, and read again in chunks', async (t) => {
  const { root } = await site(t)
  const big = randomBytes(2 * chunkSize + 10)
  await writeFile(join(root, 'big'), big)
  const { of, hashed, entries } = await digests(root)
  assert.deepEqual(of, {
    Dockerfile: [sha('FROM scratch\n')],
    a: [sha('aaa')],
    big: [0, 1, 2].map((chunk) => sha(big.subarray(chunk * chunkSize, (chunk + 1) * chunkSize))),
    empty: [],
  })
  const at = entries.findIndex(({ path }) => path === 'big')
  assert.deepEqual(hashed.read(at, 2 * chunkSize), big.subarray(2 * chunkSize))
})

test('what did not change since the last time is not read again', async (t) => {
  const { root, cacheFolder } = await site(t)
  await new Promise((resolve) => setTimeout(resolve, 150)) // at rest: longer than the clock ticks
  assert.equal((await digests(root, cacheFolder)).hashed.filesRead, 3)
  const again = await digests(root, cacheFolder)
  assert.equal(again.hashed.filesRead, 0)
  assert.deepEqual(again.of['a'], [sha('aaa')])
})

test('a change is seen that leaves size and time of modification as they were', async (t) => {
  const { root, cacheFolder } = await site(t)
  await new Promise((resolve) => setTimeout(resolve, 150))
  await digests(root, cacheFolder)
  const { atime, mtime } = await stat(join(root, 'a'))
  await writeFile(join(root, 'a'), 'bbb')
  await utimes(join(root, 'a'), atime, mtime)
  assert.deepEqual((await digests(root, cacheFolder)).of['a'], [sha('bbb')])
})

test('a file that was written to in the moment before it was hashed is hashed again', (t: TestContext) => {
  const seen = { size: 3, mtimeMs: 1_000_000.25, ctimeMs: 1_000_000.25, inode: 5 }
  const coarse = { ...seen, mtimeMs: 1_000_000, ctimeMs: 1_000_000 }
  return folder(t).then((cacheFolder) => {
    const cache = new HashCache('/x', cacheFolder)
    cache.set('a at rest', seen, 1_000_200, '1'.repeat(64))
    cache.set('b just written', seen, 1_000_050, '2'.repeat(64))
    cache.set('c just written, by a coarse clock', coarse, 1_001_500, '3'.repeat(64))
    cache.set('d at rest, by a coarse clock', coarse, 1_002_500, '4'.repeat(64))
    cache.save()
    const next = new HashCache('/x', cacheFolder)
    assert.equal(next.get('a at rest', seen), '1'.repeat(64))
    assert.equal(next.get('b just written', seen), undefined)
    assert.equal(next.get('c just written, by a coarse clock', coarse), undefined)
    assert.equal(next.get('d at rest, by a coarse clock', coarse), '4'.repeat(64))
    for (const other of [{ size: 4 }, { mtimeMs: 1 }, { ctimeMs: 1 }, { inode: 6 }]) {
      assert.equal(new HashCache('/x', cacheFolder).get('a at rest', { ...seen, ...other }), undefined)
    }
  })
})

test('a damaged cache counts as none', async (t) => {
  const { root, cacheFolder } = await site(t)
  await new Promise((resolve) => setTimeout(resolve, 150))
  await digests(root, cacheFolder)
  const [name] = await readdir(cacheFolder)
  const file = join(cacheFolder, name as string)
  const whole = await readFile(file)
  for (let at = 0; at < whole.length; at += 7) {
    const damaged = Buffer.from(whole)
    damaged.writeUInt8(damaged.readUInt8(at) ^ 0xff, at)
    await writeFile(file, damaged)
    assert.deepEqual((await digests(root, cacheFolder)).of['a'], [sha('aaa')], `byte ${at}`)
    await writeFile(file, whole)
  }
  await truncate(file, whole.length - 1)
  assert.equal((await digests(root, cacheFolder)).hashed.filesRead, 3)
})

test('a file that changes between hashing and sending ends the push with its name', async (t) => {
  const { root } = await site(t)
  await writeFile(join(root, 'big'), randomBytes(chunkSize + 10))
  const { hashed, entries } = await digests(root)
  await writeFile(join(root, 'big'), randomBytes(chunkSize + 10))
  const at = entries.findIndex(({ path }) => path === 'big')
  assert.throws(
    () => hashed.read(at, 0),
    (error) =>
      error instanceof MypaasError &&
      error.code === 'context' &&
      error.message === 'big was written to during the push.',
  )
})
