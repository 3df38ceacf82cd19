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

/** Reads what runs of a service. Only reads. */
export async function observe(where: Where, service: string): Promise<Observed> {
  const filters = { label: [`${replicaLabels.server}=${where.server}`, `${replicaLabels.service}=${service}`] }
  const found = await where.docker.containers.list({ all: true, filters })
  const replicas = await Promise.all(found.map((summary) => replica(where, summary)))
  return {
    service,
    replicas: replicas
      .filter((found) => found !== undefined)
      .sort((a, b) => a.release - b.release || a.replica - b.replica),
  }
}

/** The names of all services that have a container here. */
export async function observedServices(where: Where): Promise<string[]> {
  const found = await where.docker.containers.list({
    all: true,
    filters: { label: [`${replicaLabels.server}=${where.server}`, replicaLabels.service] },
  })
  const mine = found.filter((summary) => identify(where, summary) !== undefined)
  return [...new Set(mine.map(({ Labels }) => Labels[replicaLabels.service] ?? ''))].sort()
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
