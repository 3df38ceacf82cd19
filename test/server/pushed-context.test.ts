import assert from 'node:assert/strict'
import { linkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readContext, tableOf } from '../../src/context/index.ts'
import { hashFiles } from '../../src/push/hash.ts'
import { buildManifest, defaultLimits } from '../../src/push/manifest.ts'
import { ManifestReader, parseIndex } from '../../src/push/manifest-reader.ts'
import type { BlobStore } from '../../src/server/blobs.ts'
import { pushedContext } from '../../src/server/pushed-context.ts'
import { collect, plant } from '../context/tree.ts'

test('what the server packs of a push is what the directory would have been packed to, hard links and all', async (t) => {
  const root = plant(t, {
    Dockerfile: 'FROM scratch',
    '.dockerignore': '.dockerignore',
    'a b/ö': 'shared',
    'a b/link': { link: 'ö' },
    empty: '',
  })
  linkSync(join(root, 'a b/ö'), join(root, 'zwei'))
  linkSync(join(root, 'empty'), join(root, 'nothing'))
  const context = await readContext(root)
  const { chunks, read } = await hashFiles(root, tableOf(context))
  const manifest = buildManifest(context.dockerfile, tableOf(context), chunks)
  assert.equal(manifest.blobs.length, 3)
  const index = parseIndex(manifest.index, defaultLimits)
  const reader = new ManifestReader(index, defaultLimits)
  for (const segment of manifest.texts) reader.add(segment)
  reader.finish()
  const blobs = new Map(
    manifest.blobs.map(({ digest }, at) => {
      const { entry, offset } = manifest.places[at] ?? { entry: -1, offset: 0 }
      return [digest, read(entry, offset)]
    }),
  )
  const store = { read: (digest: string) => blobs.get(digest) } as unknown as BlobStore
  const pushed = pushedContext(index, reader, store)
  const wholeSeconds = context.entries.map((entry) => ({ ...entry, mtimeMs: Math.floor(entry.mtimeMs / 1000) * 1000 }))
  assert.deepEqual(pushed.entries, wholeSeconds)
  for (const builder of ['classic', 'buildkit'] as const)
    assert.deepEqual(await collect(pushed.tar({ builder })), await collect(context.tar({ builder })), builder)
})
