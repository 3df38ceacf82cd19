import assert from 'node:assert/strict'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { runInService } from '../../src/deploy/command.ts'
import { type Execution, execute } from '../../src/deploy/execute.ts'
import type { Host } from '../../src/deploy/host.ts'
import { identityLabels, runIdentityLabels } from '../../src/deploy/identity.ts'
import { type Journal, writeJournal } from '../../src/deploy/journal.ts'
import { mountProblems } from '../../src/deploy/mounts.ts'
import { Docker } from '../../src/docker/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { parseSpec } from '../../src/service/parse.ts'

type Found = Readonly<{ name: string; state: string; bind: string; labels?: Readonly<Record<string, string>> }>

const server = { server: 's1', markKey: 'key' }
const spec = (volume: string) => parseSpec(`# mypaas.service=x\n# mypaas.volume=${volume}\nFROM y\n`)
const replica = (release: number, state: string, bind: string): Found => ({
  name: `x-r${release}-1`,
  state,
  bind,
  labels: identityLabels(server, { service: 'x', release, replica: 1 }),
})
const command = (release: number, state: string, bind: string): Found => ({
  name: 'x-run-1',
  state,
  bind,
  labels: runIdentityLabels(server, { service: 'x', release, name: 'x-run-1' }),
})

test('what was made and not yet started counts as what runs, a command as a container that stays', async (t) => {
  const e = await engine(t)
  const problems = async (volume: string, ...containers: Found[]): Promise<string> => {
    e.containers = containers
    return (await mountProblems(e.host, spec(volume))).map(({ message, hint }) => `${message}. ${hint}`).join()
  }
  for (const state of ['created', 'running', 'paused', 'restarting']) {
    assert.match(
      await problems('~/x/sub:/b', { name: 'other', state, bind: '~/x:/a' }),
      /container other mounts/,
      state,
    )
    const refused = await problems('~/x/sub:/b', command(1, state, '~/x:/a'))
    assert.match(refused, /the container x-run-1 mounts.*end the command/, state)
    assert.match(
      await problems('~/x:/a', command(1, state, '~/x/sub:/b')),
      /lies above .* the container x-run-1/,
      state,
    )
    // A replica that only reads goes with the next release; a command that does, stays.
    assert.match(await problems('~/x/sub:/b', command(1, state, '~/x:/a:ro')), /x-run-1/, state)
    // What a command can write is no reason why the next release may.
    assert.match(
      await problems('~/x:/a', command(1, state, '~/x:/a'), replica(1, 'running', '~/x/sub:/b')),
      /x-r1-1/,
      state,
    )
  }
  assert.equal(await problems('~/x/sub:/b', { name: 'other', state: 'exited', bind: '~/x:/a' }), '')
  assert.equal(await problems('~/x/sub:/b', command(1, 'exited', '~/x:/a')), '')
  assert.equal(await problems('~/x/sub:/b', replica(1, 'running', '~/x:/a:ro')), '')
  // Of a deploy that was killed: nothing starts it any more.
  assert.equal(await problems('~/x/sub:/b', replica(2, 'created', '~/x:/a')), '')
  const trusting = { ...e.host, trustedContainers: ['x-run-1', 'other'] }
  e.containers = [command(1, 'running', '~/x:/a')]
  assert.equal((await mountProblems(trusting, spec('~/x/sub:/b'))).length, 1)
  e.containers = [{ name: 'other', state: 'created', bind: '~/x:/a' }]
  assert.equal((await mountProblems(trusting, spec('~/x/sub:/b'))).length, 0)
})

test('a release that is meant to run counts also where nothing of it is there', async (t) => {
  const e = await engine(t)
  await writeJournal(e.host.directory, journal({ current: release(1, '~/x:/a') }))
  for (const containers of [[], [replica(1, 'created', '~/x:/a')]]) {
    e.containers = containers
    const [problem] = await mountProblems(e.host, spec('~/x/sub:/b'))
    assert.match(problem?.message ?? '', /which r1 of x mounts/)
    assert.deepEqual(await mountProblems(e.host, spec('~/x:/b')), [])
  }
  await writeJournal(e.host.directory, journal({ current: release(1, '~/x:/a'), stopped: true }))
  assert.deepEqual(await mountProblems(e.host, spec('~/x/sub:/b')), [])
})

test('no command is run while another release comes, nor beside what its mounts do not go with', async (t) => {
  const e = await engine(t)
  const run = (): Promise<unknown> => runInService(e.host, 'x', ['true'], { tty: false })
  const next = release(2, '~/x:/a')
  const refusals: [Partial<Journal>, Found[], MypaasError['code'], RegExp][] = [
    [{ next }, [], 'locked', /A deploy of x is on: r2 is to come/],
    [{ next }, [replica(1, 'running', '~/x:/a')], 'locked', /r2 is to come/],
    [{ stopped: true }, [replica(2, 'running', '~/x/sub:/b')], 'directives', /the container x-r2-1 mounts/],
    [{}, [replica(2, 'running', '~/x/sub:/b')], 'directives', /the container x-r2-1 mounts/],
    // A release that only reads goes when another comes; none comes with a command.
    [{}, [replica(2, 'running', '~:/b:ro')], 'directives', /the container x-r2-1 mounts/],
    [{}, [{ name: 'other', state: 'created', bind: '~/x/sub:/b' }], 'directives', /the container other mounts/],
  ]
  for (const [more, containers, code, words] of refusals) {
    await writeJournal(e.host.directory, journal({ current: release(1, '~/x:/a'), ...more }))
    e.containers = containers
    await assert.rejects(run(), (error) => {
      assert.ok(error instanceof MypaasError)
      assert.match(error.message, words)
      return error.code === code
    })
  }
  assert.deepEqual(e.changes, [])
})

test('a release is taken back if its mounts do not go with what came while it got ready', async (t) => {
  const e = await engine(t)
  const committed: number[] = []
  const facts = { release: 2, spec: spec('~/x/sub:/b'), newMounts: true }
  const run = {
    host: e.host,
    service: 'x',
    releases: async () => facts,
    commit: async (number: number) => void committed.push(number),
    emit: () => {},
  } as unknown as Execution
  const targets = [{ release: 2, replica: 1, name: 'x-r2-1' }]
  e.containers = [replica(2, 'running', '~/x/sub:/b'), { name: 'other', state: 'created', bind: '~/x:/a' }]
  for (const step of [{ kind: 'arm', targets } as const, { kind: 'commit', release: 2 } as const])
    await assert.rejects(execute([step], run), /lies below .*, which the container other mounts/)
  assert.deepEqual([e.changes, committed], [[], []])
  e.containers = e.containers.slice(0, 1)
  await execute(
    [
      { kind: 'arm', targets },
      { kind: 'commit', release: 2 },
    ],
    run,
  )
  assert.deepEqual(committed, [2])
})

function release(number: number, volume: string): NonNullable<Journal['current']> {
  return { release: number, image: '', spec: spec(volume), deployedAt: '' }
}

function journal(more: Partial<Journal>): Journal {
  return { version: 1, service: 'x', server: 's1', lastRelease: 2, ...more }
}

/** An engine that has these containers, and notes whatever is to be changed. */
async function engine(t: TestContext) {
  const home = await realpath(await mkdtemp(join(tmpdir(), 'mypaas-test-')))
  t.after(() => rm(home, { recursive: true }))
  const made = { containers: [] as readonly Found[], changes: [] as string[] }
  const all = () =>
    made.containers.map(({ name, state, bind, labels = {} }) => {
      const [source = '', target = '', mode] = bind.split(':')
      const Mounts = [{ Type: 'bind', Source: source.replace('~', home), Destination: target, RW: mode !== 'ro' }]
      const Running = state === 'running'
      const HostConfig = { RestartPolicy: { Name: 'no' } }
      const of = { Id: name, Labels: labels, ImageID: 'sha256:image', State: state, HostConfig, Mounts }
      const inspected = { Id: name, Name: `/${name}`, State: { Status: state, Running }, HostConfig }
      return { listed: { ...of, Names: [`/${name}`] }, inspected: { ...inspected, NetworkSettings: { Networks: {} } } }
    })
  const answer = (path: string): unknown => {
    if (path.endsWith('/containers/json')) return all().map(({ listed }) => listed)
    if (path.endsWith('/volumes')) return { Volumes: [] }
    if (path.endsWith('/info')) return { DockerRootDir: '/nowhere/docker' }
    if (/\/images\/.*\/json$/.test(path)) return { Id: 'sha256:image', Config: { Labels: {} }, RootFS: {} }
    return all().find(({ inspected }) => path.endsWith(`/containers/${inspected.Id}/json`))?.inspected
  }
  const listener = http.createServer((request, response) => {
    const path = new URL(request.url ?? '', 'http://engine').pathname
    if (path === '/_ping') return void response.writeHead(200, { 'api-version': '1.41', connection: 'close' }).end()
    if (request.method !== 'GET') {
      made.changes.push(path)
      return void response.writeHead(200).end('{}')
    }
    const found = answer(path)
    response.writeHead(found ? 200 : 404).end(JSON.stringify(found ?? { message: 'nothing of that name' }))
  })
  const socket = join(home, 'docker.sock')
  await new Promise<void>((resolve) => listener.listen(socket, resolve))
  t.after(() => listener.close())
  const docker = new Docker({ host: `unix://${socket}` })
  t.after(() => docker.close())
  const host = {
    ...server,
    docker,
    home,
    directory: join(home, '_mypaas'),
    prefix: '',
    network: 'net',
    homeRules: { homes: [home], allowed: [] },
    volumeRoots: [],
    trustedContainers: [],
    foreignVolumes: () => [],
    router: { gate: 'gate' },
    hardening: () => ({ noNewPrivileges: true, capabilities: undefined, pids: 0 }),
    secrets: () => ({}),
    secretsFrom: 'all',
  } as unknown as Host
  return Object.assign(made, { host })
}
