import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readContext, tableOf } from '../../src/context/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { hashFiles } from '../../src/push/hash.ts'
import { HashCache } from '../../src/push/hash-cache.ts'
import { chunkSize } from '../../src/push/manifest.ts'
import { tableOfFiles } from '../support/table.ts'

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
  const context = await readContext(root)
  const hashed = await hashFiles(root, tableOf(context), { cacheFolder })
  await hashed.save()
  const { digests, starts } = hashed.chunks
  const list = digests.toString('latin1').match(/.{64}/g) ?? []
  const { entries } = context
  const of = Object.fromEntries(entries.map(({ path }, at) => [path, list.slice(starts[at], starts[at + 1])]))
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

test('many files are hashed with a worker, to the same digests, and kept for sending', async (t) => {
  const { root } = await site(t)
  const contentOf = (number: number): string => `${number} `.repeat(1 + (number % 500))
  for (let number = 0; number < 1200; number += 1) await writeFile(join(root, `f${number}`), contentOf(number))
  const large = randomBytes(20 * chunkSize + 5)
  await writeFile(join(root, 'large'), large)
  const { of, hashed, entries } = await digests(root)
  for (const [at, { path }] of entries.entries()) {
    if (!/^f\d/.test(path)) continue
    assert.deepEqual(of[path], [sha(contentOf(Number(path.slice(1))))])
    assert.deepEqual(hashed.read(at, 0).toString(), contentOf(Number(path.slice(1))))
  }
  assert.deepEqual(
    of['large'],
    Array.from({ length: 21 }, (_, chunk) => sha(large.subarray(chunk * chunkSize, (chunk + 1) * chunkSize))),
  )
})

test('a file that grew, shrank or went since the directory was read is named', async (t) => {
  const ways: [string, (file: string) => Promise<unknown>][] = [
    ['grown', (file) => writeFile(file, 'aaaa')],
    ['shrunk', (file) => truncate(file, 1)],
    ['gone', (file) => rm(file)],
    ['a directory now', (file) => rm(file).then(() => mkdir(file))],
    ['a link now', (file) => rm(file).then(() => symlink('/etc/passwd', file))],
  ]
  for (const [way, change] of ways) {
    const { root } = await site(t)
    const table = tableOf(await readContext(root))
    await change(join(root, 'a'))
    await assert.rejects(
      hashFiles(root, table),
      (error) => error instanceof MypaasError && error.message === 'a was written to during the push.',
      way,
    )
  }
})

test('what did not change since the last time is not read again', async (t) => {
  const { root, cacheFolder } = await site(t)
  await new Promise((resolve) => setTimeout(resolve, 150)) // at rest: longer than the clock ticks
  assert.equal((await digests(root, cacheFolder)).hashed.filesRead, 2)
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
  const files = [
    { path: 'a at rest', ...seen, hashedAtMs: 1_000_200, digest: '1' },
    { path: 'b just written', ...seen, hashedAtMs: 1_000_050, digest: '2' },
    { path: 'c just written, by a coarse clock', ...coarse, hashedAtMs: 1_001_500, digest: '3' },
    { path: 'd at rest, by a coarse clock', ...coarse, hashedAtMs: 1_002_500, digest: '4' },
  ]
  const digests = Buffer.from(files.map(({ digest }) => digest.repeat(64)).join(''))
  return folder(t).then(async (cacheFolder) => {
    const chunks = { digests, starts: Uint32Array.of(0, 1, 2, 3, 4) }
    const hashedAtMs = Float64Array.from(files, (file) => file.hashedAtMs)
    await new HashCache('/x', cacheFolder).save(tableOfFiles(files), chunks, hashedAtMs)
    const next = new HashCache('/x', cacheFolder)
    const rows = next.match(tableOfFiles(files))
    assert.deepEqual([...rows], [0, -1, -1, 3])
    const taken = { digests: Buffer.alloc(4 * 64, '-'), starts: chunks.starts }
    const takenAtMs = new Float64Array(4)
    next.take(rows, taken, takenAtMs)
    assert.equal(taken.digests.toString(), [...'1--4'].map((digit) => digit.repeat(64)).join(''))
    assert.deepEqual([...takenAtMs], [1_000_200, 0, 0, 1_002_500])
    for (const other of [{ size: 4 }, { mtimeMs: 1 }, { ctimeMs: 1 }, { inode: 6 }]) {
      assert.deepEqual([...next.match(tableOfFiles([{ path: 'a at rest', ...seen, ...other }]))], [-1])
    }
    assert.deepEqual([...new HashCache('/y', cacheFolder).match(tableOfFiles(files))], [-1, -1, -1, -1])
  })
})

test('files are found again whatever came before, between and behind them', async (t) => {
  const seen = { size: 3, mtimeMs: 1_000_000.25, ctimeMs: 1_000_000.25, inode: 5 }
  const tableOfPaths = (paths: string[]) => tableOfFiles(paths.map((path) => ({ path, ...seen })))
  const cacheFolder = await folder(t)
  const before = ['a', 'a/b', 'ab', 'c', 'c.d', 'c/d', 'e\xff']
  const digests = Buffer.from(before.map((_, at) => String(at).repeat(64)).join(''))
  const starts = Uint32Array.from({ length: before.length + 1 }, (_, at) => at)
  const hashedAtMs = new Float64Array(before.length).fill(2_000_000)
  await new HashCache('/x', cacheFolder).save(tableOfPaths(before), { digests, starts }, hashedAtMs)
  const now = ['A', 'a', 'a.b', 'ab', 'c.d', 'c/', 'c/d', 'd', 'e\xff', 'f']
  assert.deepEqual(
    [...new HashCache('/x', cacheFolder).match(tableOfPaths(now))],
    now.map((path) => before.indexOf(path)),
  )
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
  assert.equal((await digests(root, cacheFolder)).hashed.filesRead, 2)
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
