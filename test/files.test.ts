import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import {
  appendPrivately,
  privateFolder,
  readIfThere,
  readPrivately,
  removeAbandoned,
  writeDurably,
} from '../src/files.ts'

test('a file is written whole, with its mode, and nothing else is left beside it', async (t) => {
  const folder = await directory(t)
  await writeDurably(join(folder, 'a.json'), 'one')
  await writeDurably(join(folder, 'a.json'), 'two')
  assert.equal(await readFile(join(folder, 'a.json'), 'utf8'), 'two')
  assert.deepEqual(await readdir(folder), ['a.json'])
  assert.equal(await readIfThere(join(folder, 'b.json')), undefined)
})

test('a file has the mode that is asked for, whatever the mask of the process', async (t) => {
  const folder = await directory(t)
  const before = process.umask(0o077)
  t.after(() => process.umask(before))
  await writeDurably(join(folder, 'a.yml'), 'one', { mode: 0o640 })
  await writeDurably(join(folder, 'b.json'), 'two')
  const modes = await Promise.all(
    ['a.yml', 'b.json'].map(async (name) => (await stat(join(folder, name))).mode & 0o777),
  )
  assert.deepEqual(modes, [0o640, 0o600])
})

test('a private file or folder is one, whatever the mask of the process, and whatever it was before', async (t) => {
  const folder = await directory(t)
  const before = process.umask(0)
  t.after(() => process.umask(before))
  const modes = (): Promise<string[]> =>
    Promise.all(
      ['', 'made/a.log', 'made'].map(async (name) => ((await stat(join(folder, name))).mode & 0o777).toString(8)),
    )
  await privateFolder(join(folder, 'made'))
  await appendPrivately(join(folder, 'made/a.log'), 'one\n')
  assert.deepEqual(await modes(), ['700', '600', '700'])
  for (const name of ['', 'made', 'made/a.log']) await chmod(join(folder, name), 0o777)
  await privateFolder(join(folder, 'made'))
  await appendPrivately(join(folder, 'made/a.log'), 'two\n')
  assert.deepEqual(await modes(), ['777', '600', '700'])
  await chmod(join(folder, 'made/a.log'), 0o644)
  assert.equal(await readPrivately(join(folder, 'made/a.log')), 'one\ntwo\n')
  assert.deepEqual(await modes(), ['777', '600', '700'])
})

test('a write that fails leaves what was there', async (t) => {
  const folder = await directory(t)
  await assert.rejects(writeDurably(join(folder, 'missing', 'a.json'), 'x', { scratch: folder }), { code: 'ENOENT' })
  assert.deepEqual(await readdir(folder), [])
})

test('what a killed writer left is removed, what a living one is writing is not', async (t) => {
  const folder = await directory(t)
  const { pid: dead } = spawnSync(process.execPath, ['-e', ''])
  const files = [`.${dead}.k3x.tmp`, `.${process.pid}.k3x.tmp`, 'blog.json', '.lock', '.12.notours']
  for (const file of files) await writeFile(join(folder, file), '')
  await removeAbandoned(folder)
  assert.deepEqual(await readdir(folder), files.slice(1).toSorted())
  await removeAbandoned(join(folder, 'missing'))
})

async function directory(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-files-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}
