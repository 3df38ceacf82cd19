import { fingerprint } from '../fingerprint.ts'
import type { RoutedRelease, ServiceRoutes } from '../router/config.ts'
import type { FoundRoutes } from '../router/router.ts'
import { containerName, gateAlias } from '../service/names.ts'
import { portsClash } from '../service/publish.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { formatDuration } from '../units.ts'
import { replicaCount } from './container.ts'
import type { Journal } from './journal.ts'
import { isRenamed, type Observed, type Replica } from './observe.ts'

/** One container as a step names it: by release and replica, so that it can be named before it exists. */
export type Target = Readonly<{ release: number; replica: number; name: string }>

/**
 * One thing to do. Every step names what it acts on, tolerates that it is done already, and takes its facts from the
 * engine, so that any prefix of a plan can be followed by {@link settle}.
 */
export type Step = Readonly<
  | { kind: 'create'; targets: readonly Target[] }
  | { kind: 'start'; targets: readonly Target[] }
  /** Lets those go on that are paused, which no start does. */
  | { kind: 'unpause'; targets: readonly Target[] }
  /** Puts those back on the network of all services that somebody took off it. */
  | { kind: 'attach'; targets: readonly Target[] }
  | { kind: 'ready'; targets: readonly Target[] }
  | { kind: 'check'; targets: readonly Target[] }
  | { kind: 'join'; targets: readonly Target[]; fallbackOf?: number }
  | { kind: 'leave'; targets: readonly Target[] }
  | { kind: 'arm'; targets: readonly Target[] }
  | { kind: 'disarm'; targets: readonly Target[] }
  | { kind: 'route'; routes: ServiceRoutes }
  | { kind: 'unroute' }
  | { kind: 'probe'; release: number }
  | { kind: 'request'; release: number }
  | { kind: 'commit'; release: number }
  | { kind: 'drain'; targets: readonly Target[]; timeoutMs: number }
  | { kind: 'stay'; targets: readonly Target[]; ms: number }
  | { kind: 'stop'; targets: readonly Target[] }
  | { kind: 'remove'; targets: readonly Target[] }
  /** Gives back the names that somebody changed. */
  | { kind: 'rename'; targets: readonly Target[] }
>

/** What a deploy costs those who use the service meanwhile, and why. */
export type Interruption = Readonly<{
  kind: 'none' | 'wait' | 'down'
  /** The longest that is expected, without the time the app itself needs to start. */
  ms: number
  reason: string
}>

/** A deploy as a value: what will be done until the new release is the one, and what that costs. */
export type Plan = Readonly<{
  /** Of what it was made for: the spec, and what runs. Another plan for the same has the same. */
  id: string
  service: string
  release: number
  /** The release that is to be replaced. */
  from: number | undefined
  order: 'first' | 'start-first' | 'stop-first'
  interruption: Interruption
  steps: readonly Step[]
  /** What else there is to know of how it runs. */
  notes?: readonly string[]
}>

/** What {@link settle} finds to do. */
export type Settlement = Readonly<{ serve: readonly Step[]; clean: readonly Step[] }>

/** How long things may take, from the server's config. */
export type Timing = Readonly<{ startTimeoutMs: number; drainMs: number; holdDrainMs: number; graceMs: number }>

/** The longest that the router keeps a request waiting in a changeover. */
const maxHoldMs = 60_000

/** How long the router may answer with errors for a release that answered by itself before that counts as failed. */
export const checkPatienceMs = 10_000

/**
 * What is to be done to replace the current release by a new one, up to and with the commit. What follows it, and what
 * follows a failure before it, is for {@link settle}: the journal then says which release is the one.
 */
export function planDeploy(input: {
  spec: ServiceSpec
  release: number
  journal: Journal
  observed: Observed
  prefix: string
  timing: Timing
}): Plan {
  const { spec, release, journal, observed, prefix, timing } = input
  const current = journal.current
  const old = observed.replicas.filter((replica) => replica.release === current?.release)
  const oldRunning = old.some(isUp)
  const fresh = targetsOf(spec, release, prefix)
  const routed = spec.urls.length > 0
  const basis = observed.replicas.map(({ name, state, armed, onGate }) => [name, state, armed, onGate])
  const id = fingerprint(JSON.stringify([spec, current?.release, basis]))
  const common = { id, service: spec.service, release, from: current?.release }

  const begin: Step[] = [{ kind: 'create', targets: fresh }]
  const start: Step[] = [
    { kind: 'start', targets: fresh },
    { kind: 'ready', targets: fresh },
  ]

  if (!current || !oldRunning) {
    return {
      ...common,
      order: 'first',
      interruption: { kind: 'none', ms: 0, reason: current ? 'nothing of it runs' : 'it is new here' },
      steps: [...begin, ...start, ...switchOver(spec, fresh, release, undefined), { kind: 'commit', release }],
    }
  }

  const stopFirst = whyStopFirst(spec, current.spec)
  if (!stopFirst) {
    return {
      ...common,
      order: 'start-first',
      interruption: { kind: 'none', ms: 0, reason: 'the new replicas serve before the old ones stop' },
      steps: [...begin, ...start, ...switchOver(spec, fresh, release, journal), { kind: 'commit', release }],
    }
  }

  const oldTargets = old.map(targetOf)
  const hold: Step[] = routed
    ? [{ kind: 'route', routes: holdingRoutes(spec, release, current, timing) }]
    : current.spec.urls.length > 0
      ? [{ kind: 'unroute' }]
      : []
  const wasRouted = current.spec.urls.length > 0
  return {
    ...common,
    order: 'stop-first',
    interruption: {
      kind: routed && wasRouted ? 'wait' : 'down',
      ms: wasRouted ? 1_100 : 200,
      reason: stopFirst,
    },
    steps: [
      ...begin,
      ...hold,
      ...(wasRouted ? [{ kind: 'drain', targets: oldTargets, timeoutMs: timing.holdDrainMs } as const] : []),
      { kind: 'disarm', targets: oldTargets },
      // Stopped before it leaves: what is still open is closed by it then, and not left hanging without a word.
      { kind: 'stop', targets: oldTargets },
      ...(wasRouted ? [{ kind: 'leave', targets: oldTargets } as const] : []),
      ...start,
      ...(routed ? [{ kind: 'check', targets: fresh } as const] : []),
      { kind: 'arm', targets: fresh },
      { kind: 'commit', release },
    ],
  }
}

/** From "ready" to "every request goes to the new replicas", the old ones still there. */
function switchOver(
  spec: ServiceSpec,
  fresh: readonly Target[],
  release: number,
  journal: Journal | undefined,
): readonly Step[] {
  const arm: Step = { kind: 'arm', targets: fresh }
  const current = journal?.current
  if (spec.urls.length === 0) return current?.spec.urls.length ? [arm, { kind: 'unroute' }] : [arm]
  const next = routedRelease(spec, release)
  const flip: Step[] = [
    { kind: 'route', routes: { service: spec.service, urls: spec.urls, active: next } },
    { kind: 'request', release },
  ]
  const begin: Step[] = [
    { kind: 'join', targets: fresh },
    { kind: 'check', targets: fresh },
  ]
  if (!current || current.spec.urls.length === 0) return [...begin, arm, ...flip]
  return [
    ...begin,
    { kind: 'route', routes: { ...routesOf(current.spec, current.release), probe: next } },
    { kind: 'probe', release },
    arm,
    ...flip,
  ]
}

/** Why the old release has to stop before the new one starts, or `undefined` when it need not. */
function whyStopFirst(spec: ServiceSpec, current: ServiceSpec): string | undefined {
  if (spec.rollout === 'stop-first') return 'no scale, so the old container stops before the new one starts'
  if (spec.rollout === 'safe') return 'scale says safe, so all old replicas stop before a new one starts'
  const clash = spec.publish.find((port) => current.publish.some((other) => portsClash(port, other)))
  return clash ? `publishes host port ${clash.hostPort}, which only one release can have` : undefined
}

/**
 * What is to be done so that the release which the journal calls current runs, armed and routed, and nothing else of the
 * service does. The same after a failed deploy, a commit, a crash at any point, or a hand that changed things. With
 * nothing to do it is empty, but for the confirmation of the route.
 *
 * The route moves before anything stops. A service with one writer has its other releases stopped before the current
 * one starts.
 * @returns `serve`: what it takes until the current release serves; `clean`: what can go afterwards
 * @param input.drainMs How long open requests of replicas that go may take.
 * @param input.stayMs Asks that the current replicas have been up for that long before any other goes; 0 unless given.
 */
export function settle(input: {
  journal: Journal
  observed: Observed
  routes: FoundRoutes
  prefix: string
  timing: Timing
  drainMs: number
  stayMs?: number
}): Settlement {
  const { journal, observed, prefix, timing, drainMs } = input
  const { current, next } = journal
  const stay = current && !journal.stopped ? targetsOf(current.spec, current.release, prefix) : []
  const mine = stay.flatMap((target) => bestOf(observed.replicas, target) ?? [])
  const others = observed.replicas.filter((replica) => !mine.includes(replica))
  const asItIsCalled = (target: Target): Target => {
    const found = mine.find(({ replica }) => replica === target.replica)
    return found ? targetOf(found) : target
  }
  const runningOthers = others.filter(isUp)

  const serve: Step[] = []
  const clean: Step[] = []
  let steps = serve
  const add = (step: Step): void => {
    if (!('targets' in step) || step.targets.length > 0) steps.push(step)
  }
  const mustStay = (): void => {
    if (input.stayMs) add({ kind: 'stay', targets: stay.map(asItIsCalled), ms: input.stayMs })
  }
  const takeAway = (replicas: readonly Replica[], timeoutMs: number): void => {
    const targets = replicas.map(targetOf)
    add({ kind: 'disarm', targets: replicas.filter(({ armed }) => armed).map(targetOf) })
    add({ kind: 'drain', targets: replicas.filter(({ onGate }) => onGate).map(targetOf), timeoutMs })
    if (steps === clean) mustStay()
    add({ kind: 'stop', targets })
    add({ kind: 'leave', targets: replicas.filter(({ onGate }) => onGate).map(targetOf) })
  }

  if (!current || journal.stopped) {
    if (input.routes) add({ kind: 'unroute' })
    steps = clean
    takeAway(runningOthers, drainMs)
    add({ kind: 'remove', targets: others.map(targetOf) })
    return { serve, clean }
  }

  const routed = current.spec.urls.length > 0
  const running = mine.filter(isUp)
  const missing = stay.filter((target) => !mine.some(({ replica }) => replica === target.replica))
  const down = mine.filter((replica) => !running.includes(replica))
  const inside = routed ? running.filter(({ onGate }) => onGate) : []
  const outside = routed ? running.filter(({ onGate }) => !onGate) : []
  const routes = routesOf(current.spec, current.release)
  const failed = next && next.release !== current.release ? next : undefined

  const oneWriter = current.spec.rollout !== 'roll' || (failed ?? current).spec.rollout !== 'roll'
  const inTheWay = (failed ?? current).spec.publish.some(({ hostPort }) => hostPort !== undefined)
  const stopBefore = runningOthers.length > 0 && (oneWriter || (inTheWay && down.length + missing.length > 0))

  // First: one without it can't be asked whether it is ready.
  add({ kind: 'attach', targets: mine.filter(({ isCutOff }) => isCutOff).map(targetOf) })
  const unpause = (): void =>
    add({ kind: 'unpause', targets: running.filter(({ state }) => state === 'paused').map(targetOf) })
  if (!stopBefore) unpause()
  // One that goes has its name until it is gone.
  const makesRoom = others.filter((replica) => isGoing(replica) && missing.some(({ name }) => name === replica.name))
  add({ kind: 'remove', targets: makesRoom.map(targetOf) })
  add({ kind: 'create', targets: missing })
  // Requests that wait for a release which did not come look for its names and for a fallback, so replicas that serve
  // on have to be reached by that one too. An endpoint's names can't be changed, so they leave the gate and join again.
  const waiting = failed !== undefined && inside.length > 0 && isHeldFor(failed.release, input.routes, failed.spec)
  if (waiting) {
    const targets = inside.map(targetOf)
    add({ kind: 'drain', targets, timeoutMs: timing.holdDrainMs })
    add({ kind: 'leave', targets })
    add({ kind: 'join', targets, fallbackOf: failed.release })
  }
  const noneServes = routed && inside.length === 0
  const holding = noneServes && isHeldFor(current.release, input.routes, undefined)
  if (!routed) {
    if (input.routes) add({ kind: 'unroute' })
  } else if (!noneServes) {
    if (!sameRoutes(input.routes, routes)) add({ kind: 'route', routes })
  } else if (!holding) add({ kind: 'route', routes: { ...routes, holdMs: holdMs(timing, current.spec, failed?.spec) } })

  if (stopBefore) {
    takeAway(runningOthers, Math.min(drainMs, timing.holdDrainMs))
    unpause()
  }
  // Off the gate before it starts: a replica gets its name there when it is ready.
  add({ kind: 'leave', targets: down.filter(({ onGate }) => onGate).map(targetOf) })
  const comeBack = [...down.map(targetOf), ...missing]
  add({ kind: 'start', targets: comeBack })
  const joining = [...comeBack, ...outside.map(targetOf)]
  add({ kind: 'ready', targets: joining })
  if (routed) add({ kind: 'join', targets: joining, ...(failed ? { fallbackOf: failed.release } : {}) })
  add({ kind: 'arm', targets: [...comeBack, ...running.filter(({ armed }) => !armed).map(targetOf)] })
  if (noneServes) add({ kind: 'route', routes })
  steps = clean
  if (!stopBefore && runningOthers.length > 0) takeAway(runningOthers, drainMs)
  else mustStay()
  add({ kind: 'remove', targets: others.filter((replica) => !makesRoom.includes(replica)).map(targetOf) })
  // At the very end: until then each is called as it was found. A name that somebody else keeps is left to them.
  const isFree = ({ nameHolder }: Replica): boolean =>
    nameHolder === undefined || others.some(({ id }) => id === nameHolder)
  const renamed = mine.filter((replica) => isRenamed(prefix, journal.service, replica) && isFree(replica))
  add({ kind: 'rename', targets: renamed.map(targetOf) })
  return { serve, clean }
}

/**
 * Of several that say to be the same replica (somebody copied one), the one that runs, then the one of that name. One that
 * the engine is removing is none any more: no start brings it back.
 */
function bestOf(replicas: readonly Replica[], { release, replica, name }: Target): Replica | undefined {
  const same = replicas.filter((found) => found.release === release && found.replica === replica && !isGoing(found))
  const running = same.filter(isUp)
  const candidates = running.length > 0 ? running : same
  return candidates.find((found) => found.name === name) ?? candidates[0]
}

/** Has its processes, its ports and its names: also one that is paused, which goes on at any moment. */
function isUp({ state }: Pick<Replica, 'state'>): boolean {
  return state === 'running' || state === 'restarting' || state === 'paused'
}

/** Its processes have ended, and the engine is removing it, or began to and could not. */
function isGoing({ state }: Pick<Replica, 'state'>): boolean {
  return state === 'removing' || state === 'dead'
}

function sameRoutes(found: FoundRoutes, wanted: ServiceRoutes): boolean {
  // Both are made here or were read back from JSON, so keys have one order.
  return JSON.stringify(found) === JSON.stringify(wanted)
}

/** Whether requests wait for a release; where nobody knows, whether they may, going by its spec. */
function isHeldFor(release: number, routes: FoundRoutes, spec: ServiceSpec | undefined): boolean {
  if (routes === 'unknown') return spec !== undefined && spec.urls.length > 0 && spec.rollout !== 'roll'
  return routes?.active.release === release && routes.holdMs !== undefined
}

/** The containers that a release is to have. */
export function targetsOf(spec: ServiceSpec, release: number, prefix: string): readonly Target[] {
  return Array.from({ length: replicaCount(spec) }, (_, index) => ({
    release,
    replica: index + 1,
    name: `${prefix}${containerName(spec.service, release, index + 1)}`,
  }))
}

function targetOf({ release, replica, name }: Replica): Target {
  return { release, replica, name }
}

/** The routes of a release that serves on its own. */
export function routesOf(spec: ServiceSpec, release: number): ServiceRoutes {
  return { service: spec.service, urls: spec.urls, active: routedRelease(spec, release) }
}

function routedRelease(spec: ServiceSpec, release: number): RoutedRelease {
  return {
    release,
    port: spec.port,
    upstreams: targetsOf(spec, release, '').map(({ replica }) => gateAlias(spec.service, release, replica)),
    ...(spec.healthcheck && (spec.scale ?? 0) > 0 ? { healthcheck: spec.healthcheck } : {}),
  }
}

/**
 * Requests wait for names that don't exist yet. Each is bound to what it found when it came in, so the file names two
 * ends: the new replicas, and, should they fail, the old ones under a name and port of their own.
 */
function holdingRoutes(
  spec: ServiceSpec,
  release: number,
  current: NonNullable<Journal['current']>,
  timing: Timing,
): ServiceRoutes {
  const fallback = { upstream: fallbackAlias(spec.service, release), port: current.spec.port }
  const { healthcheck: _, ...active } = routedRelease(spec, release)
  return {
    service: spec.service,
    urls: spec.urls,
    active: { ...active, fallback },
    holdMs: holdMs(timing, current.spec, spec),
  }
}

/** The name under which the previous release answers requests that were held for `release`, which failed. */
export function fallbackAlias(service: string, release: number): string {
  return gateAlias(service, release, 0)
}

/** As long as a changeover can take that fails at its last step: drain, stop, start, check, and the same way back. */
function holdMs(timing: Timing, current: ServiceSpec, next?: ServiceSpec): number {
  const startMs = (spec: ServiceSpec): number => spec.startTimeoutMs ?? timing.startTimeoutMs
  const endMs = (spec: ServiceSpec): number => spec.graceMs ?? timing.graceMs
  const tryMs = next ? 2 * startMs(next) : 0
  return Math.min(maxHoldMs, timing.holdDrainMs + endMs(current) + endMs(next ?? current) + tryMs + startMs(current))
}

/** One line for people: what a step does, to what. */
export function describe(step: Step): string {
  switch (step.kind) {
    case 'create':
      return `create ${names(step.targets)}`
    case 'start':
      return `start ${names(step.targets)}`
    case 'unpause':
      return `let ${names(step.targets)} go on, which ${step.targets.length > 1 ? 'are' : 'is'} paused`
    case 'attach':
      return `put ${names(step.targets)} back on the network that ${step.targets.length > 1 ? 'they were' : 'it was'} cut from`
    case 'ready':
      return `wait until ${names(step.targets)} ${step.targets.length > 1 ? 'are' : 'is'} ready`
    case 'check':
      return `ask ${names(step.targets)} for each URL`
    case 'join':
      return `let the router reach ${names(step.targets)}`
    case 'leave':
      return `take ${names(step.targets)} from the router's network`
    case 'arm':
      return `let ${names(step.targets)} come back after a reboot`
    case 'disarm':
      return `keep ${names(step.targets)} from coming back after a reboot`
    case 'route':
      return step.routes.probe
        ? `open a probe route to r${step.routes.probe.release}`
        : step.routes.holdMs === undefined
          ? `lead all requests to r${step.routes.active.release}`
          : `let requests wait for r${step.routes.active.release}`
    case 'unroute':
      return 'take the routes away'
    case 'probe':
      return `ask r${step.release} for each URL, through the router`
    case 'request':
      return `request each URL as a user would`
    case 'commit':
      return `make r${step.release} the current release`
    case 'drain':
      return `let open requests of ${names(step.targets)} finish (at most ${formatDuration(step.timeoutMs)})`
    case 'stay':
      return `see that ${names(step.targets)} ${step.targets.length > 1 ? 'stay' : 'stays'} up`
    case 'stop':
      return `stop ${names(step.targets)}`
    case 'remove':
      return `remove ${names(step.targets)}`
    case 'rename':
      return `give ${names(step.targets)} the name back that mypaas gave`
  }
}

function names(targets: readonly Target[]): string {
  const all = targets.map(({ name }) => name)
  return all.length > 3 ? `${all.slice(0, 2).join(', ')} … ${all.at(-1)} (${all.length})` : all.join(', ')
}
