import { type ContainerInspect, type Docker, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'

/** The ports that the router is published on. */
type RouterPorts = Readonly<{ server: string; bind?: string; httpPort: number; httpsPort: number; adminPort: number }>

/** A container of a service that has, or at a start of its own could get, a port of the router. */
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
 * port gets that.
 */
export async function withoutRivals<T>(docker: Docker, router: RouterPorts, act: () => Promise<T>): Promise<T> {
  const held: { id: string; how: 'paused' | 'stopped' }[] = []
  try {
    for (const rival of await rivals(docker, router)) held.push({ id: rival.id, how: await hold(docker, rival) })
    return await act()
  } finally {
    for (const { id, how } of held) {
      // One that can't have its port any more stays down; its service's status says so.
      if (how === 'paused') await docker.containers.unpause(id).catch(() => {})
      else await docker.containers.start(id).catch(() => {})
    }
  }
}

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
  ports: readonly number[],
): Promise<Readonly<{ what: string; mend: string }> | undefined> {
  for (const { Names, Labels, Ports } of await docker.containers.list()) {
    const port = Ports.find(({ PublicPort }) => PublicPort !== undefined && ports.includes(PublicPort))?.PublicPort
    if (port === undefined) continue
    const name = (Names[0] ?? '').slice(1)
    const service = Labels['mypaas.service']
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
    found.map(({ Id }) =>
      docker.containers.inspect(Id).catch((error: unknown) => {
        if (error instanceof NotFoundError) return undefined
        throw error
      }),
    ),
  )
  return all.flatMap((container) => (container ? asRival(container, router) : []))
}

function asRival(container: ContainerInspect, { bind, httpPort, httpsPort, adminPort }: RouterPorts): Rival[] {
  const { Status: state } = container.State
  // Nothing starts one of these but mypaas.
  if (state === 'created' || state === 'exited' || state === 'dead') return []
  const ports = [httpPort, httpsPort, adminPort]
  const bindings = Object.values(container.HostConfig.PortBindings ?? {}).flatMap((list) => list ?? [])
  if (!bindings.some(({ HostPort }) => ports.some((port) => includes(HostPort ?? '', port)))) return []
  const taken = Object.values(container.NetworkSettings.Ports ?? {}).flatMap((list) => list ?? [])
  const holds = ports.find((port) =>
    taken.some(({ HostIp, HostPort }) => {
      const address = port === adminPort ? '127.0.0.1' : bind
      return Number(HostPort) === port && (isAny(address) || isAny(HostIp) || address === HostIp)
    }),
  )
  const insists = bindings.some(({ HostPort }) => holds !== undefined && Number(HostPort) === holds)
  const service = container.Config.Labels?.['mypaas.service'] ?? ''
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

async function hold(docker: Docker, { id, state, holds }: Rival): Promise<'paused' | 'stopped'> {
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
