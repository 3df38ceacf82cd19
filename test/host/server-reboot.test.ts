import assert from 'node:assert/strict'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { compiledProgram } from '../support/compiled.ts'
import { quick } from '../support/daemon.ts'
import { backwards, privateEngine } from '../support/private-engine.ts'
import { assertOneWriter, assertSettled } from '../support/settled.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

const killAt = pathToFileURL(join(dirname(fileURLToPath(import.meta.url)), '../support/kill-at.mjs')).href

test('after a reboot what is current runs and answers, and nothing else does', async (t) => {
  const scope = backwards(t)
  const program = await compiledProgram(scope)
  const engine = await privateEngine(scope, { images: ['traefik:v3.7.15'] })
  const w = await world(scope, { program, engine: engine.host })
  scope.after(() => engine.start())
  await w.init()
  await engine.openNetworks()
  for (const [key, value] of Object.entries(quick)) await w.set('server', key, `"${value}"`)

  const many = await w.service('many', { directives: ['url=http://many.test', 'scale=3'] })
  const one = await w.service('one', {
    directives: ['url=http://one.test', 'volume=~/data:/data'],
    app: { VOLUME: '/data' },
  })
  const paused = await w.service('paused', { directives: ['url=http://paused.test'] })
  const replaced = await w.service('replaced', { directives: ['url=http://replaced.test', 'scale=2'] })
  const halfway = await w.service('halfway', { directives: ['url=http://halfway.test', 'scale=1'] })
  for (const directory of [many, one, paused, replaced, halfway]) await w.deploy(directory)
  await w.deploy(many)
  await w.ok(['server', 'stop', 'paused'])
  // Two deploys that die on their way leave containers of another release than the current one.
  await killedAt(w, replaced, 'drain')
  await killedAt(w, halfway, 'ready')
  const current = [
    'halfway-r1-1',
    'many-r2-1',
    'many-r2-2',
    'many-r2-3',
    'one-r1-1',
    'replaced-r2-1',
    'replaced-r2-2',
    'traefik',
  ]
  const leftovers = ['halfway-r2-1', 'replaced-r1-1', 'replaced-r1-2']
  assert.deepEqual(await running(w), [...current, ...leftovers].sort())

  const answers = async (): Promise<true> => {
    for (const [service, release] of Object.entries({ many: 2, one: 1, replaced: 2, halfway: 1 })) {
      const { status, headers } = await w.request(`http://${service}.test/`, { timeoutMs: 5_000 })
      assert.deepEqual([service, status, headers['x-release']], [service, 200, `r${release}`])
    }
    return true
  }
  const comesBack = async (how: string): Promise<void> => {
    const begin = performance.now()
    await engine.start()
    const there = performance.now()
    await until(answers, { what: 'answers at all URLs', timeoutMs: 30_000 })
    const end = performance.now()
    t.diagnostic(`${how}: ${ms(there - begin)} until the engine answers, ${ms(end - there)} more until all URLs do`)
  }

  await t.test('the engine killed and started again, with no mypaas running', async () => {
    await engine.kill()
    await comesBack('dockerd killed')
    assert.deepEqual(await running(w), current)
  })

  await t.test('the power cut, with no mypaas running', async () => {
    await engine.cutPower()
    await comesBack('power cut')
    assert.deepEqual(await running(w), current)
  })

  await t.test('the daemon, started when the engine is, takes away what dead deploys left', async () => {
    await engine.cutPower()
    const waiting = w.spawnCli(['server', 'daemon'], { timeoutMs: 600_000 })
    scope.after(async () => {
      waiting.kill('SIGKILL')
      await waiting.result
    })
    await comesBack('power cut, daemon first')
    for (const [service, release] of Object.entries({ many: 2, one: 1, replaced: 2, halfway: 1 })) {
      await until(() => assertSettled(w, service, [release]).then(() => true), {
        what: `${service} in order`,
        timeoutMs: 30_000,
      })
    }
    assert.deepEqual(await running(w), current)
    assert.equal((await w.request('http://paused.test/')).status, 404)
    waiting.kill('SIGTERM')
    assert.equal((await waiting.result).code, 0, waiting.output)
  })

  await t.test('a service that was stopped on purpose starts again when it is told to', async () => {
    await w.ok(['server', 'start', 'paused'])
    assert.equal((await w.request('http://paused.test/')).status, 200)
  })

  assertOneWriter(w)
})

/** Kills a deploy as it begins a step. */
async function killedAt(w: World, directory: string, step: string): Promise<void> {
  const { signal, output } = await w.cli(['server', 'deploy', directory, '--json'], {
    env: { NODE_OPTIONS: `--import=${killAt}`, KILL_AT_STEP: step },
  })
  assert.equal(signal, 'SIGKILL', output)
}

async function running(w: World): Promise<string[]> {
  const found = await w.containers()
  return found
    .filter(({ State }) => State === 'running')
    .map((container) => w.nameOf(container))
    .sort()
}

function ms(duration: number): string {
  return `${Math.round(duration)} ms`
}
