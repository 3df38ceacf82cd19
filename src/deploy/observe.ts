import { type ContainerSummary, type Docker, NotFoundError } from '../docker/index.ts'
import { containerName } from '../service/names.ts'

/** One container of a service, as it is. */
export type Replica = Readonly<{
  id: string
  name: string
  release: number
  /** From 1. */
  replica: number
  state: 'created' | 'running' | 'restarting' | 'paused' | 'exited' | 'removing' | 'dead'
  /** Comes back after a crash of it or of the engine: restart policy `always`. */
  armed: boolean
  /** The router reaches it by name. */
  onGate: boolean
}>

/** All containers of a service, also stopped ones, of all releases; by release, then replica. */
export type Observed = Readonly<{ service: string; replicas: readonly Replica[] }>

/** What identifies a container as ours: exact labels, and a name that says the same. */
const replicaLabels = {
  server: 'mypaas.server',
  service: 'mypaas.service',
  release: 'mypaas.release',
  replica: 'mypaas.replica',
} as const

type Where = Readonly<{ docker: Docker; server: string; prefix: string; router: { gate: string } }>

/**
 * Reads what runs of a service. Only reads.
 * @param listed Of {@link listReplicas}, where more than one service is looked at.
 */
export async function observe(where: Where, service: string, listed?: ReplicasByService): Promise<Observed> {
  const found = listed ? (listed.get(service) ?? []) : await list(where, `${replicaLabels.service}=${service}`)
  const replicas = await Promise.all(found.map((summary) => replica(where, summary)))
  return {
    service,
    replicas: replicas
      .filter((found) => found !== undefined)
      .sort((a, b) => a.release - b.release || a.replica - b.replica),
  }
}

/** The containers of all services as the engine lists them, by service. */
export type ReplicasByService = ReadonlyMap<string, readonly ContainerSummary[]>

/** What {@link observe} needs of many services, by one call. */
export async function listReplicas(where: Where): Promise<ReplicasByService> {
  const found = new Map<string, ContainerSummary[]>()
  for (const summary of await list(where, replicaLabels.service)) {
    if (identify(where, summary) === undefined) continue
    const service = summary.Labels[replicaLabels.service] ?? ''
    found.set(service, [...(found.get(service) ?? []), summary])
  }
  return found
}

/** The names of all services that have a container here. */
export async function observedServices(where: Where): Promise<string[]> {
  return [...(await listReplicas(where)).keys()].sort()
}

function list(where: Where, label: string): Promise<readonly ContainerSummary[]> {
  const filters = { label: [`${replicaLabels.server}=${where.server}`, label] }
  return where.docker.containers.list({ all: true, filters })
}

async function replica(where: Where, summary: ContainerSummary): Promise<Replica | undefined> {
  const identity = identify(where, summary)
  if (!identity) return undefined
  try {
    const { Id, State, HostConfig, NetworkSettings } = await where.docker.containers.inspect(summary.Id)
    return {
      id: Id,
      ...identity,
      state: State.Status,
      armed: HostConfig.RestartPolicy?.Name === 'always',
      onGate: where.router.gate in NetworkSettings.Networks,
    }
  } catch (error) {
    // Removed between the two calls.
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

/**
 * Labels alone don't make a container ours: an image can carry any, and a container that somebody runs from it inherits
 * them. The name is unique on the engine and is the one that we gave.
 */
function identify(
  where: Where,
  { Labels, Names }: ContainerSummary,
): Pick<Replica, 'name' | 'release' | 'replica'> | undefined {
  const service = Labels[replicaLabels.service] ?? ''
  const release = Number(Labels[replicaLabels.release])
  const index = Number(Labels[replicaLabels.replica])
  const name = `${where.prefix}${containerName(service, release, index)}`
  return Names.includes(`/${name}`) ? { name, release, replica: index } : undefined
}
