import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Header, pack } from 'tar-stream'
import { DockerError, readArchive, unpackArchive } from '../../src/docker/index.ts'

type Entry = Partial<Header> & { name: string; text?: string }

test('entries come with what an archive knows of them', async () => {
  const mtime = new Date(1_700_000_000_000)
  const archive = tar(
    { name: 'etc/', type: 'directory', mode: 0o750, mtime },
    { name: './etc/passwd', text: 'root', mode: 0o640, uid: 3, gid: 4, mtime },
    { name: 'etc/link', type: 'symlink', linkname: 'passwd', mtime },
    { name: 'etc/hard', type: 'link', linkname: './etc/passwd', mtime },
    { name: 'dev/null', type: 'character-device', devmajor: 1, devminor: 3, mtime },
  )
  const seen: unknown[] = []
  for await (const { body, mtime, mode, ...entry } of readArchive(archive)) {
    const parts: Uint8Array[] = []
    for await (const part of body) parts.push(part)
    seen.push({ ...entry, mode: mode.toString(8), time: mtime.getTime(), text: Buffer.concat(parts).toString() })
  }
  const root = { uid: 0, gid: 0, time: mtime.getTime(), text: '', size: 0, target: undefined }
  assert.deepEqual(seen, [
    { ...root, path: 'etc', type: 'directory', mode: '750' },
    { ...root, path: 'etc/passwd', type: 'file', mode: '640', size: 4, uid: 3, gid: 4, text: 'root' },
    { ...root, path: 'etc/link', type: 'symlink', mode: '644', target: 'passwd' },
    { ...root, path: 'etc/hard', type: 'link', mode: '644', target: 'etc/passwd' },
    { ...root, path: 'dev/null', type: 'device', mode: '644' },
  ])
})

test('bodies that nobody reads are skipped, and a reader may stop in the middle', async () => {
  const archive = () => tar({ name: 'a', text: 'x'.repeat(300_000) }, { name: 'b', text: 'y' })
  const names: string[] = []
  for await (const { path } of readArchive(archive())) names.push(path)
  assert.deepEqual(names, ['a', 'b'])
  for await (const { body } of readArchive(archive())) {
    for await (const _ of body) break
    break
  }
})

const outside: [what: string, entries: Entry[], message: RegExp][] = [
  ['an absolute path', [{ name: '/etc/passwd', text: 'x' }], /absolute/],
  ['a path with ..', [{ name: 'a/../../x', text: 'x' }], /“\.\.”/],
  ['a path that is ..', [{ name: '..', type: 'directory' }], /“\.\.”/],
  ['a hard link to an absolute path', [{ name: 'a', type: 'link', linkname: '/etc/passwd' }], /absolute/],
  ['a hard link with ..', [{ name: 'a', type: 'link', linkname: '../x' }], /“\.\.”/],
  ['an absolute symlink', [{ name: 'a', type: 'symlink', linkname: '/etc' }], /leads out/],
  ['a symlink to the directory above', [{ name: 'a', type: 'symlink', linkname: '..' }], /leads out/],
  ['a deep symlink that goes too far up', [{ name: 'a/b/c', type: 'symlink', linkname: '../../../x' }], /leads out/],
  [
    'a symlink that leaves through another one',
    [
      { name: 'a/b/up', type: 'symlink', linkname: '../..' },
      { name: 'out', type: 'symlink', linkname: 'a/b/up/..' },
    ],
    /leads out/,
  ],
  [
    'a symlink that leaves through one that comes later',
    [
      { name: 'out', type: 'symlink', linkname: 'a/b/up/../x' },
      { name: 'a/b/up', type: 'symlink', linkname: '../..' },
    ],
    /leads out/,
  ],
]

for (const [what, entries, message] of outside) {
  test(`an archive with ${what} is refused, and nothing outside is touched`, async (t) => {
    const { directory, above } = await playground(t)
    await assert.rejects(unpackArchive(tar(...entries), directory), (error) => {
      assert.ok(error instanceof DockerError)
      assert.equal(error.code, 'context')
      assert.match(error.message, message)
      return true
    })
    assert.deepEqual((await readdir(above)).sort(), ['in', 'precious'])
    assert.equal(await readFile(join(above, 'precious'), 'utf8'), 'precious')
  })
}

test('links that lead out can be looked at, not unpacked', async (t) => {
  const archive = () => tar({ name: 'mtab', type: 'symlink', linkname: '/proc/mounts' })
  const targets: unknown[] = []
  for await (const { target } of readArchive(archive(), { links: 'any' })) targets.push(target)
  assert.deepEqual(targets, ['/proc/mounts'])
  const { directory } = await playground(t)
  const options = { links: 'any' } as object
  await assert.rejects(unpackArchive(archive(), directory, options), /leads out/)
})

test('files, directories, links and modes are unpacked', async (t) => {
  const { directory } = await playground(t)
  await unpackArchive(
    tar(
      { name: 'locked', type: 'directory', mode: 0o555 },
      { name: 'locked/file', text: 'inside', mode: 0o600, mtime: new Date(1_600_000_000_000) },
      { name: 'deep/er/link', type: 'symlink', linkname: '../../locked/file' },
      { name: 'circle', type: 'symlink', linkname: 'circle' },
      { name: 'hard', type: 'link', linkname: 'locked/file' },
      { name: 'deep/dangling', type: 'symlink', linkname: 'nothing' },
      { name: 'setuid', text: 'x', mode: 0o4755 },
      { name: 'null', type: 'character-device', devmajor: 1, devminor: 3 },
    ),
    directory,
  )
  assert.deepEqual((await readdir(directory)).sort(), ['circle', 'deep', 'hard', 'locked', 'setuid'])
  assert.equal(await readFile(join(directory, 'deep/er/link'), 'utf8'), 'inside')
  assert.equal(await readlink(join(directory, 'deep/dangling')), 'nothing')
  const file = await stat(join(directory, 'locked/file'))
  assert.deepEqual([file.mode & 0o7777, file.mtimeMs, file.nlink], [0o600, 1_600_000_000_000, 2])
  assert.equal((await stat(join(directory, 'locked'))).mode & 0o7777, 0o555)
  assert.equal((await stat(join(directory, 'setuid'))).mode & 0o7777, 0o755)
})

test('a symlink that was there before, or comes in the archive, is not written through', async (t) => {
  const { directory, above } = await playground(t)
  await symlink(above, join(directory, 'old'))
  await assert.rejects(unpackArchive(tar({ name: 'old/precious', text: 'mine' }), directory), /no directory/)
  await symlink(join(above, 'precious'), join(directory, 'file'))
  await unpackArchive(tar({ name: 'file', text: 'mine' }), directory)
  assert.equal(await readFile(join(directory, 'file'), 'utf8'), 'mine')
  await assert.rejects(
    unpackArchive(tar({ name: 'old/hard', type: 'link', linkname: 'old/precious' }), directory),
    DockerError,
  )
  assert.equal(await readFile(join(above, 'precious'), 'utf8'), 'precious')
})

test('what is larger than it may be, or broken, is refused', async (t) => {
  const { directory } = await playground(t)
  const large = () => tar({ name: 'a', text: 'x'.repeat(2000) }, { name: 'b', text: 'y' })
  await assert.rejects(unpackArchive(large(), directory, { maxBytes: 2000 }), /larger than 2000 bytes/)
  await assert.rejects(unpackArchive(large(), directory, { maxEntries: 1 }), /larger than 1 entries/)
  async function* cut(): AsyncGenerator<Uint8Array> {
    const parts: Uint8Array[] = []
    for await (const part of large()) parts.push(part)
    yield Buffer.concat(parts).subarray(0, 1000)
  }
  await assert.rejects(unpackArchive(cut(), directory), {
    code: 'context',
    message: 'The archive is broken: Unexpected end of data.',
  })
  async function* garbage(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(2048, 'garbage')
  }
  await assert.rejects(unpackArchive(garbage(), directory), { code: 'context' })
  const broken = new Error('the engine has gone')
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(10)
    throw broken
  }
  await assert.rejects(
    unpackArchive(failing(), directory),
    (error) => error instanceof DockerError && error.cause === broken,
  )
})

/** A directory `in` to unpack into, beside a file that is precious. */
async function playground(t: TestContext): Promise<{ above: string; directory: string }> {
  const above = await mkdtemp(join(tmpdir(), 'archive-'))
  t.after(() => rm(above, { recursive: true, force: true }))
  await writeFile(join(above, 'precious'), 'precious')
  const directory = join(above, 'in')
  await mkdir(directory)
  return { above, directory }
}

async function* tar(...entries: Entry[]): AsyncGenerator<Uint8Array> {
  const archive = pack()
  for (const { text, ...header } of entries) {
    if (text === undefined) archive.entry(header)
    else archive.entry(header, text)
  }
  archive.finalize()
  for await (const chunk of archive) yield chunk as Uint8Array
}
