import { type ContainerInspect, type ContainerSummary, type Docker, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'

/** What is to be known of services here, told by those who know them. */
export type Services = Readonly<{
  /** The service that mypaas made a container for; `undefined` for any other, whatever its labels say. */
  serviceOf: (docker: Docker, container: ContainerSummary) => Promise<string | undefined>
  /** Keeps everybody else from changing a service. @throws {MypaasError} `locked` when somebody is at it for that long */
  lock: (service: string, what: string, waitMs: number) => Promise<AsyncDisposable>
}>

/** The ports that the router is published on. */
type RouterPorts = Readonly<{
  server: string
  bind?: string
  httpPort: number
  httpsPort: number
  adminPort: number
  settings: Readonly<{ tcpPorts?: readonly number[] }>
  services: Services
}>

/** Each with the address that it is published on; all addresses where that is absent. */
export function publicPorts({
  bind,
  httpPort,
  httpsPort,
  adminPort,
  settings,
}: Omit<RouterPorts, 'server' | 'services'>): readonly Readonly<{ port: number; address?: string | undefined }>[] {
  return [
    ...[httpPort, httpsPort, ...(settings.tcpPorts ?? [])].map((port) => ({ port, address: bind })),
    { port: adminPort, address: '127.0.0.1' },
  ]
}

/** A container of a service that has, or at a start could get, a port of the router. */
type Rival = Readonly<{
  id: string
  name: string
  service: string
  state: string
  /** The port of the router that it has now. */
  holds: number | undefined
  /** Has asked for that very port, and would get no other. */
  insists: boolean
}>

/**
 * Does something to the router during which its ports are free, with the containers of services that could take one
 * meanwhile held still: paused, which costs them no request, or else stopped. No deploy starts such a one any more, but
 * one from before, or from before a change of the config, may run. Those that have a port of the router already, in its
 * place, are stopped: they would keep down everybody else. Afterwards all go on, if they can: one whose range has another
 * port gets that. Their services are locked meanwhile, so that nobody brings them back; should this process be killed,
 * whoever looks after services finds them free, and does.
 * @param options.serves Whether the router that is there serves: then it is left alone while somebody is at such a service
 * @throws {MypaasError} `locked` then, before anything was changed
 */
export async function withoutRivals<T>(
  docker: Docker,
  router: RouterPorts,
  options: { serves: boolean },
  act: () => Promise<T>,
): Promise<T> {
  const locks: AsyncDisposable[] = []
  const held: { id: string; how: 'paused' | 'stopped' }[] = []
  try {
    await lockServices(router, options, await rivals(docker, router), locks)
    for (const rival of await rivals(docker, router)) {
      // Nobody starts one that is down but who holds its service's lock.
      if (!isDown(rival)) held.push({ id: rival.id, how: await hold(docker, rival) })
    }
    return await act()
  } finally {
    for (const { id, how } of held) {
      // One that can't have its port any more stays down; its service's status says so.
      if (how === 'paused') await docker.containers.unpause(id).catch(() => {})
      else await docker.containers.start(id).catch(() => {})
    }
    for (const lock of locks) await lock[Symbol.asyncDispose]()
  }
}

/** Nobody else takes the locks of several services but by this, and so in this order. */
async function lockServices(
  { services }: RouterPorts,
  { serves }: { serves: boolean },
  found: readonly Rival[],
  locks: AsyncDisposable[],
): Promise<void> {
  const deadline = performance.now() + lockWaitMs
  for (const service of [...new Set(found.map((rival) => rival.service))].sort()) {
    try {
      locks.push(await services.lock(service, 'a start of the router', Math.max(0, deadline - performance.now())))
    } catch (error) {
      // Somebody is at it who may himself wait for a router that is down.
      if (serves || !(error instanceof MypaasError) || error.code !== 'locked') throw error
    }
  }
}

const lockWaitMs = 10_000

/**
 * Refuses to replace a router by one with a port that a service of ours has: one that serves would be stopped for one
 * that can't start.
 * @param options.serves Whether the router that is there serves; if not, only a service counts that insists on its port.
 * @throws {MypaasError} `failed` naming the service and the ways out
 */
export async function refuseHeldPorts(
  docker: Docker,
  router: RouterPorts,
  options: { serves: boolean },
): Promise<void> {
  const found = await rivals(docker, router)
  const holder = found.find(({ holds, insists }) => holds !== undefined && (options.serves || insists))
  if (!holder) return
  throw new MypaasError(`The router can't have port ${holder.holds}: ${holder.name} publishes it.`, {
    code: 'failed',
    hint: `Nothing was changed. Deploy ${holder.service} with another port, or stop it: mypaas server stop ${holder.service}`,
  })
}

/** The container that is published on one of these ports, in words, and how to end that; `undefined` for none. */
export async function holderOf(
  docker: Docker,
  { services }: Pick<RouterPorts, 'services'>,
  ports: readonly number[],
): Promise<Readonly<{ what: string; mend: string }> | undefined> {
  for (const container of await docker.containers.list()) {
    const { Names, Ports } = container
    const port = Ports.find(({ PublicPort }) => PublicPort !== undefined && ports.includes(PublicPort))?.PublicPort
    if (port === undefined) continue
    const name = (Names[0] ?? '').slice(1)
    const service = await services.serviceOf(docker, container)
    return {
      what: `the container ${name} has port ${port}`,
      mend: service === undefined ? `docker stop ${name}` : `mypaas server stop ${service}`,
    }
  }
  return undefined
}

async function rivals(docker: Docker, router: RouterPorts): Promise<readonly Rival[]> {
  const label = [`mypaas.server=${router.server}`, 'mypaas.service']
  const found = await docker.containers.list({ all: true, filters: { label } })
  const all = await Promise.all(
    found.map(async (summary) => {
      const service = await router.services.serviceOf(docker, summary)
      if (service === undefined) return []
      const container = await docker.containers.inspect(summary.Id).catch((error: unknown) => {
        if (error instanceof NotFoundError) return undefined
        throw error
      })
      return container ? asRival(service, container, router) : []
    }),
  )
  return all.flat()
}

function asRival(service: string, container: ContainerInspect, router: RouterPorts): Rival[] {
  const { Status: state } = container.State
  const ports = publicPorts(router)
  const bindings = Object.values(container.HostConfig.PortBindings ?? {}).flatMap((list) => list ?? [])
  if (!bindings.some(({ HostPort }) => ports.some(({ port }) => includes(HostPort ?? '', port)))) return []
  const taken = Object.values(container.NetworkSettings.Ports ?? {}).flatMap((list) => list ?? [])
  const holds = ports.find(({ port, address }) =>
    taken.some(
      ({ HostIp, HostPort }) => Number(HostPort) === port && (isAny(address) || isAny(HostIp) || address === HostIp),
    ),
  )?.port
  const insists = bindings.some(({ HostPort }) => holds !== undefined && Number(HostPort) === holds)
  return [{ id: container.Id, name: container.Name.slice(1), service, state, holds, insists }]
}

function isAny(address: string | undefined): boolean {
  return address === undefined || address === '' || address === '0.0.0.0' || address === '::'
}

/** Of `80`, `80-81`, or nothing for any port above those that programs listen on. */
function includes(text: string, port: number): boolean {
  const [from = 0, to = from] = text.split('-').map(Number)
  return from === 0 ? port >= 32_768 : port >= from && port <= to
}

function isDown({ state }: Rival): boolean {
  return state === 'created' || state === 'exited' || state === 'dead'
}

async function hold(docker: Docker, { id, state, holds }: Rival): Promise<'paused' | 'stopped'> {
  if (state === 'paused' && holds === undefined) return 'paused'
  if (state === 'running' && holds === undefined) {
    try {
      await docker.containers.pause(id)
      return 'paused'
    } catch {
      // It has ended just now, and would come back.
    }
  }
  await docker.containers.stop(id, { graceSeconds: 2, timeoutMs: 60_000 })
  return 'stopped'
}
