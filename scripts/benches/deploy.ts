import { execFile } from 'node:child_process'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import { compiledProgram } from '../../test/support/compiled.ts'
import { startLoad } from '../../test/support/load.ts'
import { manyServices, timeToLive } from '../../test/support/many-services.ts'
import { backwards } from '../../test/support/private-engine.ts'
import { until } from '../../test/support/until.ts'
import { type World, world } from '../../test/support/world.ts'
import { compare, median, type Row, row } from './row.ts'

/** Deploys on this machine's engine, beside the bare calls of the docker command. */
export const deployRows: Readonly<Record<string, () => Promise<Row[]>>> = {
  'redeploy, everything cached': () => inWorld(redeploy),
  'requests in a stop-first deploy': () => inWorld(hold),
  'a hundred services': () => inWorld(hundred),
}

async function redeploy(w: World): Promise<Row[]> {
  const directory = await w.service('web', { directives: ['url=http://web.test', 'scale=1'] })
  for (let turn = 0; turn < 2; turn += 1) await w.deploy(directory)
  const { mypaas, docker } = await compare({
    mypaas: { rounds: 15, measure: () => timeToLive(w, directory) },
    docker: { rounds: 15, measure: () => bareCalls(w, directory) },
  })
  const what = 'redeploy, everything cached: command to switched route'
  return [
    row(what, 'ms', mypaas, { name: 'docker build, create, start, answers', value: docker }),
    row('… beyond the bare calls', 'ms', mypaas - docker, undefined, { atMost: 500 }),
  ]
}

/** The same app by the docker command, until its port takes a connection. */
async function bareCalls(w: World, directory: string): Promise<number> {
  const name = `${w.instance}-bare`
  const docker = async (...words: string[]) =>
    // The builder that the command always has, plugin or not; from its cache it takes no longer.
    (await promisify(execFile)('docker', words, { env: { ...process.env, DOCKER_BUILDKIT: '0' } })).stdout.trim()
  const begin = performance.now()
  await docker('build', '-q', '-t', name, directory)
  await docker('create', '--name', name, '--init', '-l', 'mypaas.test=1', name)
  await docker('start', name)
  const address = await docker('inspect', '-f', '{{.NetworkSettings.IPAddress}}', name)
  await until(() => accepts(address, 80), { what: 'an open port', everyMs: 10 })
  const ms = performance.now() - begin
  await docker('rm', '-f', name)
  return ms
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1_000 })
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket
      .once('connect', () => end(true))
      .once('error', () => end(false))
      .once('timeout', () => end(false))
  })
}

async function hold(w: World): Promise<Row[]> {
  const directory = await w.service('web', { directives: ['url=http://web.test'] })
  await w.deploy(directory)
  const longest: number[] = []
  let failed = 0
  for (let round = 0; round < 7; round += 1) {
    await using load = await startLoad({ url: 'http://web.test/', port: w.ports.http, requestsPerSecond: 100 })
    await load.more(50)
    await w.deploy(directory)
    await load.more(50)
    const result = await load.stop()
    longest.push(result.longestMs)
    failed += result.failed
  }
  return [
    row('stop-first: the longest request of a deploy', 'ms', median(longest), undefined, { atMost: 1_600 }),
    row('stop-first: requests that failed', '', failed, undefined, { atMost: 0 }),
  ]
}

async function hundred(w: World): Promise<Row[]> {
  const [first = ''] = await manyServices(w, 1)
  const alone: number[] = []
  for (let round = 0; round < 5; round += 1) alone.push(await timeToLive(w, first))
  await manyServices(w, 100)
  const { reconcile, among } = await compare({
    reconcile: { rounds: 5, measure: async () => (await w.ok(['server', 'reconcile'])).ms },
    among: { rounds: 5, measure: () => timeToLive(w, first) },
  })
  return [
    row('reconcile 100 services, nothing to do', 'ms', reconcile, undefined, { atMost: 1_000 }),
    row('deploy one of 100 services', 'ms', among, { name: 'the only one', value: median(alone) }, { ratio: 1.5 }),
  ]
}

async function inWorld(measure: (w: World) => Promise<Row[]>): Promise<Row[]> {
  const undo: (() => unknown)[] = []
  const scope = backwards({ after: (step) => void undo.push(step as () => unknown) })
  try {
    const w = await world(scope, { program: await compiledProgram(scope) })
    await w.init()
    return await measure(w)
  } finally {
    for (const step of undo) await step()
  }
}
