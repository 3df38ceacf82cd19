import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { quick } from '../support/daemon.ts'
import { backwards, privateEngine } from '../support/private-engine.ts'
import { assertSettled } from '../support/settled.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

test('a daemon that runs brings services in order by itself, whoever left them otherwise', async (t) => {
  const scope = backwards(t)
  const program = await compiledProgram(scope)
  const engine = await privateEngine(scope, { images: ['traefik:v3.7.15'] })
  const w = await world(scope, { program, engine: engine.host })
  scope.after(() => engine.start())
  await w.init()
  await engine.openNetworks()
  for (const [key, value] of Object.entries(quick)) await w.set('server', key, `"${value}"`)
  const app = { directives: ['url=http://one.test', 'volume=~/data:/data'], app: { VOLUME: '/data' } }
  const one = await w.service('one', app)
  const pairFiles = {
    directives: ['url=http://pair.test', 'scale=2', 'healthcheck=/ready 1s 500ms'],
    files: { 'server.mjs': sometimesSick },
  }
  const pair = await w.service('pair', pairFiles)
  await w.deploy(one)
  await w.deploy(pair)
  const daemon = w.spawnCli(['server', 'daemon'], { timeoutMs: 600_000 })
  scope.after(async () => {
    daemon.kill('SIGKILL')
    await daemon.result
  })
  await daemon.seen(/listens on/)

  await t.test('a service whose deploy was killed while its requests waited serves again', async () => {
    await w.service('one', { ...app, app: { ...app.app, LISTEN_DELAY_MS: 600_000 } })
    const deploying = w.spawnCli(['server', 'deploy', one, '--json'])
    await deploying.seen(/"step":"ready".*"state":"started"/)
    assert.deepEqual(await w.runningNames('one'), ['one-r2-1'])
    deploying.kill('SIGKILL')
    const waiting = w.request('http://one.test/', { timeoutMs: 30_000 })
    await deploying.result
    const begin = performance.now()
    await settles(w, 'one', [1])
    t.diagnostic(`a killed stop-first deploy: served again ${Math.round(performance.now() - begin)} ms after the kill`)
    const { status, headers } = await waiting
    assert.deepEqual([status, headers['x-release']], [200, 'r1'])
    await daemon.seen(/one: forget r2, which never came/)
  })

  await t.test('a container that was stopped or removed by hand comes back', async () => {
    await w.docker.containers.stop(`${w.instance}-one-r1-1`)
    await settles(w, 'one', [1])
    await w.docker.containers.remove(`${w.instance}-pair-r1-2`, { force: true })
    await settles(w, 'pair', [1])
  })

  await t.test('one that was paused by hand goes on where it was, and is called paused meanwhile', async () => {
    const name = `${w.instance}-one-r1-1`
    const { State } = await w.docker.containers.inspect(name)
    await w.docker.containers.pause(name)
    assert.match((await w.cli(['server', 'status'])).stdout, new RegExp(`paused: ${name}`))
    await settles(w, 'one', [1])
    const after = await w.docker.containers.inspect(name)
    assert.deepEqual([after.State.Status, after.State.StartedAt], ['running', State.StartedAt])
    await daemon.seen(/one: let .*one-r1-1 go on, which is paused/)
  })

  await t.test('one that was cut from a network is on it again, by its names, and goes on where it was', async () => {
    const name = `${w.instance}-one-r1-1`
    const { State } = await w.docker.containers.inspect(name)
    const cut = (network: string): Promise<void> =>
      w.docker.networks.disconnect(`${w.instance}-mypaas-${network}`, { Container: name, Force: true })
    await cut('gate')
    await settles(w, 'one', [1])
    await cut('net')
    await daemon.seen(/one: put \S+-one-r1-1 back on the network that it was cut from/)
    await settles(w, 'one', [1])
    const ask = "const answer = await fetch('http://one/'); console.log(answer.headers.get('x-release'))"
    const { stdout } = await w.docker.containers.exec(`${w.instance}-pair-r1-1`, [
      'node',
      '--input-type=module',
      '-e',
      ask,
    ])
    assert.equal(stdout.toString().trim(), 'r1')
    assert.equal((await w.docker.containers.inspect(name)).State.StartedAt, State.StartedAt)
  })

  await t.test('but not one of a service that is meant to be stopped', async () => {
    await w.ok(['server', 'stop', 'one'])
    await w.docker.containers.stop(`${w.instance}-pair-r1-1`)
    await settles(w, 'pair', [1])
    assert.deepEqual(await w.runningNames('one'), [])
    await w.ok(['server', 'start', 'one', '--wait', '10s'])
    await settles(w, 'one', [1])
  })

  await t.test('a replica that answers again gets requests again without a deploy', async () => {
    const kept = async (): Promise<{ active: { out?: string[] } }> =>
      JSON.parse(await readFile(join(w.home, '_mypaas/traefik/state/pair.json'), 'utf8')) as never
    const sick = `${w.instance}-pair-r1-1`
    await w.docker.containers.exec(sick, ['node', '-e', 'fs.writeFileSync("/tmp/sick", "")'])
    await until(async () => (await answering(w)).size === 1, { what: 'the router to notice', timeoutMs: 20_000 })
    await w.ok(['server', 'restart', 'one', '--wait', '10s'])
    assert.equal((await kept()).active.out?.length, 1)
    await w.docker.containers.exec(sick, ['node', '-e', 'fs.rmSync("/tmp/sick")'])
    await until(async () => (await kept()).active.out === undefined, { what: 'it to be let in', timeoutMs: 20_000 })
    await until(async () => (await answering(w)).size === 2, { what: 'both to answer', timeoutMs: 20_000 })
  })

  await t.test('what did not come back with the engine is started when that is there again', async () => {
    const current = (await w.journal('one'))?.current?.release ?? 0
    const name = `${w.instance}-one-r${current}-1`
    await w.docker.containers.update(name, { RestartPolicy: { Name: 'no' } })
    await engine.stop()
    await daemon.seen(/the engine is away/)
    await engine.start()
    const begin = performance.now()
    await settles(w, 'one', [current])
    t.diagnostic(`engine back: settled after ${Math.round(performance.now() - begin)} ms`)
    await settles(w, 'pair', [1])
    await daemon.seen(/the engine is back/)
  })

  await t.test(
    'one whose deploy was killed just after its commit serves the new release, and the old one goes',
    async () => {
      for (const [service, files] of [
        ['one', app],
        ['pair', pairFiles],
      ] as const) {
        const deploying = w.spawnCli(['server', 'deploy', await w.service(service, files), '--json'])
        await deploying.seen(/"step":"commit".*"state":"done"/)
        deploying.kill('SIGKILL')
        await deploying.result
        const begin = performance.now()
        await settles(w, service, [(await w.journal(service))?.current?.release ?? 0])
        t.diagnostic(
          `${service}, killed after its commit: whole again after ${Math.round(performance.now() - begin)} ms`,
        )
      }
    },
  )

  daemon.kill('SIGTERM')
  assert.equal((await daemon.result).code, 0, daemon.output)
})

/** Without anybody's doing but the daemon's. */
async function settles(w: World, service: string, among: readonly number[]): Promise<void> {
  await until(() => assertSettled(w, service, among), { what: `${service} to be in order`, timeoutMs: 40_000 })
}

/** The containers that answer through the router. */
async function answering(w: World): Promise<Set<string>> {
  const replies = await Promise.all(Array.from({ length: 12 }, () => w.request('http://pair.test/name')))
  return new Set(replies.map(({ body }) => body))
}

const sometimesSick = `import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
process.on('SIGTERM', () => process.exit())
createServer(({ url }, response) => {
  response.setHeader('x-release', process.env.MYPAAS_RELEASE)
  if (url === '/ready' && existsSync('/tmp/sick')) response.statusCode = 503
  response.end(process.env.MYPAAS_CONTAINER)
}).listen(80)
`
