import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { fill, memoryDisk } from '../support/full-disk.ts'
import {
  assertMended,
  cleanDeploy,
  current,
  type KillAt,
  type Kind,
  killed,
  kinds,
  serviceOf,
} from '../support/killed.ts'
import { backwards, type PrivateEngine, privateEngine } from '../support/private-engine.ts'
import { long } from '../support/prove.ts'
import { seeded } from '../support/seeded.ts'
import { assertSettled, assertTidy } from '../support/settled.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

const seed = Number(process.env['PROVE_SEED'] ?? 1)
const random = seeded(seed)

/** A way in which a recovery is disturbed. @returns whether it was; one that was done before that was not */
type Second = (it: Bench, kind: Kind) => Promise<boolean>

test('a second fault in the recovery from a first: whatever they are, the next reconcile makes all whole', async (t) => {
  const it = await bench(t)
  const ways: readonly [string, Second, number][] = [
    ['killed in the reconcile after a kill in the deploy', killedAgain, long ? 25 : 1],
    ['the engine restarted in the middle of the reconcile', restarted, long ? 12 : 1],
    ['the engine killed in the middle of the reconcile', engineKilled, long ? 6 : 0],
    ['the disk full in the deploy and in the reconcile', diskFull, long ? 7 : 1],
  ]
  let times = 0
  for (const [how, second, wanted] of ways) {
    for (const kind of kinds) {
      await t.test(`${kind}: ${how}`, async (inner) => {
        let hits = 0
        for (let turn = 0; hits < wanted; turn += 1) {
          assert.ok(turn < 4 * wanted + 4, `${hits} of ${turn} recoveries were disturbed`)
          if (await second(it, kind)) hits += 1
        }
        times += hits
        inner.diagnostic(`${kind}: ${how}: ${hits} of ${hits} converge`)
      })
    }
  }
  for (const kind of kinds) {
    await it.w.deploy(it.services[kind].directory)
    await assertTidy(it.w, kind, await current(it.w, kind))
  }
  t.diagnostic(`${times} of ${times} converge (seed ${seed}); the engine left ${left.length} to the next reconcile`)
  for (const how of left) t.diagnostic(how)
})

/** What was done when the engine did not bring back by itself what had run. */
const left: string[] = []

type Service = Readonly<{ directory: string; steps: number; ms: number }>
type Bench = Readonly<{ w: World; engine: PrivateEngine; services: Readonly<Record<Kind, Service>> }>

/** A server on an engine of its own, whose files lie on a disk that can be filled. */
async function bench(t: { after: (fn: () => unknown) => void }): Promise<Bench> {
  const scope = backwards(t)
  const program = await compiledProgram(scope)
  const engine = await privateEngine(scope, { images: ['traefik:v3.7.15'] })
  const home = join(await memoryDisk(scope, 16), 'home')
  await mkdir(home)
  const w = await world(scope, { program, home, engine: engine.host })
  scope.after(() => engine.start())
  await w.init()
  await engine.openNetworks()
  const made = async (kind: Kind): Promise<Service> => {
    const directory = await serviceOf(w, kind)
    await w.deploy(directory)
    return { directory, ...(await cleanDeploy(w, directory)) }
  }
  return { w, engine, services: { roll: await made('roll'), one: await made('one') } }
}

/** From the second step on: before that there is next to nothing to recover from. */
function aStep({ steps }: Service): KillAt {
  return { step: 2 + Math.floor(random() * (steps - 1)) }
}

async function killedAgain(it: Bench, kind: Kind): Promise<boolean> {
  const { w, services } = it
  const service = services[kind]
  const before = await current(w, kind)
  const first = random() < 0.7 ? aStep(service) : { ms: (0.3 + 0.7 * random()) * service.ms }
  await killed(w, ['server', 'deploy', service.directory], first)
  const draw = random()
  const number = 1 + Math.floor(random() * 4)
  const at = draw < 0.5 ? { step: number } : draw < 0.75 ? { file: number } : { ms: 200 + 800 * random() }
  const { signal } = await killed(w, ['server', 'reconcile', kind], at)
  await converges(it, kind, before, `deploy killed at ${JSON.stringify(first)}, reconcile at ${JSON.stringify(at)}`)
  return signal === 'SIGKILL'
}

function restarted(it: Bench, kind: Kind): Promise<boolean> {
  return withoutEngine(it, kind, () => it.engine.stop())
}

function engineKilled(it: Bench, kind: Kind): Promise<boolean> {
  return withoutEngine(it, kind, () => it.engine.kill())
}

/** The reconcile lives, and is asked to be true: 0 says that all is well. */
async function withoutEngine(it: Bench, kind: Kind, end: () => Promise<void>): Promise<boolean> {
  const { w, engine, services } = it
  const before = await current(w, kind)
  const first = aStep(services[kind])
  await killed(w, ['server', 'deploy', services[kind].directory], first)
  const running = w.spawnCli(['server', 'reconcile', kind, '--json'])
  const number = 1 + Math.floor(random() * 3)
  const started = new RegExp(`(?:"type":"step".*"state":"started"[^]*?){${number}}`)
  const isDisturbed = await running.seen(started).then(
    () => true,
    () => false,
  )
  if (isDisturbed) {
    await end()
    await engine.start()
  }
  const { code, output } = await running.result
  const how = `deploy killed at ${JSON.stringify(first)}, the engine gone at step ${number} of the reconcile, which ended with ${code}`
  assert.doesNotMatch(output, /bug in mypaas/, how)
  assert.ok(code === 0 || code === 6, `${how}:\n${output}`)
  if (code === 0 && !(await comesBack(w, kind, [before, (await w.journal(kind))?.lastRelease ?? 0]))) left.push(how)
  await converges(it, kind, before, how)
  return isDisturbed
}

/**
 * What the engine brings back by itself: a reconcile that was done before it went knows nothing of that.
 * @returns false when it left that to the next one, which the daemon does at once
 */
async function comesBack(w: World, kind: Kind, among: readonly number[]): Promise<boolean> {
  const settled = async (): Promise<boolean> => assertSettled(w, kind, among).then(() => true)
  return await until(settled, { what: 'what the engine brings back', timeoutMs: 20_000 }).then(
    () => true,
    () => false,
  )
}

/** A deploy that finds the disk full is killed, or takes back what it can; so is a reconcile. */
async function diskFull(it: Bench, kind: Kind): Promise<boolean> {
  const { w, services } = it
  const { directory, steps } = services[kind]
  const before = await current(w, kind)
  const number = 1 + Math.floor(random() * (steps - 2))
  const running = w.spawnCli(['server', 'deploy', directory, '--json'])
  await running.seen(new RegExp(`(?:"type":"step".*"state":"started"[^]*?){${number}}`))
  const full = await fill(w.home)
  const isKilled = random() < 0.5
  if (isKilled) running.kill('SIGKILL')
  const deployed = await running.result
  const reconciled = await (random() < 0.5
    ? w.cli(['server', 'reconcile', kind])
    : killed(w, ['server', 'reconcile', kind], { step: 1 + Math.floor(random() * 3) }))
  for (const { output } of [deployed, reconciled]) assert.doesNotMatch(output, /bug in mypaas/, output)
  await full[Symbol.asyncDispose]()
  const how = `disk full from step ${number} on, the deploy ${isKilled ? 'killed' : `ended with ${deployed.code}`}, the reconcile ${reconciled.signal ?? `ended with ${reconciled.code}`}`
  await converges(it, kind, before, how)
  return true
}

async function converges({ w }: Bench, kind: Kind, before: number, how: string): Promise<void> {
  await assertMended(w, kind, before, `${how} (seed ${seed})`)
}
