import { readFile, readlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { MypaasError } from '../errors.ts'

/** A path as the kernel would follow it now. */
export type Place = Readonly<{
  /** As somebody wrote it. */
  written: string
  /** Links followed; what does not exist yet stays as it is. */
  real: string
  /** The links on the way, each by the real path of where it lies. */
  links: readonly string[]
  /** The first directory on the way that mypaas may not look into: what comes after it is as it was written. */
  unseen?: string
}>

/**
 * Follows a path component by component, as far as mypaas may look.
 * @throws {MypaasError} `directives` when it goes in circles or through a file
 */
export async function follow(written: string): Promise<Place> {
  const links: string[] = []
  let real = '/'
  for (let rest = partsOf(written); rest.length > 0; ) {
    const [name = '', ...more] = rest
    rest = more
    if (name === '..') {
      real = dirname(real)
      continue
    }
    const at = join(real, name)
    const target = await targetOf(at, written)
    if (target === unseen) return { written, real: join(at, ...more), links, unseen: real }
    if (target === undefined) {
      real = at
      continue
    }
    links.push(at)
    if (links.length > maxLinks) {
      throw new MypaasError(`${written} goes in circles: it has more than ${maxLinks} links in it.`, {
        code: 'directives',
      })
    }
    rest = [...partsOf(target), ...rest]
    if (target.startsWith('/')) real = '/'
  }
  return { written, real, links }
}

const maxLinks = 40 // as the kernel
const unseen = Symbol('in a directory that is closed to us')

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

/** Where a link leads; `undefined` for what is no link, or not there. */
async function targetOf(path: string, whole: string): Promise<string | undefined | typeof unseen> {
  try {
    return await readlink(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EINVAL' || code === 'ENOENT') return undefined
    if (code === 'ENOTDIR') {
      throw new MypaasError(`${whole} can't be mounted: ${dirname(path)} is a file.`, { code: 'directives' })
    }
    if (code === 'EACCES') return unseen
    throw error
  }
}

/**
 * What is mounted where on this machine. A directory can be reached by more than one path without any link, where it, or
 * one above it, is mounted a second time (`mount --bind`).
 */
export class MountTable {
  readonly #mounts: ReadonlyMap<string, Location>
  // Each place is looked at once, however many it is compared with.
  readonly #reach = new Map<string, readonly string[]>()
  readonly #above = new Map<string, ReadonlySet<string>>()

  /** @param text as `/proc/self/mountinfo`; without any, each path is a place of its own */
  constructor(text: string) {
    const mounts = new Map<string, Location>([['/', { device: '', path: '/' }]])
    for (const line of text.split('\n')) {
      const [, , device, root, point] = line.split(' ')
      // The last one on a place is the one that is seen.
      if (device !== undefined && root !== undefined && point !== undefined)
        mounts.set(unescaped(point), { device, path: unescaped(root) })
    }
    this.#mounts = mounts
  }

  static async read(): Promise<MountTable> {
    return new MountTable(await readFile('/proc/self/mountinfo', 'utf8').catch(() => ''))
  }

  /** Whether two paths are the same directory or file. */
  same(a: Place, b: Place): boolean {
    const [one, other] = [this.#locate(a.real), this.#locate(b.real)]
    return one.device === other.device && one.path === other.path
  }

  /**
   * Whether whoever can write `upper` can change where `lower` leads: a part of its path, or a link on its way, lies
   * strictly below.
   */
  isBelow(lower: Place, upper: Place): boolean {
    const above = this.above(lower)
    return this.reach(upper).some((region) => above.has(region))
  }

  /** What a container that has a place mounted can reach: it, and what is mounted below it. */
  reach({ real }: Place): readonly string[] {
    return kept(this.#reach, real, () => {
      const below = [...this.#mounts].filter(([point]) => strictlyBelow(point, real)).map(([, location]) => location)
      return [...new Set([this.#locate(real), ...below].map(keyOf))]
    })
  }

  /** Everything strictly above a place and above the links on its way, as {@link reach} says it. */
  above({ real, links }: Place): ReadonlySet<string> {
    return kept(this.#above, [real, ...links].join('\0'), () => {
      const ways = [real, ...links].flatMap((path) => this.#way(path))
      return new Set(
        ways.flatMap(({ device, path }) => parentsOf(path).map((parent) => keyOf({ device, path: parent }))),
      )
    })
  }

  #locate(path: string): Location {
    return this.#way(path).at(-1) as Location
  }

  /** Where a path comes along, one place for each file system that it goes through: the last is its own. */
  #way(path: string): readonly Location[] {
    const points = [...parentsOf(path).toReversed(), path].filter((at) => this.#mounts.has(at))
    return points.map((point, index) => {
      const { device, path: root } = this.#mounts.get(point) as Location
      return { device, path: join(root, relative(point, points[index + 1] ?? path)) }
    })
  }
}

/** A file system, and a path in it. */
type Location = Readonly<{ device: string; path: string }>

function keyOf({ device, path }: Location): string {
  return `${device} ${path}`
}

function kept<T>(known: Map<string, T>, key: string, make: () => T): T {
  const value = known.get(key) ?? make()
  known.set(key, value)
  return value
}

/** The paths that a path is strictly below, the nearest first. */
function parentsOf(path: string): string[] {
  const parents: string[] = []
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) parents.push(path.slice(0, end))
  if (path.startsWith('/') && path !== '/') parents.push('/')
  return parents
}

/** Component by component, not by prefix. */
export function strictlyBelow(path: string, root: string): boolean {
  return path !== root && path.startsWith(root === '/' ? '/' : `${root}/`)
}

/** The kernel writes blanks and backslashes as three digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
