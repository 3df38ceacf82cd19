import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readIfThere } from '../files.ts'

/** What the daemon holds while it runs, and says in it since when. */
export function daemonLock(directory: string): string {
  return join(directory, 'daemon.lock')
}

/**
 * Whether the daemon that runs was started before mypaas was last installed: then it is the old one.
 * @param program A file of the installation; this one unless given.
 */
export async function isDaemonOutdated(
  directory: string,
  program: string = fileURLToPath(import.meta.url),
): Promise<boolean> {
  const [, since] = /, since (\S+)\)$/.exec((await readIfThere(daemonLock(directory))) ?? '') ?? []
  if (since === undefined) return false
  // Not when its content was changed, which packages set to a day long ago, but when the file came here.
  return (await stat(program)).ctimeMs > Date.parse(since)
}
