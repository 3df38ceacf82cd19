import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Inventory, inventory } from '../support/inventory.ts'
import { until } from '../support/until.ts'
import { type RunningCli, type ServiceFiles, type World, world } from '../support/world.ts'

/** A place in a deploy, by what the output says when it is there. Each makes a Dockerfile that stays there for long. */
const places: Readonly<Record<string, { files: (nonce: string) => ServiceFiles; at: RegExp }>> = {
  'during the build': {
    files: (nonce) => ({ directives: [url], lines: [`RUN echo building ${nonce} && sleep 300.${nonce}`] }),
    at: /^\s+building \d+$/m,
  },
  'while it waits for readiness, the old one beside it': {
    files: () => ({ directives: [url, 'scale=1'], app: { LISTEN_DELAY_MS: 600_000 } }),
    at: /✓ +start \S+web-r\d+-1 /,
  },
  'while it waits for readiness, the old one stopped': {
    files: () => ({ directives: [url], app: { LISTEN_DELAY_MS: 600_000 } }),
    at: /✓ +start \S+web-r\d+-1 /,
  },
}
const url = 'url=http://web.test'

test('Ctrl-C ends a deploy: the old release serves, nothing is left, exit code 130', async (t) => {
  const w = await serving(t)
  for (const [place, { files, at }] of Object.entries(places)) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      if (signal === 'SIGTERM' && place !== 'during the build') continue
      await t.test(`${signal} ${place}`, async () => {
        const before = await onEngine(w)
        const nonce = `${process.hrtime.bigint()}`.slice(-9)
        const running = await deployUntil(w, files(nonce), at)
        running.kill(signal)
        const { code, stderr, ms } = await running.result
        assert.equal(code, 130, stderr)
        assert.match(stderr, /Stopping; tidying up …/)
        assert.match(stderr, /✗ The deploy of web was stopped on request\.\n {2}r1 serves as before\./)
        assert.ok(ms < 30_000, `${ms} ms`)
        assert.deepEqual(await onEngine(w), before)
        assert.equal((await w.request('http://web.test/')).json()['release'], 'r1')
        assert.equal((await w.journal('web'))?.next, undefined)
        await until(async () => !(await isAnywhere(`sleep 300.${nonce}`)), {
          what: 'the end of the build on the engine',
        })
      })
    }
  }
})

test('kill -9 in a deploy: what serves goes on serving, and the next deploy clears away what is left', async (t) => {
  const w = await serving(t)
  for (const [place, { files, at }] of Object.entries(places)) {
    await t.test(place, async () => {
      const old = (await w.journal('web'))?.current?.release ?? 0
      const nonce = `${process.hrtime.bigint()}`.slice(-9)
      const running = await deployUntil(w, files(nonce), at)
      running.kill('SIGKILL')
      assert.equal((await running.result).signal, 'SIGKILL')
      const stopped = place.endsWith('the old one stopped')
      if (!stopped) assert.equal((await w.request('http://web.test/')).json()['release'], `r${old}`)
      assert.equal((await w.journal('web'))?.current?.release, old)

      await w.deploy(await w.service('web', { directives: [url] }))
      const next = old + 2
      assert.equal((await w.request('http://web.test/')).json()['release'], `r${next}`)
      const { containers, images } = await onEngine(w)
      assert.deepEqual(
        containers.map((container) => container.split(' ')[0]),
        ['traefik', `web-r${next}-1`],
      )
      const releases = Array.from({ length: next }, (_, i) => i + 1).filter((release) => release % 2 === 1)
      assert.deepEqual(
        images.map((image) => image.split(' ')[0]).sort(),
        releases.map((release) => `web:r${release}`).sort(),
        'those of releases that were live',
      )
      await until(async () => !(await isAnywhere(`sleep 300.${nonce}`)), { what: 'the end of the build on the engine' })
    })
  }
})

test('of two deploys of one service at once the second is told who holds it, or waits for it', async (t) => {
  const w = await serving(t)
  const other = await w.service('other', { directives: ['url=http://other.test'] })
  const nonce = `${process.hrtime.bigint()}`.slice(-9)
  const files = { directives: [url], lines: [`RUN echo building ${nonce} && sleep 6`] }
  const first = await deployUntil(w, files, /^\s+building \d+$/m)
  const directory = await w.service('web', { directives: [url] })

  const { code, stderr } = await w.cli(['server', 'deploy', directory])
  assert.equal(code, 4, stderr)
  assert.match(
    stderr,
    new RegExp(`^✗ .*a deploy of web \\(process ${first.pid}, since \\d{4}-\\d\\d-\\d\\dT[^)]+\\)\\.$`, 'm'),
  )
  assert.match(stderr, /--wait/)
  const second = w.spawnCli(['server', 'deploy', directory, '--wait', '60s'])
  await w.deploy(other)
  assert.ok(!/live after/.test(first.output), 'another service need not wait')

  const results = await Promise.all([first.result, second.result])
  assert.deepEqual(
    results.map((result) => result.code),
    [0, 0],
    results.map(({ output }) => output).join('\n'),
  )
  assert.match(results[0]?.output ?? '', /^web r2$/m)
  assert.match(results[1]?.output ?? '', /^web r3$/m)
  assert.deepEqual(await w.runningNames('web'), ['web-r3-1'])
  assert.equal((await w.request('http://web.test/')).json()['release'], 'r3')

  await t.test('and one that was ended while it waited leaves the other alone', async () => {
    const holder = await deployUntil(
      w,
      { ...files, lines: [`RUN echo building ${nonce}0 && sleep 3`] },
      /^\s+building \d+$/m,
    )
    const impatient = await w.cli(['server', 'deploy', directory, '--wait', '500ms'])
    assert.equal(impatient.code, 4, impatient.output)
    assert.equal((await holder.result).code, 0)
  })
})

async function serving(t: TestContext): Promise<World> {
  const w = await world(t)
  await w.init()
  await w.deploy(await w.service('web', { directives: [url] }))
  return w
}

/** A deploy that has come to a certain place, which its output shows. */
async function deployUntil(w: World, files: ServiceFiles, at: RegExp): Promise<RunningCli> {
  const running = w.spawnCli(['server', 'deploy', await w.service('web', files), '--verbose'])
  await running.seen(at)
  return running
}

/** All but the files: history and logs say that a deploy was tried. */
async function onEngine(w: World): Promise<Omit<Inventory, 'files'>> {
  const { files: _, ...engine } = await inventory(w)
  return engine
}

/** Whether a process of that command runs, in whatever container. */
async function isAnywhere(command: string): Promise<boolean> {
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const line = await readFile(join('/proc', entry, 'cmdline'), 'utf8').catch(() => '')
    if (line.replaceAll('\0', ' ').trim() === command) return true
  }
  return false
}
