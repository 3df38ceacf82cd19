import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { compiledProgram } from '../support/compiled.ts'
import { startDaemon } from '../support/daemon.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

test('a replica, or a whole service, that gets no requests is named with what it answers', async (t) => {
  const program = await compiledProgram(t)
  const w = await world(t, { program })
  await w.init()
  const directory = await w.service('pair', {
    directives: ['url=http://pair.test', 'scale=2', 'healthcheck=/ready 500ms 300ms'],
    files: { 'server.mjs': picky },
  })
  await w.deploy(directory)

  await t.test('a deploy, of which each moment is looked at, raises no alarm', async () => {
    let isOn = true
    const deploying = w.deploy(directory).finally(() => {
      isOn = false
    })
    const seen = new Set<string | undefined>()
    while (isOn) seen.add(await problemOf(w))
    await deploying
    seen.delete(undefined)
    assert.deepEqual([...seen], [])
  })

  const sick = (replica: number, script: string): Promise<unknown> =>
    w.docker.containers.exec(`${w.instance}-pair-r2-${replica}`, ['node', '-e', script])
  const says = async (problem: RegExp): Promise<void> => {
    await until(async () => problem.test((await problemOf(w)) ?? ''), { what: `${problem}`, timeoutMs: 15_000 })
    const doctor = await w.cli(['server', 'doctor'])
    assert.match(doctor.stdout, new RegExp(`services: pair: ${problem.source}\\.`))
    assert.match(doctor.stdout, /mypaas server logs pair/)
    const { stdout, stderr } = await w.ok(['server', 'reconcile', 'pair'])
    assert.match(stdout, /^pair r2 is as it should be$/m)
    assert.match(stderr, new RegExp(`pair: ${problem.source}\\.`))
    assert.match((await w.ok(['server', 'reconcile'])).stderr, new RegExp(`pair: ${problem.source}\\.`))
  }

  await t.test('one of two', async () => {
    await sick(2, 'fs.writeFileSync("/tmp/sick", "503")')
    await says(/out of rotation: \S+-pair-r2-2 answers 503 on \/ready/)
    assert.equal((await w.request('http://pair.test/')).status, 200)
  })

  await t.test('both: nobody is served', async () => {
    await sick(1, 'fs.writeFileSync("/tmp/sick", "hang")')
    await says(
      /nobody is served: out of rotation: \S+-pair-r2-1 does not answer on \/ready \(no answer within 0\.3 s\), \S+-pair-r2-2 answers 503 on \/ready/,
    )
    assert.equal((await w.request('http://pair.test/')).status, 503)
  })

  await t.test('and no more when they answer', async () => {
    for (const replica of [1, 2]) await sick(replica, 'fs.rmSync("/tmp/sick")')
    await until(async () => (await problemOf(w)) === undefined, { what: 'no problem', timeoutMs: 15_000 })
    assert.equal((await w.ok(['server', 'reconcile', 'pair'])).stderr, '')
  })

  await t.test('one that ran out of memory is named, with its limit, how it ended, and how often', async () => {
    const daemon = await startDaemon(t, w)
    const hungry = await w.service('hungry', {
      directives: ['url=http://hungry.test', 'maxmem=128m'],
      files: { 'server.mjs': hungryApp },
    })
    await w.deploy(hungry)
    const name = `${w.instance}-hungry-r1-1`
    const memoryOf = async (): Promise<string> => {
      const found = JSON.parse((await w.ok(['server', 'status', '--json'])).stdout) as { problem?: string }[]
      return found.map(({ problem }) => problem ?? '').join('')
    }
    await w.docker.containers.exec(name, ['node', '-e', eat])
    await until(
      async () =>
        /^ran out of memory 20\S+Z \(\S+-hungry-r1-1, one of its processes was killed\); its limit is 128 MiB$/.test(
          await memoryOf(),
        ),
      { what: 'the first time to be told', timeoutMs: 20_000 },
    )
    await sleep(5_000)
    // Now its own process.
    await w.request('http://hungry.test/eat').catch(() => {})
    const told =
      /^(1 of 1 replicas do not run; )?ran out of memory 2 times, last 20\S+Z \(\S+-hungry-r1-1, exit code 137\); its limit is 128 MiB$/
    await until(async () => told.test(await memoryOf()), { what: 'the second time', timeoutMs: 30_000 })
    const { stdout } = await w.cli(['server', 'doctor'])
    assert.match(stdout, /memory: hungry ran out of memory 2 times, .*128 MiB\./)
    assert.match(stdout, /maxmem/)
    daemon.kill('SIGTERM')
    await daemon.result
    await w.ok(['server', 'rm', 'hungry', '--yes'])
  })

  await t.test('a router that does not answer is named', async () => {
    await w.docker.containers.stop(`${w.instance}-traefik`, { graceSeconds: 0 })
    assert.equal(await problemOf(w), 'the router does not answer, so nobody is served')
    const { stdout } = await w.cli(['server', 'doctor'])
    assert.match(stdout, /router: The router \(container \S+\) is exited/)
    assert.doesNotMatch(stdout, /services: pair/)
    await w.ok(['server', 'reconcile'])
  })
})

async function problemOf(w: World): Promise<string | undefined> {
  const found = JSON.parse((await w.ok(['server', 'status', '--json'])).stdout) as { problem?: string }[]
  return found[0]?.problem
}

const eat = 'const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1))'

const hungryApp = `import { createServer } from 'node:http'
process.on('SIGTERM', () => process.exit())
createServer(({ url }, response) => {
  if (url === '/eat') { ${eat} }
  response.end()
}).listen(80)
`

/** Answers to its own name only, and tells each kind of sickness. */
const picky = `import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
process.on('SIGTERM', () => process.exit())
createServer(({ url, headers }, response) => {
  const sick = url === '/ready' && existsSync('/tmp/sick') ? readFileSync('/tmp/sick', 'utf8') : ''
  if (sick === 'hang') return
  response.statusCode = sick ? Number(sick) : headers.host.startsWith('pair.test') ? 200 : 421
  response.end()
}).listen(80)
`
