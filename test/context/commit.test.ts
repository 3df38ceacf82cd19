import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { commitOf } from '../../src/context/commit.ts'

/** A repository with a service in a folder of it, committed. */
async function repository(t: TestContext): Promise<{ root: string; site: string; git: (...args: string[]) => string }> {
  const root = await mkdtemp(join(tmpdir(), 'mypaas-commit-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', ...args], { cwd: root, encoding: 'utf8' }).trim()
  const site = join(root, 'my sité')
  mkdirSync(join(site, 'dir'), { recursive: true })
  writeFileSync(join(site, 'Dockerfile'), 'FROM scratch\n')
  writeFileSync(join(site, 'dir', 'new\nline'), 'x')
  writeFileSync(join(site, 'run'), '', { mode: 0o755 })
  symlinkSync('Dockerfile', join(site, 'link'))
  writeFileSync(join(root, 'beside'), '1')
  writeFileSync(join(root, '.gitignore'), 'dist\n')
  git('init', '-q')
  git('add', '.')
  git('commit', '-qm', 'one')
  return { root, site, git }
}

test('a directory is of the commit that is checked out, whatever git ignores or has beside it', async (t) => {
  const { root, site, git } = await repository(t)
  const id = git('rev-parse', 'HEAD')
  const clean = { id, changed: false }
  assert.deepEqual(await commitOf(site), clean)
  assert.deepEqual(await commitOf(root), clean)
  writeFileSync(join(site, 'dist'), 'built')
  writeFileSync(join(root, 'beside'), '2')
  utimesSync(join(site, 'Dockerfile'), 1, 1) // touched, and the same
  assert.deepEqual(await commitOf(site), clean)
  assert.deepEqual(await commitOf(root), { id, changed: true })
  git('checkout', '-q', '--detach')
  git('gc', '-q')
  assert.deepEqual(await commitOf(site), clean)
  git('worktree', 'add', '-q', join(root, 'dist', '..', '..', `${root.split('/').at(-1)}-tree`))
  const tree = `${root}-tree`
  t.after(() => rm(tree, { recursive: true, force: true }))
  assert.deepEqual(await commitOf(join(tree, 'my sité')), clean)
})

test('every kind of change is seen', async (t) => {
  const changes: Readonly<Record<string, (site: string, git: (...args: string[]) => string) => void>> = {
    'another content of the same length': (site) => writeFileSync(join(site, 'Dockerfile'), 'FROM scratcH\n'),
    'in a file of a strange name': (site) => writeFileSync(join(site, 'dir', 'new\nline'), 'y'),
    removed: (site) => rmSync(join(site, 'run')),
    added: (site) => writeFileSync(join(site, 'more'), ''),
    'a mode': (site) => chmodSync(join(site, 'run'), 0o644),
    'a link to elsewhere': (site) => {
      rmSync(join(site, 'link'))
      symlinkSync('run', join(site, 'link'))
    },
    'staged, and taken back in the directory': (site, git) => {
      writeFileSync(join(site, 'Dockerfile'), 'FROM other\n')
      git('add', '.')
      writeFileSync(join(site, 'Dockerfile'), 'FROM scratch\n')
    },
    renamed: (site) => renameSync(join(site, 'run'), join(site, 'walk')),
  }
  for (const [what, change] of Object.entries(changes)) {
    const { site, git } = await repository(t)
    change(site, git)
    assert.deepEqual(await commitOf(site), { id: git('rev-parse', 'HEAD'), changed: true }, what)
  }
})

test('of no commit is what is in no repository, in an empty one, or not among its files', async (t) => {
  const { root, git } = await repository(t)
  mkdirSync(join(root, 'dist'))
  writeFileSync(join(root, 'dist', 'index.html'), '')
  assert.equal(await commitOf(join(root, 'dist')), undefined)
  assert.equal(await commitOf(join(root, 'nowhere')), undefined)
  const bare = await mkdtemp(join(tmpdir(), 'mypaas-commit-'))
  t.after(() => rm(bare, { recursive: true, force: true }))
  writeFileSync(join(bare, 'Dockerfile'), '')
  assert.equal(await commitOf(bare), undefined)
  execFileSync('git', ['init', '-q'], { cwd: bare })
  assert.equal(await commitOf(bare), undefined)
  assert.ok(git('status'))
})

test('nothing runs that the directory names', async (t) => {
  const { root, site, git } = await repository(t)
  const trap = join(root, 'trap')
  const ran = join(root, '.git', 'ran')
  writeFileSync(trap, `#!/bin/sh\ntouch '${ran}'\ncat\n`, { mode: 0o755 })
  writeFileSync(join(site, '.gitattributes'), '* filter=evil diff=evil\n')
  git('add', '.')
  git('commit', '-qm', 'two')
  for (const name of ['post-index-change', 'fsmonitor-watchman', 'post-checkout', 'reference-transaction']) {
    writeFileSync(join(root, '.git', 'hooks', name), `#!/bin/sh\ntouch '${ran}'\n`, { mode: 0o755 })
  }
  const settings = {
    'core.fsmonitor': trap,
    'core.sshCommand': trap,
    'core.pager': trap,
    'core.editor': trap,
    'filter.evil.clean': trap,
    'filter.evil.smudge': trap,
    'filter.evil.process': trap,
    'filter.evil.required': 'true',
    'diff.evil.textconv': trap,
    'diff.external': trap,
    'core.askPass': trap,
    'alias.ls-files': `!${trap}`,
    'alias.rev-parse': `!${trap}`,
    'remote.origin.url': `ext::${trap}`,
    'remote.origin.promisor': 'true',
    'extensions.partialClone': 'origin',
    'protocol.ext.allow': 'always',
  }
  for (const [key, value] of Object.entries(settings)) git('config', key, value)
  rmSync(ran, { force: true })
  writeFileSync(join(site, 'Dockerfile'), 'FROM other\n')
  const found = await commitOf(site)
  assert.equal(found?.changed, true)
  // With objects missing that a promisor would have to bring.
  rmSync(join(root, '.git', 'objects'), { recursive: true })
  mkdirSync(join(root, '.git', 'objects'))
  assert.equal(await commitOf(site), undefined)
  assert.equal(existsSync(ran), false)
})

test('what a hook of git that pushes has around it changes nothing', async (t) => {
  const { site, git } = await repository(t)
  const other = await repository(t)
  process.env['GIT_DIR'] = join(other.root, '.git')
  t.after(() => {
    delete process.env['GIT_DIR']
  })
  writeFileSync(join(other.root, 'x'), '')
  const found = await commitOf(site)
  delete process.env['GIT_DIR']
  assert.deepEqual(found, { id: git('rev-parse', 'HEAD'), changed: false })
})
