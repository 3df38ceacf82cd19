import type { ServiceSpec } from '../service/spec.ts'
import type { FailureReport } from './events.ts'
import type { Patience } from './patience.ts'

/** What a container does that is not ready. */
export type WaitingState = Readonly<
  /** Nobody accepts on its port. `listening` as in {@link FailureReport}. */
  | { kind: 'closed'; listening: readonly string[] | undefined }
  | { kind: 'silent'; path: string; error: string }
  | { kind: 'answers'; path: string; status: number; host: string }
  /** Its image's HEALTHCHECK has not been passed; to the engine it is `unhealthy` after so many tries, and may still pass. */
  | { kind: 'checking'; last: string | undefined; unhealthy: boolean }
>

/** Gateways say so while what is behind them starts. */
const passingStatuses: readonly number[] = [429, 502, 503, 504]

/** Whether a status says more than "not yet". */
export function looksWrong(status: number): boolean {
  return status >= 400 && !passingStatuses.includes(status)
}

/** What looks wrong, in words that stay the same while it does; `undefined` for what may just need its time. */
export function wrongWith(state: WaitingState): string | undefined {
  switch (state.kind) {
    case 'closed':
      return state.listening?.length ? `listens on ${state.listening.join(', ')}` : undefined
    case 'answers':
      return looksWrong(state.status) ? `answers ${state.status}` : undefined
    case 'checking':
      return state.unhealthy ? 'is unhealthy' : undefined
    case 'silent':
      return undefined
  }
}

/** Why a container is not ready and what to do, at the end of its time and while some is left (`soFar`). */
export function explainWaiting(
  state: WaitingState,
  found: FailureReport,
  spec: ServiceSpec,
  patience: Patience,
): { message: string; hint: string; soFar: { message: string; hint: string } } {
  const standstill = patience.isStandstill ? ', and nothing changed for 20 s' : ''
  const text = describe(state, found, spec, patience.waited)
  return {
    message: `${found.container} ${text.ended}${standstill}.`,
    soFar: {
      message: `${found.container} ${text.now}; ${patience.limit(wrongWith(state))}.`,
      hint: text.hint,
    },
    hint: [text.hint, patience.longer].filter((hint) => hint !== '').join(' '),
  }
}

function describe(
  state: WaitingState,
  found: FailureReport,
  spec: ServiceSpec,
  time: string,
): { ended: string; now: string; hint: string } {
  switch (state.kind) {
    case 'closed':
      return {
        ended: `did not open port ${spec.port} within ${time}`,
        now: `has not opened port ${spec.port} yet`,
        hint: portHint(found.listening, spec.port),
      }
    case 'silent': {
      const what = `does not answer on ${state.path} (healthcheck)`
      return {
        ended: `${what} after ${time}: ${state.error}`,
        now: `${what} yet (${state.error})`,
        hint: 'It is asked by plain HTTP.',
      }
    }
    case 'answers': {
      const what = `answers ${state.status} on ${state.path} (healthcheck)`
      return { ended: `${what} after ${time}`, now: what, hint: statusHint(state) }
    }
    case 'checking': {
      if (state.unhealthy) {
        const what = `is unhealthy: its HEALTHCHECK ended with ${state.last ?? 'no word'}`
        const hint = 'Mend what the check asks for, or the HEALTHCHECK of the Dockerfile.'
        return { ended: what, now: what, hint }
      }
      const last = state.last === undefined ? '' : `; its HEALTHCHECK last ended with ${state.last}`
      return { ended: `did not get healthy within ${time}${last}`, now: `is not healthy yet${last}`, hint: '' }
    }
  }
}

/** What to do where nobody accepts on the service's port, from where the container listens. */
function portHint(ends: readonly string[] | undefined, port: number): string {
  if (ends === undefined) return `Make it listen on 0.0.0.0:${port}, or set # mypaas.port=…`
  if (ends.length === 0) return `It listens on no port. Make it listen on 0.0.0.0:${port}, or set # mypaas.port=…`
  const loopback = ends.filter((end) => /^(127\.|\[::1\])/.test(end))
  const own = loopback.find((end) => end.endsWith(`:${port}`))
  if (own) return `It listens on ${own} only, which nobody outside the container reaches: bind 0.0.0.0.`
  const reachable = ends.filter((end) => !loopback.includes(end)).map((end) => end.slice(end.lastIndexOf(':') + 1))
  if (reachable.length === 1) return `It listens on ${reachable[0]}: set # mypaas.port=${reachable[0]}`
  if (reachable.length > 1) return `It listens on ${reachable.join(', ')}: set # mypaas.port to the right one.`
  return `It listens on ${loopback.join(', ')} only: bind 0.0.0.0:${port}.`
}

function statusHint({ status, path, host }: Extract<WaitingState, { kind: 'answers' }>): string {
  switch (status) {
    case 404:
    case 410:
      return `There is no ${path}: is the path of # mypaas.healthcheck right?`
    case 401:
    case 403:
    case 407:
      return `It wants to know who asks: set # mypaas.healthcheck to a path that needs no login.`
    case 400:
    case 421:
      return `It was asked as ${host}: does it take requests for that host?`
    default:
      return looksWrong(status) && status < 500 ? `Is ${path} the right path of # mypaas.healthcheck?` : ''
  }
}

/**
 * Why the router does not reach a container that answers its neighbours.
 * @param way.own Its address on the network of its neighbours, which is what its host name resolves to.
 * @param way.network The router's.
 */
export function explainReach(
  found: FailureReport,
  spec: ServiceSpec,
  way: { url: string; own: string | undefined; network: string },
): { message: string; hint: string } {
  const message = `${found.container} does not answer on ${way.url} by the router's network ${way.network}`
  const ends = (found.listening ?? []).filter((end) => end.endsWith(`:${spec.port}`))
  // `[::]` beside an address of IPv4 is for IPv6 only.
  const isEverywhere = ends.includes(`0.0.0.0:${spec.port}`) || ends.join() === `[::]:${spec.port}`
  if (isEverywhere) {
    return {
      message: `${message}, only by its first network.`,
      hint: `It turns away who comes by another network: let it answer there, too. Its addresses: docker network inspect ${way.network}`,
    }
  }
  const where = ends.length > 0 ? `: it listens on ${ends.join(', ')} only.` : '.'
  const bind = `Make it listen on all addresses, 0.0.0.0:${spec.port}.`
  // The kernel of a container on another machine tells nothing, and this is the most likely.
  const isHostname = ends.length === 0 || ends.includes(`${way.own}:${spec.port}`)
  return {
    message: `${message}${where}`,
    hint: isHostname ? `${bind} What listens on $HOSTNAME needs this line: # mypaas.env = HOSTNAME=0.0.0.0` : bind,
  }
}
