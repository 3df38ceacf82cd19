import assert from 'node:assert/strict'
import { chmod, link, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { auditLog, initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { world } from '../support/world.ts'

test('a directory with dockerfile alone is pushed, and told that its syntax line has no effect', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, quick)
  await w.ok(['server', 'key', 'add', await userKeyOf(w.home)])
  await startDaemon(t, w)
  const directory = await w.service('lower')
  const text = await readFile(join(directory, 'Dockerfile'), 'utf8')
  await rm(join(directory, 'Dockerfile'))
  await writeFile(join(directory, 'dockerfile'), text.replace('\n', '\n# syntax=docker/dockerfile:1\n'))
  const pushed = await w.ok(['push', socketOf(w), directory])
  assert.match(pushed.stderr, /dockerfile:2: # syntax= counts only in the first lines of the file/)
  assert.equal((await w.runningNames('lower')).length, 1)
  await writeFile(join(directory, 'Dockerfile'), Buffer.from(`\uFEFF${text}`, 'utf16le'))
  const wide = await w.cli(['push', socketOf(w), directory])
  assert.equal(wide.code, 2)
  assert.match(wide.stderr, /Dockerfile in .* is in UTF-16, as some editors and > of PowerShell write it/)
})

test('a push deploys what server deploy would, the second one sends only what changed', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, quick)
  const line = await userKeyOf(w.home)
  await w.ok(['server', 'key', 'add', line])
  await startDaemon(t, w)
  const server = socketOf(w)
  const directory = await w.service('web', {
    directives: ['url=http://web.test'],
    files: { 'sub/dir/run.sh': '#!/bin/sh\n', 'ignored.txt': 'no', '.dockerignore': 'ignored.txt\n' },
    lines: ['COPY . /all'],
  })
  await chmod(join(directory, 'sub/dir/run.sh'), 0o755)
  await symlink('../run.sh', join(directory, 'sub/dir/link'))
  await utimes(join(directory, 'sub/dir/run.sh'), 1_600_000_000, 1_600_000_000)
  await link(join(directory, 'sub/dir/run.sh'), join(directory, 'same.sh'))

  const first = await w.ok(['push', server, directory])
  assert.match(first.stderr, /sent .* on the wire/)
  assert.match(first.stdout, /http:\/\/web\.test/)
  assert.equal((await w.request('http://web.test/')).status, 200)

  await new Promise((resolve) => setTimeout(resolve, 150)) // longer than the clock ticks: the hash cache may be used
  const second = await w.ok(['push', server, directory])
  assert.match(second.stderr, /nothing to send/)
  const contents = async (release: number) => (await w.docker.images.inspect(`${w.instance}-web:r${release}`)).RootFS

  await writeFile(join(directory, 'new.txt'), 'new')
  const third = await w.ok(['push', server, directory, '--json'])
  const events = third.stdout
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as { type: string; bytes?: number })
  assert.equal(events.find(({ type }) => type === 'sent')?.bytes, 3)
  assert.equal(events.at(-1)?.type, 'done')

  const pushed = await contents(3)
  await w.deploy(directory)
  assert.deepEqual(await contents(4), pushed)

  const status = await w.ok(['status', server, '--json'])
  assert.equal((JSON.parse(status.stdout) as { release: number }[])[0]?.release, 4)
  // r3 and r4 are one build.
  await w.ok(['rollback', server, 'web'])
  assert.match((await w.ok(['releases', server, 'web'])).stdout, /rollback of r2/)
  const attached = await w.ok(['attach', server])
  assert.match(attached.stderr, /web r3/)

  const audit = await auditLog(w)
  assert.deepEqual(
    audit
      .filter(({ action }) => action === 'push' || action === 'rollback')
      .map(({ action, outcome, service, who }) => [action, outcome, service, who]),
    [
      ...Array.from({ length: 3 }, () => [
        ['push', 'accepted', 'web', 'test'],
        ['push', 'done', 'web', 'test'],
      ]).flat(),
      ['rollback', 'done', 'web', 'test'],
    ],
  )
})
