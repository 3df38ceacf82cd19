import { nearest } from '../nearest.ts'
import { exampleInHome, type HomeRules, homeProblem, pathInHome, usualHome } from './home.ts'
import { quote, type Report, unseen } from './problems.ts'
import { type Mount, type MountOption, mountOptions } from './spec.ts'

/**
 * `~/data/pg:/var/lib/postgresql/data`, `pg-data:/data:ro`, `/srv/media:/media` → what is mounted where. All paths come
 * out clean: no `.`, no `..`, no empty part, no slash at the end.
 */
export function parseVolume(text: string, report: Report, home: HomeRules = usualHome): Mount | undefined {
  if (text.length > maxVolumeLength) {
    report(`${quote(text)} has more than ${maxVolumeLength} characters`, 'Give shorter paths')
    return undefined
  }
  if (/[ \t]#/.test(text)) {
    report(`${quote(text)} has a # in it`, 'Write nothing behind the volume, not even a comment')
    return undefined
  }
  const [source = '', target, options, ...more] = text.split(':')
  if (target === undefined) {
    const example = source.startsWith('/') && isPlainPath(source.slice(1)) ? `~/NAME:${source}` : '~/NAME:/data'
    report(
      `${quote(text)} does not say what to mount where`,
      `Write SOURCE:TARGET, for example mypaas.volume = ${example} (what is not in a named place is lost with the next release)`,
    )
    return undefined
  }
  if (more.length > 0) {
    report(`${quote(text)} has more than SOURCE:TARGET:OPTIONS`, 'A path with a colon in it can not be mounted')
    return undefined
  }
  const from = parseSource(source, report, home)
  const to = parseTarget(target, report)
  const how = options === undefined ? { readOnly: false } : parseOptions(options, report, from?.kind)
  if (from === undefined || to === undefined || how === undefined) return undefined
  return { ...from, target: to, ...how }
}

/** Each part of a path is asked for, one after the other, whenever the service starts. */
const maxVolumeLength = 1024

/** As it is written in a Dockerfile. The inverse of `parseVolume`. */
export function formatVolume(mount: Mount): string {
  const source = mount.kind === 'home' ? `~/${mount.path}` : mount.kind === 'host' ? mount.path : mount.name
  return `${source}:${mount.target}${formatOptions(mount)}`
}

/** `:ro,z`, as it stands behind the target; empty if there are none. */
export function formatOptions({ readOnly, options = [] }: Pick<Mount, 'readOnly' | 'options'>): string {
  const all = [...(readOnly ? ['ro'] : []), ...options]
  return all.length > 0 ? `:${all.join(',')}` : ''
}

/** What Docker takes for the name of a volume. */
export function isVolumeName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{1,254}$/.test(text)
}

type Source = { kind: 'home' | 'host'; path: string } | { kind: 'named'; name: string }

function parseSource(source: string, report: Report, home: HomeRules): Source | undefined {
  if (source === '~' || source === '~/') return refuseHome(report, home)
  if (source.startsWith('~/')) {
    return inHome(cleanPath(source.slice(1), report, source)?.slice(1), report, home)
  }
  if (source.startsWith('/')) {
    const path = cleanPath(source, report)
    if (path === '/')
      report('the root of the file system is not mounted', `Give a directory below the home: ${exampleInHome(home)}`)
    const below = path === undefined ? undefined : pathInHome(path, home)
    if (below === '') return refuseHome(report, home)
    if (below !== undefined) return inHome(below, report, home)
    return path === undefined || path === '/' ? undefined : { kind: 'host', path }
  }
  if (isVolumeName(source)) return { kind: 'named', name: source }

  const rest = /^(?:\$HOME|\$\{HOME\}|~[^/]*|\.+)?\/+(.+)$/s.exec(source)?.[1] ?? source
  const isName = /^[A-Za-z0-9]$/.test(source)
  report(
    isName
      ? `${quote(source)} is too short for the name of a volume: Docker wants two characters or more`
      : `${quote(source)} is neither a path that begins with ~/ or / nor the name of a volume`,
    isPlainPath(rest)
      ? `For a directory below the server's home: ~/${rest}`
      : `For example: ${exampleInHome(home)} or ${home.service ?? 'shop'}-data`,
  )
  return undefined
}

function refuseHome(report: Report, home: HomeRules): undefined {
  report(
    'the home directory as a whole is not mounted: it has keys and secrets in it',
    `Give a directory below it: ${exampleInHome(home)}`,
  )
}

function inHome(path: string | undefined, report: Report, home: HomeRules): Source | undefined {
  if (path === undefined) return undefined
  const problem = homeProblem(path, home)
  if (problem === undefined) return { kind: 'home', path }
  report(problem.message, problem.hint)
  return undefined
}

function parseTarget(target: string, report: Report): string | undefined {
  if (!target.startsWith('/')) {
    report(
      `${quote(target)}, where to mount it in the container, is not an absolute path`,
      isPlainPath(target) ? `Write /${target}` : 'For example: /data',
    )
    return undefined
  }
  const path = cleanPath(target, report)
  if (path === undefined) return undefined
  if (path === '/' || path === '/proc' || path.startsWith('/proc/')) {
    report(`${path === '/' ? 'the whole container' : path} can not be mounted over`, 'Give another directory: /data')
    return undefined
  }
  return path
}

/** Docker takes one option of each kind. */
const kinds: readonly (readonly string[])[] = [
  ['ro', 'rw'],
  ['z', 'Z'],
  ['nocopy'],
  ['cached', 'delegated', 'consistent'],
  ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'],
]
const propagations = kinds[4] as readonly string[]

function parseOptions(
  text: string,
  report: Report,
  source: Mount['kind'] | undefined,
): Pick<Mount, 'readOnly' | 'options'> | undefined {
  const written = text.split(',')
  const unknown = written.find((option) => !kinds.flat().includes(option))
  if (unknown !== undefined) {
    const meant =
      kinds.flat().find((option) => option.toLowerCase() === unknown.toLowerCase()) ??
      nearest(
        unknown,
        kinds.flat().filter(({ length }) => length > 2),
      )
    report(
      `${quote(unknown)} is no option for a volume`,
      meant === undefined
        ? 'There are ro, rw, z, Z, nocopy, cached, delegated, consistent, and private, slave, shared with or without an r in front'
        : `Did you mean ${meant}?`,
    )
    return undefined
  }
  for (const kind of kinds) {
    const [one, other] = written.filter((option) => kind.includes(option))
    if (other === undefined) continue
    report(`${quote(text)} has ${one} and ${other}, of which there can be one`, 'Leave one of them out')
    return undefined
  }
  const misplaced = written.find((option) =>
    source === 'named' ? propagations.includes(option) : option === 'nocopy' && source !== undefined,
  )
  if (misplaced !== undefined) {
    report(
      source === 'named'
        ? `${misplaced} is for directories of the server, and this is a volume of Docker`
        : 'nocopy is for volumes of Docker: nothing is copied into a directory of the server',
      'Leave it out',
    )
    return undefined
  }
  const options = written.filter((option): option is MountOption =>
    (mountOptions as readonly string[]).includes(option),
  )
  return { readOnly: written.includes('ro'), ...(options.length > 0 ? { options } : {}) }
}

/** An absolute path without the slash at its end; `undefined`, and a report, if it is not clean otherwise. */
function cleanPath(path: string, report: Report, shown: string = path): string | undefined {
  const parts = path.split('/').slice(1)
  if (parts.at(-1) === '') parts.pop()
  if (path.length > 1000) report(`the path ${quote(shown)} is longer than 1000 characters`)
  else if (parts.some((part) => part === '.' || part === '..')) {
    report(`the path ${quote(shown)} has a part "." or ".."`, 'Write it without')
  } else if (unseen.test(path.replaceAll(' ', ''))) {
    report(`the path ${quote(shown)} has a character that nobody can see`, 'Write it without')
  } else if (parts.includes('')) report(`the path ${quote(shown)} has two slashes in a row`, 'Write it with one')
  else if (parts.some((part) => part !== part.trim())) {
    report(`a part of the path ${quote(shown)} begins or ends with a blank`, 'Write it without')
  } else return `/${parts.join('/')}`
  return undefined
}

function isPlainPath(text: string): boolean {
  return /^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*\/?$/.test(text)
}
