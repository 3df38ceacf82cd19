import { NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { parseSpec } from '../service/parse.ts'
import { type Reservation, type Reserved, reservations } from '../service/reserved.ts'
import type { ServiceSpec } from '../service/spec.ts'
import type { Host } from './host.ts'
import { journalledServices, readJournal } from './journal.ts'

/**
 * The settings of a service that is to be deployed here, from the text of its Dockerfile.
 * @throws {DirectiveError} with every problem of the file, and each line that wants what is the server's own
 */
export async function specForHere(host: Host, dockerfile: string, file?: string): Promise<ServiceSpec> {
  const options = { file, home: host.homeRules }
  const spec = parseSpec(dockerfile, { ...options, reserved: host.reserved })
  if (spec.publish.length === 0) return spec
  // The engine is asked only for those whom its answer could matter to.
  return parseSpec(dockerfile, { ...options, reserved: await reservedHere(host) })
}

/** What no service gets on this machine: what is this server's, and the ports of other mypaas' routers on the engine. */
export async function reservedHere(host: Host): Promise<Reserved> {
  return { ...host.reserved, ports: [...host.reserved.ports, ...(await portsOfOtherRouters(host))] }
}

/**
 * Refuses to start a release with what is the server's own: what was deployed when that was allowed still, or before a
 * change of the config.
 * @throws {MypaasError} `directives` naming all of it
 */
export async function refuseReserved(host: Host, spec: ServiceSpec): Promise<void> {
  const problems = reservations(spec, spec.publish.length === 0 ? host.reserved : await reservedHere(host))
  if (problems.length === 0) return
  throw new MypaasError(problems.map(({ message }) => `${spec.service}: ${message}.`).join('\n'), {
    code: 'directives',
    hint: `${problems[0]?.hint}: change its Dockerfile, and deploy it. Nothing was changed: what runs goes on running.`,
  })
}

/** The services whose current release has what is the server's own, each with what that is. */
export async function servicesWithReserved(
  directory: string,
  reserved: Reserved,
): Promise<readonly Readonly<{ service: string; problems: readonly Reservation[] }>[]> {
  const found = await Promise.all(
    (await journalledServices(directory)).map(async (service) => {
      const journal = await readJournal(directory, service).catch(() => undefined)
      return { service, problems: journal?.current ? reservations(journal.current.spec, reserved) : [] }
    }),
  )
  return found.filter(({ problems }) => problems.length > 0)
}

/** One that is down for a moment has its ports all the same. */
async function portsOfOtherRouters({ docker, server }: Host): Promise<Reserved['ports']> {
  const routers = await docker.containers.list({ all: true, filters: { label: ['mypaas.role=router'] } })
  const others = routers.filter(({ Labels }) => Labels['mypaas.server'] !== server)
  const found = await Promise.all(
    others.map(({ Id }) =>
      docker.containers.inspect(Id).catch((error: unknown) => {
        if (error instanceof NotFoundError) return undefined
        throw error
      }),
    ),
  )
  return found.flatMap((router) =>
    Object.values(router?.HostConfig.PortBindings ?? {}).flatMap((bindings) =>
      (bindings ?? []).flatMap(({ HostPort }) => {
        const port = Number(HostPort)
        return port > 0 ? [{ port, what: `the router's of another mypaas here (${router?.Name.slice(1)})` }] : []
      }),
    ),
  )
}
