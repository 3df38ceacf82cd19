import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { type Fault, type FaultProxy, faultProxy, faults } from '../support/fault-proxy.ts'
import { inventory } from '../support/inventory.ts'
import { long } from '../support/prove.ts'
import { sample, seeded } from '../support/seeded.ts'
import { assertSettled, assertTidy } from '../support/settled.ts'
import { type CliResult, type World, world } from '../support/world.ts'

type Kind = 'roll' | 'one'
type Case = Readonly<{ call: string; fault: Fault }>

const seed = Number(process.env['PROVE_SEED'] ?? 1)

test('whatever happens to one call of a deploy, the old release serves or the new one, and nothing is left over', {
  concurrency: true,
}, async (t) => {
  const program = await compiledProgram(t)
  const kinds: readonly Kind[] = ['roll', 'one']
  await Promise.all(
    kinds.map((kind) =>
      t.test(`${kind === 'roll' ? 'start-first' : 'stop-first'}: each call × each fault`, async (t) => {
        const w = await world(t, { program })
        await w.init()
        await w.set('server', 'grace', '"1s"')
        const proxy = await faultProxy(t)
        const directory = await serviceOf(w, kind)
        await w.deploy(directory)
        const calls = await callsOf(w, proxy, directory)
        const cases = calls.flatMap((call) => faults.map((fault): Case => ({ call, fault })))
        const chosen = long ? cases : sample(cases, 25, seeded(seed))
        let hits = 0
        for (const one of chosen) hits += (await survives(w, proxy, kind, directory, one)) ? 1 : 0
        await w.set('server', 'engine_timeout', '"60s"')
        await w.deploy(directory)
        await assertTidy(w, kind, await current(w, kind))
        t.diagnostic(
          `${kind}: ${hits} of ${chosen.length} faults came (${calls.length} calls × ${faults.length} faults)`,
        )
        assert.ok(hits >= chosen.length * 0.8, `${hits} of ${chosen.length} calls came again`)
        await nothingElseIsLeft(w, kind)
      }),
    ),
  )
})

async function nothingElseIsLeft(w: World, kind: Kind): Promise<void> {
  const { containers, networks, volumes } = await inventory(w)
  assert.deepEqual(
    containers.map((line) => line.replace(/-r\d+/, '-rN').replace(/ [0-9a-f]{12} /, ' ')),
    [`${kind}-rN-1 running always`, 'traefik running always'],
  )
  assert.deepEqual({ networks, volumes }, { networks: ['mypaas-edge', 'mypaas-gate', 'mypaas-net'], volumes: [] })
}

/** The calls of a deploy that nobody disturbs; those that depend on how long something takes are left out. */
async function callsOf(w: World, proxy: FaultProxy, directory: string): Promise<string[]> {
  const seen: string[][] = []
  for (let turn = 0; turn < 2; turn += 1) {
    proxy.arm()
    const { code, output } = await w.cli(['server', 'deploy', directory, '--json'], { env: proxy.env })
    assert.equal(code, 0, output)
    seen.push([...proxy.calls])
  }
  const [first = [], second = []] = seen
  // How often a container is looked at depends on how long it takes; the first times are always there.
  const isPoll = (call: string): boolean => Number(/^GET \/containers\/\{\}\/json (\d+)$/.exec(call)?.[1] ?? 0) > 8
  return first.filter((call) => second.includes(call) && !isPoll(call))
}

/** @returns whether the call came at all */
async function survives(
  w: World,
  proxy: FaultProxy,
  kind: Kind,
  directory: string,
  { call, fault }: Case,
): Promise<boolean> {
  const before = await current(w, kind)
  // What hangs is to be found out soon; nothing else is to be taken for that on a busy machine.
  const patience = fault.startsWith('hang') ? '"3s"' : '"60s"'
  await w.set('server', 'engine_timeout', patience)
  await w.set('server', 'build_silence', patience)
  const running = w.spawnCli(['server', 'deploy', directory, '--json'], { env: proxy.env, timeoutMs: 90_000 })
  proxy.arm({ call, fault, kill: () => running.kill('SIGKILL') })
  const result = await running.result
  const { hit } = proxy
  proxy.arm()
  try {
    const last = (await w.journal(kind))?.lastRelease ?? before
    if (result.signal === null) await tellsTheTruth(w, kind, result, before, last)
    if (result.signal !== null || /"type":"warning"/.test(result.stdout)) await w.ok(['server', 'reconcile', kind])
    const { release } = await assertSettled(w, kind, [before, last])
    const { stdout } = await w.ok(['server', 'reconcile', kind])
    assert.equal(stdout, `${kind} r${release} is as it should be\n`)
  } catch (error) {
    const how = `${call} ${fault}, exit code ${result.code ?? result.signal} after ${Math.round(result.ms)} ms`
    throw new Error(`${how} (seed ${seed}): ${(error as Error).message}\n${result.output}`, { cause: error })
  }
  return hit
}

/** The exit code says which release serves, and it does, without any help. */
async function tellsTheTruth(w: World, kind: Kind, result: CliResult, before: number, last: number): Promise<void> {
  assert.ok(result.code === 0 || result.code === 1 || result.code === 5, `exit code ${result.code}`)
  const { status, headers } = await w.request(`http://${kind}.test/`)
  const release = `r${result.code === 0 ? last : before}`
  assert.deepEqual({ status, release: headers['x-release'] }, { status: 200, release })
}

async function current(w: World, kind: Kind): Promise<number> {
  return (await w.journal(kind))?.current?.release ?? 0
}

function serviceOf(w: World, kind: Kind): Promise<string> {
  return kind === 'roll'
    ? w.service('roll', { directives: ['url=http://roll.test', 'scale=1'] })
    : w.service('one', { directives: ['url=http://one.test', 'volume=~/data:/data'], app: { VOLUME: '/data' } })
}
