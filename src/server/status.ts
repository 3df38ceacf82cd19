import { replicaCount } from '../deploy/container.ts'
import type { Host } from '../deploy/host.ts'
import { type Journal, journalledServices, readJournal } from '../deploy/journal.ts'
import { type Observed, observe, observedServices } from '../deploy/observe.ts'
import { MypaasError } from '../errors.ts'

/** One service as it is: what the journal says, and what runs. */
export type ServiceStatus = Readonly<{
  service: string
  /** The current release; `undefined` when none was ever live, or the journal is lost. */
  release: number | undefined
  /** A deploy is on, or was killed and not tidied up. */
  next: number | undefined
  /** Running containers of the current release, and how many there should be. */
  running: number
  wanted: number
  urls: readonly string[]
  deployedAt: string | undefined
  /** What is not as it should be, in words. */
  problem: string | undefined
}>

/** Every service of this server, by name. Reads without a lock. */
export async function serverStatus(host: Host): Promise<readonly ServiceStatus[]> {
  const names = new Set([...(await journalledServices(host.directory)), ...(await observedServices(host))])
  const all = await Promise.all([...names].sort().map((service) => serviceStatus(host, service)))
  return all.filter((status) => status !== undefined)
}

async function serviceStatus(host: Host, service: string): Promise<ServiceStatus | undefined> {
  const observed = await observe(host, service)
  let journal: Journal | undefined
  let problem: string | undefined
  try {
    journal = await readJournal(host.directory, service)
    if (!journal) problem = 'its journal is lost'
  } catch (error) {
    if (!(error instanceof MypaasError)) throw error
    problem = error.message
  }
  const current = journal?.current
  // A first deploy that failed leaves only its number.
  if (journal && !current && !journal.next && observed.replicas.length === 0) return undefined
  const running = runningOf(observed, current?.release)
  const wanted = current && !journal?.stopped ? replicaCount(current.spec) : 0
  return {
    service,
    release: current?.release,
    next: journal?.next?.release,
    running,
    wanted,
    urls: current?.spec.urls.map((url) => host.router.show(url)) ?? [],
    deployedAt: current?.deployedAt,
    problem: problem ?? (running < wanted ? `${wanted - running} of ${wanted} replicas do not run` : undefined),
  }
}

function runningOf(observed: Observed, release: number | undefined): number {
  return observed.replicas.filter((replica) => replica.release === release && replica.state === 'running').length
}
