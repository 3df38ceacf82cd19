import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { compiledProgram } from '../support/compiled.ts'
import { startLoad } from '../support/load.ts'
import { backwards } from '../support/private-engine.ts'
import { long } from '../support/prove.ts'
import { watchStandstill } from '../support/standstill.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

const standstill = watchStandstill({ after })
const rounds = long ? 20 : 1
const limitMs = 10_000
/** A router that hangs again sooner than in 10 s is given more and more time. */
const betweenMs = (how: string): number => (how === 'SIGSTOP' ? 11_000 : 2_000)

const disturb: Readonly<Record<string, (w: World, router: string) => Promise<unknown>>> = {
  'docker kill': (w, router) => w.docker.containers.kill(router),
  'docker rm -f': (w, router) => w.docker.containers.remove(router, { force: true }),
  SIGSTOP: (w, router) => w.docker.containers.kill(router, { killSignal: 'SIGSTOP' }),
  'cut from the gate': (w, router) =>
    w.docker.networks.disconnect(`${w.instance}-mypaas-gate`, { Container: router, Force: true }),
  'cut from the network of its ports': (w, router) =>
    w.docker.networks.disconnect(`${w.instance}-mypaas-edge`, { Container: router, Force: true }),
}

test('whatever becomes of the router, the daemon has it serving again within 10 s', async (t) => {
  const scope = backwards(t)
  const program = await compiledProgram(scope)
  const w = await world(scope, { program })
  await w.init()
  await w.deploy(await w.service('web', { directives: ['url=http://web.test', 'scale=2'] }))
  const daemon = w.spawnCli(['server', 'daemon'], { timeoutMs: 3_600_000 })
  scope.after(async () => {
    daemon.kill('SIGKILL')
    await daemon.result
  })
  await daemon.seen(/listens on/)

  for (const [how, act] of Object.entries(disturb)) {
    await t.test(`${how}: ${rounds} times`, async (t) => {
      const load = await startLoad({
        url: 'http://web.test/',
        port: w.ports.http,
        requestsPerSecond: long ? 200 : 50,
        maxSeconds: 600,
      })
      await using _ = load
      const times: number[] = []
      for (let round = 0; round < rounds; round += 1) {
        if (round > 0) await sleep(betweenMs(how))
        const begin = performance.now()
        await act(w, `${w.instance}-traefik`)
        times.push(await servedAgainMs(w, begin))
      }
      const { requests, failed, longestMs } = await load.stop()
      times.sort((a, b) => a - b)
      t.diagnostic(
        `${how}: serving again after ${times[0]} to ${times.at(-1)} ms; ${failed} of ${requests} requests failed, the longest took ${Math.round(longestMs)} ms`,
      )
    })
  }

  daemon.kill('SIGTERM')
  assert.equal((await daemon.result).code, 0, daemon.output)
})

test('what was done to the router is mended by a reconcile, too, and down is left down', async (t) => {
  const program = await compiledProgram(t)
  const w = await world(t, { program })
  await w.init()
  await w.deploy(await w.service('web', { directives: ['url=http://web.test', 'scale=2'] }))
  const router = `${w.instance}-traefik`
  const mended = async (says: RegExp): Promise<void> => {
    const { stdout } = await w.ok(['server', 'reconcile'])
    assert.match(stdout, says)
    assert.equal((await w.request('http://web.test/', { timeoutMs: 5_000 })).status, 200)
    const names = (await w.containers()).map((container) => w.nameOf(container)).filter((name) => /traefik/.test(name))
    assert.deepEqual(names, ['traefik'])
    assert.match((await w.ok(['server', 'reconcile'])).stdout, /^web r1 is as it should be\n$/)
  }

  await t.test('paused', async () => {
    await w.docker.containers.pause(router)
    await mended(/router \S+-traefik: it was paused, and goes on/)
  })

  await t.test('it hangs', async () => {
    await disturb['SIGSTOP']?.(w, router)
    await mended(/router \S+-traefik: it did not answer any more, and was restarted/)
  })

  await t.test('cut from both networks', async () => {
    await disturb['cut from the gate']?.(w, router)
    await disturb['cut from the network of its ports']?.(w, router)
    assert.match((await w.cli(['server', 'doctor'])).stdout, /was cut from \S+-mypaas-edge and \S+-mypaas-gate/)
    await mended(/router \S+-traefik: it was cut from \S+ and \S+, and is back there/)
  })

  await t.test('renamed: it is the same one, and nobody is interrupted', async () => {
    const { Id } = await w.docker.containers.inspect(router)
    await w.docker.containers.rename(router, `${w.instance}-mine-traefik`)
    await mended(/router \S+: \S+-mine-traefik has its name \S+-traefik back/)
    assert.equal((await w.docker.containers.inspect(router)).Id, Id)
  })

  for (const [moment, isStopped] of [
    ['before the old one was stopped', false],
    ['after the old one was stopped', true],
  ] as const) {
    await t.test(`a replacement that was killed ${moment}`, async () => {
      const { Id, Config, HostConfig } = await w.docker.containers.inspect(router)
      const { ConsoleSize: _, ...same } = HostConfig
      await w.docker.containers.rename(router, `${router}-before`)
      const { Id: next } = await w.docker.containers.create({ ...Config, HostConfig: same } as never, { name: router })
      await w.docker.networks.connect(`${w.instance}-mypaas-gate`, { Container: next })
      if (isStopped) await w.docker.containers.stop(`${router}-before`)
      await mended(
        isStopped
          ? /traefik-before is removed[\s\S]*it was created, and runs again/
          : /traefik-before has its name \S+-traefik back/,
      )
      assert.equal((await w.docker.containers.inspect(router)).Id, isStopped ? next : Id)
    })
  }

  await t.test('a daemon makes none where all was taken down', async () => {
    const daemon = w.spawnCli(['server', 'daemon'])
    await daemon.seen(/listens on/)
    await w.ok(['server', 'rm', 'web', '--yes'])
    await w.ok(['server', 'down', '--yes'])
    await sleep(4_000)
    assert.deepEqual(await w.containers(), [])
    daemon.kill('SIGTERM')
    await daemon.result
    assert.doesNotMatch(daemon.output, /the router: |can't be brought back/)
  })
})

/**
 * From `begin` to the first request that is answered by a router that is whole: the engine publishes the ports of one that
 * was cut from their network on the gate, where nobody but this machine reaches them.
 */
async function servedAgainMs(w: World, begin: number): Promise<number> {
  const answered = async (): Promise<boolean> => {
    const { status } = await w.request('http://web.test/', { timeoutMs: 1_000 })
    const { Networks } = (await w.docker.containers.inspect(`${w.instance}-traefik`)).NetworkSettings
    return status === 200 && ['edge', 'gate'].every((name) => `${w.instance}-mypaas-${name}` in Networks)
  }
  await until(() => answered().catch(() => false), { what: 'an answer', timeoutMs: 60_000, everyMs: 20 })
  const ms = Math.round(performance.now() - begin)
  const still = standstill.since(begin)
  assert.ok(ms - still <= limitMs, `${ms} ms, in ${Math.round(still)} of which the machine stood still`)
  return ms
}
