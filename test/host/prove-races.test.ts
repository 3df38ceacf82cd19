import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { compiledProgram } from '../support/compiled.ts'
import { fill, memoryDisk } from '../support/full-disk.ts'
import { inventory } from '../support/inventory.ts'
import { manyServices, timeToLive } from '../support/many-services.ts'
import { backwards, privateEngine } from '../support/private-engine.ts'
import { long } from '../support/prove.ts'
import { assertSettled, assertTidy } from '../support/settled.ts'
import { type CliResult, freePort, world } from '../support/world.ts'

const run = promisify(execFile)
const wait = ['--wait', '60s']

suite('races', { concurrency: 3 }, () => {
  test('commands at the same time', async (t) => {
    const program = await compiledProgram(t)
    const w = await world(t, { program })
    await w.init()
    const directives = ['url=http://one.test', 'volume=~/data:/data']
    const one = await w.service('one', { directives, app: { VOLUME: '/data' } })
    await w.deploy(one)

    await t.test('four deploys of one service, each told to wait, come one after the other', async () => {
      const results = await Promise.all(Array.from({ length: 4 }, () => w.cli(['server', 'deploy', one, ...wait])))
      assert.deepEqual(codes(results), [0, 0, 0, 0], outputs(results))
      await assertTidy(w, 'one', 5)
    })

    await t.test(
      'of two deploys that don’t wait one is told who holds the service, and nothing else happens to it',
      async () => {
        const results = await Promise.all([w.cli(['server', 'deploy', one]), w.cli(['server', 'deploy', one])])
        assert.deepEqual(codes(results), [0, 4], outputs(results))
        assert.match(outputs(results), /Somebody else is at it: a deploy of one \(process \d+, since /)
        await assertTidy(w, 'one', 6)
      },
    )

    await t.test('a deploy and a rollback: one after the other', async () => {
      // Another build, so that there is one to go back to, whichever comes first.
      await w.deploy(await w.service('one', { directives: [...directives, 'env=TURN=2'], app: { VOLUME: '/data' } }))
      const results = await Promise.all([
        w.cli(['server', 'deploy', one, ...wait]),
        w.cli(['server', 'rollback', 'one', ...wait]),
      ])
      assert.deepEqual(codes(results), [0, 0], outputs(results))
      await assertTidy(w, 'one', 9)
    })

    await t.test('a deploy, a restart and a reconcile: one after the other', async () => {
      const results = await Promise.all([
        w.cli(['server', 'deploy', one, ...wait]),
        w.cli(['server', 'restart', 'one', ...wait]),
        w.cli(['server', 'reconcile', 'one', ...wait]),
      ])
      assert.deepEqual(codes(results), [0, 0, 0], outputs(results))
      await assertTidy(w, 'one', 11)
    })

    await t.test('a deploy and a removal: the service is there whole, or gone whole', async () => {
      const results = await Promise.all([
        w.cli(['server', 'deploy', one, ...wait]),
        w.cli(['server', 'rm', 'one', '--yes', ...wait]),
      ])
      assert.deepEqual(codes(results), [0, 0], outputs(results))
      const journal = await w.journal('one')
      if (journal) {
        await assertSettled(w, 'one', [journal.current?.release ?? 0])
        return
      }
      assert.deepEqual(await w.containers('one'), [])
      const { images, files } = await inventory(w)
      assert.deepEqual(
        images.filter((name) => name.startsWith('one:')),
        [],
      )
      assert.deepEqual(
        files.filter((path) => /one/.test(path) && !path.endsWith('.lock')),
        [],
      )
    })

    await t.test('deploys of four services: none disturbs another', async () => {
      const names = ['a', 'b', 'c', 'd']
      const directories = await Promise.all(
        names.map((name, i) =>
          w.service(name, { directives: [`url=http://${name}.test`, ...(i % 2 ? ['scale=2'] : [])] }),
        ),
      )
      const results = await Promise.all(directories.map((directory) => w.cli(['server', 'deploy', directory])))
      assert.deepEqual(codes(results), [0, 0, 0, 0], outputs(results))
      await Promise.all(names.map((name) => assertTidy(w, name, 1)))
    })

    const claims = {
      'one URL': { directive: 'url=http://wanted.test', says: 'http://wanted.test belongs to the service' },
      'one host port': { directive: `publish=127.0.0.1:${await freePort()}:80`, says: 'belongs to the service' },
    }
    for (const [what, { directive, says }] of Object.entries(claims)) {
      await t.test(`two new services that claim ${what}: one gets it, the other is told whose it is`, async () => {
        const names = what === 'one URL' ? (['left', 'right'] as const) : (['up', 'down'] as const)
        const directories = await Promise.all(names.map((name) => w.service(name, { directives: [directive] })))
        const results = await Promise.all(directories.map((directory) => w.cli(['server', 'deploy', directory])))
        assert.deepEqual(codes(results), [0, 1], outputs(results))
        const winner = names[results.findIndex(({ code }) => code === 0)]
        const [loser] = names.filter((name) => name !== winner)
        assert.ok(outputs(results).includes(says) && outputs(results).includes(` ${winner}.`), outputs(results))
        assert.deepEqual(
          [...(await w.runningNames(`${winner}`)), await w.containers(`${loser}`)],
          [`${winner}-r1-1`, []],
        )
        assert.equal(await w.journal(`${loser}`), undefined)
      })
    }
  })

  test('a clock that is set back or forward by an hour changes nothing', async (t) => {
    const program = await compiledProgram(t)
    const w = await world(t, { program })
    await w.init()
    const setClock = pathToFileURL(join(dirname(fileURLToPath(import.meta.url)), '../support/set-clock.mjs')).href
    const hour = 3_600_000
    const names = ['roll', 'one'] as const
    const directories = {
      roll: await w.service('roll', { directives: ['url=http://roll.test', 'scale=1'] }),
      one: await w.service('one', {
        directives: ['url=http://one.test', 'volume=~/data:/data'],
        app: { VOLUME: '/data' },
      }),
    }
    for (const name of names) await w.deploy(directories[name])
    await Promise.all(
      names.map(async (name) => {
        let release = 1
        for (const [byMs, atStep] of [
          [-hour, 0],
          [-hour, 4],
          [hour, 3],
        ] as const) {
          const env = { NODE_OPTIONS: `--import=${setClock}`, SET_CLOCK_MS: `${byMs}`, SET_CLOCK_AT_STEP: `${atStep}` }
          const { ms } = await w.ok(['server', 'deploy', directories[name], '--json'], { env })
          assert.ok(ms < 60_000, `took ${Math.round(ms)} ms`)
          release += 1
          await assertTidy(w, name, release)
        }
        const { stdout } = await w.ok(['server', 'releases', name])
        assert.deepEqual([...stdout.matchAll(/^r\d+/gm)].join(' '), 'r4 r3 r2 r1')
      }),
    )
  })

  test('a service with 50 URLs is deployed as fast as one with one, and each of them answers', async (t) => {
    const program = await compiledProgram(t)
    const w = await world(t, { program })
    await w.init()
    const urls = Array.from({ length: 50 }, (_, i) => (i % 2 ? `https://h${i}.test/p${i}` : `http://h${i}.test`))
    for (const scale of [['scale=1'], []]) {
      const directory = await w.service('many', { directives: [...urls.map((url) => `url=${url}`), ...scale] })
      for (let turn = 0; turn < 2; turn += 1) await w.deploy(directory)
      const replies = await Promise.all(urls.map((url) => w.request(url)))
      assert.deepEqual(
        [...new Set(replies.map(({ status, headers }) => `${status} ${headers['x-release']}`))],
        [`200 r${(await w.journal('many'))?.current?.release}`],
      )
    }
  })

  if (long) {
    test('among 100 services a deploy is as fast as alone, and a reconcile with nothing to do takes a second', async (t) => {
      const program = await compiledProgram(t)
      const w = await world(t, { program })
      await w.init()
      const [first = ''] = await manyServices(w, 1)
      const median = async (measure: () => Promise<number>): Promise<number> => {
        const times: number[] = []
        for (let turn = 0; turn < 5; turn += 1) times.push(await measure())
        return times.sort((a, b) => a - b)[2] ?? 0
      }
      const alone = await median(() => timeToLive(w, first))
      await manyServices(w, 100)
      const among = await median(() => timeToLive(w, first))
      const reconcile = await median(async () => (await w.ok(['server', 'reconcile'])).ms)
      t.diagnostic(
        `alone ${Math.round(alone)} ms, among 100 ${Math.round(among)} ms, reconcile ${Math.round(reconcile)} ms`,
      )
      assert.ok(among <= 1.5 * alone, `${Math.round(among)} ms, alone ${Math.round(alone)} ms`)
      assert.ok(reconcile <= 1_000, `reconcile took ${Math.round(reconcile)} ms`)
    })
  }

  test('with a full disk in ~/_mypaas a deploy fails and says so, and the old release serves', async (t) => {
    const scope = backwards(t)
    const program = await compiledProgram(scope)
    const home = join(await memoryDisk(scope, 4), 'home')
    await mkdir(home)
    const w = await world(scope, { program, home })
    await w.init()
    for (const [name, directives] of Object.entries({ roll: ['scale=1'], one: [] })) {
      const directory = await w.service(name, { directives: [`url=http://${name}.test`, ...directives] })
      await w.deploy(directory)
      await t.test(`${name}: full before it begins`, async () => {
        await using _ = await fill(home)
        const result = await w.cli(['server', 'deploy', directory])
        assert.equal(result.code, 1, result.output)
        assert.match(result.stderr, /✗ .*\/_mypaas\/.* can't be written: no space is left on the disk\.\n +Free some/)
        await assertSettled(w, name, [1])
      })
      for (const step of ['create', 'route', 'ready', 'join']) {
        await t.test(`${name}: full from the step ${step} on`, async () => {
          const before = (await w.journal(name))?.current?.release ?? 0
          const running = w.spawnCli(['server', 'deploy', directory, '--json'])
          await running.seen(new RegExp(`"step":"${step}".*"state":"started"`))
          const full = await fill(home)
          const { code, output } = await running.result
          assert.doesNotMatch(output, /bug in mypaas/)
          const { status, headers } = await w.request(`http://${name}.test/`)
          assert.equal(status, 200, `served while the disk is full\n${output}`)
          await full[Symbol.asyncDispose]()
          await w.ok(['server', 'reconcile', name])
          const now = await assertSettled(w, name, [before, (await w.journal(name))?.lastRelease ?? 0])
          const committed = code === 0 || /is the current release/.test(output)
          assert.equal(now.release !== before, committed, `exit code ${code}\n${output}`)
          t.diagnostic(
            `${name}, disk full from ${step} on: exit code ${code}, ${headers['x-release']} served (before: r${before})`,
          )
        })
      }
      await w.deploy(directory)
    }
  })

  test('with a full disk under the engine a deploy fails and says so, the old release serves, and it recovers', async (t) => {
    const scope = backwards(t)
    const program = await compiledProgram(scope)
    const dataRoot = await smallDisk(scope, 900)
    const engine = await privateEngine(scope, { dataRoot, images: ['traefik:v3.7.15'] })
    const w = await world(scope, { program, engine: engine.host })
    await w.init()
    await engine.openNetworks()
    const directory = await w.service('web', { directives: ['url=http://web.test'] })
    await w.deploy(directory)
    const full = await fill(dataRoot)
    const files = { 'big.bin': new Uint8Array(1_000_000).fill(7) }
    await w.service('web', { directives: ['url=http://web.test'], lines: ['COPY big.bin ./'], files })
    const result = await w.cli(['server', 'deploy', directory])
    assert.equal(result.code, 1, result.output)
    // Whoever sees it first: mypaas before the build, or the engine in it.
    assert.match(result.stderr, /no space left on device|the engine's disk has \S+ B left/)
    assert.match(result.stderr, /r1 serves as before\./)
    await assertSettled(w, 'web', [1])
    await full[Symbol.asyncDispose]()
    await w.deploy(directory)
    await assertTidy(w, 'web', 3)
  })
})

/** A file system of that many MB on a file, mounted until the test's end. */
async function smallDisk(t: { after: (fn: () => Promise<unknown>) => void }, megabytes: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  const image = join(folder, 'disk')
  const mounted = join(folder, 'mounted')
  t.after(() => rm(folder, { recursive: true, force: true }))
  await run('truncate', ['-s', `${megabytes}M`, image])
  await run('mkfs.ext4', ['-q', '-m', '0', image])
  await run('mkdir', [mounted])
  await run('mount', ['-o', 'loop', image, mounted])
  t.after(() => run('umount', ['--lazy', mounted]))
  return mounted
}

function codes(results: readonly CliResult[]): (number | null)[] {
  return results.map(({ code }) => code).sort()
}

function outputs(results: readonly CliResult[]): string {
  return results.map(({ output }) => output).join('\n--\n')
}
