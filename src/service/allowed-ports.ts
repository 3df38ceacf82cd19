import { formatPublish, parsePublish } from './publish.ts'
import type { PublishedPort, ServiceSpec } from './spec.ts'

/**
 * What a key's line lets it publish: `PORT`, `FROM-TO`, each with `IP:` before it and `/udp` or `/sctp` behind it if
 * wanted; `0` is a port of the engine's choice. Without an IP it is good for every address.
 * @returns the entry, as the port that it stands for; else what is wrong with it
 */
export function parseAllowedPort(text: string): PublishedPort | string {
  const problems: string[] = []
  const [place = '', ...protocol] = text.split('/')
  const parsed = parsePublish([`${place}:1`, ...protocol].join('/'), (message) => problems.push(message))
  if (parsed?.[0] && /[\d]$/.test(place)) return parsed[0]
  return `${JSON.stringify(text.slice(0, 60))} is no port such as 5432, 127.0.0.1:5432, 7000-7010/udp or 0 (of the engine's choice)`
}

/** An entry as it is written in a key's line. The inverse of {@link parseAllowedPort}. */
export function formatAllowedPort(entry: PublishedPort): string {
  const { hostPort, ...rest } = entry
  const text = formatPublish({ ...entry, containerPort: 1 })
  if (hostPort !== undefined) return text.replace(/:1(?=$|\/)/, '')
  return rest.hostIp === undefined
    ? `0${rest.protocol === 'tcp' ? '' : `/${rest.protocol}`}`
    : text.replace(/::1(?=$|\/)/, ':0')
}

/** The ports of a release that nothing allows: neither an entry, nor that its service has the same one already. */
export function foreignPorts(
  spec: ServiceSpec,
  allowed: readonly PublishedPort[],
  current: ServiceSpec | undefined,
): readonly PublishedPort[] {
  const had = current?.publish ?? []
  return spec.publish.filter(
    (port) => !allowed.some((entry) => allows(entry, port)) && !had.some((other) => samePlace(other, port)),
  )
}

/** Ports that nothing allows, for people: which, and what a key's line would have to say. `undefined` for none. */
export function describeForeign(
  foreign: readonly PublishedPort[],
): Readonly<{ ports: string; option: string }> | undefined {
  if (foreign.length === 0) return undefined
  const shown = foreign.slice(0, 3)
  const more = foreign.length > shown.length ? ` … (${foreign.length})` : ''
  return {
    ports: `${shown.map(formatPublish).join(', ')}${more}`,
    option: `publish="${[...new Set(joined(foreign).map(formatAllowedPort))].join(',')}"`,
  }
}

/** The same host ports, those that follow on each other as one range. */
function joined(ports: readonly PublishedPort[]): readonly PublishedPort[] {
  const all: PublishedPort[] = []
  for (const port of ports) {
    const last = all.at(-1)
    const lastEnd = last?.hostPortEnd ?? last?.hostPort
    const end = port.hostPortEnd ?? port.hostPort
    const follows = last && lastEnd !== undefined && end !== undefined && port.hostPort === lastEnd + 1
    if (follows && last.hostIp === port.hostIp && last.protocol === port.protocol)
      all[all.length - 1] = { ...last, hostPortEnd: end }
    else all.push(port)
  }
  return all
}

function allows(entry: PublishedPort, port: PublishedPort): boolean {
  if (entry.protocol !== port.protocol || !coversAddress(entry.hostIp, port.hostIp)) return false
  if (entry.hostPort === undefined || port.hostPort === undefined) return entry.hostPort === port.hostPort
  const { hostPortEnd: entryEnd = entry.hostPort } = entry
  const { hostPortEnd: end = port.hostPort } = port
  return entry.hostPort <= port.hostPort && end <= entryEnd
}

function coversAddress(entry: string | undefined, address: string | undefined): boolean {
  if (entry === undefined || entry === address) return true
  if (address === undefined) return false
  return (entry === '0.0.0.0' && !address.includes(':')) || (entry === '::' && address.includes(':'))
}

function samePlace(a: PublishedPort, b: PublishedPort): boolean {
  return (
    a.protocol === b.protocol && a.hostIp === b.hostIp && a.hostPort === b.hostPort && a.hostPortEnd === b.hostPortEnd
  )
}
