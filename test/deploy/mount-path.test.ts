import assert from 'node:assert/strict'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { follow, MountTable, type Place } from '../../src/deploy/mount-path.ts'
import { MypaasError } from '../../src/errors.ts'

test('a path is followed as the kernel does, and every link on the way is known', async (t) => {
  const root = await scratch(t)
  await mkdir(join(root, 'a', 'b'), { recursive: true })
  await symlink('a', join(root, 'to-a'))
  await symlink(join(root, 'to-a', 'b'), join(root, 'to-b'))
  await symlink('../../a/./b', join(root, 'a', 'b', 'up'))
  await symlink('nowhere/x', join(root, 'dangling'))
  const table: [path: string, real: string, links: string[]][] = [
    ['a/b', 'a/b', []],
    ['a/new/er', 'a/new/er', []],
    ['to-a/b', 'a/b', ['to-a']],
    ['to-b', 'a/b', ['to-b', 'to-a']],
    ['to-b/new', 'a/b/new', ['to-b', 'to-a']],
    ['a/b/up', 'a/b', ['a/b/up']],
    ['dangling/y', 'nowhere/x/y', ['dangling']],
  ]
  for (const [path, real, links] of table) {
    const found = await follow(join(root, path))
    assert.deepEqual(
      { real: found.real, links: found.links },
      { real: join(root, real), links: links.map((link) => join(root, link)) },
      path,
    )
    if (!path.includes('new') && !path.includes('dangling')) assert.equal(found.real, await realpath(join(root, path)))
  }
})

test('what goes in circles or through a file is said, not followed', async (t) => {
  const root = await scratch(t)
  await symlink('two', join(root, 'one'))
  await symlink('one', join(root, 'two'))
  await writeFile(join(root, 'file'), '')
  assert.equal((await follow(join(root, 'file'))).real, join(root, 'file'))
  for (const [path, words] of [
    ['one/x', /in circles/],
    ['file/x/y', /file is a file/],
  ] as const) {
    await assert.rejects(follow(join(root, path)), (error) => error instanceof MypaasError && words.test(error.message))
  }
})

test('below means by whole components, and a link that lies below counts', () => {
  const table = new MountTable('')
  assert.equal(table.isBelow(place('/a/b'), place('/a')), true)
  assert.equal(table.isBelow(place('/a'), place('/a/b')), false)
  assert.equal(table.isBelow(place('/ab'), place('/a')), false)
  assert.equal(table.isBelow(place('/a'), place('/a')), false)
  assert.equal(table.same(place('/a'), place('/a')), true)
  assert.equal(table.isBelow(place('/a'), place('/')), true)
  assert.equal(table.isBelow(place('/srv/x', ['/a/link']), place('/a')), true)
})

test('a directory that is mounted a second time is the same one by both paths', () => {
  const table = new MountTable(
    [
      '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
      // mount --bind /home/me/media /srv/media
      '30 22 8:1 /home/me/media /srv/media rw - ext4 /dev/sda1 rw',
      '31 22 8:2 / /mnt/with\\040blank rw - ext4 /dev/sdb1 rw',
      '32 22 8:2 /sub /home/me/disk rw - ext4 /dev/sdb1 rw',
    ].join('\n'),
  )
  assert.equal(table.same(place('/srv/media'), place('/home/me/media')), true)
  assert.equal(table.same(place('/srv/media/x'), place('/home/me/media/x')), true)
  assert.equal(table.isBelow(place('/srv/media/x'), place('/home/me')), true)
  assert.equal(table.isBelow(place('/home/me/media/x'), place('/srv/media')), true)
  assert.equal(table.isBelow(place('/home/me/media'), place('/srv/media')), false)
  assert.equal(table.isBelow(place('/home/me/disk/x'), place('/mnt/with blank')), true)
  // A container that has /srv has what is mounted in it, too.
  assert.equal(table.isBelow(place('/home/me/media/x'), place('/srv')), true)
  // The way to a mount can be changed as well, though what is mounted lies elsewhere.
  assert.equal(table.isBelow(place('/home/me/disk'), place('/home')), true)
  assert.equal(table.isBelow(place('/home/me/other'), place('/srv')), false)
})

function place(real: string, links: readonly string[] = []): Place {
  return { written: real, real, links }
}

async function scratch(t: TestContext): Promise<string> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'mypaas-places-')))
  t.after(() => rm(root, { recursive: true, force: true }))
  return root
}
