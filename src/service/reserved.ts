import { formatPublish } from './publish.ts'
import type { PublishedPort, ServiceSpec, ServiceUrl } from './spec.ts'
import { formatUrl } from './url.ts'

/** What of a machine is mypaas' own: no service gets it, whoever deploys it. */
export type Reserved = Readonly<{
  /** Host ports, on every address and by every protocol; `what` says whose: `the router's http_port`. */
  ports: readonly Readonly<{ port: number; what: string }>[]
  /** The ports from which the engine takes one where it is left to choose. */
  enginePorts: Readonly<{ from: number; to: number }>
  /** The daemon's host; empty for none. */
  domain: string
}>

/** What is wrong with something that a service wants, and what would be right. */
export type Reservation = Readonly<{ message: string; hint: string }>

/**
 * Why a port can't be published: it is one of ours, or may become one. Of a range, and where it is left to the engine, a
 * port is taken anew at each start of the container: also in the moment in which the router, or the daemon, is restarted.
 */
export function portProblem(port: PublishedPort, { ports, enginePorts }: Reserved): Reservation | undefined {
  const { hostPort: from = enginePorts.from, hostPortEnd: to = port.hostPort ?? enginePorts.to } = port
  const met = ports.find((own) => own.port >= from && own.port <= to)
  if (!met) return undefined
  if (port.hostPort === undefined) {
    return {
      message: `for ${formatPublish(port)} the engine would choose a port, which may be ${met.port}: that is ${met.what}`,
      hint: `Name the port, as in 8000:${port.containerPort}. Any of the engine's choice is possible where the server's own ports are below ${enginePorts.from}`,
    }
  }
  const wants = port.hostPortEnd === undefined ? 'wants' : `has in its range`
  return {
    message: `${formatPublish(port)} ${wants} port ${met.port} of the server, which is ${met.what}`,
    hint: 'Publish another. What browsers ask for comes in by mypaas.url and needs no port',
  }
}

/** Why a URL can't be a service's: its host is where pushes come in. */
export function urlProblem(url: ServiceUrl, { domain }: Pick<Reserved, 'domain'>): Reservation | undefined {
  if (domain === '' || url.host !== domain) return undefined
  return {
    message: `${formatUrl(url)} is on the host of the server itself, which takes pushes there`,
    hint: 'Give the service a host of its own',
  }
}

/** Everything that a service has and may not have, each once. */
export function reservations(spec: ServiceSpec, reserved: Reserved): readonly Reservation[] {
  return [
    ...spec.urls.map((url) => urlProblem(url, reserved)),
    ...spec.publish.map((port) => portProblem(port, reserved)),
  ].filter((problem) => problem !== undefined)
}
