import type { Host } from './host.ts'
import { type Journal, type JournalRelease, journalledServices, readJournal, writeJournal } from './journal.ts'
import { markOf } from './secrets.ts'

type Where = Pick<Host, 'secrets' | 'markKey'>

/**
 * A journal in which each release says whose secrets it may have. One of a mypaas that did not note it has a keyed hash of
 * each value that it got: while these are the values of now, they tell which came of those of all services, and these
 * names are noted. By name, as a value that is no secret (`LOG_LEVEL`) may be the same in both by chance: it must give no
 * right to others. Once, as it is true only until a value changes; what can't be told by then stays the release's own.
 * @returns `journal` itself when there is nothing to note
 */
export function withRights(host: Where, journal: Journal): Journal {
  const { current, previous } = journal
  if (![current, ...(previous ?? [])].some((release) => release && isUnclear(release))) return journal
  const clear = (release: JournalRelease): JournalRelease =>
    isUnclear(release) ? { ...release, sharedSecrets: sharedOf(host, release) } : release
  return {
    ...journal,
    ...(current ? { current: clear(current) } : {}),
    ...(previous ? { previous: previous.map(clear) } : {}),
  }
}

/** Whether {@link noteRights} has something to write. */
export function lacksRights(host: Where, journal: Journal): boolean {
  return withRights(host, journal) !== journal
}

/** Writes {@link withRights} of a service, if it is another. The caller holds the service's lock. */
export async function noteRights(host: Where & Pick<Host, 'directory'>, service: string): Promise<void> {
  const journal = await readJournal(host.directory, service)
  if (journal && lacksRights(host, journal)) await writeJournal(host.directory, withRights(host, journal))
}

/** The services whose releases don't say whose secrets they may have. A journal that can't be read is told of elsewhere. */
export async function servicesWithoutRights(host: Where & Pick<Host, 'directory'>): Promise<readonly string[]> {
  const found: string[] = []
  for (const service of await journalledServices(host.directory)) {
    const journal = await readJournal(host.directory, service).catch(() => undefined)
    if (journal && lacksRights(host, journal)) found.push(service)
  }
  return found
}

function isUnclear({ secretsFrom, sharedSecrets, secrets }: JournalRelease): boolean {
  return secretsFrom === undefined && sharedSecrets === undefined && Object.keys(secrets ?? {}).length > 0
}

function sharedOf(host: Where, { spec: { service }, secrets = {} }: JournalRelease): readonly string[] {
  const [own, all] = [host.secrets(service, 'service'), host.secrets(service, 'server')]
  const gave = (values: Readonly<Record<string, string>>, key: string): boolean =>
    Object.hasOwn(values, key) && secrets[key] === markOf(host, service, key, values[key] ?? '')
  return Object.keys(secrets)
    .filter((key) => gave(all, key) && !gave(own, key))
    .sort()
}
