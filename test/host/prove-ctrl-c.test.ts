import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { certify } from '../support/certificates.ts'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, startDaemon } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { long } from '../support/prove.ts'
import { onPty } from '../support/pty.ts'
import { seeded } from '../support/seeded.ts'
import { startSshd } from '../support/sshd.ts'
import { until } from '../support/until.ts'
import { freePort, type World, world } from '../support/world.ts'

const seed = Number(process.env['PROVE_SEED'] ?? 1)
const random = seeded(seed)

type Command = 'push' | 'restart' | 'attach'
type Way = 'ssh' | 'https'
/** When Ctrl-C is pressed: at what is on the screen, or at some time of a command's first seconds. */
type Moment = RegExp | 'some time'

const steps = {
  begun: /^web r\d+/m,
  build: /building [\da-f]+/,
  create: /✓ +create /,
  start: /✓ +start /,
  route: /✓ +lead all requests to /,
  commit: /✓ +make r\d+ the current release/,
  live: /^live after/m,
  drained: /✓ +let open requests /,
  done: /^done after/m,
} as const

/** Ten each. */
const moments: Readonly<Record<Command, Readonly<Record<string, Moment>>>> = {
  push: {
    'some time': 'some time',
    'files looked at': / read anew /,
    'in the upload': /sending /,
    'all sent': /sent \d/,
    begun: steps.begun,
    'in the build': steps.build,
    'in readiness': steps.start,
    'before the commit': steps.route,
    'after the commit': steps.commit,
    live: steps.live,
    done: steps.done,
  },
  restart: {
    'some time': 'some time',
    'another time': 'some time',
    begun: steps.begun,
    create: steps.create,
    'in readiness': steps.start,
    'before the commit': steps.route,
    'after the commit': steps.commit,
    live: steps.live,
    'after the drain': steps.drained,
    done: steps.done,
  },
  attach: {
    'some time': 'some time',
    'another time': 'some time',
    begun: steps.begun,
    'in the build': steps.build,
    create: steps.create,
    'in readiness': steps.start,
    'before the commit': steps.route,
    'after the commit': steps.commit,
    live: steps.live,
    done: steps.done,
  },
}

const chosen: Readonly<Record<Command, Readonly<Record<Way, readonly string[]>>>> = {
  push: { ssh: ['in the upload', 'all sent', 'in the build'], https: ['all sent', 'live'] },
  restart: { ssh: ['some time', 'begun'], https: ['in readiness'] },
  attach: { ssh: ['in the build'], https: [] },
}

test('Ctrl-C at a terminal: what a push, a restart or an attach says then is what releases shows', async (t) => {
  const it = await bench(t)
  const said = new Map<string, number>()
  let runs = 0
  for (const way of ['ssh', 'https'] as const) {
    for (const [command, all] of Object.entries(moments) as [Command, (typeof moments)[Command]][]) {
      for (const [name, moment] of Object.entries(all)) {
        if (!long && !chosen[command][way].includes(name)) continue
        await t.test(`${command} over ${way}: ${name}`, async (inner) => {
          const words = await pressed(it, way, command, moment)
          said.set(words, (said.get(words) ?? 0) + 1)
          runs += 1
          inner.diagnostic(words)
        })
      }
    }
  }
  t.diagnostic(`${runs} times (seed ${seed}): ${JSON.stringify(Object.fromEntries(said))}`)
})

type Bench = Readonly<{ w: World; env: NodeJS.ProcessEnv; servers: Readonly<Record<Way, string>> }>

/** A server with a daemon, reached from another home by https through its router, and by ssh. */
async function bench(t: TestContext): Promise<Bench> {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, { ...quick, domain: 'localhost', daemon_port: await freePort() })
  const ca = await certify(w, 'localhost')
  const laptop = await mkdtemp(join(tmpdir(), 'mypaas-laptop-'))
  t.after(() => rm(laptop, { recursive: true, force: true }))
  await w.ok(['server', 'key', 'add', await userKeyOf(laptop)])
  await startDaemon(t, w, { gateway: true })
  const ssh = await startSshd(t, w, await freePort())
  const https = `https://localhost:${w.ports.https}`
  const env = w.environment({ ...ssh.env, HOME: laptop, NODE_EXTRA_CA_CERTS: ca, NO_COLOR: '1', TERM: 'dumb' })
  await until(async () => (await w.cli(['status', https], { env: env as Record<string, string> })).code === 0, {
    what: 'the router to have the certificate',
    timeoutMs: 15_000,
  })
  await w.deploy(await directoryOf(w))
  return { w, env, servers: { ssh: ssh.server, https } }
}

/** A new version each time, whose build takes a second and which is ready after another. */
async function directoryOf(w: World, files: Readonly<Record<string, Uint8Array>> = {}): Promise<string> {
  return w.service('web', {
    directives: ['url=http://web.test', 'scale=1'],
    app: { LISTEN_DELAY_MS: 1_000 },
    lines: [`RUN echo building ${randomBytes(4).toString('hex')}; sleep 1`],
    files,
  })
}

/** Presses Ctrl-C at that moment of a command. @returns what it said */
async function pressed(it: Bench, way: Way, command: Command, moment: Moment): Promise<string> {
  const { w, env, servers } = it
  const server = servers[way]
  const upload =
    String(moment) === String(moments.push['in the upload']) || String(moment) === String(moments.push['all sent'])
  const directory = await directoryOf(w, upload ? { 'big.bin': randomBytes(32 * 1024 * 1024) } : {})
  const before = await stateOf(w)
  if (command === 'attach') await w.ok(['push', '--detach', server, directory], { env: env as Record<string, string> })
  // What holds up the drain, so that there is something left to do when it is live.
  const open = w.request('http://web.test/stream?seconds=3', { timeoutMs: 20_000 }).catch(() => undefined)
  const words = {
    push: ['push', server, directory, '-v'],
    restart: ['restart', server, 'web'],
    attach: ['attach', server, '-v'],
  }
  const terminal = onPty([process.execPath, ...w.program, ...words[command]], env, { cwd: w.home })
  if (moment === 'some time') await sleep(2_500 * random())
  else await terminal.seen(moment)
  terminal.press('\u0003')
  const { code, output } = await terminal.result
  try {
    const what = await judged(it, { command, moment, code, output, before })
    await open
    return what
  } catch (error) {
    throw new Error(`${(error as Error).message} (seed ${seed})\nexit code ${code}:\n${output}`, { cause: error })
  }
}

type State = Readonly<{ release: number; jobs: readonly string[] }>

type Pressed = Readonly<{ command: Command; moment: Moment; code: number | null; output: string; before: State }>

/** Moments at which it may be over before Ctrl-C is heard. */
const late: readonly Moment[] = ['some time', steps.drained, steps.done]

/** Holds what was said against what became of it. */
async function judged(it: Bench, { command, moment, code, output, before }: Pressed): Promise<string> {
  const { w } = it
  const [, message = ''] = /✗ (\S.*?)\r?$/m.exec(output) ?? []
  const at = await stateOf(w)
  const next = before.release + 1
  if (code === 0) {
    assert.ok(late.includes(moment), 'it went on here')
    assert.match(output, steps.done)
    assert.equal(at.release, next)
    return await over(w, before, next, 'nothing: it was done')
  }
  assert.equal(code, 130)
  // Between the last word and the end of the process nothing is left to be said.
  if (message === '' && steps.done.test(output)) return await over(w, before, next, 'nothing: it was done')
  const live = /^r(\d+) of web is live\. What is left of its deploy goes on over there, /.exec(message)
  if (live) {
    assert.deepEqual([at.release, Number(live[1])], [next, next], 'it is live at once')
    return await over(w, before, next, 'live, the rest goes on')
  }
  if (message === 'It goes on over there, with nobody here following it.') {
    if (command !== 'restart') await followsAgain(it, output)
    return await over(w, before, next, 'it goes on')
  }
  if (/may be on over there/.test(message)) return await over(w, before, undefined, 'it may be on')
  // So early that nothing of it listened yet: nothing is said.
  const nothing = [
    '',
    'Stopped on request.',
    'Stopped: nothing was deployed.',
    'Stopped: nothing was asked for, nothing was changed.',
  ]
  if (command === 'attach') {
    assert.ok(
      message === 'Stopped before anything came. What is on over there goes on.' || nothing.includes(message),
      message,
    )
    return await over(w, before, next, 'nothing came yet')
  }
  assert.ok(nothing.includes(message), message)
  await sleep(1_000)
  return await over(w, before, before.release, 'nothing was begun')
}

/** The command that was printed follows the deploy to its end. */
async function followsAgain({ w, env }: Bench, output: string): Promise<void> {
  const [, server = '', job = ''] = /mypaas attach (\S+)(?: (\S+))?/.exec(output) ?? []
  assert.ok(server !== '', 'a command is printed that follows it')
  const { stderr } = await w.ok(['attach', server, ...(job === '' ? [] : [job])], {
    env: env as Record<string, string>,
  })
  assert.match(stderr, steps.live)
}

/** When nothing is on any more: the release that was to become the current one is that, or none was begun. */
async function over(w: World, before: State, release: number | undefined, what: string): Promise<string> {
  const ended = async (): Promise<boolean> => {
    const { jobs } = await stateOf(w)
    const texts = await Promise.all(jobs.map((job) => readFile(join(jobsFolder(w), job), 'utf8')))
    return texts.every((text) => /^\{"end":/m.test(text))
  }
  await until(ended, { what: 'the end of all that was begun', timeoutMs: 30_000 })
  const now = await stateOf(w)
  const { releases } = JSON.parse((await w.ok(['server', 'releases', 'web', '--json'])).stdout) as {
    releases: { release: number; current: boolean; entry?: { outcome: string } }[]
  }
  const shown = releases.find(({ current }) => current)
  assert.equal(shown?.release, now.release)
  assert.equal(shown?.entry?.outcome, 'live')
  if (release !== undefined) {
    assert.equal(now.release, release, what)
    assert.equal(now.jobs.length - before.jobs.length, release - before.release, `${what}: a job for each`)
  }
  return what
}

async function stateOf(w: World): Promise<State> {
  return { release: (await w.journal('web'))?.current?.release ?? 0, jobs: await readdir(jobsFolder(w)) }
}

function jobsFolder(w: World): string {
  return join(w.home, '_mypaas', 'push', 'jobs')
}
