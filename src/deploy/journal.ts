import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MypaasError } from '../errors.ts'
import { readIfThere, writeDurably } from '../files.ts'
import type { ServiceSpec } from '../service/spec.ts'

/** A release as intended: its number, its image by id, and its settings (never a secret's value). */
export type JournalRelease = Readonly<{
  release: number
  image: string
  spec: ServiceSpec
  deployedAt: string
  /** A keyed hash of each secret that it got. */
  secrets?: Readonly<Record<string, string>>
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
  const file = journalFile(directory, service)
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
  // What a killed process leaves of it lies with the service, whose lock says that nobody is writing.
  const scratch = serviceFolder(directory, journal.service)
  await writeDurably(journalFile(directory, journal.service), `${JSON.stringify(journal, undefined, 1)}\n`, { scratch })
}

/** Every service that has a journal here, by name. */
export async function journalledServices(directory: string): Promise<string[]> {
  const files = await readdir(join(directory, 'services')).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return files
    .filter((file) => file.endsWith('.json') && !file.startsWith('.'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort()
}

/** What belongs to a service besides its journal: its history, logs that it left, and what is being written. */
export function serviceFolder(directory: string, service: string): string {
  return join(directory, 'services', service)
}

function journalFile(directory: string, service: string): string {
  return join(directory, 'services', `${service}.json`)
}
