import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import {
  assertMended,
  cleanDeploy,
  current,
  type KillAt,
  type Kind,
  killAtModule,
  killed,
  kinds,
  serviceOf,
} from '../support/killed.ts'
import { backwards, privateEngine } from '../support/private-engine.ts'
import { long } from '../support/prove.ts'
import { sample, seeded } from '../support/seeded.ts'
import { assertTidy } from '../support/settled.ts'
import { watchStandstill } from '../support/standstill.ts'
import { type World, world } from '../support/world.ts'

const seed = Number(process.env['PROVE_SEED'] ?? 1)

const standstill = watchStandstill({ after })

suite('kill', { concurrency: 2 }, () => {
  test('a deploy that is killed leaves the old release or the new one, never both, never neither', {
    concurrency: true,
  }, async (t) => {
    const program = await compiledProgram(t)
    const w = await world(t, { program })
    await w.init()
    await Promise.all(
      kinds.map((kind) =>
        t.test(`${kind}: at every boundary of its steps, in the middle of a file, and at random moments`, async (t) => {
          const directory = await serviceOf(w, kind)
          await w.deploy(directory)
          const { ms, steps } = await cleanDeploy(w, directory)
          for (let step = 1; step <= steps; step += 1) await killedAt(w, kind, directory, { step })
          const random = seeded(seed)
          const files = await filesWritten(w, kind, directory)
          const last = files.findLastIndex((file) => file.endsWith('.log')) + 1
          assert.ok(last > 0, `the log of a replica that goes is kept: ${files.join(', ')}`)
          const numbers = files.map((_, index) => index + 1)
          const chosen = long ? numbers : [...new Set([...sample(numbers, 2, random), last])]
          for (const number of chosen) await killedAt(w, kind, directory, { file: number })
          for (let turn = 0; turn < (long ? 100 : 10); turn += 1)
            await killedAt(w, kind, directory, { ms: random() * ms })
          await w.deploy(directory)
          await assertTidy(w, kind, await current(w, kind))
          t.diagnostic(
            `${kind}: killed at ${steps} boundaries, ${chosen.length} of ${files.length} files and ${long ? 100 : 10} random moments of ${Math.round(ms)} ms`,
          )
        }),
      ),
    )
  })

  test('the router killed in the middle of a deploy: after a reconcile all is as it should be', async (t) => {
    const program = await compiledProgram(t)
    const w = await world(t, { program })
    await w.init()
    for (const kind of kinds) {
      const directory = await serviceOf(w, kind)
      await w.deploy(directory)
      for (const step of long ? ['create', 'route', 'ready', 'join', 'arm', 'remove'] : ['ready']) {
        for (const how of ['by docker kill, so it stays down', 'as by a crash, so it comes back'] as const) {
          await t.test(`${kind}: at the step ${step}, ${how}`, async () => {
            const before = await current(w, kind)
            const running = w.spawnCli(['server', 'deploy', directory, '--json'])
            await running.seen(new RegExp(`"step":"${step}".*"state":"started"`))
            if (how.startsWith('by')) await w.docker.containers.kill(`${w.instance}-traefik`)
            else await killProcessOf(w, `${w.instance}-traefik`)
            const { code, output } = await running.result
            assert.ok(code === 0 || code === 1 || code === 5 || code === 6, output)
            t.diagnostic(`${kind}, router killed at ${step} ${how}: exit code ${code}`)
            await mended(w, kind, before, `router killed at ${step}`)
            if (code === 0) assert.equal(await current(w, kind), (await w.journal(kind))?.lastRelease)
          })
        }
      }
    }
  })

  test('dockerd killed together with the deployer, or restarted under it: it converges within 10 s', async (t) => {
    const scope = backwards(t)
    const program = await compiledProgram(scope)
    const engine = await privateEngine(scope, { images: ['traefik:v3.7.15'] })
    const w = await world(scope, { program, engine: engine.host })
    scope.after(() => engine.start())
    await w.init()
    await engine.openNetworks()
    const random = seeded(seed)
    for (const kind of kinds) {
      const directory = await serviceOf(w, kind)
      await w.deploy(directory)
      const { steps } = await cleanDeploy(w, directory)
      const boundaries = Array.from({ length: steps }, (_, index) => index + 1)
      for (const step of long ? boundaries : sample(boundaries, 3, random)) {
        await t.test(`${kind}: both killed at step ${step} of ${steps}`, async () => {
          const before = await current(w, kind)
          await dies(w, directory, { step })
          await engine.kill()
          await engine.start()
          await converges(w, kind, before, `dockerd killed with the deployer at step ${step}`)
        })
      }
      for (const step of long ? ['create', 'start', 'ready', 'join', 'route', 'arm', 'remove'] : ['ready']) {
        await t.test(`${kind}: dockerd restarted at the step ${step}, the deployer lives`, async () => {
          const before = await current(w, kind)
          const running = w.spawnCli(['server', 'deploy', directory, '--json'])
          await running.seen(new RegExp(`"step":"${step}".*"state":"started"`))
          await engine.stop()
          await engine.start()
          const { code, output } = await running.result
          assert.ok(code === 0 || code === 1 || code === 5, `exit code ${code}: ${output}`)
          await converges(w, kind, before, `dockerd restarted at ${step}`)
          assert.equal(await current(w, kind), code === 0 ? (await w.journal(kind))?.lastRelease : before)
        })
      }
    }
  })
})

/** From an engine that answers to a service that is whole. */
async function converges(w: World, kind: Kind, before: number, how: string): Promise<void> {
  const begin = performance.now()
  await mended(w, kind, before, how)
  assertQuick(begin, how)
}

async function killProcessOf(w: World, container: string): Promise<void> {
  const { State } = await w.docker.containers.inspect(container)
  process.kill(State.Pid, 'SIGKILL')
}

/** The files that a deploy puts in their places when nobody disturbs it, in their order. */
async function filesWritten(w: World, kind: Kind, directory: string): Promise<string[]> {
  const list = join(w.home, `files-of-${kind}`)
  await w.ok(['server', 'deploy', directory], { env: { NODE_OPTIONS: `--import=${killAtModule}`, FILES_SEEN: list } })
  return (await readFile(list, 'utf8')).trimEnd().split('\n')
}

async function killedAt(w: World, kind: Kind, directory: string, at: KillAt): Promise<void> {
  const before = await current(w, kind)
  if ('ms' in at) await killed(w, ['server', 'deploy', directory], at)
  else await dies(w, directory, at)
  await mended(w, kind, before, `killed at ${JSON.stringify(at)}`)
}

async function dies(w: World, directory: string, at: KillAt): Promise<void> {
  const { signal, output } = await killed(w, ['server', 'deploy', directory], at)
  assert.equal(signal, 'SIGKILL', output)
}

async function mended(w: World, kind: Kind, before: number, how: string): Promise<void> {
  const begin = performance.now()
  await assertMended(w, kind, before, `${how} (seed ${seed})`, { reconciled: () => assertQuick(begin, 'reconcile') })
}

/** Within 10 s, but for the time in which the machine did nothing at all. */
function assertQuick(begin: number, what: string): void {
  const ms = Math.round(performance.now() - begin)
  const stood = Math.round(standstill.since(begin))
  assert.ok(ms - stood < 10_000, `${what} took ${ms} ms, ${stood} ms of which the machine stood still`)
}
