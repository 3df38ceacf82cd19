import type { Answer, OutOfRotation } from '../router/router.ts'
import type { Host } from './host.ts'
import { nameOf } from './identity.ts'

/**
 * What is to be said of each service of which replicas fail their health check, so that the router sends nobody to them:
 * `out of rotation: web-r3-2 answers 503 on /up`. Services of which all replicas serve are not in it.
 * @throws when the router does not answer
 */
export async function rotationProblems(
  host: Pick<Host, 'prefix' | 'router'>,
): Promise<ReadonlyMap<string, Readonly<{ release: number; problem: string }>>> {
  const found = new Map<string, OutOfRotation[]>()
  for (const one of await host.router.outOfRotation()) found.set(one.service, [...(found.get(one.service) ?? []), one])
  return new Map(
    [...found].map(([service, out]) => {
      const { release = 0, of = 0 } = out[0] ?? {}
      const each = out.map((one) => `${nameOf(host.prefix, one)} ${answerOf(one)}`).join(', ')
      const all = out.length === of
      return [service, { release, problem: `${all ? 'nobody is served: ' : ''}out of rotation: ${each}` }]
    }),
  )
}

function answerOf({ path, answer }: OutOfRotation): string {
  if ('error' in answer) return `does not answer on ${path} (${answer.error})`
  return `answers ${answer.status} on ${path}${isHealthy(answer) ? ' again' : ''}`
}

function isHealthy(answer: Answer): boolean {
  return 'status' in answer && answer.status >= 200 && answer.status < 400
}
