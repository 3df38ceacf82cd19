import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { restart, rollback, scale } from '../../src/deploy/again.ts'
import { execInService, runInService } from '../../src/deploy/command.ts'
import { readHistory, recordRelease } from '../../src/deploy/history.ts'
import type { Host } from '../../src/deploy/host.ts'
import { journalledServices, readJournal, writeJournal } from '../../src/deploy/journal.ts'
import { serviceLogs } from '../../src/deploy/logs.ts'
import { placesOf } from '../../src/deploy/places.ts'
import { reconcile, removeService, startService, stopService } from '../../src/deploy/reconcile.ts'
import { listReleases } from '../../src/deploy/releases.ts'
import { MypaasError } from '../../src/errors.ts'
import type { ActionCall } from '../../src/server/actions.ts'
import { actions } from '../../src/server/actions.ts'

const strange = [
  '',
  '.',
  '..',
  '../../pwn',
  '/etc/pwn',
  'a/b',
  'a\nb',
  'a\0b',
  'blog.lock',
  'blog.json',
  '.x',
  'A',
  'ａ',
  'x'.repeat(300),
]

test('no name leads out of the folder of services, or to a file of another service', () => {
  for (const name of strange) {
    assert.throws(
      () => placesOf('/h/_mypaas', name),
      (error) => error instanceof MypaasError && error.code === 'usage',
      name,
    )
  }
  assert.deepEqual(placesOf('/h/_mypaas', 'blog.api'), {
    journal: '/h/_mypaas/services/blog.api.json',
    lock: '/h/_mypaas/services/blog.api.lock',
    folder: '/h/_mypaas/services/blog.api',
    commands: '/h/_mypaas/services/blog.api/commands',
    pushed: '/h/_mypaas/push/blobs/blog.api',
  })
})

test('every command refuses a name that no service can have before it locks, reads or asks the engine', async (t) => {
  const { directory, host, options } = await world(t)
  const commands: Record<string, (name: string) => unknown> = {
    start: (name) => startService(host, name, options),
    stop: (name) => stopService(host, name, options),
    rm: (name) => removeService(host, name, { ...options, volumes: true }),
    reconcile: (name) => reconcile(host, name, options),
    rollback: (name) => rollback(host, name, 1, options),
    restart: (name) => restart(host, name, options),
    scale: (name) => scale(host, name, 2, options),
    exec: (name) => execInService(host, name, ['true'], { tty: false }),
    run: (name) => runInService(host, name, ['true'], { tty: false }),
    releases: (name) => listReleases(host, name),
    logs: (name) => serviceLogs(host, name, {}).next(),
    'the journal': (name) => readJournal(directory, name),
    'a written journal': (name) => writeJournal(directory, { version: 1, service: name, server: 's', lastRelease: 1 }),
    'the history': (name) => readHistory(directory, name),
    'a written history': (name) =>
      recordRelease(directory, name, { release: 1, action: 'deploy', from: '', who: '', at: '', outcome: 'live' }),
  }
  for (const [what, command] of Object.entries(commands)) {
    for (const name of strange) {
      await assert.rejects(
        async () => await command(name),
        (error) => error instanceof MypaasError && error.code === 'usage',
        `${what} ${JSON.stringify(name)}`,
      )
    }
  }
  assert.deepEqual(await readdir(directory, { recursive: true }), [])
})

test('a command for a service that is not there leaves no lock of it', async (t) => {
  const { directory, host, options } = await world(t)
  for (const command of [startService, stopService, removeService, restart]) {
    await assert.rejects(command(host, 'nobody', options), /There is no service nobody here/)
  }
  await assert.rejects(scale(host, 'nobody', 2, options), /There is no service nobody here/)
  await assert.rejects(rollback(host, 'nobody', undefined, options), /There is no service nobody here/)
  assert.deepEqual(await readdir(directory, { recursive: true }), [])
})

test('a file among the journals that is called like no service is none', async (t) => {
  const { directory } = await world(t)
  await mkdir(join(directory, 'services'))
  for (const file of ['blog.json', 'My Blog.json', '.x.json', 'blog.json.json', 'notes.txt'])
    await writeFile(join(directory, 'services', file), '{}')
  assert.deepEqual(await journalledServices(directory), ['blog'])
})

test('the action of a name that passed by mistake ends in the same refusal', async (t) => {
  const { host, options } = await world(t)
  const call = { server: { host, config: { services: {} } }, key: {}, who: '', body: undefined, ...options }
  for (const action of ['stop', 'start', 'rm', 'reconcile', 'restart', 'rollback', 'releases']) {
    await assert.rejects(
      async () => actions[action]?.run({ ...call, args: { service: '../../pwn' } } as unknown as ActionCall),
      (error) => error instanceof MypaasError && error.code === 'usage',
      action,
    )
  }
})

async function world(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-places-'))
  t.after(() => rm(directory, { recursive: true }))
  const host = { directory, home: directory, server: 's', prefix: '' } as Host
  return { directory, host, options: { emit: () => {} } }
}
