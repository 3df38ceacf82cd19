import { MypaasError } from '../errors.ts'
import { quote, type Report } from './problems.ts'

/** How long the name of a service may be: with release and replica it still fits in one DNS label. */
export const maxNameLength = 40

/**
 * The name of a service: lower-case letters and digits, with single `.`, `_` or `-` (or `__`) between them. So it can
 * stand as it is in the name of an image, of a container and of a file, and everything that is derived from it below
 * belongs to this service only.
 */
export function parseServiceName(text: string, report: Report): string | undefined {
  const problem = nameProblem(text)
  if (problem === undefined) return text
  const better = betterName(text)
  report(
    `${quote(text)} can't be the name of a service: ${problem}`,
    better && `For example: mypaas.service = ${better}`,
  )
  return undefined
}

/** Whether a service can have that name. */
export function isServiceName(text: string): boolean {
  return nameProblem(text) === undefined
}

/**
 * The same name, which may become part of a path, of a filter or of a reference from here on.
 * @throws {MypaasError} `usage` when no service can have it
 */
export function checkedName(text: string): string {
  const problem = nameProblem(text)
  if (problem === undefined) return text
  throw new MypaasError(`${quote(text)} can't be the name of a service: ${problem}.`, {
    code: 'usage',
    hint: 'The services of a server: mypaas server status, or from elsewhere: mypaas status SERVER',
  })
}

/** `NAME-r7-1`: one replica of one release. */
export function containerName(service: string, release: number, replica: number): string {
  return `${service}-r${release}-${replica}`
}

/** `NAME:r7`: what a release runs. */
export function imageReference(service: string, release: number): string {
  return `${service}:r${release}`
}

/**
 * What a service is called on the network that all services share: `blog` is `blog`. A name with a dot does not appear
 * as such, or a service called `api.stripe.com` would get everybody's calls to that host; its dots become two dashes:
 * `blog.api` is `blog--api`. Two, because `blog-api` may be another service, today or later, and must not get calls
 * that were meant for this one. No name has two dashes in a row, so no two services ever share an alias.
 */
export function networkAliases(service: string): readonly string[] {
  return [service.replaceAll('.', '--')]
}

/**
 * The name of one replica on the router's side: `up-NAME-r7-x1`, one DNS label of `a-z`, `0-9` and `-`. Dots and
 * underscores become dashes too; which dash was what is a number at the end (`up-blog-api-r7-x1s1` for `blog.api`), so
 * that no two of (service, release, replica) have the same one. It never looks like a container's name, which ends in
 * a dash and a number. At most 63 characters up to release 9,999,999 and replica 100.
 */
export function gateAlias(service: string, release: number, replica: number): string {
  let separators = 0
  let weight = 1
  const dashed = service.replace(/__|[-._]/g, (separator) => {
    separators += weight * ['-', '.', '_', '__'].indexOf(separator)
    weight *= 4
    return '-'
  })
  return `up-${dashed}-r${release}-x${replica}${separators === 0 ? '' : `s${separators.toString(36)}`}`
}

/** Why a name can't be, as the end of a sentence. */
function nameProblem(name: string): string | undefined {
  if (name.length > maxNameLength) return `it is ${name.length} characters long, at most ${maxNameLength} are allowed`
  if (!/^[a-z0-9._-]*$/.test(name)) return 'only a-z, 0-9 and . _ - may be in it'
  if (!/^[a-z0-9](?:.*[a-z0-9])?$/.test(name)) return 'it has to begin and end with a letter or a digit'
  // The grammar of Docker's image names
  if (!/^[a-z0-9]+(?:(?:__|[._-])[a-z0-9]+)*$/.test(name)) {
    return 'between two letters or digits may be one . or - or _ (or __), not more'
  }
  if (gateAlias(name, 9_999_999, 100).length > 63) return 'it has too many dots and underscores for its length'
  if (/-r\d+-\d+$/.test(name)) return 'the ending -rNUMBER-NUMBER is for the containers of a service'
  const ending = ownFileEndings.find((ending) => name.endsWith(ending))
  if (ending) return `the ending ${ending} is for files that the server keeps for each service`
  if (name.startsWith('mypaas') || reservedNames.includes(name)) return 'mypaas itself uses that name'
  return undefined
}

const reservedNames: readonly string[] = ['all', 'traefik', 'router', 'daemon', 'stats', 'localhost']

/** `blog` has a file `blog.json`, and a service of that name would have a directory there. */
const ownFileEndings: readonly string[] = ['.json', '.lock', '.log', '.tmp', '.toml', '.yml', '.yaml']

/** A name like the wrong one that could be: the ASCII letters, digits and separators of it. */
function betterName(text: string): string | undefined {
  const name = text
    .slice(0, 200)
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/([._-])[._-]+/g, '$1')
    .replace(/^[._-]+/, '')
    .slice(0, maxNameLength)
    .replace(/[._-]+$/, '')
  const allowed = [name, `${name}-app`, `my-${name}`].find((candidate) => nameProblem(candidate) === undefined)
  return name === '' ? undefined : allowed
}
