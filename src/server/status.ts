import { replicaCount } from '../deploy/container.ts'
import type { Host } from '../deploy/host.ts'
import { nameOf } from '../deploy/identity.ts'
import { type Journal, journalledServices, readJournal } from '../deploy/journal.ts'
import { isRenamed, type Observed, observe, observedServices } from '../deploy/observe.ts'
import { secretsFor } from '../deploy/secret-rights.ts'
import { type ContainerInspect, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import type { NameStates } from '../router/certificates.ts'
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
  /** What is not as it should be, in words. */
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

/** Restarts from which on a replica counts as one that does not stay up. */
export const manyRestarts = 5

/**
 * Every service of this server, by name. Reads without a lock.
 * @param options.usage Measures CPU and memory of each replica, too, which takes half a second.
 */
export async function serverStatus(host: Host, options: { usage?: boolean } = {}): Promise<readonly ServiceStatus[]> {
  const names = new Set([...(await journalledServices(host.directory)), ...(await observedServices(host))])
  const certificates = await host.router.certificates()
  const all = await Promise.all([...names].sort().map((service) => serviceStatus(host, service, certificates)))
  const found = all.filter((status) => status !== undefined)
  return options.usage ? withUsage(host, found) : found.map(({ status }) => status)
}

type Found = Readonly<{ status: ServiceStatus; ids: ReadonlyMap<string, string> }>

async function serviceStatus(host: Host, service: string, names: NameStates): Promise<Found | undefined> {
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
    current && current.spec.urls.length > 0 && wanted > 0
      ? routes !== 'unknown' && routes?.active.release === current.release
      : undefined
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
    certificates: Object.fromEntries(secure.map((name) => [name, certificateState(names[name])])),
    deployedAt: current?.deployedAt,
    changedSecrets: current
      ? changedSecretsOf(current.spec, containers.map(variables), secretsFor(host, service, current))
      : [],
    replicas,
    problem:
      problem ?? problemOf({ running, wanted, routed, replicas }) ?? renamed(host.prefix, observed, current?.release),
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
}: Pick<ServiceStatus, 'running' | 'wanted' | 'routed' | 'replicas'>): string | undefined {
  const paused = replicas.filter(({ state }) => state === 'paused')
  if (paused.length > 0) return `paused: ${paused.map(({ name }) => name).join(', ')}`
  if (running < wanted) return `${wanted - running} of ${wanted} replicas do not run`
  if (routed === false) return 'the router does not lead to it'
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
