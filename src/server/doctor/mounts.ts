import type { Host } from '../../deploy/host.ts'
import { journalledServices, readJournal } from '../../deploy/journal.ts'
import { readMounted } from '../../deploy/mounted.ts'
import { mountProblems } from '../../deploy/mounts.ts'
import { formatVolume } from '../../service/volume.ts'
import type { Finding } from './finding.ts'

/** A mount that a service has and that its next start may not have, whether a deploy, a rollback or a person starts it. */
export type RefusedMount = Readonly<{
  service: string
  /** As it stands in its Dockerfile: `~/x:/data`. */
  mount: string
  message: string
  hint: string
  /** It doesn't run now, because somebody wanted that. */
  stopped: boolean
}>

/** Looks at what every service mounts now, as its next deploy would. */
export async function mountFacts(host: Host): Promise<readonly RefusedMount[]> {
  const refused: RefusedMount[] = []
  const mounted = await readMounted(host)
  for (const service of await journalledServices(host.directory)) {
    const { current, stopped = false } = (await readJournal(host.directory, service).catch(() => undefined)) ?? {}
    if (!current?.spec?.volumes) continue
    // Its own containers are what is looked at, not others beside it.
    for (const { mount, message, hint } of await mountProblems(host, current.spec, {
      mounted,
      release: current.release,
    }))
      refused.push({ service, mount: formatVolume(mount), message, hint, stopped })
  }
  return refused
}

export function judgeMounts(refused: readonly RefusedMount[]): readonly Finding[] {
  return refused.map(({ service, mount, message, hint, stopped }) => ({
    check: 'mounts',
    level: 'warning',
    message: `${service} ${stopped ? 'is stopped and has' : 'runs on with'} # mypaas.volume = ${mount}, which its next deploy, start or rollback may not have: ${message}.`,
    mend: `${hint}.`,
  }))
}
