import { formatDuration } from '../units.ts'
import { type Directive, type DirectiveReading, readDirectives, reporter } from './directives.ts'
import { type HomeRules, usualHome } from './home.ts'
import { directiveKeys, nearestKey } from './keys.ts'
import { refuseLarge, withinLimits } from './limits.ts'
import { parseServiceName } from './names.ts'
import { DirectiveError, type Problem, type Report } from './problems.ts'
import { formatPublish, maxPublishedPorts, parsePublish, portsClash } from './publish.ts'
import { portProblem, type Reserved, urlProblem } from './reserved.ts'
import {
  parseEnv,
  parseGrace,
  parseHealthcheck,
  parseMaxCpu,
  parseMaxMemory,
  parsePort,
  parseScale,
  parseStartTimeout,
} from './settings.ts'
import type { PublishedPort, ServiceSpec, ServiceUrl } from './spec.ts'
import { formatUrl, parseUrl } from './url.ts'
import { formatVolume, parseVolume } from './volume.ts'

/**
 * The settings of a service, from the text of its Dockerfile.
 * @param options.file What error messages call the file; `Dockerfile` unless given.
 * @param options.home What the server says of its home; nothing more than others unless given.
 * @param options.reserved What the server keeps for itself, where that is known: a line that wants it is a problem.
 * @throws {DirectiveError} with every problem of the file
 */
export function parseSpec(
  dockerfile: string,
  options: { file?: string | undefined; home?: HomeRules | undefined; reserved?: Reserved | undefined } = {},
): ServiceSpec {
  refuseLarge(dockerfile, options)
  const reading = readDirectives(dockerfile)
  const limited = withinLimits(reading.directives)
  const { spec, problems } = specFromDirectives({ ...reading, ...limited }, options.home, options.reserved)
  const all = [...reading.problems, ...limited.problems, ...problems]
  if (spec === undefined || all.length > 0) throw new DirectiveError(all, options)
  return spec
}

/** A spec, if it has a name, and everything that is wrong with the directives' keys and values. */
export function specFromDirectives(
  { directives, unread }: Pick<DirectiveReading, 'directives' | 'unread'>,
  home: HomeRules = usualHome,
  reserved?: Reserved,
): Readonly<{ spec: ServiceSpec | undefined; problems: readonly Problem[] }> {
  const problems: Problem[] = []
  const report = ({ line, key }: Directive): Report => reporter(problems, line, key)

  /** The value of a directive that may stand once. */
  function one<T>(key: string, parse: (text: string, report: Report) => T | undefined): T | undefined {
    const [first, ...again] = directives.filter((directive) => directive.key === key)
    if (!first) return undefined
    for (const directive of again) report(directive)(`line ${first.line} has it already`, 'Keep one of them')
    return parse(first.value, report(first))
  }

  /** The values of a directive that may stand often, each with its line; the same thing twice is a problem. */
  function many<T>(
    key: string,
    parse: (text: string, report: Report, quoted: boolean) => T | undefined,
    identity: (value: T) => string,
  ): T[] {
    const lineOf = new Map<string, number>()
    return directives.flatMap((directive) => {
      if (directive.key !== key) return []
      const value = parse(directive.value, report(directive), directive.quoted)
      if (value === undefined) return []
      const first = lineOf.get(identity(value))
      if (first === undefined) lineOf.set(identity(value), directive.line)
      else report(directive)(`${identity(value)} is in line ${first} already`, 'Keep one of them')
      return [value]
    })
  }

  function urlOfItsOwn(text: string, report: Report): ServiceUrl | undefined {
    const url = parseUrl(text, report)
    const problem = url && reserved && urlProblem(url, reserved)
    if (problem) report(problem.message, problem.hint)
    return url
  }

  const service = one('service', parseServiceName)
  const urls = many('url', urlOfItsOwn, formatUrl)
  const volumes = many(
    'volume',
    (text, report) => parseVolume(text, report, { ...home, service }),
    ({ target }) => target,
  )
  const env = many('env', parseEnv, ({ key }) => key)
  const port = one('port', parsePort)
  const scale = one('scale', parseScale)
  const publish = readPublished(directives, scale?.scale ?? 0, report, reserved)
  const healthcheck = one('healthcheck', parseHealthcheck)
  const startTimeoutMs = one('start_timeout', parseStartTimeout)
  const graceMs = one('grace', parseGrace)
  const maxCpu = one('maxcpu', parseMaxCpu)
  const maxMemoryBytes = one('maxmem', parseMaxMemory)

  const guesses = new Map<string, string>()
  for (const directive of directives) {
    if (directiveKeys.includes(directive.key)) continue
    const guess = guesses.get(directive.key) ?? (guesses.size < maxGuesses ? nearestKey(directive.key) : undefined)
    if (guess !== undefined) guesses.set(directive.key, guess)
    report(directive)(
      'there is no such directive',
      `${guess === undefined ? '' : `Did you mean mypaas.${guess}? `}There are ${directiveKeys.slice(0, -1).join(', ')} and ${directiveKeys.at(-1)}`,
    )
  }
  const named =
    directives.some(({ key }) => key === 'service') ||
    unread.has('service') ||
    [...guesses.values()].includes('service')
  if (!named) {
    problems.push({
      line: 1,
      message: `No line says what the service is called`,
      hint: 'Add one at the top: # mypaas.service = NAME',
    })
  }
  if (service === undefined) return { spec: undefined, problems }
  return {
    spec: {
      service,
      urls,
      volumes,
      env,
      port: port ?? 80,
      publish,
      scale: scale?.scale,
      rollout: scale?.rollout ?? 'stop-first',
      healthcheck,
      startTimeoutMs,
      graceMs,
      maxCpu,
      maxMemoryBytes,
    },
    problems,
  }
}

/** For how many unknown directives it is guessed what was meant: a guess takes longer than reading the line. */
const maxGuesses = 20

/** The published ports. No two may want the same port of the server, nor two replicas, and none one of the server's own. */
function readPublished(
  directives: readonly Directive[],
  scale: number,
  report: (directive: Directive) => Report,
  reserved: Reserved | undefined,
): readonly PublishedPort[] {
  const all: { port: PublishedPort; line: number }[] = []
  for (const directive of directives) {
    if (directive.key !== 'publish') continue
    const ports = parsePublish(directive.value, report(directive))
    if (ports === undefined) continue
    if (all.length + ports.length > maxPublishedPorts) {
      report(directive)(`with this line there are more than ${maxPublishedPorts} ports`, 'Publish fewer')
      break
    }
    const clash = firstClash(ports, all)
    if (clash) {
      report(directive)(
        `${formatPublish(clash.port)} wants a port of the server that line ${clash.line} has already`,
        'Keep one of them',
      )
    }
    const fixed = ports.find(({ hostPort, hostPortEnd = hostPort }) => {
      return hostPort !== undefined && hostPortEnd !== undefined && hostPortEnd - hostPort + 1 < scale
    })
    if (fixed) {
      report(directive)(
        `${scale} containers (mypaas.scale) can't all have port ${formatPublish(fixed)} of the server`,
        `Set mypaas.scale = 1, or leave the port to the engine: mypaas.publish = ${formatPublish(onAnyPort(fixed))}`,
      )
    }
    const [problem] = reserved ? ports.flatMap((port) => portProblem(port, reserved) ?? []) : []
    if (problem) report(directive)(problem.message, problem.hint)
    all.push(...ports.map((port) => ({ port, line: directive.line })))
  }
  return all.map(({ port }) => port)
}

/** The first of the new ports that another one has already, and the line of that. */
function firstClash(
  ports: readonly PublishedPort[],
  taken: readonly { port: PublishedPort; line: number }[],
): { port: PublishedPort; line: number } | undefined {
  for (const port of ports) {
    const other = taken.find((other) => portsClash(port, other.port))
    if (other) return { port, line: other.line }
  }
  return undefined
}

function onAnyPort({ hostIp, containerPort, protocol }: PublishedPort): PublishedPort {
  return { ...(hostIp === undefined ? {} : { hostIp }), containerPort, protocol }
}

/** The directives that a spec could have been read from: `specFromDirectives` gives the same spec for them. */
export function directivesFromSpec(spec: ServiceSpec): readonly Directive[] {
  const { healthcheck, scale, rollout } = spec
  const texts: readonly (readonly [key: string, values: readonly string[]])[] = [
    ['service', [spec.service]],
    ['url', spec.urls.map(formatUrl)],
    ['volume', spec.volumes.map(formatVolume)],
    ['env', spec.env.map(({ key, value }) => (value === undefined ? key : `${key}=${value}`))],
    ['port', [`${spec.port}`]],
    ['publish', spec.publish.map(formatPublish)],
    ['scale', scale === undefined ? [] : [scale === 0 ? '0' : `${scale} ${rollout}`]],
    ['healthcheck', healthcheck ? [formatHealthcheck(healthcheck)] : []],
    ['start_timeout', spec.startTimeoutMs === undefined ? [] : [formatDuration(spec.startTimeoutMs)]],
    ['grace', spec.graceMs === undefined ? [] : [formatDuration(spec.graceMs)]],
    ['maxcpu', spec.maxCpu === undefined ? [] : [`${spec.maxCpu}`]],
    ['maxmem', spec.maxMemoryBytes === undefined ? [] : [`${spec.maxMemoryBytes}`]],
  ]
  // As if in quotes: what stands here is the value itself
  return texts.flatMap(([key, values]) => values.map((value) => ({ key, value, quoted: true }))).map(numbered)
}

function formatHealthcheck({ path, intervalMs, timeoutMs }: NonNullable<ServiceSpec['healthcheck']>): string {
  return `${path} ${formatDuration(intervalMs)} ${formatDuration(timeoutMs)}`
}

function numbered(directive: Omit<Directive, 'line'>, index: number): Directive {
  return { ...directive, line: index + 1 }
}
