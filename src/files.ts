import { chmod, chown, type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MypaasError } from './errors.ts'

/**
 * Writes a whole file or nothing: a temporary file in `scratch` (on the same file system), synced, renamed, and the
 * folder synced, so that a power cut leaves the old content or the new.
 * @throws {MypaasError} `failed` when the disk is full; the old content is there then
 */
export async function writeDurably(
  file: string,
  content: string,
  options: { scratch?: string; mode?: number; groupId?: number } = {},
): Promise<void> {
  const folder = dirname(file)
  const scratch = options.scratch ?? folder
  await mkdir(scratch, { recursive: true, mode: 0o700 })
  const temporary = join(scratch, `.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`)
  try {
    const handle = await open(temporary, 'wx', 0o600)
    try {
      // The mask of a process takes from what is asked for: the daemon's unit has one that leaves nothing to a group.
      if (options.mode !== undefined) await handle.chmod(options.mode)
      await handle.writeFile(content)
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (options.groupId !== undefined && options.groupId >= 0) await chown(temporary, -1, options.groupId)
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    throw explain(error, file)
  }
  const directory = await open(folder, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/**
 * Opens a file that is nobody else's business (0600). One that others could read before, they can't from then on.
 * @param flags as `fs.open` has them
 */
export async function openPrivate(file: string, flags: string): Promise<FileHandle> {
  const handle = await open(file, flags, 0o600)
  try {
    const { mode } = await handle.stat()
    // Another user's, who may do with it as they like: the doctor tells.
    if ((mode & 0o077) !== 0) await handle.chmod(0o600).catch(() => {})
    return handle
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Adds to a file that is nobody else's business: see {@link openPrivate}. */
export async function appendPrivately(file: string, text: string): Promise<void> {
  await using handle = await openPrivate(file, 'a')
  await handle.writeFile(text)
}

/** The text of such a file. */
export async function readPrivately(file: string): Promise<string> {
  await using handle = await openPrivate(file, 'r')
  return await handle.readFile('utf8')
}

/** Makes a folder that is nobody else's business (0700), or one that is there so. */
export async function privateFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const { mode } = await stat(folder)
  if ((mode & 0o077) !== 0) await chmod(folder, 0o700).catch(() => {})
}

/** Removes what {@link writeDurably} left in a folder when its process was killed; that of living processes stays. */
export async function removeAbandoned(folder: string): Promise<void> {
  const files = await readdir(folder).catch(() => [])
  for (const file of files) {
    const pid = /^\.(\d+)\.[a-z0-9]+\.tmp$/.exec(file)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(folder, file), { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** A full disk is nobody's bug. */
function explain(error: unknown, file: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new MypaasError(`${file} can't be written: no space is left on the disk.`, {
    code: 'failed',
    hint: `Free some (df -h ${dirname(file)} shows what there is), then run this again.`,
    cause: error,
  })
}

/** The text of a file, or `undefined` when there is none. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
