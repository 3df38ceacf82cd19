import { quote, type Report } from './problems.ts'
import type { PublishedPort } from './spec.ts'
import { isIPv4 } from './url.ts'

/** How many ports one service may publish: each costs the engine a process. */
export const maxPublishedPorts = 1000

/**
 * An entry for Docker's `--publish`, with ranges spread: `80`, `8080:80`, `127.0.0.1:8080:80/udp`, `[::1]:8080:80`,
 * `127.0.0.1::80`, `7000-7005:7000-7005`, and `8000-8010:80` for one that is free among them.
 * @see https://docs.docker.com/reference/cli/docker/container/run/#publish
 */
export function parsePublish(text: string, report: Report): readonly PublishedPort[] | undefined {
  const [ports = '', protocolText = 'tcp', ...more] = text.split('/')
  const protocol = protocolText.toLowerCase()
  if (more.length > 0 || (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp')) {
    report(`${quote(text)} does not end in /tcp, /udp or /sctp`, examples)
    return undefined
  }
  const parts = ports.split(':')
  const container = parseRange(parts.pop() ?? '', 'in the container', report)
  // Docker takes 0 for a port of the engine's choice, as it does an empty place
  const hostText = parts.pop() ?? ''
  if (parts.length === 0 && isIPv4(hostText)) {
    report(
      `${quote(text)} has no port of the server`,
      `Write it between the two, ${hostText}:8080:80, or leave it to the engine, ${hostText}::80`,
    )
    return undefined
  }
  const host = hostText === '' || hostText === '0' ? 'any' : parseRange(hostText, 'on the server', report)
  const ip = parseIp(parts.join(':'), report)
  if (container === undefined || host === undefined || ip === undefined) return undefined

  const containerPorts = spread(container)
  if (containerPorts.length > maxPublishedPorts) {
    report(`${quote(text)} are ${containerPorts.length} ports, at most ${maxPublishedPorts} can be published`)
    return undefined
  }
  const common = { ...(ip === '' ? {} : { hostIp: ip }), protocol } as const
  if (host === 'any') return containerPorts.map((containerPort) => ({ ...common, containerPort }))
  if (containerPorts.length === 1 && host.to > host.from) {
    return [{ ...common, hostPort: host.from, hostPortEnd: host.to, containerPort: container.from }]
  }
  if (host.to - host.from !== container.to - container.from) {
    report(
      `${quote(text)} has ${host.to - host.from + 1} ports on the server for ${containerPorts.length} in the container`,
      'Give two ranges of the same length',
    )
    return undefined
  }
  const offset = host.from - container.from
  return containerPorts.map((containerPort) => ({ ...common, hostPort: containerPort + offset, containerPort }))
}

/** As it is written in a Dockerfile. The inverse of `parsePublish`, for one port. */
export function formatPublish(port: PublishedPort): string {
  const { hostIp, hostPort, hostPortEnd, containerPort, protocol } = port
  const ip = hostIp === undefined ? '' : `${hostIp.includes(':') ? `[${hostIp}]` : hostIp}:`
  const host = hostPortEnd === undefined ? `${hostPort ?? ''}` : `${hostPort}-${hostPortEnd}`
  return `${ip}${ip || host ? `${host}:` : ''}${containerPort}${protocol === 'tcp' ? '' : `/${protocol}`}`
}

/** Whether two entries want the same port of the server. One that the engine chooses is never in the way. */
export function portsClash(a: PublishedPort, b: PublishedPort): boolean {
  if (a.protocol !== b.protocol || a.hostPort === undefined || b.hostPort === undefined) return false
  // Of a range, the engine takes a port that is free
  if (a.hostPortEnd !== undefined || b.hostPortEnd !== undefined) return false
  return a.hostPort === b.hostPort && (a.hostIp === b.hostIp || coversAll(a, b) || coversAll(b, a))
}

/** Whether `a` is on all addresses of the kind that `b` is on. */
function coversAll(a: PublishedPort, b: PublishedPort): boolean {
  if (a.hostIp === undefined) return true
  if (a.hostIp === '::') return b.hostIp === undefined || b.hostIp.includes(':')
  return a.hostIp === '0.0.0.0' && (b.hostIp === undefined || !b.hostIp.includes(':'))
}

const examples = 'For example: 8080:80, 127.0.0.1:5432:5432 or 5000-5010:5000-5010/udp'

type Range = Readonly<{ from: number; to: number }>

function parseRange(text: string, where: string, report: Report): Range | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  const from = Number(match?.[1])
  const to = match?.[2] === undefined ? from : Number(match[2])
  if (match && from >= 1 && to <= 65535 && from <= to) return { from, to }
  const reversed = match && from > to
  report(
    `${quote(text)} is no port ${where}${reversed ? ': the range runs backwards' : ''}`,
    reversed ? `Write ${to}-${from}` : `Ports are from 1 to 65535. ${examples}`,
  )
  return undefined
}

function spread({ from, to }: Range): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

/** The address in its shortest form; empty for all addresses. */
function parseIp(text: string, report: Report): string | undefined {
  if (text === '' || isIPv4(text)) return text
  const bare = /^\[(.*)\]$/.exec(text)?.[1] ?? text
  if (bare.includes(':') && /^[0-9A-Fa-f:.]{2,45}$/.test(bare)) {
    try {
      return new URL(`http://[${bare}]/`).hostname.slice(1, -1)
    } catch {
      // Falls to the report below
    }
  }
  report(
    `${quote(text)} is no IP address of the server`,
    text === 'localhost' ? 'Write 127.0.0.1' : 'For example: 127.0.0.1:8080:80',
  )
  return undefined
}
