import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anyHome, type HomeRules, isHomePath } from '../../src/service/home.ts'
import { parseSpec } from '../../src/service/parse.ts'

const homes = ['/home/me', '/data/homes/me']

test('no name with a dot in front is mounted from the home at any level, nor its bin, whatever it is called', () => {
  // What has been seen in homes, and what nobody has thought of.
  const names = ['.git-credentials', '.pgpass', '.cargo', '.bashrc.d', '.rhosts', '.vscode-server', '.x', '...', '..a']
  for (const name of names) {
    for (const path of [name, `${name}/x`, `app/${name}`, `app/${name}/x`]) refused(path, name)
  }
  for (const path of ['bin', 'bin/app', '_mypaas', '_MyPaas/services', '.ssh', '.SSH/authorized_keys'])
    refused(path, path)
  for (const path of ['app/bin', 'Binaries', '_mypaas2', 'app/_mypaas', 'a.b', 'my bin'])
    assert.deepEqual(volumes(`~/${path}:/x`), [{ kind: 'home', path, target: '/x', readOnly: false }])
})

test('the refusal names the line beside all others, and the setting that allows it', () => {
  const dockerfile = '# mypaas.service=x\n# mypaas.prot=1\n# mypaas.volume=~/.config/app:/a\n# mypaas.volume=~/bin:/b\n'
  const home: HomeRules = { homes, allowed: ['.cache/x'] }
  assert.throws(
    () => parseSpec(dockerfile, { home }),
    (error) => {
      assert.ok(error instanceof Error)
      const lines = error.message.split('\n')
      assert.deepEqual(
        lines.map((line) => /^Dockerfile:(\d): mypaas\.\w+: /.exec(line)?.[1]),
        ['2', '3', '4'],
      )
      assert.match(
        lines[1] ?? '',
        /\[server\] of the server's config.toml: home_paths = \["~\/.cache\/x","~\/.config\/app"\]$/,
      )
      return true
    },
  )
})

test('what to write instead is a place that any key may give the service', () => {
  for (const path of ['.config/app', '.ssh', 'bin', '_mypaas', 'blog/.git', ''])
    assert.throws(
      () => parseSpec(`# mypaas.service=blog\n# mypaas.volume=~/${path}:/a\n`),
      /Give (another|a) directory below (the home|it): ~\/blog\/data(\. Or allow it|$)/m,
      path,
    )
})

test('home_paths allows a place and what is in it, not what holds it or begins alike', () => {
  const home: HomeRules = { homes, allowed: ['.config/app', 'bin'] }
  for (const path of ['.config/app', '.config/app/.x', 'bin', 'bin/x'])
    assert.deepEqual(volumes(`~/${path}:/x`, home), [{ kind: 'home', path, target: '/x', readOnly: false }])
  for (const path of ['.config', '.config/apps', '.config/other']) refused(path, path, home)
})

test('the keys of the server and of mypaas are not mounted, whatever the config says', () => {
  for (const path of ['.ssh', '_mypaas', '_MYPAAS/x', '.Ssh/x']) {
    assert.equal(isHomePath(`~/${path}`), false, path)
    refused(path, path, { homes, allowed: [path] })
    refused(path, path, anyHome)
  }
  for (const text of ['~', '~/', '~/a/../b', '~/a//b', '/a', 'a', '~/a/', '~/.'])
    assert.equal(isHomePath(text), false, text)
  for (const text of ['~/.config/app', '~/bin', '~/.a']) assert.equal(isHomePath(text), true, text)
})

test('an absolute path below the home is the same as ~/, with the same rules', () => {
  const home: HomeRules = { homes, allowed: [] }
  for (const at of homes) {
    assert.deepEqual(volumes(`${at}/data/pg:/x`, home), volumes('~/data/pg:/x', home))
    for (const path of [at, `${at}/`, `${at}/.ssh`, `${at}/.config/x`, `${at}/bin`, `${at}/_mypaas`])
      assert.throws(() => volumes(`${path}:/x`, home), /is not mounted/, path)
  }
  assert.equal(volumes('/home/me2/data:/x', home)[0]?.kind, 'host')
  assert.equal(volumes('/home:/x', home)[0]?.kind, 'host')
})

function volumes(value: string, home?: HomeRules) {
  return parseSpec(`# mypaas.service = x\n# mypaas.volume = ${value}\nFROM x\n`, { home }).volumes
}

function refused(path: string, what: string, home?: HomeRules): void {
  assert.throws(() => volumes(`~/${path}:/x`, home), /Dockerfile:2: mypaas\.volume: ~\/.* is not mounted: /, what)
}
