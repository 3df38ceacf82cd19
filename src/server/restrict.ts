import type { Host } from '../deploy/host.ts'
import { journalledServices, readJournal } from '../deploy/journal.ts'
import { NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { describeForeign, foreignPorts } from '../service/allowed-ports.ts'
import { type LimitedReading, readLimited, triggerProblem } from '../service/dockerfile.ts'
import { formatProblem } from '../service/problems.ts'
import { urlProblem } from '../service/reserved.ts'
import type { ServiceSpec, ServiceUrl } from '../service/spec.ts'
import type { ServerConfig } from './config.ts'
import { type AuthorizedKey, coversService } from './keys.ts'
import { foreignMount } from './restricted-mounts.ts'

/**
 * The host as a limited key may use it: what it deploys or runs gets its service's own secrets only, and the ports that its
 * line allows.
 */
export function restrictedHost(host: Host, key: Pick<AuthorizedKey, 'publish'>): Host {
  return { ...host, secretsFrom: 'service', publishable: key.publish ?? [] }
}

/**
 * Refuses what a key that is limited to some services may not reach: images, volumes, host paths, secrets, URLs and build
 * caches of others. Base images that are not here yet are pulled, so that what they bring in can be looked at.
 * @throws {MypaasError} `unauthorised` naming everything that is refused
 */
export async function refuseForeign(
  host: Host,
  config: ServerConfig,
  key: AuthorizedKey,
  input: {
    spec: ServiceSpec
    dockerfile: string
    /** What reads the Dockerfile; given by tests that a build is held without it, too. */
    read?: ((dockerfile: string) => LimitedReading) | undefined
    signal?: AbortSignal | undefined
  },
): Promise<void> {
  const { spec, read = readLimited } = input
  const reading = read(input.dockerfile)
  const problems = reading.problems.map((problem) => `line ${problem.line}: ${formatProblem(problem)}`)
  for (const [image, line] of linesOf(reading)) {
    const problem = await imageProblem(host, key, image, input.signal)
    if (problem) problems.push(`line ${line}: ${problem}`)
  }
  const others = await otherServices(host, spec.service)
  const current = (await readJournal(host.directory, spec.service).catch(() => undefined))?.current?.spec
  for (const mount of spec.volumes) {
    const problem = await foreignMount(host, mount, { service: spec.service, current, others })
    if (problem) problems.push(problem)
  }
  const own = config.services[spec.service]?.env ?? {}
  for (const { key: name, value } of spec.env) {
    if (value !== undefined || Object.hasOwn(own, name)) continue
    problems.push(`the secret ${name}: it is not in [services.${spec.service}.env] of the server's config`)
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
  if (problems.length === 0) return
  throw new MypaasError(`The key may not use:\n${problems.map((problem) => `  ${problem}`).join('\n')}`, {
    code: 'unauthorised',
    hint: `It is limited to the services ${key.services?.join(', ') ?? ''} and what is theirs. Somebody with an unlimited key can deploy this.`,
  })
}

/** Each image once, with the first line that names it. */
function linesOf({ images }: LimitedReading): Map<string, number> {
  const lines = new Map<string, number>()
  for (const { reference, line } of images) if (!lines.has(reference)) lines.set(reference, line)
  return lines
}

/** Why an image may not be used, or nothing. */
async function imageProblem(
  host: Host,
  key: AuthorizedKey,
  image: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (!/^[\w][\w./:@-]*$/.test(image)) return `the image ${quoted(image)}: that is no name of one`
  const plain = image.replace(/^((index\.)?docker\.io\/)?(library\/)?/, '')
  const own = /^([a-z0-9._-]+):r\d+(@.*)?$/.exec(plain)?.[1]
  if (own !== undefined) {
    // It may not be there now and be there a moment later.
    const name = own.startsWith(host.prefix) ? own.slice(host.prefix.length) : own
    if (!coversService(key, name)) return `the image ${image}: it is one of ${name}`
  }
  let found = await inspect(host, image)
  if (!found) {
    if (/^(sha256:)?[0-9a-f]{6,64}$/.test(image)) return `the image ${image}: there is none`
    try {
      for await (const _ of host.docker.images.pull(image, signal ? { signal } : {})) {
        // That it is there in the end is enough.
      }
    } catch (error) {
      if (!(error instanceof MypaasError)) throw error
      return `the image ${image}: ${error.message.replace(/\.$/, '')}`
    }
    found = await inspect(host, image)
  }
  const owner = found?.Config?.Labels?.['mypaas.image.service']
  if (owner !== undefined && !coversService(key, owner)) return `the image ${image}: it is made from one of ${owner}`
  for (const trigger of found?.Config?.OnBuild ?? []) {
    const problem = triggerProblem(trigger)
    if (problem) return `the image ${image}: it brings an ONBUILD instruction, and ${problem}`
  }
  return undefined
}

async function inspect(host: Host, image: string) {
  try {
    return await host.docker.images.inspect(image)
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
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

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
