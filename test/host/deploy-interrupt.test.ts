import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { takeLock } from '../../src/lock.ts'
import { compiledProgram } from '../support/compiled.ts'
import { type Inventory, inventory } from '../support/inventory.ts'
import { onPty } from '../support/pty.ts'
import { assertTidy } from '../support/settled.ts'
import { until } from '../support/until.ts'
import { type RunningCli, type ServiceFiles, type World, world } from '../support/world.ts'

const run = promisify(execFile)
const program = await compiledProgram({ after })

const url = 'url=http://web.test'
const building = /^\s+building \d+$/m

/** A place in a deploy, by what the output says when it is there. Each makes a Dockerfile that stays there for long. */
const places: Readonly<Record<string, { files: (nonce: string) => ServiceFiles; at: RegExp }>> = {
  'during the build': {
    files: held,
    at: building,
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

test('Ctrl-C ends a deploy: the old release serves, nothing is left, exit code 130', async (t) => {
  const w = await serving(t)
  for (const [place, { files, at }] of Object.entries(places)) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      if (signal === 'SIGTERM' && place !== 'during the build') continue
      await t.test(`${signal} ${place}`, async () => {
        const before = await onEngine(w)
        const nonce = newNonce()
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
        await until(async () => (await pidOf(nonce)) === 0, { what: 'the end of the build on the engine' })
      })
    }
  }
})

test('a terminal that is closed, or Ctrl-C at it, ends a deploy as a signal does, and a command of run with its container', async (t) => {
  const w = await serving(t)
  const before = await onEngine(w)
  const plain = w.environment({ NO_COLOR: '1' })
  const held = places['during the build']
  assert.ok(held)
  for (const how of ['closed', 'Ctrl-C'] as const) {
    await t.test(`a deploy, ${how}`, async () => {
      const nonce = newNonce()
      const directory = await w.service('web', held.files(nonce))
      const terminal = onPty([process.execPath, program, 'server', 'deploy', directory, '-v'], plain)
      await terminal.seen(/building \d{9}/)
      if (how === 'closed') terminal.close()
      else terminal.press('\u0003')
      const { code, output } = await terminal.result
      if (how === 'Ctrl-C') {
        assert.equal(code, 130, output)
        assert.match(output, /✗ The deploy of web was stopped on request\.\s+r1 serves as before\./)
      }
      await until(async () => (await w.journal('web'))?.next === undefined, { what: 'the end of the deploy' })
      await until(async () => (await pidOf(nonce)) === 0, { what: 'the end of the build on the engine' })
      assert.deepEqual(await onEngine(w), before)
    })
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    await t.test(`a command of run, ${signal}`, async () => {
      const words = ['server', 'run', 'web', '--', 'node', '-e', 'console.log("up"); setInterval(() => {}, 1000)']
      const running = w.spawnCli(words)
      await running.seen(/up/)
      running.kill(signal)
      const { code, stderr } = await running.result
      assert.deepEqual([code, stderr], [130, '✗ Stopped on request.\n'])
      assert.deepEqual(await onEngine(w), before)
    })
  }
})

test('Ctrl-C in the moment in which a lock is tried is a stop on request', async (t) => {
  const w = await serving(t)
  const directory = await w.service('web', { directives: [url] })
  const lock = await takeLock(join(w.home, '_mypaas/services/web.lock'), { what: 'the test' })
  t.after(() => lock[Symbol.asyncDispose]())
  const slow = join(w.home, 'flock')
  await writeFile(slow, '#!/bin/sh\nsleep 0.5\nexec /usr/bin/flock "$@"\n', { mode: 0o755 })
  const env = w.environment({ NO_COLOR: '1', PATH: `${w.home}:${process.env['PATH']}` })
  const terminal = onPty([process.execPath, program, 'server', 'deploy', directory, '--wait', '60s'], env)
  await terminal.seen(/Waiting up to/)
  await sleep(300)
  terminal.press('\u0003')
  const { code, output } = await terminal.result
  assert.match(output, /✗ Stopped on request\./)
  assert.equal(code, 130)
})

test('kill -9 in a deploy: what serves goes on serving, and the next deploy clears away what is left', async (t) => {
  const w = await serving(t)
  for (const [place, { files, at }] of Object.entries(places)) {
    await t.test(place, async () => {
      const old = (await w.journal('web'))?.current?.release ?? 0
      const nonce = newNonce()
      const running = await deployUntil(w, files(nonce), at)
      running.kill('SIGKILL')
      assert.equal((await running.result).signal, 'SIGKILL')
      const stopped = place.endsWith('the old one stopped')
      if (!stopped) assert.equal((await w.request('http://web.test/')).json()['release'], `r${old}`)
      assert.equal((await w.journal('web'))?.current?.release, old)

      await w.deploy(await w.service('web', { directives: [url, `env=TURN=${nonce}`] }))
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
        'those of builds that were live',
      )
      await until(async () => (await pidOf(nonce)) === 0, { what: 'the end of the build on the engine' })
    })
  }
})

test('of two deploys of one service at once the second is told who holds it, or waits for it', async (t) => {
  const w = await serving(t)
  const other = await w.service('other', { directives: ['url=http://other.test'] })
  const directory = await w.service('web', { directives: [url] })
  const nonce = newNonce()
  const first = await deployUntil(w, held(nonce), building)
  const holder = `a deploy of web \\(process ${first.pid}, since \\d{4}-\\d\\d-\\d\\dT[^)]+\\)\\.`

  const refused = await w.cli(['server', 'deploy', directory])
  assert.equal(refused.code, 4, refused.output)
  assert.match(refused.stderr, new RegExp(`^✗ .*${holder}$`, 'm'))
  assert.match(refused.stderr, /--wait/)
  const impatient = await w.cli(['server', 'deploy', directory, '--wait', '300ms'])
  assert.equal(impatient.code, 4, impatient.output)
  const waiting = new RegExp(`Waiting up to (?:60s|1m) for ${holder}`)
  const ended = w.spawnCli(['server', 'deploy', directory, '--wait', '60s'])
  await ended.seen(waiting)
  ended.kill('SIGINT')
  assert.match((await ended.result).stderr, /✗ Stopped on request\.\n$/)
  assert.equal((await ended.result).code, 130)

  await w.service('web', { directives: [url] })
  const second = w.spawnCli(['server', 'deploy', directory, '--wait', '60s'])
  await second.seen(waiting)
  await w.deploy(other)
  assert.doesNotMatch(first.output, /live after/, 'another service need not wait')
  process.kill(await pidOf(nonce), 'SIGTERM')
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
})

test('a deploy whose output nobody reads any more goes on to its end', async (t) => {
  const w = await serving(t)
  const directory = await w.service('web', { directives: [url] })
  const words = [process.execPath, program, 'server', 'deploy', directory]
  await run('sh', ['-c', '"$@" 2>&1 | true', 'sh', ...words], { env: w.environment() })
  await assertTidy(w, 'web', 2)
  const { stdout } = await w.ok(['server', 'releases', 'web', '--json'])
  assert.match(stdout, /"outcome": ?"live"/)
  const { stderr } = await run(
    'sh',
    ['-c', '"$@" | true', 'sh', process.execPath, program, 'server', 'releases', 'web'],
    {
      env: w.environment(),
    },
  )
  assert.equal(stderr, '')
})

async function serving(t: TestContext): Promise<World> {
  const w = await world(t, { program })
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

/** A service whose build goes on until the process of that nonce ends. */
function held(nonce: string): ServiceFiles {
  return { directives: [url], lines: [`RUN echo building ${nonce}; sleep 300.${nonce}; true`] }
}

function newNonce(): string {
  return `${process.hrtime.bigint()}`.slice(-9)
}

/** The process that holds a build, in whatever container; 0 when there is none. */
async function pidOf(nonce: string): Promise<number> {
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const line = await readFile(join('/proc', entry, 'cmdline'), 'utf8').catch(() => '')
    if (line === `sleep\x00300.${nonce}\x00`) return Number(entry)
  }
  return 0
}
