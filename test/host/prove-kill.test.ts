import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compiledProgram } from '../support/compiled.ts'
import { long } from '../support/prove.ts'
import { seeded } from '../support/seeded.ts'
import { assertSettled, assertTidy } from '../support/settled.ts'
import { type World, world } from '../support/world.ts'

const killAt = pathToFileURL(join(dirname(fileURLToPath(import.meta.url)), '../support/kill-at.mjs')).href
const seed = Number(process.env['PROVE_SEED'] ?? 1)

type Kind = 'roll' | 'one'
const kinds: readonly Kind[] = ['roll', 'one']

test('a deploy that is killed leaves the old release or the new one, never both, never neither', async (t) => {
  const program = await compiledProgram(t)
  const w = await world(t, { program })
  await w.init()
  await Promise.all(
    kinds.map((kind) =>
      t.test(`${kind}: at every boundary of its steps, and at random moments`, async (t) => {
        const directory = await serviceOf(w, kind)
        await w.deploy(directory)
        const { ms, steps } = await cleanDeploy(w, directory)
        for (let step = 1; step <= steps; step += 1) await killedAtStep(w, kind, directory, step)
        const random = seeded(seed)
        for (let turn = 0; turn < (long ? 100 : 10); turn += 1) await killedAfter(w, kind, directory, random() * ms)
        await w.deploy(directory)
        await assertTidy(w, kind, (await w.journal(kind))?.current?.release ?? 0)
        t.diagnostic(
          `${kind}: killed at ${steps} boundaries and ${long ? 100 : 10} random moments of ${Math.round(ms)} ms`,
        )
      }),
    ),
  )
})

/** What a deploy does when nobody disturbs it. */
async function cleanDeploy(w: World, directory: string): Promise<{ ms: number; steps: number }> {
  const { stdout, ms } = await w.deploy(directory, '--json')
  return { ms, steps: stdout.split('\n').filter((line) => /^\{"type":"step".*"state":"started"/.test(line)).length }
}

async function killedAtStep(w: World, kind: Kind, directory: string, step: number): Promise<void> {
  const before = (await w.journal(kind))?.current?.release ?? 0
  const { signal, output } = await w.cli(['server', 'deploy', directory, '--json'], {
    env: { NODE_OPTIONS: `--import=${killAt}`, KILL_AT_STEP: `${step}` },
  })
  assert.equal(signal, 'SIGKILL', output)
  await mended(w, kind, before, `killed at step ${step}`)
}

async function killedAfter(w: World, kind: Kind, directory: string, ms: number): Promise<void> {
  const before = (await w.journal(kind))?.current?.release ?? 0
  const running = w.spawnCli(['server', 'deploy', directory, '--json'])
  await sleep(ms)
  running.kill('SIGKILL')
  await running.result
  await mended(w, kind, before, `killed after ${Math.round(ms)} ms`)
}

/** One reconcile makes it whole, and a second one finds nothing to do. */
async function mended(w: World, kind: Kind, before: number, how: string): Promise<void> {
  try {
    const last = (await w.journal(kind))?.lastRelease ?? before
    const { ms } = await w.ok(['server', 'reconcile', kind])
    assert.ok(ms < 10_000, `reconcile took ${Math.round(ms)} ms`)
    const { release } = await assertSettled(w, kind, [before, last])
    const { stdout } = await w.ok(['server', 'reconcile', kind])
    assert.equal(stdout, `${kind} r${release} is as it should be\n`)
  } catch (error) {
    throw new Error(`${kind}, ${how} (seed ${seed}): ${(error as Error).message}`, { cause: error })
  }
}

/** `roll`: two replicas, start-first. `one`: a single writer, stop-first. */
function serviceOf(w: World, kind: Kind): Promise<string> {
  return kind === 'roll'
    ? w.service('roll', { directives: ['url=http://roll.test', 'scale=2'] })
    : w.service('one', { directives: ['url=http://one.test', 'volume=~/data:/data'], app: { VOLUME: '/data' } })
}
