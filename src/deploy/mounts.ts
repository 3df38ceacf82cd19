import { dirname } from 'node:path'
import type { Volume } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { directiveLines } from '../service/directive-lines.ts'
import { anyHome, exampleInHome, homeProblem, pathInHome } from '../service/home.ts'
import { DirectiveError } from '../service/problems.ts'
import type { Mount, ServiceSpec } from '../service/spec.ts'
import { replicaCount } from './container.ts'
import type { Host } from './host.ts'
import { follow, type Place, strictlyBelow } from './mount-path.ts'
import { boundDirectory, type Holder, type Mounted, placesOfMount, readMounted, type Source } from './mounted.ts'

/** A mount that is refused: why, and what to write instead. */
export type MountProblem = Readonly<{ mount: Mount; message: string; hint: string }>

/**
 * Refuses what a deploy brings new and what no service may have mounted: places of the home that are private, paths
 * outside that the config does not allow, links, what is ours or the engine's, volumes that mypaas did not make for the
 * service, and every source below or above another one that a container can write. The engine follows a path anew at each
 * start, its own included: so nothing that a container can write may lie on the way to what is mounted.
 *
 * A release that is the current one already is started again by {@link checkLinks} alone.
 * @param options.from The Dockerfile that the spec was read from, so that the refusal names its lines.
 * @param options.release What is about to start: its containers that run already are no others.
 * @param options.isCommand It replaces no release, so there is none before it whose mounts go.
 * @throws {MypaasError} `directives` naming every mount that is refused
 */
export async function checkMounts(
  host: Host,
  spec: ServiceSpec,
  options: {
    from?: SpecSource | undefined
    release?: number | undefined
    isCommand?: boolean
  } = {},
): Promise<void> {
  const problems = await mountProblems(host, spec, options)
  if (problems.length === 0) return
  throw refusal(spec, problems, options.from)
}

/** The Dockerfile that a spec was read from, so that a refusal names its lines. */
export type SpecSource = Readonly<{ dockerfile: string; dockerfileText: string }>

/** @param from Of a release that is run again there is none. */
export function refusal(
  spec: ServiceSpec,
  problems: readonly MountProblem[],
  from: SpecSource | undefined,
): MypaasError {
  if (from === undefined) {
    const lines = problems.map(({ message, hint }) => `${message}. ${hint}.`)
    return new MypaasError(lines.join('\n'), { code: 'directives' })
  }
  const lines = directiveLines(from.dockerfileText).volumes
  return new DirectiveError(
    problems.map(({ mount, message, hint }) => ({
      line: lines[spec.volumes.indexOf(mount)] ?? 1,
      message: `mypaas.volume: ${message}`,
      hint,
    })),
    { file: from.dockerfile },
  )
}

/** At most one problem of each mount, in their order. @param options.mounted As it was read for many services. */
export async function mountProblems(
  host: Host,
  spec: ServiceSpec,
  options: { release?: number | undefined; isCommand?: boolean; mounted?: Mounted } = {},
): Promise<readonly MountProblem[]> {
  if (spec.volumes.length === 0) return []
  const mounted = options.mounted ?? (await readMounted(host))
  const all: MountSource[] = []
  const problems = new Map<Mount, Omit<MountProblem, 'mount'>>()
  for (const mount of spec.volumes) {
    try {
      for (const place of await placesOfMount({ host, ...mounted }, mount)) all.push({ mount, place })
      const problem = problemByItself(host, spec.service, mount, all, mounted)
      if (problem) problems.set(mount, problem)
    } catch (error) {
      if (!(error instanceof MypaasError)) throw error
      problems.set(mount, { message: error.message.replace(/\.$/, ''), hint: 'Give another place' })
    }
  }
  for (const [mount, problem] of problemsOfPairs(host, spec.service, all, mounted))
    if (!problems.has(mount)) problems.set(mount, problem)
  for (const source of all) {
    if (problems.has(source.mount)) continue
    const problem =
      (await problemOfPrivateLabel(host, spec, source, mounted)) ??
      (await problemWithOthers(host, spec.service, source, mounted, options))
    if (problem) problems.set(source.mount, problem)
  }
  return spec.volumes.flatMap((mount) => {
    const problem = problems.get(mount)
    return problem ? [{ mount, ...problem }] : []
  })
}

/**
 * The mounts that no service of that name may have, whoever deploys it and whatever else is there. It says nothing of
 * what others mount; of where links lead only that it is what is the engine's or ours.
 */
export async function problemsForEverybody(host: Host, spec: ServiceSpec): Promise<readonly MountProblem[]> {
  if (spec.volumes.length === 0) return []
  const mounted = await readMounted(host)
  const found = spec.volumes.map(async (mount): Promise<readonly MountProblem[]> => {
    try {
      const places = await placesOfMount({ host, ...mounted }, mount)
      const problem = problemByRule(host, spec.service, mount, places, mounted)
      return problem ? [{ mount, ...problem }] : []
    } catch (error) {
      if (error instanceof MypaasError) return [] // its deploy says that
      throw error
    }
  })
  return (await Promise.all(found)).flat()
}

/**
 * Refuses a start of ours when a mount leads elsewhere than it says. A release that is the current one may have links on
 * the way that a person made (they were allowed once), if no container could have made or changed them.
 * @param options.strict No link at all.
 * @throws {MypaasError} `directives`
 */
export async function checkLinks(
  host: Host,
  spec: ServiceSpec,
  options: { strict?: boolean; from?: SpecSource | undefined } = {},
): Promise<void> {
  const problems: MountProblem[] = []
  let mounted: Mounted | undefined
  for (const mount of spec.volumes) {
    if (mount.kind === 'named') continue
    const place = await follow(pathOf(host, mount))
    const below = mount.kind === 'home' ? mount.path : pathInHome(mount.path, host.homeRules)
    const allowed = below !== undefined ? homeProblem(below, anyHome) : rootProblem(host, mount.path, host.volumeRoots)
    if (allowed) problems.push({ mount, ...allowed })
    if ((place.links.length === 0 && place.unseen === undefined) || allowed) continue
    if (options.strict !== true) {
      mounted ??= await readMounted(host)
      if (await isHarmless(host, place, mounted)) continue
    }
    const problem = unseenProblem(host, mount, [place]) ?? linkProblem(host, mount, place)
    problems.push({ mount, ...problem })
  }
  if (problems.length > 0) throw refusal(spec, problems, options.from)
}

/** Whether mypaas made a volume for this service. */
export function isOwnVolume(host: Host, service: string, { Labels }: Pick<Volume, 'Labels'>): boolean {
  return Labels?.['mypaas.volume.service'] === service && Labels['mypaas.server'] === host.server
}

/** @throws {MypaasError} `directives` when a volume is another's and the config does not say that the service may */
export function refuseForeignVolume(
  host: Host,
  spec: ServiceSpec,
  volume: Readonly<{ mount: Mount & { kind: 'named' }; found: Volume; from: SpecSource | undefined }>,
): void {
  const { mount, found, from } = volume
  const problem = volumeProblem(host, spec.service, mount.name, found)
  if (problem) throw refusal(spec, [{ mount, ...problem }], from)
}

/** A volume of the engine, wherever it is mounted. */
export type Named = Readonly<{ kind: 'named'; name: string }>

/** What a mount is of, for people: `~/data`, `/srv/data`, `the volume data`. */

export function titleOf(host: Host, mount: Mount | Named): string {
  return mount.kind === 'named' ? `the volume ${mount.name}` : shown(host, pathOf(host, mount))
}

type MountSource = Readonly<{ mount: Mount; place: Place }>
type Problem = Omit<MountProblem, 'mount'>

/** Where on this machine a mount leads, as it is written. */
export function pathOf(host: Host, mount: Exclude<Mount, { kind: 'named' }>): string {
  return mount.kind === 'home' ? `${host.home}/${mount.path}` : mount.path
}

function shown(host: Host, path: string): string {
  const below = pathInHome(path, host.homeRules)
  return below === undefined ? path : below === '' ? '~' : `~/${below}`
}

/** What is wrong with a mount whatever else is mounted. */
function problemByItself(
  host: Host,
  service: string,
  mount: Mount,
  all: readonly MountSource[],
  mounted: Mounted,
): Problem | undefined {
  const places = all.filter((source) => source.mount === mount).map(({ place }) => place)
  const problem = problemByRule(host, service, mount, places, mounted)
  if (problem || mount.kind === 'named') return problem
  const [place] = places
  return place && place.links.length > 0 ? linkProblem(host, mount, place) : undefined
}

/** What is wrong with a mount by its name and by where it is, whatever links are on the way and what else is mounted. */
function problemByRule(
  host: Host,
  service: string,
  mount: Mount,
  places: readonly Place[],
  mounted: Mounted,
): Problem | undefined {
  if (mount.kind === 'named') {
    const volume = mounted.volumes.get(mount.name)
    const device = volume && boundDirectory(volume)
    return (
      (volume && volumeProblem(host, service, mount.name, volume)) ??
      unseenProblem(host, mount, places) ??
      (device === undefined ? undefined : oursProblem(host, titleOf(host, mount), places.slice(1), mounted))
    )
  }
  const below = mount.kind === 'home' ? mount.path : pathInHome(mount.path, host.homeRules)
  if (below === '') {
    return {
      message: 'the home directory as a whole is not mounted: it has keys and secrets in it',
      hint: `Give a directory below it: ${exampleInHome({ service })}`,
    }
  }
  const isPlain = places.every(({ links }) => links.length === 0)
  // Whether it is ours comes before what a config could allow.
  return (
    (below !== undefined ? homeProblem(below, { ...host.homeRules, service }) : undefined) ??
    (isPlain || below === undefined ? oursProblem(host, titleOf(host, mount), places, mounted) : undefined) ??
    (below === undefined ? rootProblem(host, mount.path, host.volumeRoots) : undefined) ??
    unseenProblem(host, mount, places) ??
    sharedProblem(host, service, mount)
  )
}

/** What a container mounts is the server's to say, where the server gets to see it. */
function sharedProblem(host: Host, service: string, mount: Mount): Problem | undefined {
  const option = mount.options?.find((one) => one === 'shared' || one === 'rshared')
  if (option === undefined || host.maySharePropagation(service)) return undefined
  return {
    message: `with ${option}, what ${service} mounts below ${titleOf(host, mount)} is mounted on the machine, too`,
    hint: `Leave ${option} out. Or, if ${service} may do that, set in ${sectionOf(service)} of ${host.directory}/config.toml: shared_mounts = true`,
  }
}

function sectionOf(service: string): string {
  return `[services.${/^[a-z0-9_-]+$/.test(service) ? service : `"${service}"`}]`
}

/** `Z` takes a place from every container but the one that is started last. */
async function problemOfPrivateLabel(
  host: Host,
  spec: ServiceSpec,
  { mount, place }: MountSource,
  { table, sources }: Mounted,
): Promise<Problem | undefined> {
  if (!mount.options?.includes('Z')) return undefined
  const title = titleOf(host, mount)
  const hint = 'Write z, which labels it for all of them'
  if (spec.rollout === 'roll' || replicaCount(spec) > 1) {
    const message = `with Z, ${title} is for one container alone, and of ${spec.service} there are several at a time`
    return { message, hint }
  }
  for (const { by, place: other } of sources) {
    if (by.service === spec.service && (by.kind === 'service' || by.ours)) continue
    if (!table.same(place, other) && relation(table, place, other) === undefined) continue
    if (by.kind === 'container' && !(await by.lives())) continue
    const who = by.kind === 'container' && !by.ours ? `the container ${by.name}` : `the service ${by.service}`
    return { message: `with Z, ${title} is for one container alone, and ${who} mounts it, too`, hint }
  }
  return undefined
}

/** What can't be looked into may have a link in it, or be what another one mounts. */
function unseenProblem(host: Host, mount: Mount, places: readonly Place[]): Problem | undefined {
  const unseen = places.find((place) => place.unseen !== undefined)?.unseen
  if (unseen === undefined) return undefined
  return {
    message: `${titleOf(host, mount)} can't be looked at: the user that runs mypaas may not look into ${shown(host, unseen)}`,
    hint: `Give another place, or let that user look: chmod o+x ${unseen}`,
  }
}

function rootProblem(host: Host, path: string, roots: readonly string[]): Problem | undefined {
  if (roots.some((root) => path === root || strictlyBelow(path, root))) return undefined
  const list = JSON.stringify([...host.volumeRoots, dirname(path) === '/' ? path : dirname(path)])
  return {
    message: `${path} is outside the home directory`,
    hint: `To allow it, set in [server] of ${host.directory}/config.toml: volume_roots = ${list}`,
  }
}

function linkProblem(host: Host, mount: Mount, place: Place): Problem {
  const [link = ''] = place.links
  return {
    message: `${titleOf(host, mount)} leads to ${shown(host, place.real)}, because ${shown(host, link)} is a link`,
    hint: 'A link could lead elsewhere at the next start: write where it leads, or make it a directory',
  }
}

function oursProblem(
  host: Host,
  title: string,
  places: readonly Place[],
  { ours, table }: Mounted,
): Problem | undefined {
  for (const { place: other, what } of ours) {
    for (const place of places) {
      const how = table.same(place, other) ? 'is' : relation(table, place, other)
      if (how === undefined) continue
      return {
        message: `${title} ${how === 'is' ? 'is' : `lies ${how}`} ${shown(host, other.written)} (${what}), which no service may mount`,
        hint: 'Give another place',
      }
    }
  }
  return undefined
}

function volumeProblem(host: Host, service: string, name: string, volume: Volume): Problem | undefined {
  if (isOwnVolume(host, service, volume) || host.foreignVolumes(service).includes(name)) return undefined
  const owner = volume.Labels?.['mypaas.volume.service']
  const list = JSON.stringify([...host.foreignVolumes(service), name])
  const whose =
    owner === undefined
      ? 'was not made by mypaas'
      : volume.Labels?.['mypaas.server'] === host.server
        ? `is one of the service ${owner}`
        : 'is one of another mypaas server'
  return {
    message: `the volume ${name} ${whose}`,
    hint: `Give another name. Or, if ${service} may have it, set in ${sectionOf(service)} of ${host.directory}/config.toml: volumes = ${list}`,
  }
}

function relation(table: Mounted['table'], place: Place, other: Place): 'below' | 'above' | undefined {
  return table.isBelow(place, other) ? 'below' : table.isBelow(other, place) ? 'above' : undefined
}

/** What is wrong with one mount below another, of which at least one can be written. */
function why(upper: { writable: boolean }): string {
  return upper.writable
    ? 'a container that can write the upper one could lead the lower one elsewhere'
    : 'what a container writes in the lower one is in the upper one, too, which is mounted read-only'
}

/** Of two mounts of one service the lower one is refused, unless none can write either. */
function problemsOfPairs(
  host: Host,
  service: string,
  all: readonly MountSource[],
  { table }: Mounted,
): ReadonlyMap<Mount, Problem> {
  // By what each can reach, so that none is compared with all of the others.
  const reached = new Map<string, MountSource[]>()
  for (const source of all) {
    for (const region of table.reach(source.place)) {
      const known = reached.get(region)
      if (known) known.push(source)
      else reached.set(region, [source])
    }
  }
  const problems = new Map<Mount, Problem>()
  for (const lower of all) {
    const upper = firstAbove(
      lower,
      [...table.above(lower.place)].map((region) => reached.get(region) ?? []),
    )
    if (upper && !problems.has(lower.mount)) problems.set(lower.mount, problemOfPair(host, service, lower, upper))
  }
  return problems
}

function firstAbove(lower: MountSource, uppers: readonly (readonly MountSource[])[]): MountSource | undefined {
  for (const some of uppers) {
    const upper = some.find(({ mount }) => mount !== lower.mount && !(mount.readOnly && lower.mount.readOnly))
    if (upper) return upper
  }
  return undefined
}

function problemOfPair(host: Host, service: string, lower: MountSource, upper: MountSource): Problem {
  const rest = lower.place.real.slice(upper.place.real.length)
  return {
    message: `${titleOf(host, lower.mount)} lies below ${titleOf(host, upper.mount)}, which is mounted at ${upper.mount.target}: ${why({ writable: !upper.mount.readOnly })}`,
    hint: strictlyBelow(lower.place.real, upper.place.real)
      ? `Mount ${titleOf(host, upper.mount)} alone, it has the other as ${upper.mount.target}${rest}. Or give each a place of its own: ~/${service}/a and ~/${service}/b`
      : 'Give it another place',
  }
}

/** Of what others have mounted, or an earlier release of the same service that still runs. */
async function problemWithOthers(
  host: Host,
  service: string,
  { mount, place }: MountSource,
  { table, sources }: Mounted,
  { release, isCommand = false }: { release?: number | undefined; isCommand?: boolean },
): Promise<Problem | undefined> {
  const title = titleOf(host, mount)
  for (const source of sources) {
    const { by } = source
    const isOwn = by.service === service && (by.kind === 'service' || by.ours)
    if (isOwn && (isOver(by) || (by.release === release && release !== undefined))) continue
    const how = relation(table, place, source.place)
    if (how === undefined) continue
    // What was live before goes when the new release has come; a command may stay.
    const isOwnRelease = isOwn && (by.kind === 'service' || !by.isRun)
    const isBefore = isOwnRelease && !isCommand
    const ours = by.kind === 'service' || by.ours
    const isRefused = isBefore
      ? how === 'below'
        ? source.writable
        : !mount.readOnly && !(await hasAlready(by, place, sources, table))
      : source.writable || (!mount.readOnly && (ours || how === 'above'))
    if (!isRefused || (by.kind === 'container' && !(await by.lives()))) continue
    const whose =
      by.kind === 'container' && (by.service === undefined || isOwn)
        ? `the container ${by.name}`
        : isOwn
          ? `r${by.release} of ${service}`
          : `the service ${by.service}`
    return {
      message: `${title} lies ${how} ${shown(host, source.place.written)}, which ${whose} mounts: ${why({ writable: how === 'below' ? source.writable : !mount.readOnly })}`,
      hint: isOwn
        ? !isOwnRelease
          ? `Give it a place beside. Or end the command that runs in ${by.name} before the next deploy`
          : `Give it a place beside. Or stop the release that runs before the next deploy: mypaas server stop ${service}`
        : ours
          ? `Give it a place of its own, neither below nor above that: ${exampleInHome({ service })}`
          : `Give it a place of its own. Or, if that container is trusted like the machine itself, set in [server] of ${host.directory}/config.toml: trusted_containers = ${JSON.stringify([...host.trustedContainers, by.name])}`,
    }
  }
  return undefined
}

/**
 * Of the service itself: a release that is not meant to run, and a replica that was made and never started. Only those of
 * the release that is meant to run are ever started again, and that release counts anyway.
 */
function isOver(by: Holder): boolean {
  return by.kind === 'service' ? !by.isMeant : by.isMade && !by.isRun
}

/** Whether a release that runs can write a place above a mount of its own already: nothing gets worse by the next one. */
async function hasAlready(
  before: Holder,
  place: Place,
  sources: readonly Source[],
  table: Mounted['table'],
): Promise<boolean> {
  for (const { by, writable, place: other } of sources) {
    const isSame = by.service === before.service && by.release === before.release
    if (!isSame || !writable || isOver(by) || !table.same(place, other)) continue
    if (by.kind === 'service' || (by.ours && !by.isRun && (await by.lives()))) return true
  }
  return false
}

/** Whether links on the way to a mount are a person's: no container can change the way, and it ends where it may. */
async function isHarmless(host: Host, place: Place, mounted: Mounted): Promise<boolean> {
  const { sources, table, ours } = mounted
  if (sources.some((source) => source.writable && table.isBelow(place, source.place))) return false
  if (ours.some((one) => table.same(place, one.place) || relation(table, place, one.place) !== undefined)) return false
  const home = pathInHome(place.real, host.homeRules)
  if (home !== undefined) return home !== '' && homeProblem(home, anyHome) === undefined
  const roots = await Promise.all(host.volumeRoots.map(async (root) => (await follow(root)).real))
  return rootProblem(host, place.real, roots) === undefined
}
