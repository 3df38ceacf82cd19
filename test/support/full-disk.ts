import { execFile } from 'node:child_process'
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A file system of that many MB in memory, mounted until the test's end. @returns where */
export async function memoryDisk(
  t: { after: (fn: () => Promise<unknown>) => void },
  megabytes: number,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder])
  t.after(() => run('umount', ['--lazy', folder]))
  return folder
}

/** Takes all that is left of a file system, until it is disposed of. */
export async function fill(folder: string): Promise<AsyncDisposable> {
  const { bavail, bsize } = await statfs(folder)
  const file = join(folder, 'full')
  await run('fallocate', ['-l', `${bavail * bsize}`, file]).catch(() => {})
  // It may have left a little.
  await writeFile(file, new Uint8Array(8 * 1024 * 1024), { flag: 'a' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOSPC') throw error
  })
  return { [Symbol.asyncDispose]: () => rm(file, { force: true }) }
}
