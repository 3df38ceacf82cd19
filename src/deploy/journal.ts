import { readdir } from 'node:fs/promises'
import { MypaasError } from '../errors.ts'
import { readIfThere, writeDurably } from '../files.ts'
import { isServiceName } from '../service/names.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { placesOf, servicesFolder } from './places.ts'
import type { SecretsFrom } from './secret-rights.ts'

/** A release as intended: its number, its image by id, and its settings (never a secret's value). */
export type JournalRelease = Readonly<{
  release: number
  image: string
  /** Of its build; releases of older versions don't say. The same for all that differ in nothing but their number. */
  build?: string
  spec: ServiceSpec
  deployedAt: string
  /** A keyed hash of each secret that it got. */
  secrets?: Readonly<Record<string, string>>
  /** Whose secrets it may have; releases of older versions don't say. */
  secretsFrom?: SecretsFrom
  /** Of one that doesn't say: the names of those of all services that it had when that was looked at. */
  sharedSecrets?: readonly string[]
}>

/**
 * Which release of a service is the one: the only thing that a deploy commits. Facts (what runs) come from Docker.
 *
 * `next` is there while a deploy is on: it claims URLs and ports for the release to come, and tells whoever finds it
 * after a crash which containers are not meant to stay. `stopped` says that nothing of the service is meant to run.
 */
export type Journal = Readonly<{
  version: 1
  service: string
  server: string
  current?: JournalRelease
  next?: JournalRelease
  /** The releases before, newest first, as far as their images are kept. */
  previous?: readonly JournalRelease[]
  /** Numbers are not used twice, also after a failed deploy. */
  lastRelease: number
  stopped?: true
}>

/** The journal of a service, or `undefined` when it has none. @throws {MypaasError} `degraded` when it can't be read */
export async function readJournal(directory: string, service: string): Promise<Journal | undefined> {
  const file = placesOf(directory, service).journal
  const text = await readIfThere(file)
  if (text === undefined) return undefined
  try {
    const journal = JSON.parse(text) as Journal
    if (journal.version === 1 && journal.service === service && Number.isInteger(journal.lastRelease)) return journal
  } catch {
    // Falls through to the same answer: written whole or not at all, so somebody else wrote this.
  }
  throw new MypaasError(`The journal of ${service}, ${file}, is not one that mypaas wrote.`, {
    code: 'degraded',
    hint: `What runs goes on running. Put the file back from a backup, or move it away and deploy ${service} again.`,
  })
}

/** The commit point: after this returns, `journal` holds, whatever happens to the machine. */
export async function writeJournal(directory: string, journal: Journal): Promise<void> {
  const { journal: file, folder } = placesOf(directory, journal.service)
  // What a killed process leaves of it lies with the service, whose lock says that nobody is writing.
  await writeDurably(file, `${JSON.stringify(journal, undefined, 1)}\n`, { scratch: folder })
}

/** Every service that has a journal here, by name. A file that is called like no service is none of ours. */
export async function journalledServices(directory: string): Promise<string[]> {
  const files = await readdir(servicesFolder(directory)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return files
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .filter(isServiceName)
    .sort()
}
