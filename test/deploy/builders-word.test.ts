import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SurpriseError, watchBuild } from '../../src/deploy/builders-word.ts'

const none: readonly string[] = []

test('an image that was allowed may be used, under whichever of its names', () => {
  const digest = `sha256:${'a'.repeat(64)}`
  const watch = watchBuild(['node:22', 'alpine', 'quay.io/a/b', 'docker.io/library/pinned:1', `locked@${digest}`])
  for (const name of [
    '[internal] load metadata for docker.io/library/node:22',
    '[stage-0 1/5] FROM docker.io/library/node:22',
    `[base 1/5] FROM docker.io/library/node:22@${digest}`,
    '[linux/arm64 base 1/5] FROM docker.io/library/alpine:latest',
    'FROM quay.io/a/b:latest',
    '[1/2] FROM docker.io/library/pinned:1',
    `FROM docker.io/library/locked@${digest}`,
    'resolve image config for docker.io/docker/dockerfile:1',
    'resolve image config for docker-image://docker.io/docker/dockerfile:1.7-labs',
    `docker-image://docker.io/docker/dockerfile:1@${digest}`,
  ])
    watch.announced({ id: name, name, inputs: none })
})

test('an image that was not allowed ends the build, and the error names it', () => {
  const digest = `sha256:${'a'.repeat(64)}`
  const allowed = ['node:22', `locked@${digest}`]
  for (const [name, image] of [
    ['[internal] load metadata for docker.io/library/shop:r3', 'docker.io/library/shop:r3'],
    ['FROM docker.io/library/shop:r3', 'docker.io/library/shop:r3'],
    ['[stage-1 1/2] FROM docker.io/library/node:21', 'docker.io/library/node:21'],
    ['FROM evil.example.com/library/node:22', 'evil.example.com/library/node:22'],
    ['FROM docker.io/evil/node:22', 'docker.io/evil/node:22'],
    [`FROM docker.io/library/locked@sha256:${'b'.repeat(64)}`, `locked@sha256:${'b'.repeat(64)}`],
    ['docker-image://docker.io/evil/frontend:1', 'docker.io/evil/frontend:1'],
    // Before it keeps build caches apart.
    ['docker-image://docker.io/docker/dockerfile:1.0-experimental', 'dockerfile:1.0-experimental'],
    ['docker-image://docker.io/docker/dockerfile:1.1.7-experimental', 'dockerfile:1.1.7-experimental'],
  ] as const)
    assert.throws(
      () => watchBuild(allowed).announced({ id: 'x', name, inputs: none }),
      (error) => error instanceof SurpriseError && error.code === 'unauthorised' && error.message.includes(image),
      name,
    )
})

test('where nothing was seen nothing may be used, but what the builder does by itself', () => {
  const watch = watchBuild([])
  for (const name of [
    '[internal] load remote build context',
    'copy /context /',
    '[internal] load build definition from Dockerfile.web',
    '[internal] load .dockerignore',
    '[internal] load build context',
    '[internal] preparing inline document',
    '[internal] setting cache mount permissions',
    '[internal] settings cache mount permissions',
    'exporting to image',
  ])
    watch.announced({ id: name, name, inputs: none })
  assert.throws(
    () => watch.announced({ id: 'x', name: '[1/2] FROM docker.io/library/a:1', inputs: none }),
    SurpriseError,
  )
})

test('commands and copies are what they build on; a copy of nothing is a download', () => {
  const watch = watchBuild([])
  for (const [name, inputs] of [
    ['[stage-0 2/5] RUN echo FROM docker.io/library/shop:r3', []],
    ['[2/5] RUN <<EOF (echo here)', ['a']],
    ['[base 3/5] WORKDIR /x', []],
    ['[stage-1 2/2] COPY --from=base /s /s', ['a', 'b']],
    ['[stage-1 2/2] ADD --link Dockerfile /e', ['a']],
    ['[linux/amd64 2/2] RUN true\nFROM docker.io/library/shop:r3', ['a']],
  ] as const)
    watch.announced({ id: name, name, inputs })
  for (const name of [
    'http://127.0.0.1:18470/secret',
    'https://example.com/a.tar.gz',
    'git://github.com/a/b.git',
    '[2/5] ADD http://127.0.0.1:18470/secret /stolen',
    '[4/5] ADD git@github.com:moby/moby.git /git2',
    '[3/3] COPY --link x /y',
  ])
    assert.throws(
      () => watch.announced({ id: 'x', name, inputs: none }),
      (error) => error instanceof SurpriseError && /is to fetch/.test(error.message),
      name,
    )
})

test('a step of no known kind ends the build', () => {
  for (const name of [
    '',
    'importing cache manifest from docker.io/library/shop:r3',
    '[internal] load git source https://example.com/x.git',
    '[internal] something new',
    'local://other',
    'FROM docker.io/library/a:1 and more',
    'FROM not//a//name',
    'merge (a, b)',
    'copy /context /etc',
  ])
    assert.throws(() => watchBuild(['a:1']).announced({ id: 'x', name, inputs: none }), SurpriseError, name)
})

test('what a step prints is told when all that it is made from was announced', () => {
  const watch = watchBuild(['a:1'])
  assert.equal(watch.mayTell('run'), false)
  // Newer builders announce from the end to the beginning.
  watch.announced({ id: 'run', name: '[3/3] RUN cat /x', inputs: ['copy'] })
  watch.announced({ id: 'copy', name: '[2/3] COPY --from=a:1 /x /x', inputs: ['from', 'other'] })
  assert.equal(watch.mayTell('run'), false)
  watch.announced({ id: 'from', name: '[1/3] FROM docker.io/library/a:1', inputs: none })
  assert.equal(watch.mayTell('run'), false)
  assert.equal(watch.mayTell('from'), true)
  watch.announced({ id: 'other', name: 'FROM docker.io/library/a:1', inputs: none })
  assert.equal(watch.mayTell('run'), true)
})

test('a file of a host that leads nowhere else may be downloaded by https', () => {
  const watch = watchBuild([], ['github.com', 'raw.githubusercontent.com'])
  const announce = (name: string): void => watch.announced({ id: name, name, inputs: none })
  for (const name of [
    'https://github.com/a/b/releases/download/v1/c.tar.gz',
    'https://raw.githubusercontent.com/a/b/main/x?raw=1',
    '[2/5] ADD https://github.com/a/b/archive/v1.tar.gz /x/',
    '[base 2/5] ADD --chown=1:1 --checksum=sha256:aa https://github.com/a https://github.com/b /x/',
  ])
    announce(name)
  for (const name of [
    'http://github.com/a',
    'https://github.com:8443/a',
    'https://github.com@127.0.0.1/a',
    'https://evil.com/github.com/a',
    'https://github.com.evil.com/a',
    'https://sub.github.com/a',
    'https://GITHUB.com/a',
    'https://github.com/a/b.git',
    'https://github.com/a/b.git#main',
    'https://github.com/a/b.git?ref=main',
    '[2/5] ADD https://github.com/a/b.git /x',
    '[2/5] ADD https://github.com/a http://127.0.0.1/b /x/',
    '[2/5] ADD $URL /x',
    '[2/5] ADD https://github.com/$X /x',
    '[2/5] ADD https://github.com/a',
    '[2/5] ADD',
  ])
    assert.throws(() => announce(name), SurpriseError, name)
})
