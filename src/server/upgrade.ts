import http from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Docker, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { reachHeader, reachPath } from '../router/config.ts'
import {
  ensureRouter,
  type RouterChange,
  type RouterContainer,
  restartRouter,
  routerChange,
} from '../router/container.ts'
import { changeConfig } from './change-config.ts'
import { parseConfig, readConfigText } from './config.ts'
import { setKey } from './config-text.ts'
import { isDaemonOutdated } from './daemon-age.ts'
import { type OpenServer, routerContainer } from './host.ts'
import { reservedLines, routerLines } from './init.ts'
import { noteOlderRights } from './older-rights.ts'
import { ensureUnit, type Program, restartUnit, unitOf, unitState } from './unit.ts'

export type Upgraded = Readonly<{
  /** The router's image before and now, with ids: a tag may have moved. */
  before: string
  now: string
  change: RouterChange
  /** How long nobody was served, as seen by requests every 20 ms. */
  interruptedMs: number
  /** The daemon, if mypaas was installed anew since its start: `outdated` where somebody else must restart it. */
  daemon: 'restarted' | 'outdated' | 'unchanged'
}>

/**
 * Brings the router to the version that the config names, or to `image`, which the config names from then on, and the
 * daemon to the mypaas that is installed. Services run on untouched. A router that does not start leaves the one before
 * in place.
 * @throws {MypaasError} `failed` when the image can't be had, or the new router does not start
 */
export async function upgradeServer(
  server: OpenServer,
  options: {
    image?: string | undefined
    /** How the installed mypaas is started: a unit that is there is brought to it. */
    program?: Program | undefined
    onProgress?: (message: string) => void
  } = {},
): Promise<Upgraded> {
  const { host, config } = server
  const say = options.onProgress ?? (() => {})
  const image = options.image ?? config.router.image
  const named = imageNamed(image)
  await routerFrom(server, named)
  for (const line of await reservedLines(host.directory, config)) say(line)
  // One that is being deployed is told apart later: by its daemon, or by the next command.
  await noteOlderRights(host).catch(() => {})
  await pullNewest(host.docker, image, say)
  const wanted = await routerFrom(server, named)
  const before = await imageOf(host.docker, wanted.name)
  const { change: planned, why } = await routerChange(host.docker, wanted, { newestImage: true })
  for (const line of routerLines(planned, why, wanted.name)) say(line)
  if (planned === 'replaced') await renewRoutes(server, say)
  const { result: change, ms } = await interruption(wanted, () =>
    ensureRouter(host.docker, wanted, { newestImage: true }),
  )
  if (options.image !== undefined && image !== config.router.image) await changeConfig(host.directory, named)
  const now = await imageOf(host.docker, wanted.name)
  return { before, now, change, interruptedMs: ms, daemon: await renewDaemon(server, options.program) }
}

/**
 * What an upgrade would do to the router as far as that can be told without a pull, in lines: what, why, and for how long
 * nobody is served. Changes nothing.
 */
export async function planUpgrade(server: OpenServer, image?: string): Promise<readonly string[]> {
  const wanted = await routerFrom(server, imageNamed(image ?? server.config.router.image))
  const { docker } = server.host
  const isHere = await docker.images.inspect(wanted.image).then(
    () => true,
    (error: unknown) => {
      if (error instanceof NotFoundError) return false
      throw error
    },
  )
  const { change, why } = await routerChange(docker, wanted, { newestImage: isHere })
  if (change === 'unchanged') return [`router ${wanted.name}: as it should be, unless there is a newer ${wanted.image}`]
  return routerLines(change, why, wanted.name)
}

function imageNamed(image: string): (text: string) => string {
  return (text) => setKey(text, 'router', 'image', JSON.stringify(image))
}

/** A router that does not answer is replaced all the same; the services' routes are written anew with their services. */
async function renewRoutes({ host }: OpenServer, say: (message: string) => void): Promise<void> {
  try {
    await host.router.renew()
  } catch (error) {
    say(`! The routes could not be written anew: ${error instanceof Error ? error.message : String(error)}`)
    say('  Do that afterwards: mypaas server reconcile')
  }
}

/** The router that a config asks for with a change: a pull is long, and others may write to it meanwhile. */
async function routerFrom({ host, identity }: OpenServer, change: (text: string) => string): Promise<RouterContainer> {
  const text = change(await readConfigText(host.directory))
  return routerContainer(host.directory, parseConfig(text, join(host.directory, 'config.toml')), identity)
}

async function renewDaemon({ host, config }: OpenServer, program: Program | undefined): Promise<Upgraded['daemon']> {
  const unit = program && unitOf(program, host.home, config.server)
  if (unit && (await unitState(unit)) === 'changed') {
    await ensureUnit(unit)
    return 'restarted'
  }
  if (!(await isDaemonOutdated(host.directory))) return 'unchanged'
  try {
    await restartUnit(config.server.instance)
    return 'restarted'
  } catch (error) {
    if (error instanceof MypaasError && error.code === 'usage') return 'outdated'
    throw error
  }
}

/** Restarts the router. @returns how long nobody was served, in milliseconds */
export async function restartServersRouter({ host, config, identity }: OpenServer): Promise<number> {
  const wanted = routerContainer(host.directory, config, identity)
  const { ms } = await interruption(wanted, () => restartRouter(host.docker, wanted))
  return ms
}

/** A registry that does not answer keeps nobody from what is here already. */
async function pullNewest(docker: Docker, image: string, say: (message: string) => void): Promise<void> {
  say(`pulling ${image}`)
  try {
    for await (const _ of docker.images.pull(image, { timeoutMs: 600_000 })) {
      // That it goes on is enough to know.
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    try {
      await docker.images.inspect(image)
    } catch (missing) {
      if (!(missing instanceof NotFoundError)) throw missing
      throw new MypaasError(`There is no ${image} to be had: ${reason}`, {
        code: 'failed',
        hint: 'Check the name, or load the image: docker load',
        cause: error,
      })
    }
    say(`no newer one to be had (${reason}); the one that is here is taken`)
  }
}

async function imageOf(docker: Docker, container: string): Promise<string> {
  try {
    const { Config, Image } = await docker.containers.inspect(container)
    return `${Config.Image} (${Image.replace('sha256:', '').slice(0, 12)})`
  } catch (error) {
    if (error instanceof NotFoundError) return 'none'
    throw error
  }
}

const askEveryMs = 20
/** How long to ask on for the first good answer of a router that is said to be ready. */
const patienceMs = 5_000

/**
 * Does something to the router and tells how long nobody was served meanwhile: from the first request that failed to the
 * next one that did not. Requests are sent every 20 ms, whatever became of those before: one that hangs hides nothing.
 */
async function interruption<T>(wanted: RouterContainer, act: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const asked: Promise<{ at: number; good: boolean }>[] = []
  let goodAt = Number.NEGATIVE_INFINITY
  let overAt = Number.POSITIVE_INFINITY
  const ask = async (): Promise<{ at: number; good: boolean }> => {
    const at = performance.now()
    const good = await answers(wanted)
    if (good) goodAt = Math.max(goodAt, at)
    return { at, good }
  }
  const watch = async (): Promise<void> => {
    while (goodAt < overAt && performance.now() < overAt + patienceMs) {
      asked.push(ask())
      await sleep(askEveryMs)
    }
  }
  // Of a router that did not answer before, nobody misses anything.
  const watching = (await ask()).good ? watch() : Promise.resolve()
  try {
    const result = await act()
    overAt = performance.now()
    await watching
    return { result, ms: Math.round(gaps(await Promise.all(asked))) }
  } finally {
    overAt = Number.NEGATIVE_INFINITY
  }
}

/** The time from each first failed request to the next good one. */
function gaps(asked: readonly { at: number; good: boolean }[]): number {
  let sum = 0
  let failedAt: number | undefined
  for (const { at, good } of asked) {
    if (good && failedAt !== undefined) sum += at - failedAt
    failedAt = good ? undefined : (failedAt ?? at)
  }
  return sum
}

function answers(wanted: RouterContainer): Promise<boolean> {
  const { settings, bind = '', httpPort } = wanted
  const address = bind === '' || bind === '0.0.0.0' || bind === '::' ? '127.0.0.1' : bind
  return new Promise((resolve) => {
    const request = http.get(
      { host: address, port: httpPort, path: reachPath(settings), agent: false, timeout: 1_000 },
      (response) => {
        resolve(response.headers[reachHeader.toLowerCase()] === settings.reachToken)
        response.destroy()
      },
    )
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(false))
    request.on('close', () => resolve(false))
  })
}
