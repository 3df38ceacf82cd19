import { replicaCount } from '../deploy/container.ts'
import type { Host } from '../deploy/host.ts'
import { nameOf } from '../deploy/identity.ts'
import { type Journal, type JournalRelease, journalledServices, readJournal } from '../deploy/journal.ts'
import { readOutOfMemory } from '../deploy/memory.ts'
import { isRenamed, type Observed, observe, observedServices } from '../deploy/observe.ts'
import { rotationProblems } from '../deploy/rotation.ts'
import { secretsFor } from '../deploy/secret-rights.ts'
import { type ContainerInspect, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import type { NameStates } from '../router/certificates.ts'
import type { FoundRoutes } from '../router/router.ts'
import { formatBytes } from '../units.ts'
import { changedSecretsOf } from './changed-secrets.ts'
import { measureUsage, type Usage } from './usage.ts'

/** One service as it is: what the journal says, and what runs. */
export type ServiceStatus = Readonly<{
  service: string
  /** The current release; `undefined` when none was ever live, or the journal is lost. */
  release: number | undefined
  /** A deploy is on, or was killed and not tidied up. */
  next: number | undefined
  /** Running containers of the current release, and how many there should be. */
  running: number
  wanted: number
  /** Somebody stopped it, so nothing of it is meant to run. */
  stopped: boolean
  urls: readonly string[]
  /** Whether the router leads the URLs to the current release; `undefined` without URLs. */
  routed: boolean | undefined
  /** Of each https name. */
  certificates: Readonly<Record<string, 'trusted' | 'untrusted' | 'asked' | 'none'>>
  deployedAt: string | undefined
  /** Names of secrets that the config has another value of than what runs was started with. */
  changedSecrets: readonly string[]
  /** Those of the current release. */
  replicas: readonly ReplicaStatus[]
  /** How often, and how, replicas of the current release ran out of memory in the last week; `undefined` for never. */
  outOfMemory: string | undefined
  /** What is not as it should be, in words; {@link outOfMemory} among it. */
  problem: string | undefined
}>

export type ReplicaStatus = Readonly<{
  name: string
  state: string
  /** Of its image's HEALTHCHECK; `undefined` without one. */
  health: string | undefined
  /** How often the engine has started it again. */
  restarts: number
  startedAt: string
  /** Only where it was measured. */
  usage?: Usage
}>

/** A problem of all services, which the doctor tells of the router. */
export const routerIsSilent = 'the router does not answer, so nobody is served'

/** Restarts from which on a replica counts as one that does not stay up. */
export const manyRestarts = 5

/**
 * Every service of this server, by name. Reads without a lock.
 * @param options.usage Measures CPU and memory of each replica, too, which takes half a second.
 */
export async function serverStatus(host: Host, options: { usage?: boolean } = {}): Promise<readonly ServiceStatus[]> {
  const names = new Set([...(await journalledServices(host.directory)), ...(await observedServices(host))])
  const certificates = await host.router.certificates()
  const rotation = await rotationProblems(host).catch(() => undefined)
  const router = { certificates, rotation }
  const all = await Promise.all([...names].sort().map((service) => serviceStatus(host, service, router)))
  const found = all.filter((status) => status !== undefined)
  return options.usage ? withUsage(host, found) : found.map(({ status }) => status)
}

/** While a deploy is on, its route may be there before it is the current release, or be about to be confirmed. */
function isRouted(routes: FoundRoutes, { current, next }: Pick<Journal, 'current' | 'next'>): boolean {
  if (routes === 'unknown') return next !== undefined
  return routes !== undefined && [current?.release, next?.release].includes(routes.active.release)
}

type Found = Readonly<{ status: ServiceStatus; ids: ReadonlyMap<string, string> }>

/** What the router says; `rotation` is `undefined` when it does not answer. */
type RouterWord = Readonly<{
  certificates: NameStates
  rotation: Awaited<ReturnType<typeof rotationProblems>> | undefined
}>

async function serviceStatus(host: Host, service: string, router: RouterWord): Promise<Found | undefined> {
  const observed = await observe(host, service)
  let journal: Journal | undefined
  let problem: string | undefined
  try {
    journal = await readJournal(host.directory, service)
    if (!journal) problem = 'its journal is lost'
  } catch (error) {
    if (!(error instanceof MypaasError)) throw error
    problem = error.message
  }
  const current = journal?.current
  // A first deploy that failed leaves only its number.
  if (journal && !current && !journal.next && observed.replicas.length === 0) return undefined
  const { containers, replicas, ids } = await replicasOf(host, observed, current?.release)
  const running = replicas.filter(({ state }) => state === 'running').length
  const wanted = current && !journal?.stopped ? replicaCount(current.spec) : 0
  const routes = current && current.spec.urls.length > 0 ? await host.router.current(service) : undefined
  const routed =
    current && current.spec.urls.length > 0 && journal && wanted > 0 ? isRouted(routes, journal) : undefined
  const out = router.rotation?.get(service)
  const rotation = out && out.release === current?.release ? out.problem : undefined
  const silent = routed !== undefined && router.rotation === undefined ? routerIsSilent : undefined
  const outOfMemory = current && (await memoryProblem(host, current, containers))
  const secure = (current?.spec.urls ?? []).filter(({ scheme }) => scheme === 'https').map((url) => url.host)
  const status: ServiceStatus = {
    service,
    release: current?.release,
    next: journal?.next?.release,
    running,
    wanted,
    stopped: journal?.stopped === true,
    urls: current?.spec.urls.map((url) => host.router.show(url)) ?? [],
    routed,
    certificates: Object.fromEntries(secure.map((name) => [name, certificateState(router.certificates[name])])),
    deployedAt: current?.deployedAt,
    changedSecrets: current
      ? changedSecretsOf(current.spec, containers.map(variables), secretsFor(host, service, current))
      : [],
    replicas,
    outOfMemory,
    problem:
      problem ??
      joined(problemOf({ running, wanted, routed, replicas, rotation, silent }), outOfMemory) ??
      renamed(host.prefix, observed, current?.release),
  }
  return { status, ids }
}

async function replicasOf(
  host: Host,
  observed: Observed,
  release: number | undefined,
): Promise<{
  containers: readonly ContainerInspect[]
  replicas: readonly ReplicaStatus[]
  ids: ReadonlyMap<string, string>
}> {
  const mine = observed.replicas.filter((replica) => replica.release === release)
  const found = await Promise.all(mine.map(({ id }) => host.docker.containers.inspect(id).catch(unlessGone)))
  const there = found.filter((container) => container !== undefined)
  return {
    containers: there,
    replicas: there.map(replicaStatus),
    ids: new Map(there.map(({ Id, Name }) => [Name.slice(1), Id])),
  }
}

/** One that does not run gets its variables anew before it does. */
function variables({ State, Config }: ContainerInspect): readonly string[] | null | undefined {
  return State.Running ? Config.Env : undefined
}

function replicaStatus({ Name, State, RestartCount }: ContainerInspect): ReplicaStatus {
  const health = State.Health?.Status
  return {
    name: Name.slice(1),
    state: State.Status,
    health: health === 'none' ? undefined : health,
    restarts: RestartCount,
    startedAt: State.StartedAt,
  }
}

/** How long ago it may be that a replica ran out of memory, to be told still: a busy day may come once a week. */
const rememberedMs = 7 * 86_400_000

/** Out of what the daemon noted, and, where none runs, of what the engine says of those that are down. */
async function memoryProblem(
  host: Host,
  { release, spec }: JournalRelease,
  containers: readonly ContainerInspect[],
): Promise<string | undefined> {
  const noted = await readOutOfMemory(host.directory, spec.service, release)
  const times = noted.filter(({ at }) => Date.parse(at) > Date.now() - rememberedMs)
  const last = times.at(-1)
  const down = containers.find(({ State }) => State.OOMKilled && !(State.Running && !State.Restarting))
  if (!last && !down) return undefined
  const name = last ? nameOf(host.prefix, { service: spec.service, ...last }) : down?.Name.slice(1)
  const exitCode = last ? last.exitCode : down?.State.ExitCode
  const how = exitCode === undefined ? 'one of its processes was killed' : `exit code ${exitCode}`
  const count = times.length > 1 ? ` ${times.length} times, last` : ''
  const at = last?.at ?? down?.State.FinishedAt ?? ''
  const limit =
    spec.maxMemoryBytes === undefined ? 'no limit is set' : `its limit is ${formatBytes(spec.maxMemoryBytes)}`
  return `ran out of memory${count} ${at.slice(0, 19)}Z (${name}, ${how}); ${limit}`
}

function joined(...problems: readonly (string | undefined)[]): string | undefined {
  return problems.filter((problem) => problem !== undefined).join('; ') || undefined
}

function unlessGone(error: unknown): undefined {
  if (error instanceof NotFoundError) return undefined
  throw error
}

function certificateState(state: NameStates[string] | undefined): ServiceStatus['certificates'][string] {
  if (state?.trusted) return 'trusted'
  if (state?.issued) return 'untrusted'
  return state?.askedAt === undefined ? 'none' : 'asked'
}

function problemOf({
  running,
  wanted,
  routed,
  replicas,
  rotation,
  silent,
}: Pick<ServiceStatus, 'running' | 'wanted' | 'routed' | 'replicas'> & {
  rotation: string | undefined
  silent: string | undefined
}): string | undefined {
  const paused = replicas.filter(({ state }) => state === 'paused')
  if (paused.length > 0) return `paused: ${paused.map(({ name }) => name).join(', ')}`
  if (running < wanted) return `${wanted - running} of ${wanted} replicas do not run`
  if (silent !== undefined) return silent
  if (routed === false) return 'the router does not lead to it'
  if (rotation !== undefined) return rotation
  const sick = replicas.filter(({ health }) => health === 'unhealthy')
  if (sick.length > 0) return `unhealthy: ${sick.map(({ name }) => name).join(', ')}`
  const restless = replicas.filter(({ restarts }) => restarts >= manyRestarts)
  if (restless.length > 0) return `does not stay up: ${restless.map(({ name }) => name).join(', ')}`
  return undefined
}

function renamed(prefix: string, { service, replicas }: Observed, release: number | undefined): string | undefined {
  const found = replicas.filter((replica) => replica.release === release && isRenamed(prefix, service, replica))
  if (found.length === 0) return undefined
  const names = found.map((one) => {
    const { nameHolder: holder } = one
    const taken = holder === undefined ? '' : `, and its name is the container ${holder.slice(0, 12)}'s`
    return `${nameOf(prefix, { service, ...one })} is called ${one.name} now${taken}`
  })
  return `renamed by somebody: ${names.join(', ')}`
}

async function withUsage(host: Host, found: readonly Found[]): Promise<readonly ServiceStatus[]> {
  const ids = new Map(found.flatMap((one) => [...one.ids]))
  const measured = await measureUsage(host.docker, [...ids.values()])
  return found.map(({ status }) => ({
    ...status,
    replicas: status.replicas.map((replica) => {
      const usage = measured.get(ids.get(replica.name) ?? '')
      return usage ? { ...replica, usage } : replica
    }),
  }))
}
