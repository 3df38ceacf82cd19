import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { readContext } from '../../src/context/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { plant, plantIn, plantMany } from './tree.ts'

const paths = async (directory: string, options?: { dockerfile?: string }): Promise<string[]> =>
  (await readContext(directory, options)).entries.map((entry) => entry.path)

const isContextError = (message: string | RegExp) => (error: unknown) => {
  assert.ok(error instanceof MypaasError)
  assert.equal(error.code, 'context')
  if (typeof message === 'string') assert.equal(error.message, message)
  else assert.match(error.message, message)
  return true
}

test('entries are what the directory has, sorted by the bytes of their paths', async (t) => {
  const root = plant(t, {
    Dockerfile: { content: 'FROM scratch\n', mode: 0o644, mtimeMs: 1_700_000_000_999 },
    'a/b': { content: 'in a', mode: 0o755, mtimeMs: 1_600_000_000_000 },
    'a-b': { content: '', mode: 0o4711 },
    'a!': null,
    'a!/x': '1',
    'a.txt': '12345',
    é: 'latin',
    '\u{1F600}': 'astral',
    '\uFF5E': 'behind it by bytes, before it by UTF-16',
    link: { link: 'a/b' },
    broken: { link: '/nowhere/at/all' },
    empty: null,
  })
  const context = await readContext(root)
  assert.deepEqual(
    context.entries.map((entry) => entry.path),
    ['Dockerfile', 'a', 'a!', 'a!/x', 'a-b', 'a.txt', 'a/b', 'broken', 'empty', 'link', 'é', '\uFF5E', '\u{1F600}'],
  )
  const byPath = new Map(context.entries.map((entry) => [entry.path, entry]))
  assert.deepEqual(byPath.get('Dockerfile'), {
    path: 'Dockerfile',
    type: 'file',
    mode: 0o644,
    mtimeMs: 1_700_000_000_999,
    size: 13,
  })
  assert.deepEqual(
    [byPath.get('a-b')?.mode, byPath.get('a/b')?.mode, byPath.get('empty')?.type, byPath.get('a')?.size],
    [0o4711, 0o755, 'directory', 0],
  )
  const { type, linkTarget, size } = byPath.get('broken') ?? {}
  assert.deepEqual({ type, linkTarget, size }, { type: 'symlink', linkTarget: '/nowhere/at/all', size: 0 })
  assert.equal(
    context.totalBytes,
    [...byPath.values()].reduce((sum, entry) => sum + entry.size, 0),
  )
  assert.deepEqual([context.dockerfile, context.dockerfileText, context.warnings], ['Dockerfile', 'FROM scratch\n', []])
})

test('the ignore file leaves out, exceptions bring back, and directories come along with what is in them', async (t) => {
  const root = plant(t, {
    Dockerfile: '',
    '.dockerignore': 'docs\n!docs/api/*.md\n*.log\nnode_modules\nempty\n!empty/none',
    'docs/intro.md': '',
    'docs/api/one.md': '',
    'docs/api/two.txt': '',
    'docs/other/x': '',
    'empty/some': '',
    'node_modules/a/b': '',
    'src/x.log': '',
    'x.log': '',
  })
  assert.deepEqual(await paths(root), [
    '.dockerignore',
    'Dockerfile',
    'docs',
    'docs/api',
    'docs/api/one.md',
    'src',
    'src/x.log',
  ])
})

test('NAME.dockerignore beside the Dockerfile wins over .dockerignore', async (t) => {
  const root = plant(t, {
    'docker/web.Dockerfile': 'FROM web',
    'docker/web.Dockerfile.dockerignore': 'b',
    Dockerfile: 'FROM scratch',
    '.dockerignore': 'a',
    a: '',
    b: '',
  })
  assert.deepEqual(await paths(root), [
    '.dockerignore',
    'Dockerfile',
    'b',
    'docker',
    'docker/web.Dockerfile',
    'docker/web.Dockerfile.dockerignore',
  ])
  const context = await readContext(root, { dockerfile: 'docker/web.Dockerfile' })
  assert.deepEqual([context.dockerfile, context.dockerfileText], ['docker/web.Dockerfile', 'FROM web'])
  assert.deepEqual(
    context.entries.map((entry) => entry.path),
    ['.dockerignore', 'Dockerfile', 'a', 'docker', 'docker/web.Dockerfile', 'docker/web.Dockerfile.dockerignore'],
  )
})

test('an ignored Dockerfile and .dockerignore are sent all the same, and marked', async (t) => {
  const root = plant(t, { 'build/Dockerfile': '', 'build/other': '', '.dockerignore': '*\n', a: '' })
  const { entries } = await readContext(root, { dockerfile: './build/Dockerfile' })
  assert.deepEqual(
    entries.map(({ path, ignored }) => [path, ignored]),
    [
      ['.dockerignore', true],
      ['build', undefined],
      ['build/Dockerfile', true],
    ],
  )
})

test('a Dockerfile that is a link counts as the file in the directory that it leads to', async (t) => {
  const root = plant(t, { 'docker/prod': 'FROM prod', Dockerfile: { link: 'docker/prod' }, '.dockerignore': 'docker' })
  const context = await readContext(root)
  assert.deepEqual([context.dockerfile, context.dockerfileText], ['docker/prod', 'FROM prod'])
  assert.deepEqual(
    context.entries.map((entry) => entry.path),
    ['.dockerignore', 'Dockerfile', 'docker', 'docker/prod'],
  )
})

test('what stands in the way of a context is said in one sentence', async (t) => {
  const root = plant(t, {
    'site/index.html': '',
    'linked/Dockerfile': { link: '/etc/passwd' },
    'large/Dockerfile': Buffer.alloc(1024 * 1024 + 1, 0x23),
    'folder/Dockerfile': null,
    'bad/Dockerfile': '',
    'bad/.dockerignore': 'x\n[x-',
    file: '',
  })
  const at = (name: string) => join(root, name)
  const fails = async (directory: string, dockerfile: string | undefined, message: string | RegExp) =>
    assert.rejects(readContext(directory, dockerfile === undefined ? {} : { dockerfile }), isContextError(message))
  await fails(at('none'), undefined, `There is no directory ${at('none')}.`)
  await fails(at('file'), undefined, `${at('file')} is not a directory.`)
  await fails(at('site'), undefined, `No Dockerfile in ${at('site')}.`)
  await fails(at('site'), 'web.Dockerfile', `No web.Dockerfile in ${at('site')}.`)
  await fails(at('site'), '../bad/Dockerfile', `The Dockerfile ../bad/Dockerfile is outside of ${at('site')}.`)
  await fails(at('site'), at('bad/Dockerfile'), /^The Dockerfile .* is outside of /)
  await fails(at('linked'), undefined, /^Dockerfile in .* is a link to \/etc\/passwd, outside of the directory\.$/)
  await fails(at('large'), undefined, /^Dockerfile in .* is larger than 1\.0 MiB\.$/)
  await fails(at('folder'), undefined, /^Dockerfile in .* is not a file\.$/)
  await fails(at('bad'), undefined, /^\.dockerignore line 2: bad pattern "\[x-"/)
  await assert.rejects(readContext(at('site')), { hint: 'Give the directory that has the Dockerfile.' })
})

test('without a Dockerfile, dockerfile or Containerfile is taken, each with the ignore file that is its own', async (t) => {
  const root = plant(t, {
    'a/dockerfile': 'FROM a',
    'a/dockerfile.dockerignore': 'x',
    'a/.dockerignore': 'y',
    'a/x': '',
    'a/y': '',
    'b/Containerfile': 'FROM b',
    'b/.containerignore': 'x',
    'b/.dockerignore': 'y',
    'b/x': '',
    'b/y': '',
    'c/Containerfile': 'FROM c',
    'c/.dockerignore': 'y',
    'c/y': '',
    'd/Dockerfile': 'FROM d',
    'd/dockerfile': 'FROM e',
    'd/Containerfile': { link: 'Dockerfile' },
    'd/.containerignore': 'x',
    'd/x': '',
    'e/dockerfile': 'FROM e',
    'e/Containerfile': 'FROM f',
    'f/dockerfile': 'FROM e',
    'f/Containerfile': 'FROM e',
  })
  const read = async (name: string) => {
    const { dockerfile, warnings, entries } = await readContext(join(root, name))
    return [dockerfile, warnings, entries.map(({ path }) => path).filter((path) => /^[xy]$/.test(path))]
  }
  assert.deepEqual(await read('a'), ['dockerfile', [], ['y']])
  assert.deepEqual(await read('b'), ['Containerfile', [], ['y']])
  assert.deepEqual(await read('c'), ['Containerfile', [], []])
  assert.deepEqual(await read('d'), ['Dockerfile', ['dockerfile is not used: Dockerfile goes before it'], ['x']])
  assert.deepEqual(await read('f'), ['dockerfile', [], []])
  await assert.rejects(read('e'), {
    code: 'context',
    message: `dockerfile and Containerfile in ${join(root, 'e')}: it is not clear which one is meant.`,
    hint: `Give the one that is: ${join(root, 'e')}/dockerfile or ${join(root, 'e')}/Containerfile.`,
  })
  const given = await readContext(join(root, 'e'), { dockerfile: 'Containerfile' })
  assert.deepEqual([given.dockerfileText, given.warnings], ['FROM f', []])
})

test('what is in UTF-16, or has a byte order mark in its middle, is said with what to do', async (t) => {
  const root = plant(t, { 'wide/Dockerfile': '', 'ignored/Dockerfile': '', 'cat/Dockerfile': '' })
  writeFileSync(join(root, 'wide/Dockerfile'), Buffer.from('\uFEFF# mypaas.service = x\r\n', 'utf16le'))
  writeFileSync(join(root, 'ignored/.dockerignore'), Buffer.from('.env\n', 'utf16le'))
  writeFileSync(join(root, 'cat/.dockerignore'), '\uFEFFx\n\uFEFF**/.env\n')
  await assert.rejects(readContext(join(root, 'wide')), {
    code: 'context',
    message: `Dockerfile in ${join(root, 'wide')} is in UTF-16, as some editors and > of PowerShell write it.`,
    hint: 'Save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8 FILE > NEW && mv NEW FILE',
  })
  await assert.rejects(readContext(join(root, 'ignored')), isContextError(/^\.dockerignore in .* is in UTF-16, /))
  await assert.rejects(
    readContext(join(root, 'cat')),
    isContextError(
      /^\.dockerignore line 2: bad pattern ".*": a byte order mark stands here, where two files were put together\. Remove it: sed -i '2s\/\\xEF\\xBB\\xBF\/\/' \.dockerignore$/,
    ),
  )
})

test('sockets, pipes and devices are left out with a warning each', async (t) => {
  const root = plant(t, { Dockerfile: '', 'run/x': '' })
  execFileSync('sh', ['-c', 'mkfifo run/pipe'], { cwd: root })
  const server = createServer().listen(join(root, 'run/app.sock'))
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const context = await readContext(root)
  assert.deepEqual(context.warnings, ['run/app.sock is a socket: not sent', 'run/pipe is a named pipe: not sent'])
  assert.deepEqual(
    context.entries.map((entry) => entry.path),
    ['Dockerfile', 'run', 'run/x'],
  )
})

test('a pipe in the place of the Dockerfile or the ignore file holds nobody up', async (t) => {
  const root = plant(t, { 'one/x': '', 'two/Dockerfile': '' })
  execFileSync('sh', ['-c', 'mkfifo one/Dockerfile two/.dockerignore'], { cwd: root })
  await assert.rejects(readContext(join(root, 'one')), isContextError(/^Dockerfile in .* is not a file\.$/))
  await assert.rejects(readContext(join(root, 'two')), isContextError(/^\.dockerignore in .* is not a file\.$/))
})

test('names that are not UTF-8 are kept byte by byte', async (t) => {
  const root = plant(t, { Dockerfile: '' })
  const raw = Buffer.from([0x62, 0xff, 0x2e, 0x74])
  writeFileSync(Buffer.concat([Buffer.from(`${root}/`), raw]), 'x')
  symlinkSync(raw, join(root, 'link'))
  const { entries } = await readContext(root)
  assert.deepEqual(
    entries.map(({ path, rawPath, rawLinkTarget }) => [
      path,
      rawPath && Buffer.from(rawPath),
      rawLinkTarget && Buffer.from(rawLinkTarget),
    ]),
    [
      ['Dockerfile', undefined, undefined],
      ['b\uFFFD.t', raw, undefined],
      ['link', undefined, raw],
    ],
  )
})

test('a directory that nothing can come back in is not even looked into', async (t) => {
  // A path longer than the system takes: whoever looks gets an error.
  const root = plant(t, { Dockerfile: '', '.dockerignore': 'deep\n!deeper/x\n!dee/**' })
  const script = `
    const { mkdirSync } = require('node:fs')
    for (const name of ['deep', ...Array(22).fill('n'.repeat(200))]) { mkdirSync(name); process.chdir(name) }`
  execFileSync(process.execPath, ['-e', script], { cwd: root })
  assert.deepEqual(await paths(root), ['.dockerignore', 'Dockerfile'])
  writeFileSync(join(root, '.dockerignore'), 'deep\n!deep/**/x')
  await assert.rejects(readContext(root), isContextError(/^These can't be read: deep\/n+\/.* \(ENAMETOOLONG\)\.$/))
})

test('what its reader may not read is named, all of it at once', async (t) => {
  const root = plant(t, {
    Dockerfile: { mode: 0o644 },
    'secret/x': '',
    'locked.txt': { content: 'x', mode: 0o600 },
    'mine.txt': { content: 'x', mode: 0o640 },
    'fine.txt': { content: 'x', mode: 0o604 },
  })
  chmodSync(root, 0o755)
  chmodSync(join(root, 'secret'), 0o700)
  const program = `
    import { readContext } from ${JSON.stringify(new URL('../../src/context/index.ts', import.meta.url).href)}
    process.setgroups([]); process.setgid(65534); process.setuid(65534)
    readContext(${JSON.stringify(root)}).then(
      (context) => console.log(context.entries.length),
      (error) => console.log(error.code + ' ' + error.message),
    )`
  const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    encoding: 'utf8',
  })
  assert.equal(stdout, "context These can't be read: locked.txt (EACCES), mine.txt (EACCES), secret (EACCES).\n")
})

test('a large directory, walked with a worker, gives the same entries as a small one', async (t) => {
  const root = plant(t, { Dockerfile: '', '.dockerignore': 'ignored\n!ignored/*/keep-*\n**/skip-*' })
  plantMany(root, 3000)
  for (let index = 0; index < 1500; index++) {
    const directory = join(root, index % 2 ? 'ignored' : 'nested', `d-${index % 30}`, `e-${index % 50}`)
    mkdirSync(directory, { recursive: true })
    plantIn(directory, { 'a-b': '', 'a/b': '', 'skip-me': '' })
  }
  plantIn(root, { 'ignored/d-1/keep-1': '', 'ignored/d-29/keep-2': '' })
  const context = await readContext(root)
  const found = execFileSync('find', ['.', '-mindepth', '1', '-printf', '%P\n'], {
    cwd: root,
    encoding: 'latin1',
    maxBuffer: 1 << 26,
  })
  const kept = found
    .split('\n')
    .filter((path) => path !== '' && !path.includes('skip-'))
    .filter((path) => !path.startsWith('ignored') || /^ignored(\/d-1|\/d-29)?$|keep-/.test(path))
  assert.deepEqual(
    context.entries.map((entry) => entry.path),
    kept.sort(),
  )
})
