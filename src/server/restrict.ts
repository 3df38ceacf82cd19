import type { Host } from '../deploy/host.ts'
import { journalledServices, readJournal } from '../deploy/journal.ts'
import { MypaasError } from '../errors.ts'
import { describeForeign, foreignPorts } from '../service/allowed-ports.ts'
import { type LimitedReading, readLimited } from '../service/dockerfile.ts'
import { formatProblem } from '../service/problems.ts'
import { urlProblem } from '../service/reserved.ts'
import type { ServiceSpec, ServiceUrl } from '../service/spec.ts'
import type { ServerConfig } from './config.ts'
import { downloadProblem } from './downloads.ts'
import { imageProblem } from './foreign-images.ts'
import type { OpenServer } from './host.ts'
import type { AuthorizedKey } from './keys.ts'
import { foreignMount } from './restricted-mounts.ts'

/**
 * The host as a limited key may use it: what it deploys or runs, newly or again, gets its service's own secrets only, and
 * mounts, URLs and ports as far as they are the key's.
 */
export function restrictedHost({ host, config }: Pick<OpenServer, 'host' | 'config'>, key: AuthorizedKey): Host {
  return {
    ...host,
    secretsFrom: 'service',
    async permit(spec) {
      const problems = await foreignSettings(host, config, key, spec)
      if (problems.length > 0) throw notTheKeys(key, problems)
    },
  }
}

/**
 * Refuses what a key that is limited to some services may not reach: images, volumes, host paths, secrets and URLs of
 * others, and what only this server can reach. What the Dockerfile hides the builder tells: see `builders-word.ts`.
 * @param input.pull Whether base images that are not here are pulled, so that what they bring in can be looked at. They are
 *   unless it says otherwise.
 * @param input.read What reads the Dockerfile; given by tests that a build is held without it, too.
 * @returns the images that a build may use
 * @throws {MypaasError} `unauthorised` naming everything that is refused
 */
export async function refuseForeign(
  host: Host,
  config: ServerConfig,
  key: AuthorizedKey,
  input: {
    spec: ServiceSpec
    dockerfile: string
    pull?: boolean | undefined
    read?: DockerfileReader | undefined
    signal?: AbortSignal | undefined
  },
): Promise<{ images: readonly string[] }> {
  const { spec, pull = true, read = readLimited, signal } = input
  const reading = read(input.dockerfile)
  const problems = reading.problems.map((problem) => `line ${problem.line}: ${formatProblem(problem)}`)
  const images = linesOf(reading)
  for (const [image, line] of images) {
    const problem = await imageProblem(host, config, key, image, { pull, signal })
    if (problem) problems.push(`line ${line}: ${problem}`)
  }
  for (const { url, line } of reading.remotes) {
    const problem = await downloadProblem(url)
    if (problem) problems.push(`line ${line}: ${problem}`)
  }
  problems.push(...(await foreignSettings(host, config, key, spec)))
  const own = config.services[spec.service]?.env ?? {}
  for (const { key: name, value } of spec.env) {
    if (value !== undefined || Object.hasOwn(own, name)) continue
    problems.push(`the secret ${name}: it is not in [services.${spec.service}.env] of the server's config`)
  }
  if (problems.length === 0) return { images: [...images.keys()] }
  throw notTheKeys(key, problems)
}

/**
 * What of a release's mounts, URLs and ports is not a limited key's, wherever the release comes from: it may be an older
 * one that somebody else deployed. What the current release has is its service's.
 */
async function foreignSettings(
  host: Host,
  config: ServerConfig,
  key: AuthorizedKey,
  spec: ServiceSpec,
): Promise<readonly string[]> {
  const problems: string[] = []
  const others = await otherServices(host, spec.service)
  const current = (await readJournal(host.directory, spec.service).catch(() => undefined))?.current?.spec
  for (const mount of spec.volumes) {
    const problem = await foreignMount(host, mount, { service: spec.service, current, others })
    if (problem) problems.push(problem)
  }
  for (const url of spec.urls) {
    const owner = others.find((other) => other.urls.some((taken) => sameHost(taken, url)))
    const had = current?.urls.some((own) => own.host === url.host && own.path === url.path && own.scheme === url.scheme)
    if (owner && !had)
      problems.push(`the URL ${url.scheme}://${url.host}${url.path}: ${owner.service} is at home on that host`)
    const taken = urlProblem(url, config.server)
    if (taken) problems.push(taken.message)
  }
  const foreign = describeForeign(foreignPorts(spec, key.publish ?? [], current))
  if (foreign)
    problems.push(`the host port of ${foreign.ports}: the key's line on the server would have to say ${foreign.option}`)
  return problems
}

function notTheKeys(key: AuthorizedKey, problems: readonly string[]): MypaasError {
  return new MypaasError(`The key may not use:\n${problems.map((problem) => `  ${problem}`).join('\n')}`, {
    code: 'unauthorised',
    hint: `It is limited to the services ${key.services?.join(', ') ?? ''} and what is theirs. Somebody with an unlimited key can do this.`,
  })
}

/** Reads what a Dockerfile of a limited key names. */
export type DockerfileReader = (dockerfile: string) => LimitedReading

/** Each image once, with the first line that names it. */
function linesOf({ images }: LimitedReading): Map<string, number> {
  const lines = new Map<string, number>()
  for (const { reference, line } of images) if (!lines.has(reference)) lines.set(reference, line)
  return lines
}

async function otherServices(host: Host, service: string): Promise<readonly ServiceSpec[]> {
  const specs: ServiceSpec[] = []
  for (const name of await journalledServices(host.directory)) {
    if (name === service) continue
    const journal = await readJournal(host.directory, name).catch(() => undefined)
    for (const release of [journal?.current, journal?.next]) if (release) specs.push(release.spec)
  }
  return specs
}

function sameHost(a: ServiceUrl, b: ServiceUrl): boolean {
  const covers = (wide: string, host: string): boolean => wide.startsWith('*.') && host.endsWith(wide.slice(1))
  return a.host === b.host || covers(a.host, b.host) || covers(b.host, a.host)
}
