import { type ContainerSummary, type Docker, NotFoundError } from '../docker/index.ts'
import { checkedName } from '../service/names.ts'
import { identify, nameOf, replicaLabels } from './identity.ts'

/** One container of a service, as it is. */
export type Replica = Readonly<{
  id: string
  /** As it is called now: somebody may have renamed it, see {@link isRenamed}. */
  name: string
  /** Of one that was renamed: the id of the container that has its own name now, if one has. */
  nameHolder?: string
  release: number
  /** From 1. */
  replica: number
  state: 'created' | 'running' | 'restarting' | 'paused' | 'exited' | 'removing' | 'dead'
  /** Comes back after a crash of it or of the engine: restart policy `always`. */
  armed: boolean
  /** The router reaches it by name. */
  onGate: boolean
  /** Somebody took it off the network of all services: it has no way out, and no name for the others. */
  isCutOff?: true
}>

/** All containers of a service, also stopped ones, of all releases; by release, then replica. */
export type Observed = Readonly<{ service: string; replicas: readonly Replica[] }>

type Where = Readonly<{
  docker: Docker
  server: string
  markKey: string
  prefix: string
  /** Of all services. */
  network: string
  router: { gate: string }
}>

/**
 * Reads what runs of a service. Only reads.
 * @param listed Of {@link listReplicas}, where more than one service is looked at.
 */
export async function observe(where: Where, service: string, listed?: ReplicasByService): Promise<Observed> {
  const found = listed
    ? (listed.get(service) ?? [])
    : await list(where, `${replicaLabels.service}=${checkedName(service)}`)
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
    const identity = await identify(where, summary)
    if (identity) found.set(identity.service, [...(found.get(identity.service) ?? []), summary])
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
  const identity = await identify(where, summary)
  if (!identity) return undefined
  const { release, replica } = identity
  try {
    const { Id, Name, State, HostConfig, NetworkSettings } = await where.docker.containers.inspect(summary.Id)
    const own = nameOf(where.prefix, identity)
    const nameHolder = Name === `/${own}` ? undefined : await holderOf(where.docker, own)
    return {
      id: Id,
      name: Name.slice(1),
      ...(nameHolder === undefined ? {} : { nameHolder }),
      release,
      replica,
      state: State.Status,
      armed: HostConfig.RestartPolicy?.Name === 'always',
      onGate: where.router.gate in NetworkSettings.Networks,
      ...(where.network in NetworkSettings.Networks ? {} : { isCutOff: true }),
    }
  } catch (error) {
    // Removed between the two calls.
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

async function holderOf(docker: Docker, name: string): Promise<string | undefined> {
  try {
    return (await docker.containers.inspect(name)).Id
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

/** Whether a replica is called otherwise than mypaas called it. */
export function isRenamed(prefix: string, service: string, { name, release, replica }: Replica): boolean {
  return name !== nameOf(prefix, { service, release, replica })
}
