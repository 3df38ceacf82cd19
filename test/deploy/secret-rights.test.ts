import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Host } from '../../src/deploy/host.ts'
import { releaseSettings } from '../../src/deploy/image.ts'
import { type Journal, type JournalRelease, writeJournal } from '../../src/deploy/journal.ts'
import { withRights } from '../../src/deploy/note-rights.ts'
import { lockService } from '../../src/deploy/operate.ts'
import { reconcile, startService, stopService } from '../../src/deploy/reconcile.ts'
import { environmentOf, narrowed, type SecretRights, secretsFor } from '../../src/deploy/secret-rights.ts'
import { secretMarks } from '../../src/deploy/secrets.ts'
import { MypaasError } from '../../src/errors.ts'
import { actions } from '../../src/server/actions.ts'
import { specToLabels } from '../../src/service/labels.ts'
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

test("before a value changes, an older version's releases get noted which secrets of all they had, by name", () => {
  const two = parseSpec('# mypaas.service = x-gs\n# mypaas.env = GLOBAL\n# mypaas.env = COMMON\nFROM scratch\n')
  const journal = (values: Record<string, string>, previous: JournalRelease[] = []): Journal => ({
    version: 1,
    service: 'x-gs',
    server: 's',
    lastRelease: 2,
    current: { release: 2, image: 'i', spec: two, deployedAt: '', secrets: secretMarks(host(), two, values) },
    previous,
  })
  const all = withRights(host(), journal(shared))
  assert.deepEqual(all.current?.sharedSecrets, ['COMMON', 'GLOBAL'])
  const rotated = host({}, { GLOBAL: 'new', COMMON: 'newer', OTHER: 'x' })
  assert.deepEqual(secretsFor(rotated, 'x-gs', all.current ?? {}), { GLOBAL: 'new', COMMON: 'newer' })
  assert.equal(withRights(rotated, all), all, 'once')

  const own = { GLOBAL: 'dummy', COMMON: 'common-value' }
  const limited = withRights(host(own), journal(own, all.current ? [all.current] : []))
  assert.deepEqual(limited.current?.sharedSecrets, [], 'what was its own gives nothing, also where it is the same')
  assert.deepEqual(limited.previous, [all.current])
  assert.equal(withRights(host(), limited), limited, 'nor later, when that is gone')
  assert.deepEqual(secretsFor(host(), 'x-gs', limited.current ?? {}), { COMMON: 'common-value' }, 'the very value')
  assert.deepEqual(secretsFor(rotated, 'x-gs', limited.current ?? {}), {})

  const guessed = withRights(host({ GLOBAL: 'dummy' }), journal(own))
  assert.deepEqual(guessed.current?.sharedSecrets, ['COMMON'])
  assert.deepEqual(secretsFor(host({}, rotated.secrets('x-gs', 'server')), 'x-gs', guessed.current ?? {}), {
    COMMON: 'newer',
  })

  const kept = journal(shared).current as JournalRelease
  assert.deepEqual(withRights(host(), { ...all, previous: [kept] }).previous?.[0]?.sharedSecrets, ['COMMON', 'GLOBAL'])
  const nothing = { ...journal({}), current: { ...kept, secrets: {} } }
  assert.equal(withRights(host(), nothing), nothing)
  const said = { ...nothing, current: { ...kept, secretsFrom: 'service' as const } }
  assert.equal(withRights(host(), said), said)
})

test('that is noted by the first command of any kind, and by a look at what runs', async (t) => {
  const marks = { secrets: secretMarks(host(), spec, shared) }
  const old = await stopped(t, marks)
  const rights = async (): Promise<unknown> => JSON.parse(await old.journal()).current.sharedSecrets
  const { current: _, ...journal } = JSON.parse(await old.journal())
  assert.equal(await rights(), undefined)
  await (await lockService(old.server, 'x-gs', 'a test'))[Symbol.asyncDispose]()
  assert.deepEqual(await rights(), ['GLOBAL'])

  const looked = await stopped(t, marks)
  const at = { current: { release: 1, image: 'i', spec, deployedAt: '', ...marks } }
  await writeJournal(looked.server.directory, { ...journal, ...at })
  const router = { gate: 'g', current: async () => undefined }
  await reconcile({ ...looked.server, router } as unknown as Host, 'x-gs', { emit: () => {} })
  assert.match(await looked.journal(), /"sharedSecrets": \[\s+"GLOBAL"/)
})

test('a change of a secret is made after that, of whichever service', async (t) => {
  const { server, journal } = await stopped(t, { secrets: secretMarks(host(), spec, shared) })
  const file = join(server.directory, 'config.toml')
  await writeFile(file, '[env]\nGLOBAL = "global-value"\n')
  const set = actions['env-set']
  assert.ok(set)
  await set.run({ server: { host: server, config: {} }, key: {}, args: { name: 'GLOBAL' }, body: 'rotated' } as never)
  assert.match(await readFile(file, 'utf8'), /rotated/)
  const { current } = JSON.parse(await journal())
  assert.deepEqual(secretsFor(host({}, { GLOBAL: 'rotated' }), 'x-gs', current), { GLOBAL: 'rotated' })
  assert.deepEqual(environmentOf(host({}, { GLOBAL: 'rotated' }), spec, current), ['GLOBAL=rotated'])
})

test('a kept image of an older version says nothing of secrets, and none is made up', async () => {
  const labels = { ...specToLabels(spec), 'mypaas.image.service': 'x-gs' }
  const images = (more: Record<string, string>) => ({
    docker: { images: { inspect: async () => ({ Id: 'i', Config: { Labels: { ...labels, ...more } }, RootFS: {} }) } },
    prefix: '',
  })
  const rights = async (more: Record<string, string> = {}) => {
    const { spec: _, ...found } = await releaseSettings(images(more) as unknown as Host, 'x-gs', 1)
    return found
  }
  assert.deepEqual(await rights(), {})
  assert.deepEqual(await rights({ 'mypaas.image.secrets': 'server' }), { secretsFrom: 'server' })
  assert.deepEqual(await rights({ 'mypaas.image.secrets': 'service' }), { secretsFrom: 'service' })
  assert.throws(() => environmentOf(host(), spec, {}), /An older mypaas deployed this release of x-gs and did not note/)
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
        if (engine.image !== false) return { Id: 'i', Config: {}, RootFS: {} }
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
