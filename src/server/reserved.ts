import { readFile } from 'node:fs/promises'
import type { Reserved } from '../service/reserved.ts'
import type { ServerConfig } from './config.ts'

/** What the config keeps for router and daemon. */
export async function reservedOf({ server, router }: ServerConfig): Promise<Reserved> {
  const ports = [
    { port: router.httpPort, what: "the router's http_port" },
    { port: router.httpsPort, what: "the router's https_port" },
    { port: router.adminPort, what: "the router's admin_port" },
    ...router.tcp.map((port) => ({ port, what: "one of the router's tcp ports" })),
    { port: server.daemonPort, what: "the daemon's daemon_port" },
    { port: router.challengePort, what: "the certificate authority's challenge_port" },
  ]
  return { ports: ports.filter(({ port }) => port > 0), enginePorts: await enginePorts(), domain: server.domain }
}

/**
 * Where the engine looks for a port of its choice: in the kernel's range for outgoing connections as that was when the
 * engine was started, or in one of its own. So the usual one counts, too, and all above.
 */
async function enginePorts(): Promise<Reserved['enginePorts']> {
  const text = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '')
  const from = Number(/^\d+/.exec(text)?.[0] ?? usualFrom)
  return { from: Math.min(from, usualFrom), to: 65_535 }
}

const usualFrom = 32_768
