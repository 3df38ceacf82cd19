import { chmod, chown, lstat, mkdir, realpath, rm } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'
import { NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import type { Mount, ServiceSpec } from '../service/spec.ts'
import { readForeignFile } from './foreign-file.ts'
import type { Host } from './host.ts'
import { type Journal, journalledServices, readJournal } from './journal.ts'

/**
 * Checks every mount of a service: below the home (never itself, `.ssh` or `_mypaas`), or below a `volume_roots` entry,
 * also after symbolic links are followed.
 * @throws {MypaasError} `directives` naming all that are not allowed and the line to add
 */
export async function checkMounts(host: Host, spec: ServiceSpec): Promise<void> {
  const problems: string[] = []
  for (const mount of spec.volumes) {
    const problem = await mountProblem(host, mount)
    if (problem) problems.push(problem)
  }
  if (problems.length > 0) throw new MypaasError(problems.join('\n'), { code: 'directives' })
}

/**
 * Makes the directories and volumes that a container needs and that are missing, for the user that its image runs as.
 * Called just before a start: the engine follows links anew at each.
 */
export async function prepareMounts(host: Host, spec: ServiceSpec, container: string, user: string): Promise<void> {
  await checkMounts(host, spec)
  let owner: { uid: number; gid: number } | undefined
  for (const mount of spec.volumes) {
    if (mount.kind === 'named') continue
    const path = mount.kind === 'home' ? join(host.home, mount.path) : mount.path
    const missing = await firstMissing(path)
    if (missing === undefined) continue
    await mkdir(path, { recursive: true })
    owner ??= await userOf(host, container, user)
    for (let made = path; made.length >= missing.length; made = dirname(made)) {
      await chmod(made, 0o755) // whatever mask the process has
      if (process.getuid?.() === 0) await chown(made, owner.uid, owner.gid)
    }
  }
}

/** Makes the named volumes that are missing, labelled as the service's, so that they can be found when it goes. */
export async function prepareVolumes(host: Host, spec: ServiceSpec): Promise<void> {
  for (const mount of spec.volumes) {
    if (mount.kind !== 'named') continue
    try {
      await host.docker.volumes.inspect(mount.name)
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
      await host.docker.volumes.create({
        Name: mount.name,
        Labels: { 'mypaas.server': host.server, 'mypaas.volume.service': spec.service },
      })
    }
  }
}

/**
 * Removes the directories and volumes that a service mounts, but for those that another service here mounts, too, and
 * host paths outside the home, which were there before.
 * @returns what was removed and what was left, in lines
 */
export async function removeVolumes(host: Host, service: string, journal: Journal): Promise<readonly string[]> {
  const releases = [journal.current, journal.next, ...(journal.previous ?? [])]
  const mounts = new Map(
    releases.flatMap((release) => release?.spec.volumes ?? []).map((mount) => [place(mount), mount]),
  )
  const others = await mountsOfOthers(host, service)
  const lines: string[] = []
  for (const [name, mount] of mounts) {
    const owner = others.find((other) => overlap(other.place, name))?.service
    if (owner !== undefined || mount.kind === 'host') {
      lines.push(`left ${name}: ${owner === undefined ? 'it is outside the home' : `${owner} mounts it, too`}`)
    } else if (mount.kind === 'home') {
      const problem = await mountProblem(host, mount)
      if (problem) throw new MypaasError(problem, { code: 'failed' })
      await rm(join(host.home, mount.path), { recursive: true, force: true })
      lines.push(`directory ${name}`)
    } else {
      await host.docker.volumes.remove(mount.name).catch((error: unknown) => {
        if (!(error instanceof NotFoundError)) throw error
      })
      lines.push(`volume ${name}`)
    }
  }
  return lines
}

async function mountsOfOthers(host: Host, service: string): Promise<{ service: string; place: string }[]> {
  const found: { service: string; place: string }[] = []
  for (const other of await journalledServices(host.directory)) {
    if (other === service) continue
    const journal = await readJournal(host.directory, other)
    for (const release of [journal?.current, journal?.next]) {
      for (const mount of release?.spec.volumes ?? []) found.push({ service: other, place: place(mount) })
    }
  }
  return found
}

/** What a mount is of, for people: `~/data`, `/srv/data`, `data`. */
function place(mount: Mount): string {
  return mount.kind === 'home' ? `~/${mount.path}` : mount.kind === 'host' ? mount.path : mount.name
}

function overlap(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`)
}

async function mountProblem(host: Host, mount: Mount): Promise<string | undefined> {
  switch (mount.kind) {
    case 'named':
      return undefined
    case 'home': {
      const home = await realpath(host.home)
      const real = await resolveExisting(join(home, mount.path))
      const inside = within(home, real)
      const first = inside?.split(sep)[0]
      if (inside === '') return `~/${mount.path} leads to the home directory itself, which no service may mount.`
      if (inside === undefined) return `~/${mount.path} leads out of the home directory: it is a link to ${real}.`
      if (first === '.ssh' || first === '_mypaas')
        return `~/${mount.path} leads to ~/${first}, which no service may mount.`
      return undefined
    }
    case 'host': {
      const real = await resolveExisting(mount.path)
      for (const root of host.volumeRoots) {
        const below = within(await resolveExisting(root), real)
        if (below !== undefined && within(root, mount.path) !== undefined) return undefined
      }
      const roots = JSON.stringify([
        ...host.volumeRoots,
        dirname(mount.path) === '/' ? mount.path : dirname(mount.path),
      ])
      return `${mount.path} is outside the home directory. To allow it, set in [server] of ${host.directory}/config.toml: volume_roots = ${roots}`
    }
  }
}

/** The path of `path` below `root`, or `undefined` when it is not: component by component, not by prefix. */
function within(root: string, path: string): string | undefined {
  const rest = relative(root, path)
  return rest.startsWith('..') || isAbsolute(rest) ? undefined : rest
}

/** What a path leads to once links are followed; components that don't exist yet stay as they are. */
async function resolveExisting(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || path === dirname(path)) throw error
    // A link to nothing: the engine would make what it points to.
    const dangling = await lstat(path).then(
      (found) => found.isSymbolicLink(),
      () => false,
    )
    if (dangling) throw new MypaasError(`${path} is a link that leads nowhere.`, { code: 'directives' })
    return join(await resolveExisting(dirname(path)), path.slice(dirname(path).length))
  }
}

async function firstMissing(path: string): Promise<string | undefined> {
  let missing: string | undefined
  for (let at = path; at !== dirname(at); at = dirname(at)) {
    const there = await lstat(at).then(
      () => true,
      () => false,
    )
    if (there) break
    missing = at
  }
  return missing
}

/**
 * The user of an image as numbers: `''` is root, names are looked up in the container's own `/etc/passwd` and
 * `/etc/group`, which whoever made the image wrote. One that is not there is taken for root: the container won't start.
 */
async function userOf(host: Host, container: string, user: string): Promise<{ uid: number; gid: number }> {
  const [name = '', group] = user.split(':')
  if (name === '' || name === 'root') return { uid: 0, gid: 0 }
  const row =
    isNumber(name) && isNumber(group)
      ? undefined
      : await rowOf(host, container, '/etc/passwd', (fields) => fields[0] === name || fields[2] === name)
  const uid = isNumber(name) ? name : row?.[2]
  if (group === undefined) return { uid: idOf(uid), gid: idOf(row?.[3]) }
  if (isNumber(group)) return { uid: idOf(uid), gid: idOf(group) }
  const found = await rowOf(host, container, '/etc/group', (fields) => fields[0] === group)
  return { uid: idOf(uid), gid: idOf(found?.[2]) }
}

function isNumber(text: string | undefined): boolean {
  return text !== undefined && /^\d+$/.test(text)
}

const maxId = 2 ** 32 - 2

function idOf(text: string | undefined): number {
  const id = isNumber(text) ? Number(text) : 0
  return id <= maxId ? id : 0
}

/** The first line that is meant, its fields: a file of only line ends costs no more than its bytes. */
async function rowOf(
  host: Host,
  container: string,
  path: string,
  isMeant: (fields: readonly string[]) => boolean,
): Promise<readonly string[] | undefined> {
  const text = (await readForeignFile(host.docker, container, path, { timeoutMs: host.engineTimeoutMs })) ?? ''
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    const fields = text.slice(at, end).split(':', 8)
    if (isMeant(fields)) return fields
    at = end + 1
  }
  return undefined
}
