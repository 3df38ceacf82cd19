import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerInspect, Docker } from '../docker/index.ts'
import { ask } from '../router/ask.ts'
import { healthRequest } from '../router/health-request.ts'
import type { HealthCheck, ServiceSpec } from '../service/spec.ts'
import { ImageCheck } from './image-check.ts'
import { endOf } from './lives.ts'
import { Patience, type StartTime } from './patience.ts'
import { listeningIn } from './sockets.ts'
import { explainWaiting, type WaitingState, wrongWith } from './waiting.ts'
import { DeployError, report } from './why.ts'

type Wait = Readonly<{
  docker: Docker
  /** The network on which this machine reaches the container. */
  network: string
  spec: ServiceSpec
  time: StartTime
  signal?: AbortSignal | undefined
  /** Told once of each thing that looks wrong, and when it takes longer than people expect. */
  onSlow?: (message: string, hint: string) => void
}>

const pollMs = 50
const slowMs = 5_000
const settledMs = 2_000

/**
 * Waits until a started container is ready: its image's HEALTHCHECK is passed, which is run at once and again and again;
 * without one, the service's `healthcheck` path answers 2xx or 3xx; without that, and with a URL, its port accepts; else it
 * has stayed up for 2 s.
 * @throws {ContainerEnded} at once when it exits or restarts · {DeployError} when its time is over, or when nothing that looks
 *   wrong changed for 20 s and its time was not set by anybody
 */
export async function awaitReady(container: string, wait: Wait): Promise<void> {
  const { docker, spec } = wait
  const patience = new Patience(wait.time)
  const first = await docker.containers.inspect(container, { signal: wait.signal })
  const begin = { restarts: first.RestartCount, at: performance.now() }
  await using check = ImageCheck.of(docker, first)
  let toldSlow = false
  for (let found = first; ; found = await docker.containers.inspect(container, { signal: wait.signal })) {
    const end = await endOf(found, begin, wait)
    if (end) throw end
    const state = await look(found, wait, { patience, check })
    if (state === 'ready') return
    const verdict = state === 'settling' ? 'wait' : patience.see(wrongWith(state))
    const isSlow = !toldSlow && patience.elapsedMs > slowMs
    if (state !== 'settling' && (verdict !== 'wait' || isSlow)) {
      const facts = await report(docker, found)
      const text = explainWaiting(state, facts, spec, patience)
      if (verdict === 'end') throw new DeployError(text.message, { hint: text.hint, report: facts })
      toldSlow = true
      wait.onSlow?.(text.soFar.message, text.soFar.hint)
    }
    await sleep(pollMs, undefined, { signal: wait.signal })
  }
}

/**
 * Waits until a container has been up for `uptimeMs`, by the engine's own account of its start.
 * @throws {ContainerEnded} at once when it exits, or was started again meanwhile
 */
export async function awaitUptime(
  container: string,
  wait: { docker: Docker; spec: ServiceSpec; uptimeMs: number },
): Promise<void> {
  const begin = { restarts: 0, at: performance.now() }
  for (;;) {
    const found = await wait.docker.containers.inspect(container)
    const end = await endOf(found, begin, wait)
    if (end) throw end
    // The engine's clock may be another, or be set: what was seen here counts, too.
    const uptimeMs = Math.max(Date.now() - Date.parse(found.State.StartedAt), performance.now() - begin.at)
    if (uptimeMs >= wait.uptimeMs) return
    await sleep(pollMs)
  }
}

async function look(
  found: ContainerInspect,
  wait: Wait,
  { patience, check }: { patience: Patience; check: ImageCheck | undefined },
): Promise<WaitingState | 'ready' | 'settling'> {
  const { spec } = wait
  if (check) {
    const said = found.State.Health?.Status
    if (said === 'healthy' || check.passed) return 'ready'
    return { kind: 'checking', last: check.last, unhealthy: said === 'unhealthy' }
  }
  const { healthcheck } = spec
  if (!healthcheck && spec.urls.length === 0) return patience.elapsedMs >= settledMs ? 'ready' : 'settling'
  const address = found.NetworkSettings.Networks[wait.network]?.IPAddress ?? ''
  if (!(await accepts(address, spec.port))) return { kind: 'closed', listening: await listeningIn(found.State.Pid) }
  if (!healthcheck) return 'ready'
  const timeoutMs = Math.min(healthcheck.timeoutMs, Math.max(1_000, patience.leftMs))
  return checkedBy({ ...healthcheck, timeoutMs }, address, wait)
}

/** Asks as the router asks for ever after. */
async function checkedBy(
  { path, timeoutMs }: HealthCheck,
  address: string,
  { spec, signal }: Wait,
): Promise<WaitingState | 'ready'> {
  const asked = healthRequest(spec.urls)
  const url = { scheme: 'http', host: asked?.host ?? address, path } as const
  const headers = asked?.headers ?? {}
  const answer = await ask({ address, port: spec.port, secure: false, url, headers, signal, timeoutMs })
  if ('error' in answer) return { kind: 'silent', path, error: answer.error }
  const { status } = answer
  return status >= 200 && status < 400 ? 'ready' : { kind: 'answers', path, status, host: url.host }
}

/** Whether somebody accepts connections there. */
function accepts(address: string, port: number): Promise<boolean> {
  if (address === '') return Promise.resolve(false)
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
