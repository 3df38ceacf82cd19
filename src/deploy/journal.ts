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

/**
 * The journal of a service, or `undefined` when it has none.
 * @throws {MypaasError} `degraded`, naming the file, when it can't be read or is not one that mypaas wrote
 */
export async function readJournal(directory: string, service: string): Promise<Journal | undefined> {
  const file = placesOf(directory, service).journal
  let text: string | undefined
  try {
    text = await readIfThere(file)
  } catch (error) {
    throw unreadable(service, file, `can't be read (${(error as NodeJS.ErrnoException).code})`, error)
  }
  if (text === undefined) return undefined
  const journal = parse(text)
  if (isJournal(journal, service)) return journal
  // Written whole or not at all, so somebody else wrote this.
  throw unreadable(service, file, 'is not one that mypaas wrote')
}

function unreadable(service: string, file: string, what: string, cause?: unknown): MypaasError {
  return new MypaasError(`The journal of ${service}, ${file}, ${what}.`, {
    code: 'degraded',
    hint: `What runs goes on running. Put the file back from a backup, or move it away and deploy ${service} again.`,
    cause,
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isJournal(value: unknown, service: string): value is Journal {
  const { version, service: name, lastRelease, current, next, previous } = fieldsOf(value)
  const isThere = (release: unknown): boolean => release === undefined || isRelease(release, service)
  return (
    version === 1 &&
    name === service &&
    isCount(lastRelease) &&
    isThere(current) &&
    isThere(next) &&
    (previous === undefined || (Array.isArray(previous) && previous.every(isThere)))
  )
}

function isRelease(value: unknown, service: string): value is JournalRelease {
  const { release, image, spec, deployedAt } = fieldsOf(value)
  return isCount(release) && typeof image === 'string' && typeof deployedAt === 'string' && isSpec(spec, service)
}

/** Whether all is there that is gone through without a further look. */
function isSpec(value: unknown, service: string): value is ServiceSpec {
  const { service: name, urls, volumes, env, port, publish, scale, rollout, healthcheck } = fieldsOf(value)
  return (
    name === service &&
    areAll(urls, ({ scheme, host, path }) => [scheme, host, path].every((text) => typeof text === 'string')) &&
    areAll(volumes, ({ kind, target }) => typeof kind === 'string' && typeof target === 'string') &&
    areAll(env, ({ key }) => typeof key === 'string') &&
    areAll(publish, ({ containerPort, protocol }) => isCount(containerPort) && typeof protocol === 'string') &&
    isCount(port) &&
    (scale === undefined || isCount(scale)) &&
    (rollout === 'stop-first' || rollout === 'roll' || rollout === 'safe') &&
    (healthcheck === undefined || typeof fieldsOf(healthcheck)['path'] === 'string')
  )
}

function areAll(value: unknown, is: (fields: Readonly<Record<string, unknown>>) => boolean): boolean {
  return Array.isArray(value) && value.every((item) => is(fieldsOf(item)))
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** Of what is no object, none. */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
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
