import { constants } from 'node:fs'
import { lstat, mkdir, open, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { NotFoundError } from '../docker/index.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { readForeignFile } from './foreign-file.ts'
import type { Host } from './host.ts'
import { checkLinks, refusal, refuseForeignVolume, type SpecSource, titleOf } from './mounts.ts'

/**
 * Makes the directories that a container needs and that are missing, for the user that its image runs as. Called just
 * before a start: the engine follows links anew at each.
 * @param options.strict As {@link checkLinks}.
 */
export async function prepareMounts(
  host: Host,
  spec: ServiceSpec,
  container: string,
  user: string,
  options: { strict?: boolean; from?: SpecSource | undefined } = {},
): Promise<void> {
  await checkLinks(host, spec, options)
  const made: string[] = []
  try {
    for (const mount of spec.volumes) {
      if (mount.kind === 'named') continue
      const path = mount.kind === 'home' ? join(host.home, mount.path) : mount.path
      const missing = await firstMissing(path)
      if (missing === undefined) continue
      for (let at = path; at.length >= missing.length; at = dirname(at)) made.push(at)
      made.sort((a, b) => b.length - a.length)
      await mkdir(path, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
        throw refusal(spec, [{ mount, ...notMade(titleOf(host, mount), missing, error) }], options.from)
      })
    }
    // All are there before the engine is asked for a file of the container: it would make them itself, as root.
    if (made.length > 0) await give(made, await userOf(host, container, user))
  } catch (error) {
    // The next try is to find them missing again, not as root's.
    for (const directory of made) await rmdir(directory).catch(() => {})
    throw error
  }
}

function notMade(title: string, missing: string, error: NodeJS.ErrnoException): { message: string; hint: string } {
  const why: Readonly<Record<string, string>> = {
    ENOTDIR: `${dirname(missing)} is no directory`,
    EACCES: `the user that runs mypaas may not write to ${dirname(missing)}`,
    EROFS: 'its file system is read-only',
    ENOSPC: 'its disk is full',
  }
  return {
    message: `${title} is not there and can't be made: ${why[error.code ?? ''] ?? error.message}`,
    hint: 'Give another place, or make it by hand',
  }
}

/** Gives directories to whom they are for. @param made The deepest first. */
async function give(made: readonly string[], owner: Readonly<{ uid: number; gid: number }>): Promise<void> {
  for (const directory of made) {
    // The deepest first, so that whoever gets one can't change what is still to be given; and never through a link.
    const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    try {
      await handle.chmod(0o755) // whatever mask the process has
      if (process.getuid?.() === 0) await handle.chown(owner.uid, owner.gid)
    } finally {
      await handle.close()
    }
  }
}

/**
 * Makes the named volumes that are missing, labelled as the service's, so that it is known whose they are.
 * @param options.strict Refuses one that mypaas did not make for the service, unless the config allows it.
 */
export async function prepareVolumes(
  host: Host,
  spec: ServiceSpec,
  options: { strict?: boolean; from?: SpecSource | undefined } = {},
): Promise<void> {
  for (const mount of spec.volumes) {
    if (mount.kind !== 'named') continue
    // The engine makes it, or gives back one of that name that is there, also if it came a moment ago.
    const volume =
      (await host.docker.volumes.inspect(mount.name).catch((error: unknown) => {
        if (!(error instanceof NotFoundError)) throw error
      })) ??
      (await host.docker.volumes.create({
        Name: mount.name,
        Labels: { 'mypaas.server': host.server, 'mypaas.volume.service': spec.service },
      }))
    if (options.strict === true) refuseForeignVolume(host, spec, { mount, found: volume, from: options.from })
  }
}

async function firstMissing(path: string): Promise<string | undefined> {
  let missing: string | undefined
  for (let at = path; at !== dirname(at); at = dirname(at)) {
    try {
      await lstat(at)
      break
    } catch (error) {
      // What we may not look into we can't make anything in.
      if ((error as NodeJS.ErrnoException).code === 'EACCES') return undefined
      missing = at
    }
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
