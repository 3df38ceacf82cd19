import { setTimeout as sleep } from 'node:timers/promises'
import type { Docker } from '../docker/index.ts'
import { ask } from './ask.ts'
import { reachPath, routerPorts } from './config.ts'
import {
  ensureLocked,
  ensureNetworks,
  lockRouter,
  type OwnRouter,
  ownRouters,
  type RouterContainer,
  reviveRouter,
  settleOnOne,
} from './container.ts'
import type { Answer } from './router.ts'
import { runDelay, wasStarved } from './run-delay.ts'

/** Why the router does not serve, or not everybody. */
export type RouterTrouble = Readonly<
  | { kind: 'missing' }
  /** `exited`, `created`, `restarting`, … */
  | { kind: 'down'; state: string }
  | { kind: 'paused' }
  /** It is not on these networks any more. */
  | { kind: 'cut'; networks: readonly string[] }
  /** Its ports accept, and nobody answers. `delayMs` as {@link runDelay} tells it. */
  | { kind: 'silent'; delayMs: number | undefined }
  /** It serves, and there are containers of a replacement that was killed, or it is called otherwise. */
  | { kind: 'leftovers'; names: readonly string[] }
>

const askTimeoutMs = 1_200
/** One that was started so short a time ago may still be reading its files. */
const startingMs = 5_000

/**
 * Looks at the router as its users do: whether it is there, on its networks, and answers on its ports, whatever it
 * answers. Changes nothing.
 * @returns `undefined` where all is well, and where nothing of this server's router and networks is there: it was taken
 *   down on purpose
 */
export async function routerTrouble(docker: Docker, wanted: RouterContainer): Promise<RouterTrouble | undefined> {
  const all = await ownRouters(docker, wanted)
  const router = all.find(({ name, isTrial }) => name === wanted.name && !isTrial)
  const others = all.filter((one) => one !== router).map(({ name }) => name)
  const isUp = router !== undefined && !isDown(router.state)
  // One that was set aside, or renamed, may serve.
  if (others.length > 0 && !isUp) return { kind: 'leftovers', names: others }
  if (!router) return (await hasNetworks(docker, wanted)) ? { kind: 'missing' } : undefined
  const trouble = await troubleOf(docker, wanted, router)
  return trouble ?? (others.length > 0 ? { kind: 'leftovers', names: others } : undefined)
}

async function troubleOf(
  docker: Docker,
  { networks, settings }: RouterContainer,
  router: OwnRouter,
): Promise<RouterTrouble | undefined> {
  if (router.state === 'paused') return { kind: 'paused' }
  if (router.state !== 'running') return { kind: 'down', state: router.state }
  const cut = [networks.edge, networks.gate].filter((network) => !router.networks.includes(network))
  if (cut.length > 0) return { kind: 'cut', networks: cut }
  const path = reachPath(settings)
  const begin = performance.now()
  const answers = await Promise.all(
    [routerPorts.web, routerPorts.admin].map((inside) => answerOf(router, inside, path)),
  )
  if (answers.every((answer) => 'status' in answer)) return undefined
  // So late are only the timers of a process that stood still itself: what came meanwhile it did not read.
  if (performance.now() - begin > askTimeoutMs + 500) return undefined
  // One that has opened its ports already accepts in any case.
  const hangs = answers.some((answer) => 'error' in answer && answer.error.startsWith('no answer'))
  const { State } = await docker.containers.inspect(router.id)
  return !hangs && isFresh(State) ? undefined : { kind: 'silent', delayMs: await runDelay(State.Pid) }
}

/** One of its addresses that answers is enough: not each that is published is one that this machine itself reaches. */
async function answerOf({ ports }: OwnRouter, inside: number, path: string): Promise<Answer> {
  const url = { scheme: 'http', host: 'localhost', path } as const
  const call = { secure: false, url, headers: {}, signal: undefined, timeoutMs: askTimeoutMs }
  const ends = ports.filter((port) => port.inside === inside)
  const answers = await Promise.all(ends.map(({ address, port }) => ask({ ...call, address, port })))
  return answers.find((answer) => 'status' in answer) ?? answers[0] ?? { error: `port ${inside} is not published` }
}

/**
 * Brings the router back where it is in trouble. It stays as it was made: a change of the config is for those who say so
 * beforehand.
 * @param options.hangs It was seen to hang, more than once: it is not asked again.
 * @param options.waitMs How long to wait for somebody who is at it; 0 (the default) not at all.
 * @returns what was done, in lines
 * @throws {MypaasError} `locked` while somebody is at it
 */
export async function mendRouter(
  docker: Docker,
  wanted: RouterContainer,
  options: { hangs?: boolean; waitMs?: number } = {},
): Promise<readonly string[]> {
  await using _ = await lockRouter(wanted, 'whoever mends the router', options.waitMs ?? 0)
  // Whoever had the lock may have brought it back a moment ago.
  const seen = options.hangs && !(await isStarting(docker, wanted.name)) ? silent : await sureTrouble(docker, wanted)
  if (!seen) return []
  const done = seen.kind === 'leftovers' ? [...(await settleOnOne(docker, wanted))] : []
  const trouble = seen.kind === 'leftovers' ? await routerTrouble(docker, wanted) : seen
  switch (trouble?.kind) {
    case undefined:
    case 'leftovers':
      return done
    case 'missing':
      await ensureLocked(docker, wanted)
      return [...done, 'it was gone, and is made anew']
    case 'down':
      await reviveRouter(docker, wanted, trouble.state)
      return [...done, `it was ${trouble.state}, and runs again`]
    case 'paused':
      await docker.containers.unpause(wanted.name)
      return [...done, 'it was paused, and goes on']
    case 'cut':
      await connect(docker, wanted, trouble.networks)
      return [...done, `it was cut from ${trouble.networks.join(' and ')}, and is back there`]
    case 'silent':
      await reviveRouter(docker, wanted, 'running')
      return [...done, 'it did not answer any more, and was restarted']
    default:
      return trouble satisfies never
  }
}

async function connect(docker: Docker, wanted: RouterContainer, networks: readonly string[]): Promise<void> {
  await ensureNetworks(docker, wanted)
  for (const network of networks) await docker.networks.connect(network, { Container: wanted.name })
}

function isDown(state: string): boolean {
  return state === 'created' || state === 'exited' || state === 'dead'
}

const silent = { kind: 'silent', delayMs: undefined } as const

/** As {@link routerTrouble}, but that it hangs is not seen by one look, nor where others have the processors. */
async function sureTrouble(docker: Docker, wanted: RouterContainer): Promise<RouterTrouble | undefined> {
  const first = await routerTrouble(docker, wanted)
  const begin = performance.now()
  let last = first
  for (let look = 1; look < 3 && last?.kind === 'silent'; look += 1) {
    await sleep(150)
    last = await routerTrouble(docker, wanted)
  }
  if (first?.kind !== 'silent' || last?.kind !== 'silent') return last
  return wasStarved(first.delayMs, last.delayMs, performance.now() - begin) ? undefined : last
}

async function isStarting(docker: Docker, id: string): Promise<boolean> {
  const found = await docker.containers.inspect(id).catch(() => undefined)
  return found === undefined || isFresh(found.State)
}

function isFresh({ StartedAt }: { StartedAt: string }): boolean {
  return Date.now() - Date.parse(StartedAt) < startingMs
}

async function hasNetworks(docker: Docker, { networks, server }: RouterContainer): Promise<boolean> {
  const found = await docker.networks.list({ filters: { label: [`mypaas.server=${server}`] } })
  return found.some(({ Name }) => Object.values(networks).includes(Name))
}
