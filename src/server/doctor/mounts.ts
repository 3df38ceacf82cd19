import type { Host } from '../../deploy/host.ts'
import { journalledServices, readJournal } from '../../deploy/journal.ts'
import { readMounted } from '../../deploy/mounted.ts'
import { mountProblems } from '../../deploy/mounts.ts'
import { formatVolume } from '../../service/volume.ts'
import type { Finding } from './finding.ts'

/** A mount that a service has and that its next deploy may not have. */
export type RefusedMount = Readonly<{
  service: string
  /** As it stands in its Dockerfile: `~/x:/data`. */
  mount: string
  message: string
  hint: string
}>

/** Looks at what every service mounts now, as its next deploy would. */
export async function mountFacts(host: Host): Promise<readonly RefusedMount[]> {
  const refused: RefusedMount[] = []
  const mounted = await readMounted(host)
  for (const service of await journalledServices(host.directory)) {
    const current = (await readJournal(host.directory, service).catch(() => undefined))?.current
    if (!current?.spec?.volumes) continue
    // Its own containers are what is looked at, not others beside it.
    for (const { mount, message, hint } of await mountProblems(host, current.spec, {
      mounted,
      release: current.release,
    }))
      refused.push({ service, mount: formatVolume(mount), message, hint })
  }
  return refused
}

export function judgeMounts(refused: readonly RefusedMount[]): readonly Finding[] {
  return refused.map(({ service, mount, message, hint }) => ({
    check: 'mounts',
    level: 'warning',
    message: `${service} runs on with # mypaas.volume = ${mount}, which its next deploy may not have: ${message}.`,
    mend: `${hint}.`,
  }))
}
