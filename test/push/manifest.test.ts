import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ContextEntry } from '../../src/context/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { buildManifest, chunkSize, defaultLimits, type Manifest } from '../../src/push/manifest.ts'
import { ManifestReader, parseIndex } from '../../src/push/manifest-reader.ts'
import { dockerfile, forged, tricks } from '../support/forged.ts'
import { chunksOf, tableOfEntries } from '../support/table.ts'

const sha = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex')

function entry(path: string, more: Partial<ContextEntry> = {}): ContextEntry {
  return { path, type: 'file', mode: 0o644, mtimeMs: 1_700_000_000_000, size: 3, ...more }
}

function manifestOf(entries: ContextEntry[], dockerfile = 'Dockerfile'): Manifest {
  return buildManifest(
    dockerfile,
    tableOfEntries(entries),
    chunksOf(entries, ({ path, size }) =>
      Array.from({ length: Math.ceil(size / chunkSize) }, (_, chunk) => sha(`${path} ${chunk}`)),
    ),
  )
}

function read({ index, texts }: Pick<Manifest, 'index' | 'texts'>): ManifestReader {
  const reader = new ManifestReader(parseIndex(index, defaultLimits), defaultLimits)
  for (const text of texts) reader.add(text)
  reader.finish()
  return reader
}

test('a manifest gives back every entry as it was, whatever its name', () => {
  const raw = Buffer.from([0x66, 0xff, 0x6f])
  const entries = [
    entry('.dockerignore', { ignored: true }),
    entry('Dockerfile'),
    entry('a', { type: 'directory', mode: 0o755, size: 0 }),
    entry('a b', { mode: 0o4755, mtimeMs: -5000, size: 0 }),
    entry('a-b', { type: 'symlink', size: 0, linkTarget: '../../etc/passwd', mode: 0o777 }),
    entry('a/new\nline%', { size: 2 * chunkSize + 1 }),
    entry('a/same', { size: 0, linkTarget: 'a/new\nline%' }),
    { ...entry(raw.toString()), rawPath: raw },
    entry('ü'),
  ]
  const manifest = manifestOf(entries)
  const reader = read(manifest)
  assert.deepEqual(
    reader.entries.map(({ path, type, mode, mtimeSeconds, size, linkTarget, ignored }) => [
      path,
      type,
      mode,
      mtimeSeconds,
      size,
      linkTarget,
      ignored,
    ]),
    entries.map((made) => [
      Buffer.from(made.rawPath ?? made.path).toString('latin1'),
      made.type,
      made.mode,
      made.mtimeMs / 1000,
      made.size,
      made.linkTarget ?? '',
      made.ignored ?? false,
    ]),
  )
  assert.deepEqual(reader.blobs, manifest.blobs)
  assert.deepEqual(
    reader.entries[5]?.blobs.map((blob) => reader.blobs[blob]?.size),
    [chunkSize, chunkSize, 1],
  )
})

test('one changed file changes one segment of many', () => {
  const names = Array.from({ length: 20_000 }, (_, number) => `file-${String(number).padStart(5, '0')}`).sort()
  const all = [entry('Dockerfile'), ...names.map((name) => entry(name))]
  const before = manifestOf(all)
  const after = manifestOf(all.map((made) => (made.path === 'file-10000' ? { ...made, mtimeMs: 0 } : made)))
  const grown = manifestOf([...all, entry('file-10000b')].sort((a, b) => (a.path < b.path ? -1 : 1)))
  assert.ok(before.segments.length > 40 && before.segments.length < 200, `${before.segments.length} segments`)
  const known = new Set(before.segments.map((segment) => segment.digest))
  assert.equal(after.segments.filter((segment) => !known.has(segment.digest)).length, 1)
  // Two, should the new name end a segment.
  assert.ok(grown.segments.filter((segment) => !known.has(segment.digest)).length <= 2)
})

for (const [name, manifest] of Object.entries(tricks)) {
  test(`a manifest with ${name} is refused`, () => {
    assert.throws(
      () => read(manifest),
      (error) =>
        error instanceof MypaasError &&
        error.code === 'context' &&
        /^The manifest can't be accepted: /.test(error.message),
    )
  })
}

test('there are 30 tricks at least', () => assert.ok(Object.keys(tricks).length >= 30))

test('what is changed anywhere in a manifest is another one, or none: never a crash', () => {
  const lines = `${dockerfile}D 755 1700000000 a\nF 755 1700000000 5 ${'e'.repeat(64)} a/b\nL 777 1700000000 ../x l\n`
  fc.assert(
    fc.property(fc.nat(lines.length), fc.nat(20), fc.string({ maxLength: 12, unit: 'binary' }), (at, cut, other) => {
      const changed = lines.slice(0, at) + other + lines.slice(at + cut)
      try {
        const { entries } = read(forged(changed))
        for (const { path } of entries) assert.ok(!path.split('/').includes('..') && !path.startsWith('/'), path)
      } catch (error) {
        assert.ok(error instanceof MypaasError, String(error))
      }
    }),
    { numRuns: 5000 },
  )
})
