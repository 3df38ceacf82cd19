import { MypaasError } from '../errors.ts'
import { takeLock } from '../lock.ts'
import { formatDuration } from '../units.ts'
import type { Emit } from './events.ts'
import type { Execution, ReleaseFacts } from './execute.ts'
import type { Host } from './host.ts'
import { keptReleases, releaseImage } from './image.ts'
import { type Journal, readJournal, writeJournal } from './journal.ts'
import { noteRights } from './note-rights.ts'
import { type Observed, observe } from './observe.ts'
import { placesOf } from './places.ts'
import { type Settlement, settle } from './plan.ts'
import { environmentOf } from './secret-rights.ts'

/**
 * Takes the lock of a service for a command, and says whom it waits for. Whose secrets its releases may have is noted first
 * where a mypaas before did not: from here on values may change.
 */
export async function lockService(
  host: Host,
  service: string,
  what: string,
  options: { waitMs?: number | undefined; signal?: AbortSignal | undefined; emit?: Emit } = {},
): Promise<AsyncDisposable> {
  const waitMs = options.waitMs ?? 0
  const lock = await takeLock(placesOf(host.directory, service).lock, {
    what,
    waitMs,
    signal: options.signal,
    onWait: (holder) =>
      options.emit?.({ type: 'warning', message: `Waiting up to ${formatDuration(waitMs)} for ${holder}.` }),
  })
  // A journal that can't be read or written is for the command to tell of; the next one comes here again.
  await noteRights(host, service).catch(() => {})
  return lock
}

/**
 * Takes the lock of a service that must be there, for a command that makes none: what is no service gets no lock file.
 * @throws {MypaasError} `usage` when there is no such service
 */
export async function lockKnown(...args: Parameters<typeof lockService>): Promise<AsyncDisposable> {
  const [host, service] = args
  await journalOf(host, service)
  return lockService(...args)
}

/** The journal of a service that must be there. @throws {MypaasError} `usage` when there is no such service */
export async function journalOf(host: Host, service: string): Promise<Journal> {
  const journal = await readJournal(host.directory, service)
  if (journal) return journal
  throw new MypaasError(`There is no service ${service} here.`, { code: 'usage', hint: 'See mypaas server status' })
}

/**
 * Refuses to go on when another release is current than whoever asks believes.
 * @param expected Its number, 0 for none; `undefined` for any.
 * @throws {MypaasError} `locked`
 */
export async function refuseUnlessCurrent(
  directory: string,
  service: string,
  expected: number | undefined,
): Promise<void> {
  if (expected === undefined) return
  const current = (await readJournal(directory, service))?.current?.release ?? 0
  if (current === expected) return
  const show = (release: number): string => (release === 0 ? 'none' : `r${release}`)
  throw new MypaasError(`The current release of ${service} is ${show(current)}, not ${show(expected)}.`, {
    code: 'locked',
    hint: 'Somebody else deployed. Look at it, then push again with another --expect.',
  })
}

/** The number of the next release: not used before, also by a failed deploy or one whose journal is lost. */
export async function nextRelease(host: Host, service: string, journal: Journal | undefined): Promise<number> {
  const { replicas } = await observe(host, service)
  const used = [...replicas, ...(await keptReleases(host, service))].map(({ release }) => release)
  return Math.max(0, journal?.lastRelease ?? 0, ...used) + 1
}

export async function settlement(host: Host, journal: Journal, drainMs: number, stayMs = 0): Promise<Settlement> {
  return settlementOf(host, journal, await observe(host, journal.service), drainMs, stayMs)
}

/** As {@link settlement}, of what was observed already. */
export async function settlementOf(
  host: Host,
  journal: Journal,
  observed: Observed,
  drainMs: number,
  stayMs = 0,
): Promise<Settlement> {
  const routes = await host.router.current(journal.service)
  return settle({ journal, observed, routes, prefix: host.prefix, timing: host, drainMs, stayMs })
}

/** A journal without the release that was coming. */
export async function forgetNext(host: Host, journal: Journal): Promise<void> {
  const { next: _, ...rest } = journal
  await writeJournal(host.directory, rest)
}

/** What steps need: facts of the releases at hand, and of older ones when they are asked for. */
export function execution(
  host: Host,
  service: string,
  emit: Emit,
  known: readonly ReleaseFacts[],
  journal: Journal,
  commit: () => Promise<void> = async () => {},
): Execution {
  const facts = new Map(known.map((release) => [release.release, release]))
  return {
    host,
    service,
    emit,
    commit,
    async releases(release): Promise<ReleaseFacts> {
      const found = facts.get(release)
      if (found) return found
      const meant = [journal.current, journal.next].find((candidate) => candidate?.release === release)
      if (!meant) throw new MypaasError(`Nothing is known of r${release} of ${service}.`, { code: 'degraded' })
      const made: ReleaseFacts = {
        release,
        spec: meant.spec,
        image: await releaseImage(host, service, release),
        environment: () => environmentOf(host, meant.spec, meant),
      }
      facts.set(release, made)
      return made
    },
  }
}
