import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { compiledProgram } from '../support/compiled.ts'
import { socketOf, startDaemon } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { type Load, startLoad } from '../support/load.ts'
import { freePort, type ServiceFiles, World, world } from '../support/world.ts'

const run = promisify(execFile)
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
/** The last mypaas that let a service reach further than its key. */
const before = process.env['PROVE_BEFORE'] ?? '5bd279a075dc50e46a47355991782a44ee3bbc8c'

type Subject = Readonly<{ name: string; files: ServiceFiles; refused?: RegExp }>

test('a server of the version before goes on without a failed request, and says what it would refuse', async (t) => {
  const old = await world(t, { program: await programOf(t, before) })
  await old.init()
  const now = new World(old.home, old.instance, old.ports, { program: await compiledProgram(t) })
  t.after(() => now.docker.close())
  await old.docker.volumes.create({ Name: `${old.instance}-by-hand`, Labels: { owner: 'somebody' } })

  await old.addSecrets({ TOKEN: 'first-token' })
  const subjects = tenServices(old.instance, await freePort(2), old.ports.https)
  for (const { name, files } of subjects) {
    const directives = [`url=http://${name}.test`, ...(files.directives ?? [])]
    await old.deploy(await old.service(name, { ...files, directives }))
  }
  const running = await startDaemon(t, old)
  const containersBefore = await facts(old)
  const loads: Load[] = []
  t.after(() => Promise.all(loads.map((load) => load[Symbol.asyncDispose]())))
  const beginLoads = async (): Promise<void> => {
    for (const { name } of subjects) {
      const url = `http://${name}.test/`
      const load = { url, port: old.ports.http, requestsPerSecond: 10, clients: { get: 1, post: 1 }, maxSeconds: 300 }
      loads.push(await startLoad(load))
    }
  }
  const endLoads = async (when: string): Promise<void> => {
    for (const [index, load] of loads.splice(0).entries()) {
      const result = await load.stop()
      t.diagnostic(`${subjects[index]?.name}, ${when}: ${result.requests} requests, ${result.failed} failed`)
      assert.deepEqual(result.failures, [], `${subjects[index]?.name}, ${when}`)
    }
  }

  await beginLoads()
  running.kill('SIGTERM')
  await running.result
  const planned = await now.ok(['server', 'upgrade', '--plan'])
  await endLoads('before the router is replaced')
  const upgraded = await now.ok(['server', 'upgrade'])
  t.diagnostic(upgraded.stdout)
  // Only the router itself is away, for as long as it was said before.
  assert.match(planned.stdout, /replaced; nobody is served for half a second to three meanwhile/)
  const interruptedMs = Number(/nobody was served for (\d+) ms/.exec(upgraded.stdout)?.[1])
  assert.ok(interruptedMs <= 5_000, upgraded.stdout)
  const isRouter = (fact: string): boolean => fact.startsWith(`/${old.instance}-traefik `)
  const routerNow = (await facts(now)).filter(isRouter)
  await beginLoads()
  await startDaemon(t, now)
  // What the daemon does by itself: it settles everything when it starts, and looks again every few seconds.
  await sleep(20_000)
  await now.ok(['server', 'reconcile'])
  for (const { name } of subjects) await now.ok(['server', 'reconcile', name])
  const services = containersBefore.filter((fact) => !isRouter(fact))
  assert.deepEqual(
    await facts(now),
    [...services, ...routerNow].sort(),
    'no container but the router was replaced or started anew, and that once',
  )

  assert.equal(await tokenOf(now), 'TOKEN=first-token')
  const laptop = await mkdtemp(join(tmpdir(), 'mypaas-laptop-'))
  t.after(() => rm(laptop, { recursive: true, force: true }))
  await now.ok(['server', 'key', 'add', await userKeyOf(laptop)])
  await now.ok(['env', 'set', socketOf(now), 'TOKEN'], { env: { HOME: laptop }, input: 'second-token' })
  await now.ok(['server', 'restart', 'bare'])
  assert.equal(await tokenOf(now), 'TOKEN=second-token', 'a secret of all is rotated as it was before')

  const doctor = await now.cli(['server', 'doctor'])
  t.diagnostic(doctor.stdout)
  for (const { name, refused } of subjects) {
    const lines = doctor.stdout.split('\n').filter((line) => new RegExp(`\\b${name}\\b`).test(line))
    assert.equal(lines.length > 0, refused !== undefined, `the doctor on ${name}: ${lines.join(' / ') || 'nothing'}`)
  }
  for (const { name, refused } of subjects) {
    const { code, output } = await now.cli(['server', 'deploy', join(now.home, 'services', name)])
    if (refused) {
      assert.equal(code, 2, `${name}: ${output}`)
      assert.match(output, refused, name)
    } else assert.equal(code, 0, `${name}: ${output}`)
  }

  await endLoads('afterwards')
  const status = await now.ok(['server', 'status'])
  t.diagnostic(status.stdout)
})

/** Each way that a service of before may reach further than it may now, beside ordinary ones. */
function tenServices(instance: string, freeOnes: number, routersPort: number): readonly Subject[] {
  return [
    { name: 'plain', files: { directives: ['scale=2', 'volume=~/plain:/data'] } },
    { name: 'writer', files: { directives: ['volume=~/writer/data:/data', 'volume=writer-cache:/cache'] } },
    { name: 'safely', files: { directives: ['scale=2 safe', 'healthcheck=/ 1s 1s'] } },
    { name: 'bare', files: { directives: ['scale=1', 'env=TOKEN'] } },
    { name: 'published', files: { directives: ['scale=1', `publish=127.0.0.1:${freeOnes}-${freeOnes + 1}:80`] } },
    {
      name: 'nested',
      files: { directives: ['scale=1', 'volume=~/nested:/a', 'volume=~/nested/sub:/b'] },
      refused: /~\/nested/,
    },
    { name: 'dotted', files: { directives: ['scale=1', 'volume=~/.dotted:/d'] }, refused: /~\/\.dotted/ },
    { name: 'tools', files: { directives: ['scale=1', 'volume=~/bin:/tools:ro'] }, refused: /~\/bin/ },
    {
      name: 'foreign',
      files: { directives: ['scale=1', `volume=${instance}-by-hand:/d`] },
      refused: new RegExp(`${instance}-by-hand`),
    },
    {
      name: 'range',
      files: { directives: ['scale=1', `publish=127.0.0.1:${routersPort - 1}-${routersPort}:80`] },
      refused: new RegExp(`${routersPort}`),
    },
  ]
}

/** The token that the one replica of `bare` has. */
async function tokenOf(w: World): Promise<string | undefined> {
  const running = await w.runningNames('bare')
  assert.equal(running.length, 1, running.join(' '))
  const { Config } = await w.docker.containers.inspect(`${w.instance}-${running[0]}`)
  return Config.Env?.find((variable) => variable.startsWith('TOKEN='))
}

/** Which containers there are, and since when they run. */
async function facts(w: World): Promise<readonly string[]> {
  const found = await w.docker.containers.list({
    all: true,
    filters: { label: [`mypaas.server=${await w.serverId()}`] },
  })
  const all = await Promise.all(found.map(({ Id }) => w.docker.containers.inspect(Id)))
  return all.map(({ Id, Name, State }) => `${Name} ${Id.slice(0, 12)} ${State.StartedAt}`).sort()
}

/** The compiled command line of another commit of this repository, with the packages that are here. */
async function programOf(t: TestContext, revision: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await run('git', ['cat-file', '-e', `${revision}^{commit}`], { cwd: root }).catch(() => {
    throw new Error(`This clone has no ${revision}. Get its history: git fetch --unshallow`)
  })
  const archive = join(folder, 'source.tar')
  await run('git', ['archive', '--output', archive, revision], { cwd: root })
  const source = join(folder, 'source')
  await mkdir(source)
  await run('tar', ['-xf', archive, '-C', source])
  await symlink(join(root, 'node_modules'), join(source, 'node_modules'))
  await run(join(root, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json', '--noCheck'], { cwd: source })
  await cp(join(source, 'package.json'), join(source, 'dist', 'package.json'))
  return join(source, 'dist', 'cli', 'main.js')
}
