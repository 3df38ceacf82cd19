import { setTimeout as sleep } from 'node:timers/promises'
import type { Docker } from '../docker/index.ts'
import { ask } from '../router/ask.ts'
import { healthRequest } from '../router/health-request.ts'
import type { Answer } from '../router/router.ts'
import type { ServiceSpec, ServiceUrl } from '../service/spec.ts'
import { formatUrl } from '../service/url.ts'
import { Lives } from './lives.ts'
import { Patience, type StartTime } from './patience.ts'
import { explainReach, looksWrong } from './waiting.ts'
import { DeployError, report } from './why.ts'

type Wait = Readonly<{
  docker: Docker
  spec: ServiceSpec
  /** The network on which services find each other. */
  network: string
  /** Asks on the router's network instead, which the container is on. */
  routerNetwork?: string
  /** For the answer to each URL. */
  time: StartTime
  signal?: AbortSignal | undefined
  /** Told once of each answer that looks wrong. */
  onSlow?: (message: string, hint: string) => void
}>

const pollMs = 50

/** What answers its neighbours has started: whoever is refused then by another network comes to a closed door. */
const refusedMs = 2_000

const answerHint = 'A release must answer each of its URLs with a status below 500. Its last lines may say why.'

/**
 * Asks a container itself for each URL, as the router would, until every answer has a status below 500.
 * @throws {ContainerEnded} at once when it ends · {DeployError} when its time is over, when the same error came for 20 s
 *   and its time was not set by anybody, or when nobody listens on the router's network
 */
export async function awaitAnswers(container: string, wait: Wait): Promise<void> {
  const lives = await Lives.of([container], wait)
  for (const url of wait.spec.urls) await awaitAnswer(url, container, lives, wait)
}

async function awaitAnswer(url: ServiceUrl, container: string, lives: Lives, wait: Wait): Promise<void> {
  const { docker, spec, network, routerNetwork, signal } = wait
  const patience = new Patience(wait.time)
  const { NetworkSettings } = await docker.containers.inspect(container, { signal })
  const address = NetworkSettings.Networks[routerNetwork ?? network]?.IPAddress ?? ''
  const headers = healthRequest([url])?.headers ?? {}
  for (;;) {
    const timeoutMs = Math.max(1_000, patience.leftMs)
    const call = { address, port: spec.port, secure: false, url, headers, timeoutMs }
    const answer = await lives.during((stop) => ask({ ...call, signal: stop }), signal)
    if ('status' in answer && answer.status < 500) return
    signal?.throwIfAborted()
    await lives.check()
    const verdict = patience.see(wrongWith(answer))
    const refused = routerNetwork !== undefined && 'error' in answer && patience.elapsedMs > refusedMs
    if (verdict !== 'wait' || refused) {
      const facts = await report(docker, await docker.containers.inspect(container))
      if (refused) {
        const own = NetworkSettings.Networks[network]?.IPAddress
        const text = explainReach(facts, spec, { url: formatUrl(url), own, network: routerNetwork })
        throw new DeployError(text.message, { hint: text.hint, report: facts })
      }
      const got = `${facts.container} ${inWords(answer)} on ${formatUrl(url)}`
      if (verdict === 'end') {
        const message = `${got} after ${patience.waited}.`
        throw new DeployError(message, { hint: `${answerHint} ${patience.longer}`.trimEnd(), report: facts })
      }
      wait.onSlow?.(`${got}; ${patience.limit(wrongWith(answer))}.`, answerHint)
    }
    await sleep(pollMs, undefined, { signal })
  }
}

function wrongWith(answer: Answer): string | undefined {
  return 'status' in answer && looksWrong(answer.status) ? inWords(answer) : undefined
}

function inWords(answer: Answer): string {
  return 'status' in answer ? `answers ${answer.status}` : `does not answer (${answer.error})`
}
