import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  linkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { extract, type Header } from 'tar-stream'
import { type Context, type ContextEntry, packEntries, readContext } from '../../src/context/index.ts'
import { assertSameFiles, collect, inventory, type Planted, plant, plantIn, plantMany, unpack } from './tree.ts'

/** What tar-stream, a reader of somebody else, finds in an archive. */
async function list(archive: Uint8Array): Promise<(Header & { digest: string })[]> {
  const found: (Header & { digest: string })[] = []
  const reader = extract()
  reader.on('entry', (header, stream, next) => {
    const hash = createHash('sha256')
    stream.on('data', (bytes) => hash.update(bytes as Buffer))
    stream.on('end', () => {
      found.push({ ...header, digest: hash.digest('hex') })
      next()
    })
  })
  const done = new Promise<void>((resolve, reject) => reader.on('finish', () => resolve()).on('error', reject))
  reader.end(archive)
  await done
  return found
}

const fromDisk = (root: string) => (entry: ContextEntry) =>
  readFile(Buffer.concat([Buffer.from(`${root}/`), entry.rawPath ?? Buffer.from(entry.path)]))

const rejectsWith = async (context: Context, message: string | RegExp): Promise<void> => {
  await assert.rejects(collect(context.tar()), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'context')
    if (typeof message === 'string') assert.equal(error.message, message)
    else assert.match(error.message, message)
    return true
  })
}

test('an archive unpacks to the same files, modes, times and links', async (t) => {
  const root = plant(t, {
    Dockerfile: { content: 'FROM scratch\n', mode: 0o644, mtimeMs: 1_700_000_000_999 },
    'bin/run': { content: '#!/bin/sh\n', mode: 0o755, mtimeMs: 1_000_000_000_000 },
    'bin/suid': { content: 'x', mode: 0o4755 },
    'a/b/c/d': { content: Buffer.alloc(513, 1) },
    exact: { content: Buffer.alloc(512, 2) },
    large: { content: Buffer.alloc(1_500_000, 3) },
    empty: '',
    folder: { directory: true, mode: 0o2775, mtimeMs: 1_234_567_890_000 },
    'umläut/\u{1F600}': 'unicode',
    link: { link: '../outside/of/it', mtimeMs: 1_111_111_111_000 },
    absolute: { link: '/etc/passwd' },
  })
  const archive = await collect((await readContext(root)).tar())
  const unpacked = await unpack(t, archive)
  await assertSameFiles(root, unpacked)
  assert.deepEqual(await inventory(unpacked), await inventory(root))
  assert.equal(archive.length % 512, 0)
  assert.ok(archive.subarray(-1024).every((byte) => byte === 0))
})

test('owner is 0:0 without names, and only whole seconds of the modification time are kept', async (t) => {
  const root = plant(t, { Dockerfile: { content: 'x', mtimeMs: 1_700_000_000_999 } })
  const [header] = await list(await collect((await readContext(root)).tar()))
  const { uid, gid, uname, gname, mtime, pax, type } = header ?? {}
  assert.deepEqual(
    { uid, gid, uname, gname, mtime: mtime?.getTime(), pax, type },
    { uid: 0, gid: 0, uname: '', gname: '', mtime: 1_700_000_000_000, pax: null, type: 'file' },
  )
})

test('names and link targets of any length and any bytes come through', async (t) => {
  const part = (length: number, letter: string) => letter.repeat(length)
  const planted: Record<string, Planted> = { Dockerfile: '' }
  for (const length of [98, 99, 100, 101, 155, 200, 255]) planted[part(length, 'f')] = `file ${length}`
  for (const length of [98, 99, 100, 101, 155, 156, 255]) planted[`${part(length, 'd')}/x`] = `in ${length}`
  for (const length of [98, 99, 100, 101, 254]) planted[`${part(length, 'e')}`] = null
  for (const length of [99, 100, 101, 255, 4000]) planted[`link-${length}`] = { link: part(length, 't') }
  planted[`${part(154, 'p')}/${part(99, 'q')}`] = 'fits'
  planted[`${part(155, 'p')}/${part(100, 'q')}`] = 'fits just'
  planted[`${part(155, 'p')}/${part(101, 'q')}`] = 'does not'
  planted[Array(12).fill(part(250, 'z')).join('/')] = 'three thousand bytes'
  planted[`${part(80, 'ä')}/${part(60, '\u{1F600}')}`] = 'unicode'
  const root = plant(t, planted)
  for (const length of [50, 101, 255]) {
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.alloc(length, 0xfe)]), `raw ${length}`)
  }
  symlinkSync(Buffer.alloc(150, 0xfd), join(root, 'raw link'))
  const context = await readContext(root)
  const archive = await collect(context.tar())
  const unpacked = await unpack(t, archive)
  await assertSameFiles(root, unpacked)
  assert.deepEqual(await inventory(unpacked), await inventory(root))
  assert.deepEqual(
    (await list(archive)).map((header) => header.name.replace(/\/$/, '')),
    context.entries.map((entry) => entry.path),
  )
})

test('times that a plain header has no room for come through', async (t) => {
  const root = plant(t, {
    Dockerfile: '',
    before: { content: 'x', mtimeMs: -86_400_000 },
    'just before': { content: 'x', mtimeMs: -500 },
    late: { content: 'x', mtimeMs: 8_600_000_000_000 },
    'very late': { content: 'x', mtimeMs: 14_000_000_000_000 },
  })
  const context = await readContext(root)
  const unpacked = await unpack(t, await collect(context.tar()))
  const again = await readContext(unpacked)
  assert.deepEqual(
    again.entries.slice(1).map((entry) => entry.mtimeMs),
    [-86_400_000, -1000, 8_600_000_000_000, 14_000_000_000_000],
  )
})

test('a file of more than 8 GiB has its whole size in the header', async (t) => {
  const size = 9 * 1024 ** 3 + 1
  const root = plant(t, { Dockerfile: '' })
  writeFileSync(join(root, 'huge'), '')
  truncateSync(join(root, 'huge'), size)
  const context = await readContext(root)
  assert.equal(context.totalBytes, size)
  const reader = extract()
  const header = new Promise<Header>((resolve) =>
    reader.on('entry', (found, stream, next) => {
      if (found.name === 'huge') return resolve(found)
      stream.resume()
      next()
    }),
  )
  for await (const part of context.tar()) {
    reader.write(part)
    break
  }
  assert.equal((await header).size, size)
  reader.destroy()
})

test('holes are zeros', async (t) => {
  const root = plant(t, { Dockerfile: '' })
  writeFileSync(join(root, 'sparse'), 'start')
  truncateSync(join(root, 'sparse'), 3_000_000)
  appendFileSync(join(root, 'sparse'), 'end')
  const archive = await collect((await readContext(root)).tar())
  assert.deepEqual(
    (await list(archive)).map(({ name, type, size }) => [name, type, size]),
    [
      ['Dockerfile', 'file', 0],
      ['sparse', 'file', 3_000_003],
    ],
  )
  await assertSameFiles(root, await unpack(t, archive))
})

test('of a file with several names the first is sent, the others are hard links', async (t) => {
  const long = `${'l'.repeat(120)}/${'m'.repeat(120)}`
  const root = plant(t, {
    Dockerfile: 'FROM scratch',
    '.dockerignore': 'left/out\n.dockerignore\n',
    'a/one': { content: 'shared', mode: 0o755 },
    [long]: Buffer.from([1]),
    'left/out': 'x',
    outside: 'only one name is in here',
  })
  const links = [
    ['a/one', 'two'],
    ['a/one', 'a/ö'],
    ['a/one', 'left/three'],
    [long, 'short'],
    ['left/out', 'left/stays'],
    ['.dockerignore', 'copy-of-ignore'],
    ['Dockerfile', 'A-copy-of-it'],
    ['Dockerfile', 'z-copy-of-it'],
  ] as const
  for (const [from, to] of links) linkSync(join(root, from), join(root, to))
  linkSync(join(root, 'outside'), `${root}-outside`)
  t.after(() => rmSync(`${root}-outside`))
  const context = await readContext(root)
  const archive = await collect(context.tar())
  const linked = (await list(archive)).map(({ name, type, size, linkname }) => [name, type, size, linkname])
  assert.deepEqual(
    linked.filter(([, type]) => type !== 'directory'),
    [
      ['.dockerignore', 'file', 23, null],
      ['A-copy-of-it', 'file', 12, null],
      // The builder itself reads it.
      ['Dockerfile', 'file', 12, null],
      ['a/one', 'file', 6, null],
      ['a/ö', 'link', 0, 'a/one'],
      ['copy-of-ignore', 'file', 23, null],
      ['left/stays', 'file', 1, null],
      ['left/three', 'link', 0, 'a/one'],
      [long, 'file', 1, null],
      ['outside', 'file', 24, null],
      ['short', 'link', 0, long],
      ['two', 'link', 0, 'a/one'],
      ['z-copy-of-it', 'link', 0, 'A-copy-of-it'],
    ],
  )
  assert.equal(context.totalBytes, 23 + 12 + 12 + 6 + 23 + 1 + 1 + 24)
  assert.deepEqual(await collect(packEntries(context.entries, fromDisk(root))), archive)
  const unpacked = await unpack(t, archive)
  const { ino, nlink } = statSync(join(unpacked, 'a/one'))
  assert.deepEqual([statSync(join(unpacked, 'two')).ino, nlink], [ino, 4])
})

test('hard links of a large directory come out as they went in, whoever packs them', async (t) => {
  const root = plant(t, { Dockerfile: '' })
  plantMany(root, 3000)
  for (let index = 0; index < 3000; index += 7)
    linkSync(join(root, `directory-${Math.floor(index / 100)}/file-${index}.txt`), join(root, `link-${index}`))
  const context = await readContext(root)
  assert.equal(
    context.entries.filter(({ type, linkTarget }) => type === 'file' && linkTarget !== undefined).length,
    429,
  )
  const unpacked = await unpack(t, await collect(context.tar()))
  await assertSameFiles(root, unpacked)
  assert.equal(statSync(join(unpacked, 'link-700')).ino, statSync(join(unpacked, 'directory-7/file-700.txt')).ino)
})

test('the same files give the same bytes, wherever they lie and whatever order they were made in', async (t) => {
  const files: [string, Planted][] = ['Dockerfile', 'b', 'a/x', 'a-x', 'c/d/e', 'ä'].map((path) => [
    path,
    { content: path, mode: 0o640, mtimeMs: 1_500_000_000_000 },
  ])
  const archives = [files, files.toReversed()].map(async (order) => {
    const root = plant(t, Object.fromEntries(order))
    for (const folder of ['a', 'c/d', 'c']) utimesSync(join(root, folder), 1_500_000_000, 1_500_000_000)
    const context = await readContext(root)
    const first = await collect(context.tar())
    assert.deepEqual(await collect(context.tar()), first)
    return first
  })
  const [one, other] = await Promise.all(archives)
  assert.deepEqual(one, other)
})

test('for BuildKit an ignored .dockerignore stays at home, the Dockerfile does not', async (t) => {
  const names = async (ignore: string, builder?: 'buildkit' | 'classic') => {
    const root = plant(t, { Dockerfile: 'FROM scratch', '.dockerignore': ignore, a: '' })
    const archive = await collect((await readContext(root)).tar(builder === undefined ? {} : { builder }))
    return (await list(archive)).map((header) => header.name)
  }
  assert.deepEqual(await names('.dockerignore\nDockerfile\n', 'buildkit'), ['Dockerfile', 'a'])
  assert.deepEqual(await names('.dockerignore\nDockerfile\n', 'classic'), ['.dockerignore', 'Dockerfile', 'a'])
  assert.deepEqual(await names('.dockerignore\nDockerfile\n'), ['.dockerignore', 'Dockerfile', 'a'])
  assert.deepEqual(await names('Dockerfile\n', 'buildkit'), ['.dockerignore', 'Dockerfile', 'a'])
})

test('a file that is not what it was ends the archive with an error that names it', async (t) => {
  const change = async (content: string | Buffer, act: (file: string) => void, message: string) => {
    const root = plant(t, { Dockerfile: '', 'data/x.log': content })
    const context = await readContext(root)
    act(join(root, 'data/x.log'))
    await rejectsWith(context, `data/x.log ${message}`)
  }
  await change(
    '12345',
    (file) => appendFileSync(file, '6'),
    'changed while it was packed: it had 5 bytes and now has more.',
  )
  await change(
    '12345',
    (file) => truncateSync(file, 4),
    'changed while it was packed: it had 5 bytes and now has fewer.',
  )
  await change(
    '12345',
    (file) => truncateSync(file, 0),
    'changed while it was packed: it had 5 bytes and now has fewer.',
  )
  await change('12345', (file) => rmSync(file), 'changed while it was packed: it is gone.')
  const toLink = (file: string) => {
    rmSync(file)
    symlinkSync('/etc/hosts', file)
  }
  await change('12345', toLink, 'changed while it was packed: it is no longer a file.')
  // The archive's parts end where the file does.
  const atEdge = 256 * 1024 - 3 * 512
  const grow = (file: string) => appendFileSync(file, '6')
  await change(Buffer.alloc(atEdge), grow, `changed while it was packed: it had ${atEdge} bytes and now has more.`)
})

test('a large file that is replaced while its parts are read is found out', async (t) => {
  const root = plant(t, { Dockerfile: '', large: Buffer.alloc(3_000_000, 1) })
  const parts = (await readContext(root)).tar()[Symbol.asyncIterator]()
  assert.equal((await parts.next()).done, false)
  writeFileSync(join(root, 'other'), Buffer.alloc(3_000_000, 2))
  utimesSync(join(root, 'other'), 1, 1)
  renameSync(join(root, 'other'), join(root, 'large'))
  await assert.rejects(parts.next(), { message: 'large changed while it was packed: it was written to.' })
})

test('an aborted archive ends with the reason', async (t) => {
  const root = plant(t, { Dockerfile: '', large: Buffer.alloc(3_000_000, 1) })
  const reason = new Error('enough')
  const controller = new AbortController()
  const context = await readContext(root, { signal: controller.signal })
  const parts = context.tar({ signal: controller.signal })[Symbol.asyncIterator]()
  await parts.next()
  controller.abort(reason)
  await assert.rejects(parts.next(), reason)
  await assert.rejects(collect(context.tar({ signal: controller.signal })), reason)
  await assert.rejects(readContext(root, { signal: controller.signal }), reason)
})

const name = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^[a-c .!_-]{1,6}$/) },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }) },
  { weight: 1, arbitrary: fc.integer({ min: 90, max: 250 }).map((length) => 'l'.repeat(length)) },
)
const usable = name.filter(
  (text) =>
    !/[/\0]/.test(text) &&
    text !== '.' &&
    text !== '..' &&
    Buffer.byteLength(text) <= 250 &&
    !/\p{Surrogate}/u.test(text),
)
const planted = fc.record({
  path: fc.array(usable, { minLength: 1, maxLength: 4 }),
  kind: fc.constantFrom('file', 'file', 'file', 'link', 'directory', 'same'),
  size: fc.oneof(fc.constantFrom(0, 1, 511, 512, 513, 1024), fc.integer({ min: 0, max: 20_000 })),
  mode: fc.constantFrom(0o644, 0o600, 0o755, 0o444, 0o4755, 0o1777),
  mtimeMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
})

test('any tree comes out of the archive as it went in, and packEntries makes the same archive of it', async (t) => {
  const property = fc.asyncProperty(fc.array(planted, { maxLength: 12 }), async (things) => {
    const root = plant(t, { Dockerfile: 'FROM scratch' })
    let first: string | undefined
    for (const { path, kind, size, mode, mtimeMs } of things) {
      const thing =
        kind === 'file'
          ? { content: Buffer.alloc(size, 7), mode, mtimeMs }
          : kind === 'link'
            ? { link: path.join('/'), mtimeMs }
            : { directory: true, mode: mode | 0o700 }
      try {
        if (kind === 'same') linkSync(join(root, first ?? 'Dockerfile'), join(root, path.join('/')))
        else plantIn(root, { [path.join('/')]: thing })
        if (kind === 'file') first ??= path.join('/')
      } catch (error) {
        // A file where another one's directory should be, or the same name twice.
        assert.match(String((error as NodeJS.ErrnoException).code), /^(EEXIST|ENOTDIR|EISDIR|ENOENT|ELOOP)$/)
      }
    }
    execFileSync('find', [root, '-mindepth', '1', '-type', 'd', '-exec', 'touch', '-d', '@1000000000', '{}', '+'])
    const context = await readContext(root)
    const archive = await collect(context.tar())
    const unpacked = await unpack(t, archive)
    await assertSameFiles(root, unpacked)
    assert.deepEqual(await inventory(unpacked), await inventory(root))
    const paths = context.entries.map((entry) => Buffer.from(entry.path))
    assert.deepEqual(paths, paths.toSorted(Buffer.compare))
    assert.deepEqual(await collect(packEntries(context.entries, fromDisk(root))), archive)
  })
  await fc.assert(property, { numRuns: 40, interruptAfterTimeLimit: 60_000 })
})

test('packEntries takes contents in any pieces, and refuses the wrong amount of them', async () => {
  const entry: ContextEntry = { path: 'a', type: 'file', mode: 0o644, mtimeMs: 0, size: 600_000 }
  const whole = Buffer.alloc(600_000, 5)
  const expected = await collect(packEntries([entry], () => whole))
  const pieces = async function* (length: number) {
    for (let at = 0; at < length; at += 1000)
      yield whole.subarray(at % 600_000, Math.min((at % 600_000) + 1000, length))
  }
  assert.deepEqual(await collect(packEntries([entry], () => pieces(600_000))), expected)
  assert.deepEqual(
    await collect(packEntries([entry], () => Promise.resolve([whole.subarray(0, 1), whole.subarray(1)]))),
    expected,
  )
  const packs = (given: Uint8Array) => collect(packEntries([entry], () => given))
  await assert.rejects(packs(whole.subarray(1)), {
    code: 'context',
    message: 'a should have 600000 bytes and has fewer.',
  })
  await assert.rejects(packs(Buffer.alloc(600_001)), {
    code: 'context',
    message: 'a should have 600000 bytes and has more.',
  })
})

test('packEntries refuses paths that lead out of the context', async () => {
  for (const path of ['', '/etc', '../x', 'a/../b', 'a//b', 'a/', './a', 'a\0b']) {
    const entry: ContextEntry = { path, type: 'file', mode: 0o644, mtimeMs: 0, size: 0 }
    await assert.rejects(collect(packEntries([entry], () => Buffer.alloc(0))), { code: 'context' }, path)
  }
})
