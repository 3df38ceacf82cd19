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
}>

/**
 * Follows a path component by component.
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

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

/** Where a link leads; `undefined` for what is no link, or not there. */
async function targetOf(path: string, whole: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EINVAL' || code === 'ENOENT') return undefined
    if (code === 'ENOTDIR') {
      throw new MypaasError(`${whole} can't be mounted: ${dirname(path)} is a file.`, { code: 'directives' })
    }
    if (code === 'EACCES') {
      throw new MypaasError(`${whole} can't be mounted: mypaas may not look into ${dirname(path)}.`, {
        code: 'directives',
      })
    }
    throw error
  }
}

/**
 * What is mounted where on this machine. A directory can be reached by more than one path without any link, where it, or
 * one above it, is mounted a second time (`mount --bind`).
 */
export class MountTable {
  readonly #mounts: ReadonlyMap<string, Location>

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
    const regions = this.#regions(upper.real)
    return [lower.real, ...lower.links].some((path) =>
      this.#way(path).some((at) =>
        regions.some((region) => region.device === at.device && strictlyBelow(at.path, region.path)),
      ),
    )
  }

  #locate(path: string): Location {
    return this.#way(path).at(-1) as Location
  }

  /** Where a path comes along, one place for each file system that it goes through: the last is its own. */
  #way(path: string): readonly Location[] {
    const points: string[] = []
    for (let at = path; ; at = dirname(at)) {
      if (this.#mounts.has(at)) points.unshift(at)
      if (at === dirname(at)) break
    }
    return points.map((point, index) => {
      const { device, path: root } = this.#mounts.get(point) as Location
      return { device, path: join(root, relative(point, points[index + 1] ?? path)) }
    })
  }

  /** What a container that has a path mounted can reach: it, and what is mounted below it. */
  #regions(path: string): readonly Location[] {
    const below = [...this.#mounts].filter(([point]) => strictlyBelow(point, path)).map(([, location]) => location)
    return [this.#locate(path), ...below]
  }
}

/** A file system, and a path in it. */
type Location = Readonly<{ device: string; path: string }>

/** Component by component, not by prefix. */
export function strictlyBelow(path: string, root: string): boolean {
  return path !== root && path.startsWith(root === '/' ? '/' : `${root}/`)
}

/** The kernel writes blanks and backslashes as three digits. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}
