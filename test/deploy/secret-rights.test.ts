import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Host } from '../../src/deploy/host.ts'
import { type JournalRelease, writeJournal } from '../../src/deploy/journal.ts'
import { startService, stopService } from '../../src/deploy/reconcile.ts'
import { environmentOf, narrowed, type SecretRights, secretsFor } from '../../src/deploy/secret-rights.ts'
import { secretMarks } from '../../src/deploy/secrets.ts'
import { MypaasError } from '../../src/errors.ts'
import { parseSpec } from '../../src/service/parse.ts'

const shared = { GLOBAL: 'global-value', COMMON: 'common-value' }
const spec = parseSpec('# mypaas.service = x-gs\n# mypaas.env = GLOBAL\nFROM scratch\n')

function host(own: Readonly<Record<string, string>> = {}, all: Readonly<Record<string, string>> = shared) {
  return {
    markKey: 'k',
    secrets: (_: string, from: string) => (from === 'server' ? { ...all, ...own } : own),
  } as Pick<Host, 'markKey' | 'secrets'>
}

test('a release gets what it says that it may have, whoever asks', () => {
  assert.deepEqual(secretsFor(host(), 'x-gs', { secretsFrom: 'server' }), shared)
  assert.deepEqual(secretsFor(host({ GLOBAL: 'own' }), 'x-gs', { secretsFrom: 'server' }), { ...shared, GLOBAL: 'own' })
  assert.deepEqual(secretsFor(host({ GLOBAL: 'own' }), 'x-gs', { secretsFrom: 'service' }), { GLOBAL: 'own' })
  assert.deepEqual(secretsFor(host(), 'x-gs', { secretsFrom: 'service' }), {})
})

test('a release of an older version gets of the secrets of all only the very values that it had', () => {
  const had = (values: Record<string, string>): SecretRights => ({ secrets: secretMarks(host(), spec, values) })
  assert.deepEqual(secretsFor(host(), 'x-gs', had({ GLOBAL: 'global-value' })), { GLOBAL: 'global-value' })
  assert.deepEqual(secretsFor(host(), 'x-gs', had({ GLOBAL: 'a dummy' })), {})
  assert.deepEqual(secretsFor(host(), 'x-other', had({ GLOBAL: 'global-value' })), {}, 'marks are of one service')
  assert.deepEqual(secretsFor(host({ GLOBAL: 'own' }), 'x-gs', had({ GLOBAL: 'dummy' })), { GLOBAL: 'own' })
  assert.deepEqual(secretsFor(host(), 'x-gs', {}), {})
  assert.throws(
    () => environmentOf(host(), spec, had({ GLOBAL: 'a dummy' })),
    /An older mypaas deployed this release of x-gs and did not note whose secrets it may have/,
  )
})

test('what comes of a release has no more rights than it, nor than whoever makes it', () => {
  const rights = (secretsFrom: Host['secretsFrom'], from: SecretRights) => narrowed({ secretsFrom }, from).secretsFrom
  assert.equal(rights('server', { secretsFrom: 'server' }), 'server')
  assert.equal(rights('server', { secretsFrom: 'service' }), 'service')
  assert.equal(rights('service', { secretsFrom: 'server' }), 'service')
  assert.equal(rights('service', {}), 'service')
  assert.equal(rights('server', {}), undefined)
})

test('a start that can not be done changes nothing: the service stays stopped', async (t) => {
  const { server, journal } = await stopped(t, { secretsFrom: 'service' })
  const before = await journal()
  await assert.rejects(
    startService(server, 'x-gs', { emit: () => {} }),
    (error) =>
      error instanceof MypaasError &&
      error.code === 'directives' &&
      /x-gs has no GLOBAL of its own, and may have no secret of others/.test(error.message) &&
      !String(error.hint).includes('[env]'),
  )
  assert.equal(await journal(), before)
})

test('nor does one whose image or mounts are not as they must be, nor a stop by a journal that is an old copy', async (t) => {
  const lost = await stopped(t, { secretsFrom: 'server' }, { image: false })
  const before = await lost.journal()
  await assert.rejects(startService(lost.server, 'x-gs', { emit: () => {} }), /The image x-gs:r1 is gone/)
  assert.equal(await lost.journal(), before)

  const newer = await stopped(t, { secretsFrom: 'server' }, { container: 7 })
  const old = await newer.journal()
  for (const command of [startService, stopService])
    await assert.rejects(command(newer.server, 'x-gs', { emit: () => {} }), /the journal is an old copy/)
  assert.equal(await newer.journal(), old)
})

async function stopped(
  t: TestContext,
  rights: SecretRights,
  engine: { image?: boolean; container?: number } = {},
): Promise<{ server: Host; journal: () => Promise<string> }> {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-start-'))
  t.after(() => rm(directory, { recursive: true }))
  const current: JournalRelease = { release: 1, image: 'i', spec, deployedAt: '', ...rights }
  await writeJournal(directory, {
    version: 1,
    service: 'x-gs',
    server: 's',
    lastRelease: 1,
    stopped: true,
    current,
  })
  const { NotFoundError } = await import('../../src/docker/index.ts')
  const labels = { 'mypaas.server': 's', 'mypaas.service': 'x-gs', 'mypaas.replica': '1' }
  const found = engine.container
  const container = { Id: 'c', Names: [`/x-gs-r${found}-1`], Labels: { ...labels, 'mypaas.release': String(found) } }
  const state = { Status: 'running', Running: true }
  const docker = {
    containers: {
      list: async () => (found === undefined ? [] : [container]),
      inspect: async () => ({
        Id: 'c',
        Name: container.Names[0],
        State: state,
        HostConfig: {},
        NetworkSettings: { Networks: {} },
        Config: {},
      }),
    },
    images: {
      inspect: async () => {
        if (engine.image !== false) return { Id: 'i', Config: {} }
        throw new NotFoundError('no such image', { status: 404, method: 'GET', path: '/images' })
      },
    },
  }
  const server = {
    ...host(),
    directory,
    home: directory,
    server: 's',
    prefix: '',
    router: { gate: 'g' },
    docker,
  } as unknown as Host
  return { server, journal: () => readFile(join(directory, 'services', 'x-gs.json'), 'utf8') }
}
