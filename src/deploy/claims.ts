import { join } from 'node:path'
import { MypaasError } from '../errors.ts'
import { type Lock, takeLock } from '../lock.ts'
import { portsClash } from '../service/publish.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { formatUrl } from '../service/url.ts'
import { type Journal, type JournalRelease, journalledServices, readJournal } from './journal.ts'

/**
 * Takes the lock that everything comes by which brings something new on this machine: the claim of a deploy, a container
 * for a command, the end of a service. Whoever has it sees all that runs or is about to, and is seen by the next one. It is
 * held for a moment only, and taken after the lock of a service, never before.
 */
export function lockClaims(directory: string, what: string, signal?: AbortSignal): Promise<Lock> {
  return takeLock(join(directory, 'claims.lock'), { what, waitMs: 10_000, signal })
}

/**
 * Refuses a spec that wants a URL or a host port that another service here has, or is about to have. Called under the
 * global lock, so that of two new services with one URL the second is refused.
 * @throws {MypaasError} `failed` naming each owner
 */
export async function refuseClashes(directory: string, spec: ServiceSpec): Promise<void> {
  const problems: string[] = []
  for (const service of await journalledServices(directory)) {
    if (service === spec.service) continue
    const journal = await readJournal(directory, service).catch(() => undefined)
    if (journal) problems.push(...clashes(spec, journal))
  }
  if (problems.length === 0) return
  throw new MypaasError([...new Set(problems)].join('\n'), {
    code: 'failed',
    hint: 'Choose another, or take it from that service first: change its Dockerfile and deploy it.',
  })
}

function clashes(spec: ServiceSpec, journal: Journal): readonly string[] {
  const releases = [journal.current, journal.next].filter((release): release is JournalRelease => release !== undefined)
  return releases.flatMap(({ spec: other }) => [
    ...spec.urls
      .filter((url) => other.urls.some((taken) => taken.host === url.host && taken.path === url.path))
      .map((url) => `${formatUrl(url)} belongs to the service ${other.service}.`),
    ...spec.publish
      .filter((port) => other.publish.some((taken) => portsClash(port, taken)))
      .map((port) => `Host port ${port.hostPort}/${port.protocol} belongs to the service ${other.service}.`),
  ])
}
