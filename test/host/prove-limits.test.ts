import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { scratchImage } from '../support/images.ts'
import { startLoad } from '../support/load.ts'
import { assertTidy } from '../support/settled.ts'
import { type ServiceFiles, type World, world } from '../support/world.ts'

/** Start-first and stop-first: what a limit does differs. */
const orders: Readonly<Record<string, readonly string[]>> = { roll: ['scale=1'], one: ['volume=~/data:/data'] }

suite('limits', { concurrency: 2 }, () => {
  test('releases that misbehave at the limits', { concurrency: true }, async (t) => {
    const program = await compiledProgram(t)
    const w = await world(t, { program })
    await w.init()
    await w.set('server', 'start_timeout', '"3s"')
    await w.set('server', 'grace', '"1s"')
    await Promise.all(
      Object.keys(orders).map((name) =>
        t.test(name === 'roll' ? 'start-first' : 'stop-first', async (t) => {
          await w.deploy(await service(w, name))

          await t.test('one that ignores SIGTERM is killed when its grace is over, and no request fails', async () => {
            await w.deploy(await service(w, name, { app: { ON_SIGTERM: 'ignore' } }))
            const result = await deployUnderLoad(w, name, await service(w, name))
            assert.equal(result.code, 0, result.output)
            await assertTidy(w, name, 3)
          })

          await t.test('one that gets ready and dies within 2 s is taken back', async () => {
            const { code, stderr } = await w.cli(deployOf(await service(w, name, { app: { EXIT_AFTER_MS: 1_200 } })))
            assert.match(stderr, /exited with code 1 |went down and was started again /)
            assert.match(stderr, /r3 (of \w+ serves again|serves as before)\./)
            assert.ok(code === 1 || code === 5, `exit code ${code}`)
            await assertTidy(w, name, 3)
          })

          const failing: Readonly<Record<string, { files: ServiceFiles; says: RegExp }>> = {
            'a HEALTHCHECK of the image that never gets healthy': {
              files: { lines: ['HEALTHCHECK --interval=1s --retries=2 CMD echo still cold; exit 3'] },
              says: /is unhealthy: its HEALTHCHECK ended with exit code 3: still cold\./,
            },
            'a healthcheck path that always answers 503': {
              files: { directives: ['healthcheck=/ready 1s 1s'], app: { UNREADY_MS: 600_000 } },
              says: /answers 503 on \/ready \(healthcheck\) after 3 s\./,
            },
            'an answer of 500 on the probe': {
              files: { app: { STATUS: 500 } },
              says: /answers 500 on /,
            },
          }
          for (const [what, { files, says }] of Object.entries(failing)) {
            await t.test(`${what}: the old release serves, and no request fails`, async () => {
              const result = await deployUnderLoad(w, name, await service(w, name, files))
              assert.equal(result.code, 1, result.output)
              assert.match(result.stderr, says)
              assert.match(result.stderr, /r3 serves as before\./)
              await assertTidy(w, name, 3)
            })
          }
        }),
      ),
    )
  })

  test('an image without a shell is deployed and replaced like any other', async (t) => {
    const program = await compiledProgram(t)
    const w = await world(t, { program })
    await w.init()
    const base = await scratchImage(w.docker)
    for (const [name, directives] of Object.entries(orders)) {
      const lines = ['url=http://NAME.test', 'healthcheck=/ 1s 1s', ...directives].map((line) => `# mypaas.${line}`)
      const dockerfile = [`# mypaas.service=${name}`, ...lines, `FROM ${base}`, ''].join('\n').replace('NAME', name)
      const directory = await w.service(name, { dockerfile })
      await w.deploy(directory)
      await using load = await startLoad({
        url: `http://${name}.test/`,
        port: w.ports.http,
        clients: { get: 1, fresh: 1 },
      })
      await load.more(20)
      await w.deploy(directory)
      await load.more(20)
      const { failures } = await load.stop()
      assert.deepEqual(failures, [])
      assert.equal((await w.request(`http://${name}.test/`)).body, 'scratch\n')
    }
  })
})

function service(w: World, name: string, files: ServiceFiles = {}): Promise<string> {
  const directives = [`url=http://${name}.test`, ...(orders[name] ?? []), ...(files.directives ?? [])]
  return w.service(name, { ...files, directives })
}

function deployOf(directory: string): string[] {
  return ['server', 'deploy', directory]
}

/** A deploy while requests come; none of them may fail, whatever becomes of it. */
async function deployUnderLoad(w: World, name: string, directory: string): ReturnType<World['cli']> {
  const clients = { get: 2, post: 1, fresh: 1 }
  await using load = await startLoad({
    url: `http://${name}.test/`,
    port: w.ports.http,
    clients,
    requestsPerSecond: 60,
  })
  await load.more(20)
  const result = await w.cli(deployOf(directory))
  await load.more(20)
  const { failures, requests, failed } = await load.stop()
  assert.deepEqual(failures, [], `${failed} of ${requests} failed\n${result.output}`)
  return result
}
