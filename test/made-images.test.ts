import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { MadeImages } from '../scripts/made-images.ts'
import type { Docker } from '../src/docker/index.ts'

test('setup takes away the images that it made, as long as nobody else has come to use them', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-made-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const images: Record<string, string> = { 'there:before': 'a', 'made:1': 'b', 'moved:1': 'other', 'used:1': 'd' }
  const used = new Set(['d'])
  const docker = {
    images: {
      inspect: async (name: string) => ({ Id: images[name] }),
      remove: async (name: string) => {
        delete images[name]
      },
    },
    containers: {
      list: async ({ filters }: { filters: { ancestor: string[] } }) => filters.ancestor.filter((id) => used.has(id)),
    },
  } as unknown as Docker
  const made = new MadeImages(folder)
  await Promise.all([made.note('made:1', 'b'), made.note('moved:1', 'c'), made.note('used:1', 'd')])
  await writeFile(join(folder, 'download'), '')
  const said: string[] = []
  await made.remove(docker, (line) => said.push(line))
  assert.deepEqual(Object.keys(images), ['there:before', 'moved:1', 'used:1'])
  assert.deepEqual(said.sort(), ['removed made:1', 'used:1 stays: a container uses it'])
  assert.deepEqual(await readdir(folder), ['made-images'])
  used.clear()
  await made.remove(docker, () => {})
  assert.deepEqual(Object.keys(images), ['there:before', 'moved:1'])
  await assert.rejects(readdir(folder))
})
