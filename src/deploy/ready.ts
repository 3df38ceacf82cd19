import http from 'node:http'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerInspect, Docker } from '../docker/index.ts'
import { healthRequest } from '../router/health-request.ts'
import type { ServiceSpec, ServiceUrl } from '../service/spec.ts'
import { DeployError, explainExit, explainPort, report } from './why.ts'

type Wait = Readonly<{
  docker: Docker
  /** The network on which this machine reaches the container. */
  network: string
  spec: ServiceSpec
  timeoutMs: number
  signal?: AbortSignal | undefined
  /** Told once when it takes longer than people expect, with what is known by then. */
  onSlow?: (message: string) => void
}>

const pollMs = 50
const slowMs = 5_000
const settledMs = 2_000

/**
 * Waits until a started container is ready: its image's HEALTHCHECK says healthy; without one, the service's
 * `healthcheck` path answers 2xx or 3xx; without that, and with a URL, its port accepts; else it has stayed up for 2 s.
 * @throws {DeployError} at once when it exits, restarts or gets unhealthy; at `timeoutMs` when it is not ready by then
 */
export async function awaitReady(container: string, wait: Wait): Promise<void> {
  const { docker, spec } = wait
  const begin = performance.now()
  const elapsedMs = (): number => performance.now() - begin
  let restarts: number | undefined
  let toldSlow = false
  for (;;) {
    const found = await docker.containers.inspect(container, { signal: wait.signal })
    restarts ??= found.RestartCount
    if (!found.State.Running || found.State.Restarting || found.RestartCount > restarts) {
      const facts = await report(docker, found)
      throw new DeployError(...words(explainExit(facts, spec, elapsedMs() / 1000), facts))
    }
    if (found.State.Health?.Status === 'unhealthy') {
      const facts = await report(docker, found)
      const message = `${facts.container} is unhealthy: its HEALTHCHECK ended with ${facts.health ?? 'no word'}.`
      throw new DeployError(
        ...words({ message, hint: 'Mend what the check asks for, or the HEALTHCHECK of the Dockerfile.' }, facts),
      )
    }
    if (await isReady(found, wait, elapsedMs())) return
    if (elapsedMs() > wait.timeoutMs) throw await late(found, wait)
    if (!toldSlow && elapsedMs() > slowMs) {
      toldSlow = true
      wait.onSlow?.(await slow(found, wait))
    }
    await sleep(pollMs, undefined, { signal: wait.signal })
  }
}

/**
 * Asks a container itself for each URL, as the router would, until every answer has a status below 500.
 * @throws {DeployError} when one still has not after `patienceMs`
 */
export async function awaitAnswers(container: string, wait: Wait & { patienceMs: number }): Promise<void> {
  const found = await wait.docker.containers.inspect(container, { signal: wait.signal })
  const address = found.NetworkSettings.Networks[wait.network]?.IPAddress ?? ''
  for (const url of wait.spec.urls) {
    const begin = performance.now()
    for (;;) {
      const status = await get(address, wait, { path: url.path, urls: [url], timeoutMs: 10_000 })
      if (status > 0 && status < 500) break
      const { State } = await wait.docker.containers.inspect(container, { signal: wait.signal })
      if (!State.Running || performance.now() - begin > wait.patienceMs) {
        const facts = await report(wait.docker, await wait.docker.containers.inspect(container))
        const answer = status === 0 ? 'does not answer' : `answers ${status}`
        throw new DeployError(`${facts.container} ${answer} on ${url.scheme}://${url.host}${url.path}.`, {
          hint: 'A release must answer each of its URLs with a status below 500. Its last lines may say why.',
          report: facts,
        })
      }
      await sleep(pollMs, undefined, { signal: wait.signal })
    }
  }
}

/**
 * Waits until a container has been up for `uptimeMs`, by the engine's own account of its start.
 * @throws {DeployError} at once when it exits, or was started again meanwhile
 */
export async function awaitUptime(
  container: string,
  wait: { docker: Docker; spec: ServiceSpec; uptimeMs: number },
): Promise<void> {
  const begin = performance.now()
  for (;;) {
    const found = await wait.docker.containers.inspect(container)
    const { Running, Restarting, StartedAt } = found.State
    // The engine's clock may be another, or be set: what was seen here counts, too.
    const uptimeMs = Math.max(Date.now() - Date.parse(StartedAt), performance.now() - begin)
    if (!Running || Restarting || found.RestartCount > 0) {
      const facts = await report(wait.docker, found)
      throw new DeployError(...words(explainExit(facts, wait.spec, uptimeMs / 1000), facts))
    }
    if (uptimeMs >= wait.uptimeMs) return
    await sleep(pollMs)
  }
}

async function isReady(found: ContainerInspect, wait: Wait, elapsedMs: number): Promise<boolean> {
  const { spec } = wait
  if (found.State.Health && found.State.Health.Status !== 'none') return found.State.Health.Status === 'healthy'
  const address = found.NetworkSettings.Networks[wait.network]?.IPAddress
  if (spec.healthcheck) {
    if (!address) return false
    const { path, timeoutMs } = spec.healthcheck
    const status = await get(address, wait, { path, urls: spec.urls, timeoutMs })
    return status >= 200 && status < 400
  }
  if (spec.urls.length > 0) return address ? accepts(address, spec.port) : false
  return elapsedMs >= settledMs
}

async function late(found: ContainerInspect, wait: Wait): Promise<DeployError> {
  const { spec } = wait
  const facts = await report(wait.docker, found)
  const seconds = wait.timeoutMs / 1000
  if (found.State.Health && found.State.Health.Status !== 'none') {
    const message = `${facts.container} did not get healthy within ${seconds} s${facts.health ? `; its HEALTHCHECK last ended with ${facts.health}` : ''}.`
    return new DeployError(...words({ message, hint: slower }, facts))
  }
  const address = found.NetworkSettings.Networks[wait.network]?.IPAddress ?? ''
  if (!(await accepts(address, spec.port)))
    return new DeployError(...words(explainPort(facts, spec, wait.timeoutMs), facts))
  const path = spec.healthcheck?.path ?? '/'
  const status = await get(address, { spec }, { path, urls: spec.urls, timeoutMs: 2_000 })
  const answer = status === 0 ? 'does not answer' : `answers ${status}`
  return new DeployError(
    ...words(
      { message: `${facts.container} ${answer} on ${path} (healthcheck) after ${seconds} s.`, hint: slower },
      facts,
    ),
  )
}

const slower = 'If it only needs longer, raise start_timeout in [server] of config.toml.'

async function slow(found: ContainerInspect, wait: Wait): Promise<string> {
  const facts = await report(wait.docker, found)
  const limit = `waiting until ${wait.timeoutMs / 1000} s`
  if (found.State.Health || wait.spec.healthcheck) return `${facts.container} is not healthy yet; ${limit}.`
  const { hint } = explainPort(facts, wait.spec, slowMs)
  return `${facts.container} has not opened port ${wait.spec.port} yet; ${limit}. ${hint}`
}

function words(
  text: { message: string; hint: string },
  facts: Awaited<ReturnType<typeof report>>,
): [string, { hint: string; report: typeof facts }] {
  return [text.message, { hint: text.hint, report: facts }]
}

/** Whether somebody accepts connections there. */
function accepts(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: address, port, timeout: 1_000 })
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', () => end(false))
  })
}

/** The status that a GET is answered with, sent as the router sends its own; 0 when it is not answered. */
function get(
  address: string,
  { spec, signal }: Pick<Wait, 'spec' | 'signal'>,
  { path, urls, timeoutMs }: { path: string; urls: readonly ServiceUrl[]; timeoutMs: number },
): Promise<number> {
  const asked = healthRequest(urls)
  return new Promise((resolve) => {
    const request = http.get({
      host: address,
      port: spec.port,
      path,
      agent: false,
      timeout: timeoutMs,
      headers: { host: asked?.host ?? address, 'user-agent': 'mypaas', connection: 'close', ...asked?.headers },
      ...(signal ? { signal } : {}),
    })
    request.once('response', (response) => {
      resolve(response.statusCode ?? 0)
      response.destroy()
    })
    request.once('timeout', () => request.destroy())
    request.once('error', () => resolve(0))
    request.once('close', () => resolve(0))
  })
}
