import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ContextEntry } from '../../src/context/index.ts'
import { MypaasError } from '../../src/errors.ts'
import {
  buildManifest,
  chunkSize,
  defaultLimits,
  type Manifest,
  ManifestReader,
  parseIndex,
} from '../../src/push/manifest.ts'
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

/** A manifest of these lines, index and all, as a client that lies would make it. */
function forged(
  lines: string,
  more: { entries?: number; bytes?: number; dockerfile?: string } = {},
): Pick<Manifest, 'index' | 'texts'> {
  const text = Buffer.from(lines, 'latin1')
  const count = more.entries ?? lines.split('\n').length - 1
  const bytes =
    more.bytes ?? [...lines.matchAll(/^[Ff] \S+ \S+ (\d+)/gm)].reduce((sum, [, size]) => sum + Number(size), 0)
  const head = `mypaas manifest 1\ndockerfile ${more.dockerfile ?? 'Dockerfile'}\nentries ${count}\nbytes ${bytes}\n`
  return { index: Buffer.from(`${head}${text.length} ${sha(text)}\n`, 'latin1'), texts: [text] }
}

const digest = 'd'.repeat(64)
const dockerfile = `F 644 1700000000 3 ${digest} Dockerfile\n`

test('a manifest gives back every entry as it was, whatever its name', () => {
  const raw = Buffer.from([0x66, 0xff, 0x6f])
  const entries = [
    entry('.dockerignore', { ignored: true }),
    entry('Dockerfile'),
    entry('a', { type: 'directory', mode: 0o755, size: 0 }),
    entry('a b', { mode: 0o4755, mtimeMs: -5000, size: 0 }),
    entry('a-b', { type: 'symlink', size: 0, linkTarget: '../../etc/passwd', mode: 0o777 }),
    entry('a/new\nline%', { size: 2 * chunkSize + 1 }),
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

const tricks: Record<string, Pick<Manifest, 'index' | 'texts'>> = {
  'the parent': forged(`F 644 0 3 ${digest} ..\n${dockerfile}`),
  'below the parent': forged(`D 755 0 ..\nF 644 0 3 ${digest} ../x\n${dockerfile}`),
  'a parent in the middle': forged(`${dockerfile}D 755 0 a\nF 644 0 3 ${digest} a/../../x\n`),
  'a parent at the end': forged(`${dockerfile}D 755 0 a\nD 755 0 a/..\n`),
  'the directory itself': forged(`D 755 0 .\n${dockerfile}`),
  'a dot in the middle': forged(`${dockerfile}D 755 0 a\nD 755 0 a/.\nF 644 0 3 ${digest} a/./x\n`),
  'an absolute path': forged(`F 644 0 3 ${digest} /etc/passwd\n${dockerfile}`),
  'only a slash': forged(`D 755 0 /\n${dockerfile}`),
  'two slashes': forged(`${dockerfile}D 755 0 a\nF 644 0 3 ${digest} a//x\n`),
  'a slash at the end': forged(`${dockerfile}D 755 0 a/\n`),
  'no name': forged(`D 755 0 \n${dockerfile}`),
  'a zero byte': forged(`${dockerfile}F 644 0 3 ${digest} a%00b\n`),
  'an escaped letter': forged(`${dockerfile}F 644 0 3 ${digest} %61\n`),
  'an escaped parent': forged(`F 644 0 3 ${digest} %2E%2E\n${dockerfile}`),
  'an escaped slash': forged(`${dockerfile}F 644 0 3 ${digest} a%2Fb\n`),
  'an escape in small letters': forged(`${dockerfile}F 644 0 3 ${digest} a%0a\n`),
  'an escape that is none': forged(`${dockerfile}F 644 0 3 ${digest} a%zz\n`),
  'a bare percent sign': forged(`${dockerfile}F 644 0 3 ${digest} a%\n`),
  'a carriage return': forged(`${dockerfile}F 644 0 3 ${digest} a\r\n`),
  'a tab': forged(`${dockerfile}F 644 0 3 ${digest} a\tb\n`),
  'a name of 256 bytes': forged(`${dockerfile}F 644 0 3 ${digest} ${'x'.repeat(256)}\n`),
  'a path of 5,000 bytes': forged(`${dockerfile}F 644 0 3 ${digest} ${'x/'.repeat(2500)}x\n`),
  'the same path twice': forged(`${dockerfile}${dockerfile}`),
  'a file and a directory of one name': forged(`${dockerfile}F 644 0 3 ${digest} a\nD 755 0 a\n`),
  'a file below a file': forged(`${dockerfile}F 644 0 3 ${digest} a\nF 644 0 3 ${digest} a/b\n`),
  'a file below a link': forged(`${dockerfile}L 777 0 /etc a\nF 644 0 3 ${digest} a/passwd\n`),
  'a file in no directory': forged(`${dockerfile}F 644 0 3 ${digest} a/b\n`),
  'paths out of order': forged(`F 644 0 3 ${digest} a\n${dockerfile}`),
  'a device': forged(`${dockerfile}B 644 0 8,0 a\n`),
  'a pipe': forged(`${dockerfile}P 644 0 a\n`),
  'a hard link': forged(`${dockerfile}H 644 0 Dockerfile a\n`),
  'a link to nowhere': forged(`${dockerfile}L 777 0  a\n`),
  'a link with a zero byte': forged(`${dockerfile}L 777 0 x%00 a\n`),
  'a mode of a device': forged(`${dockerfile}F 60644 0 3 ${digest} a\n`),
  'a mode that is none': forged(`${dockerfile}F 9 0 3 ${digest} a\n`),
  'a time that is none': forged(`${dockerfile}F 644 1e9 3 ${digest} a\n`),
  'a time after the end of time': forged(`${dockerfile}F 644 9999999999999 3 ${digest} a\n`),
  'a negative size': forged(`${dockerfile}F 644 0 -3 ${digest} a\n`, { bytes: 3 }),
  'a size in exponents': forged(`${dockerfile}F 644 0 3e0 ${digest} a\n`, { bytes: 6 }),
  'a size with a zero before it': forged(`${dockerfile}F 644 0 03 ${digest} a\n`, { bytes: 6 }),
  'a mode with a zero before it': forged(`${dockerfile}F 0644 0 3 ${digest} a\n`),
  'a mode of five digits': forged(`${dockerfile}F 10644 0 3 ${digest} a\n`),
  'a mode that is decimal': forged(`${dockerfile}F 684 0 3 ${digest} a\n`),
  'a time with a zero before it': forged(`${dockerfile}F 644 01 3 ${digest} a\n`),
  'a digest for an empty file': forged(`${dockerfile}F 644 0 0 ${digest} a\n`),
  'a digest in capital letters': forged(`${dockerfile}F 644 0 3 ${'D'.repeat(64)} a\n`),
  'a digest that is too long by one': forged(`${dockerfile}F 644 0 3 ${digest}d a\n`),
  'a line without end': { ...forged(dockerfile), texts: [Buffer.from(dockerfile.slice(0, -1))] },
  'a file of a terabyte': forged(`${dockerfile}F 644 0 1099511627776 ${digest} a\n`),
  'too few digests': forged(`${dockerfile}F 644 0 ${chunkSize + 1} ${digest} a\n`),
  'too many digests': forged(`${dockerfile}F 644 0 3 ${digest},${'e'.repeat(64)} a\n`),
  'no digest': forged(`${dockerfile}F 644 0 3 - a\n`),
  'half a digest': forged(`${dockerfile}F 644 0 3 dddd a\n`),
  'one digest for two sizes': forged(`${dockerfile}F 644 0 4 ${digest} a\n`),
  'words too many': forged(`${dockerfile}D 755 0 a b\n`),
  'no Dockerfile': forged(`F 644 0 3 ${digest} a\n`),
  'a Dockerfile that is a link': forged('L 777 0 /etc/passwd Dockerfile\n'),
  'a Dockerfile outside': forged(dockerfile, { dockerfile: '../Dockerfile' }),
  'more entries than announced': forged(`${dockerfile}D 755 0 a\n`, { entries: 1 }),
  'fewer entries than announced': forged(dockerfile, { entries: 2 }),
  'more bytes than announced': forged(dockerfile, { bytes: 2 }),
  'fewer bytes than announced': forged(dockerfile, { bytes: 4 }),
  'a gigabyte of announced manifest': {
    index: Buffer.from(`mypaas manifest 1\ndockerfile D\nentries 1\nbytes 1\n1073741824 ${digest}\n`),
    texts: [],
  },
  'an index of a megabyte': { index: Buffer.alloc(1024 ** 2, 'x'), texts: [] },
  'a billion entries': {
    index: Buffer.from('mypaas manifest 1\ndockerfile D\nentries 1000000000\nbytes 1\n'),
    texts: [],
  },
  'another version': { index: Buffer.from('mypaas manifest 2\ndockerfile D\nentries 0\nbytes 0\n'), texts: [] },
}

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
