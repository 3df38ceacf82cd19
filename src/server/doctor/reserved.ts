import type { Host } from '../../deploy/host.ts'
import { reservedHere, servicesWithReserved } from '../../deploy/reserved.ts'
import type { Finding } from './finding.ts'

/** Services that have what is the server's own, from when that was allowed, or the config said something else. */
export async function judgeReserved(host: Host): Promise<readonly Finding[]> {
  const found = await servicesWithReserved(host.directory, await reservedHere(host))
  return found.flatMap(({ service, problems }) =>
    problems.map(({ message, hint }) => ({
      check: 'ports',
      level: 'warning',
      message: `${service} runs on, but its next deploy is refused: ${message}.`,
      mend: `${hint}: in its Dockerfile; or take it away: mypaas server stop ${service}`,
    })),
  )
}
