import type { Host } from '../deploy/host.ts'
import { journalledServices, readJournal } from '../deploy/journal.ts'
import { problemsForEverybody } from '../deploy/mounts.ts'
import { specForHere } from '../deploy/reserved.ts'
import { MypaasError } from '../errors.ts'
import { describeForeign, foreignPorts } from '../service/allowed-ports.ts'
import { type DirectiveLines, directiveLines } from '../service/directive-lines.ts'
import { type LimitedReading, readLimited } from '../service/dockerfile.ts'
import { DirectiveError, type Problem } from '../service/problems.ts'
import { urlProblem } from '../service/reserved.ts'
import type { ServiceSpec, ServiceUrl } from '../service/spec.ts'
import { formatUrl } from '../service/url.ts'
import { formatDuration } from '../units.ts'
import type { ServerConfig } from './config.ts'
import { downloadProblem } from './downloads.ts'
import { type ImageUse, imageProblem } from './foreign-images.ts'
import type { OpenServer } from './host.ts'
import { HostReach } from './host-reach.ts'
import type { AuthorizedKey } from './keys.ts'
import type { PulledImages } from './pulled-images.ts'
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
    async mayMount(service, mount) {
      const { current, others } = await specsBeside(host, service)
      return (await foreignMount(host, mount, { service, current, others })) === undefined
    },
  }
}

/**
 * Refuses what a key that is limited to some services may not reach: images, volumes, host paths, secrets and URLs of
 * others, and what only this server can reach. What the Dockerfile hides the builder tells: see `builders-word.ts`.
 * @param input.pulled Where base images that are not here are to be pulled, so that what they bring in can be looked at:
 *   gets those that were. Nothing is pulled for what is refused without that.
 * @param input.read What reads the Dockerfile; given by tests that a build is held without it, too.
 * @param input.file What the messages call the Dockerfile.
 * @returns the images that a build may use
 * @throws {MypaasError} naming everything that is refused, with its lines: `directives` for what nobody may have,
 *   `unauthorised` for what is not the key's, `failed` for images that are not there
 */
export async function refuseForeign(
  host: Host,
  config: ServerConfig,
  key: AuthorizedKey,
  input: {
    spec: ServiceSpec
    dockerfile: string
    file?: string | undefined
    pulled?: PulledImages | undefined
    read?: DockerfileReader | undefined
    signal?: AbortSignal | undefined
  },
): Promise<{ images: readonly string[] }> {
  const { spec, file, pulled, read = readLimited, signal } = input
  const lines = directiveLines(input.dockerfile)
  await refuseForEverybody(host, config, input, lines)
  const reach = new HostReach({ signal })
  const reading = read(input.dockerfile)
  const problems: Foreign[] = reading.problems.map(({ line, message, hint }) => ({ line, why: message, remedy: hint }))
  const unclear = new Set(reading.problems.map(({ line }) => line))
  const absent: Problem[] = []
  const images = firstLines(reading.images.map(({ reference, line }) => [reference, line]))
  const remotes = firstLines(reading.remotes.map(({ url, line }) => [url, line]))
  const tooMany = [...tooManyOf('images', [...images.values()]), ...tooManyOf('addresses', [...remotes.values()])]
  // Each of them is asked for, so nobody looks at so many.
  if (tooMany.length > 0) throw notTheKeys(key, [...tooMany, ...problems])
  const lookAtImages = async (use: Pick<ImageUse, 'pulled'>): Promise<void> => {
    for (const [image, line] of images) {
      // One complaint of a line is enough.
      if (unclear.has(line)) continue
      const problem = await imageProblem(host, config, key, image, { service: spec.service, reach, signal, ...use })
      if (problem?.of === 'nobody') absent.push({ line, message: problem.why })
      else if (problem) problems.push({ line, why: problem.why, deployable: true })
    }
  }
  await lookAtImages({})
  for (const [url, line] of remotes) {
    const problem = await downloadProblem(url, { reach, known: config.server.downloadHosts })
    if (problem) problems.push({ line, why: problem, deployable: true })
  }
  problems.push(...(await foreignSettings(host, config, key, spec, lines)))
  if (problems.length === 0 && absent.length === 0 && pulled) await lookAtImages({ pulled })
  if (problems.length > 0) throw notTheKeys(key, problems, absent)
  if (absent.length > 0) {
    throw new MypaasError(
      absent.map(({ line, message }) => `${file ?? 'Dockerfile'}:${line}: ${message}.`).join('\n'),
      { code: 'failed', hint: 'Is it spelt right, and is it public? Else try again later. Nothing was changed.' },
    )
  }
  return { images: [...images.keys()] }
}

/** What no key may have, and secrets that are not there, before anything that another key could have. */
async function refuseForEverybody(
  host: Host,
  config: ServerConfig,
  { spec, dockerfile, file }: Readonly<{ spec: ServiceSpec; dockerfile: string; file?: string | undefined }>,
  lines: DirectiveLines,
): Promise<void> {
  const problems: Problem[] = []
  try {
    await specForHere(host, dockerfile, file)
  } catch (error) {
    if (!(error instanceof DirectiveError)) throw error
    problems.push(...error.problems)
  }
  for (const { mount, message, hint } of await problemsForEverybody(host, spec)) {
    const line = lines.volumes[spec.volumes.indexOf(mount)] ?? 1
    // The reading above may have said it.
    if (problems.every((problem) => problem.line !== line))
      problems.push({ line, message: `mypaas.volume: ${message}`, hint })
  }
  const { service } = spec
  const own = config.services[service]?.env ?? {}
  for (const [index, { key: name, value }] of spec.env.entries()) {
    if (value !== undefined || Object.hasOwn(own, name)) continue
    problems.push({
      line: lines.env[index] ?? 1,
      message: `mypaas.env: there is no secret ${name} of ${service}'s own, and the key may have no others`,
      hint: `Set it: mypaas env set SERVER ${name} --service ${service}`,
    })
  }
  if (problems.length > 0) throw new DirectiveError(problems, { file })
}

/**
 * Something that is not a limited key's: where it stands, as far as that is known, what it is, and what to do instead.
 * Somebody with an unlimited key can deploy it if it is `deployable`, nobody if it is not; without a word of that,
 * the remedy is enough.
 */
type Foreign = Readonly<{
  line?: number | undefined
  why: string
  remedy?: string | undefined
  deployable?: boolean
}>

/**
 * What of a release's mounts, URLs, ports and grace is not a limited key's, wherever the release comes from: it may be an older
 * one that somebody else deployed. What the current release has is its service's.
 */
async function foreignSettings(
  host: Host,
  config: ServerConfig,
  key: AuthorizedKey,
  spec: ServiceSpec,
  lines?: DirectiveLines,
): Promise<readonly Foreign[]> {
  const problems: Foreign[] = []
  const { current, others } = await specsBeside(host, spec.service)
  for (const [index, mount] of spec.volumes.entries()) {
    const problem = await foreignMount(host, mount, { service: spec.service, current, others })
    if (problem) problems.push({ line: lines?.volumes[index], ...problem })
  }
  for (const [index, url] of spec.urls.entries()) {
    const line = lines?.urls[index]
    const remedy = 'Give the service a host of its own'
    const owner = others.find((other) => other.urls.some((taken) => sameHost(taken, url)))
    const had = current?.urls.some((own) => own.host === url.host && own.path === url.path && own.scheme === url.scheme)
    if (owner && !had) {
      const deployable = !others.some(({ urls }) => urls.some((own) => own.host === url.host && own.path === url.path))
      problems.push({
        line,
        why: `the URL ${formatUrl(url)}: ${owner.service} is at home on that host`,
        remedy,
        deployable,
      })
    }
    const taken = urlProblem(url, config.server)
    if (taken) problems.push({ line, why: taken.message, remedy, deployable: false })
  }
  const { startTimeoutMs } = spec
  const longestMs = Math.max(config.server.maxStartTimeoutMs, config.server.startTimeoutMs)
  if (startTimeoutMs !== undefined && startTimeoutMs > longestMs && startTimeoutMs !== current?.startTimeoutMs) {
    problems.push({
      line: lines?.startTimeout[0],
      why: `a start_timeout of ${formatDuration(startTimeoutMs)}: the config of the server allows ${formatDuration(longestMs)} (max_start_timeout)`,
      remedy: `Write # mypaas.start_timeout = ${formatDuration(longestMs)}`,
      deployable: true,
    })
  }
  const longestGraceMs = Math.max(config.server.graceMs, config.server.maxGraceMs, current?.graceMs ?? 0)
  if (spec.graceMs !== undefined && spec.graceMs > longestGraceMs) {
    problems.push({
      line: lines?.grace[0],
      why: `a grace of ${formatDuration(spec.graceMs)}: the config of the server allows ${formatDuration(longestGraceMs)} (max_grace)`,
      remedy: `Write # mypaas.grace = ${formatDuration(longestGraceMs)}`,
      deployable: true,
    })
  }
  const ports = foreignPorts(spec, key.publish ?? [], current)
  const [first] = ports
  const foreign = describeForeign(ports)
  if (first && foreign) {
    problems.push({
      line: lines?.publish[spec.publish.indexOf(first)],
      why: `the host port of ${foreign.ports}: the key's line on the server would have to say ${foreign.option}`,
    })
  }
  return problems
}

/** How many images, and how many addresses, a limited key's Dockerfile may name; and how many problems are told of. */
const maxNamed = 100

function tooManyOf(what: string, lines: readonly number[]): Foreign[] {
  if (lines.length <= maxNamed) return []
  const why = `with this line the Dockerfile names more than ${maxNamed} ${what}, which are not looked at`
  return [{ line: lines[maxNamed], why, deployable: true }]
}

function notTheKeys(key: AuthorizedKey, problems: readonly Foreign[], absent: readonly Problem[] = []): MypaasError {
  const shown = [...problems]
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0))
    .map(({ line, why, remedy }) => {
      return `  ${line === undefined ? '' : `line ${line}: `}${why}${remedy === undefined ? '' : `. ${remedy}`}`
    })
  if (shown.length > maxNamed) shown.splice(maxNamed, shown.length, `  and ${shown.length - maxNamed} more`)
  const besides = absent.map(({ line, message }) => `  line ${line}: ${message}`)
  const others =
    problems.some(({ deployable }) => deployable) && problems.every(({ deployable }) => deployable !== false)
  return new MypaasError(
    ['The key may not use:', ...shown, ...(besides.length > 0 ? ['And nobody can use:', ...besides] : [])].join('\n'),
    {
      code: 'unauthorised',
      hint: `It is limited to the services ${key.services?.join(', ') ?? ''} and what is theirs.${
        others && absent.length === 0 ? ' Somebody with an unlimited key can do this.' : ''
      }`,
    },
  )
}

/** Reads what a Dockerfile of a limited key names. */
export type DockerfileReader = (dockerfile: string) => LimitedReading

/** Each once, with the first line that names it. */
function firstLines(named: readonly (readonly [what: string, line: number])[]): Map<string, number> {
  const lines = new Map<string, number>()
  for (const [what, line] of named) if (!lines.has(what)) lines.set(what, line)
  return lines
}

/** What a service has now, and what all others have or are about to. */
async function specsBeside(
  host: Host,
  service: string,
): Promise<{ current?: ServiceSpec; others: readonly ServiceSpec[] }> {
  const others = await otherServices(host, service)
  const current = (await readJournal(host.directory, service).catch(() => undefined))?.current?.spec
  return { others, ...(current ? { current } : {}) }
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
