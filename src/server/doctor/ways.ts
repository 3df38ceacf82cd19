import http from 'node:http'
import https from 'node:https'
import { NotFoundError } from '../../docker/index.ts'
import { routerTrouble } from '../../router/care.ts'
import { reachHeader, reachPath } from '../../router/config.ts'
import { holderOf } from '../../router/rivals.ts'
import { gatewayOf } from '../../router/router-files.ts'
import { isDaemonOutdated } from '../daemon-age.ts'
import { holderOfPort } from '../daemon-port.ts'
import { daemonSocket } from '../daemon-socket.ts'
import { type OpenServer, routerContainer } from '../host.ts'
import type { DaemonFacts } from './daemon.ts'
import type { RouterFacts } from './router.ts'

const askTimeoutMs = 5_000

/** Looks at the router: its container, what it runs, and its public ports as seen from this machine. */
export async function routerFacts({ host, config, identity }: OpenServer): Promise<RouterFacts> {
  const wanted = routerContainer(host.directory, config, identity)
  const state = await host.docker.containers.inspect(wanted.name).then(
    ({ State }) => State.Status,
    (error: unknown) => {
      if (error instanceof NotFoundError) return 'missing'
      throw error
    },
  )
  if (state !== 'running') return { container: wanted.name, state, trouble: undefined, problems: [], ports: [] }
  const address = publicAddress(wanted.bind)
  const asked = [
    { port: wanted.httpPort, secure: false },
    { port: wanted.httpsPort, secure: true },
  ]
  const ports = await Promise.all(
    asked.map(async ({ port, secure }) => {
      const answer = await ask({ host: address, port, path: reachPath(wanted.settings) }, secure)
      return { port, answers: answer?.headers[reachHeader.toLowerCase()] === wanted.settings.reachToken }
    }),
  )
  const [trouble, problems] = await Promise.all([routerTrouble(host.docker, wanted), host.router.problems()])
  return { container: wanted.name, state, trouble, problems, ports }
}

/** Looks for the daemon: on its socket, on its address, and through the router. */
export async function daemonFacts({ host, config, identity }: OpenServer): Promise<DaemonFacts> {
  const wanted = routerContainer(host.directory, config, identity)
  const { domain, daemonPort } = config.server
  const [gateway, network] = await Promise.all([
    gatewayOf(host.docker, wanted.networks.edge),
    host.docker.networks.inspect(wanted.networks.edge).catch(() => undefined),
  ])
  const headers = { host: domain || 'localhost' }
  const runs = await ask({ socketPath: daemonSocket(host.directory), path: '/', headers }, false)
  const holder = gateway === undefined ? 'nobody' : await holderOfPort(host.directory, gateway, daemonPort)
  const taken =
    holder === 'other'
      ? ((await holderOf(host.docker, wanted, [daemonPort])) ?? {
          what: 'another program listens',
          mend: `see which: ss -ltnp 'sport = :${daemonPort}'`,
        })
      : undefined
  const byRouter =
    domain === ''
      ? undefined
      : await ask(
          { host: publicAddress(wanted.bind), port: wanted.httpsPort, path: '/daemon/', headers, servername: domain },
          true,
        )
  return {
    domain,
    runs: runs !== undefined,
    outdated: await isDaemonOutdated(host.directory),
    address: gateway === undefined ? undefined : `${gateway}:${daemonPort}`,
    listens: holder === 'daemon' || holder === 'unknown',
    taken,
    byRouter: byRouter?.statusCode,
    bridge: network ? (network.Options?.['com.docker.network.bridge.name'] ?? `br-${network.Id.slice(0, 12)}`) : 'any',
  }
}

function publicAddress(bind: string | undefined): string {
  return bind === undefined || bind === '0.0.0.0' || bind === '::' ? '127.0.0.1' : bind
}

/** The head of the answer to one GET; `undefined` without one. */
function ask(options: https.RequestOptions, secure: boolean): Promise<http.IncomingMessage | undefined> {
  return new Promise((resolve) => {
    const all = { ...options, agent: false, timeout: askTimeoutMs, rejectUnauthorized: false }
    const request = (secure ? https : http).get(all, (response) => {
      resolve(response)
      response.destroy()
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(undefined))
    request.on('close', () => resolve(undefined))
  })
}
