import { chmod, link, lstat, mkdir, open, realpath, rm, symlink } from 'node:fs/promises'
import { dirname, join, posix } from 'node:path'
import type { Extract, Header } from 'tar-stream'
import { DockerError } from './errors.ts'

/** One thing in an archive. Read `body` to its end, or not at all, before the next entry is asked for. */
export type ArchiveEntry = {
  /** Relative, with `/` between its parts, none of them `..`; `.` is the archive's own root. */
  path: string
  type: 'file' | 'directory' | 'symlink' | 'link' | 'device'
  /** Bytes; 0 unless it is a file. */
  size: number
  /** The permissions, with the bits for set-id and sticky. */
  mode: number
  mtime: Date
  uid: number
  gid: number
  /** Where a symlink points to, as it stands; for a (hard) link the `path` of another entry. */
  target: string | undefined
  body: AsyncIterable<Uint8Array>
}

export type ArchiveLimits = {
  /** Of all files together. Default 16 GiB. */
  maxBytes?: number | undefined
  /** Default 1,000,000. */
  maxEntries?: number | undefined
}

export type ArchiveReadOptions = ArchiveLimits & {
  /** `any` also takes links that lead out, as every root file system has them: for entries that are only looked at. */
  links?: 'inside' | 'any' | undefined
}

/**
 * Reads a tar archive that somebody else made (`getArchive`, `export`).
 * @throws {DockerError} `context` for an archive that is broken, or larger than the limits, or that would reach outside
 *   of the directory that it is unpacked in: absolute paths, `..`, links that lead out
 */
export async function* readArchive(
  tar: AsyncIterable<Uint8Array>,
  options: ArchiveReadOptions = {},
): AsyncGenerator<ArchiveEntry, void> {
  const { maxBytes = 16 * 1024 ** 3, maxEntries = 1_000_000, links: allowed = 'inside' } = options
  const { extract } = await import('tar-stream')
  const extractor = extract()
  const feeding = feed(tar, extractor)
  let failure: Error | undefined
  extractor.on('error', (error) => {
    failure ??= error
  })
  const broken = (error: unknown) => {
    if (error instanceof DockerError) return error
    const cause = failure ?? (error as Error)
    return new DockerError(`The archive is broken: ${cause.message}.`, { code: 'context', cause })
  }
  const links = new Links()
  let bytes = 0
  let entries = 0
  try {
    for await (const source of extractor) {
      const entry = entryOf(source.header, told(source as unknown as AsyncIterable<Uint8Array>, broken))
      if (allowed === 'inside') links.add(entry)
      bytes += entry.size
      entries += 1
      if (bytes > maxBytes || entries > maxEntries) {
        throw refused(`it is larger than ${bytes > maxBytes ? `${maxBytes} bytes` : `${maxEntries} entries`}`)
      }
      yield entry
      source.resume()
    }
    await feeding
    links.check()
  } catch (error) {
    throw broken(error)
  } finally {
    extractor.destroy()
    await feeding.catch(() => {})
  }
}

/**
 * Unpacks a tar archive into a directory, as the user who runs this. Nothing is written outside of it, whatever the
 * archive says; devices are left out. Files that are there already are replaced.
 * @throws {DockerError} as {@link readArchive}; what was unpacked until then stays
 */
export async function unpackArchive(
  tar: AsyncIterable<Uint8Array>,
  directory: string,
  { maxBytes, maxEntries }: ArchiveLimits = {},
): Promise<void> {
  await mkdir(directory, { recursive: true })
  const root = await realpath(directory)
  // Links are made when all else is there, so that nothing can be written through one.
  const late: ArchiveEntry[] = []
  const modes: [path: string, mode: number][] = []
  for await (const entry of readArchive(tar, { maxBytes, maxEntries })) {
    const path = join(root, entry.path)
    if (entry.type === 'directory') {
      await makeDirectory(root, entry.path)
      modes.push([path, entry.mode])
    } else if (entry.type === 'file') {
      await makeDirectory(root, posix.dirname(entry.path))
      await writeFile(path, entry)
    } else if (entry.type !== 'device') late.push(entry)
  }
  for (const { path, type, target = '' } of late.sort((a, b) => (a.type < b.type ? -1 : 1))) {
    await makeDirectory(root, posix.dirname(path))
    await rm(join(root, path), { force: true })
    if (type === 'symlink') await symlink(target, join(root, path))
    else await link(await plainFile(root, target), join(root, path))
  }
  // Last, for a directory may forbid to write in it.
  for (const [path, mode] of modes.reverse()) await chmod(path, mode & 0o777)
}

async function feed(tar: AsyncIterable<Uint8Array>, extractor: Extract): Promise<void> {
  try {
    for await (const chunk of tar) {
      if (extractor.destroyed) return
      if (extractor.write(chunk)) continue
      await new Promise<void>((resolve) => {
        const done = () => {
          extractor.off('drain', done)
          extractor.off('close', done)
          resolve()
        }
        extractor.on('drain', done)
        extractor.on('close', done)
        if (extractor.destroyed) done()
      })
    }
    extractor.end(null)
  } catch (error) {
    extractor.destroy(error as Error)
    throw error
  }
}

/** The same bytes, with errors that say that it is the archive. */
async function* told<T>(bytes: AsyncIterable<T>, explain: (error: unknown) => Error): AsyncGenerator<T> {
  try {
    yield* bytes
  } catch (error) {
    throw explain(error)
  }
}

function entryOf(header: Header, body: AsyncIterable<Uint8Array>): ArchiveEntry {
  const path = insidePath(header.name)
  const type = typeOf(header)
  const hasTarget = type === 'symlink' || type === 'link'
  return {
    path,
    type,
    size: type === 'file' ? header.size : 0,
    mode: header.mode & 0o7777,
    mtime: header.mtime,
    uid: header.uid,
    gid: header.gid,
    target: !hasTarget ? undefined : type === 'link' ? insidePath(header.linkname) : header.linkname,
    body,
  }
}

function typeOf({ type }: Header): ArchiveEntry['type'] {
  if (type === 'directory' || type === 'symlink' || type === 'link') return type
  return type === 'file' || type === 'contiguous-file' ? 'file' : 'device'
}

function insidePath(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (name.startsWith('/')) throw refused(`the path ${JSON.stringify(name)} is absolute`)
  if (parts.includes('..')) throw refused(`the path ${JSON.stringify(name)} has “..” in it`)
  if (name.includes('\0')) throw refused(`the path ${JSON.stringify(name)} has a zero byte in it`)
  return parts.length === 0 ? '.' : parts.join('/')
}

/** The symlinks of an archive: where they lead depends on each other, so they are followed through each other. */
class Links {
  readonly #targets = new Map<string, string>()

  add({ path, type, target }: ArchiveEntry): void {
    if (type !== 'symlink' || target === undefined) return
    if (target === '' || target.startsWith('/')) throw leaves(path, target)
    this.#targets.set(path, target)
    this.#follow(path, target)
  }

  /** Once more at the end, when all of them are known. */
  check(): void {
    for (const [path, target] of this.#targets) this.#follow(path, target)
  }

  #follow(path: string, target: string): void {
    const at = path.split('/').slice(0, -1)
    const todo = target.split('/')
    for (let steps = 0; todo.length > 0; steps++) {
      const part = todo.shift() as string
      if (part === '' || part === '.') continue
      if (part === '..') {
        if (at.pop() === undefined) throw leaves(path, target)
        continue
      }
      at.push(part)
      const next = this.#targets.get(at.join('/'))
      if (next === undefined) continue
      // A circle leads nowhere, so not outside either.
      if (steps > 1000) return
      at.pop()
      todo.unshift(...next.split('/'))
    }
  }
}

async function makeDirectory(root: string, path: string): Promise<void> {
  let at = root
  for (const part of path === '.' ? [] : path.split('/')) {
    at = join(at, part)
    await mkdir(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    if (!(await lstat(at)).isDirectory())
      throw refused(`${JSON.stringify(path)} leads through something that is no directory`)
  }
}

async function writeFile(path: string, entry: ArchiveEntry): Promise<void> {
  await rm(path, { force: true })
  await using file = await open(path, 'wx', entry.mode & 0o777)
  for await (const chunk of entry.body) await file.writeFile(chunk)
  await file.chmod(entry.mode & 0o777)
  await file.utimes(entry.mtime, entry.mtime)
}

async function plainFile(root: string, path: string): Promise<string> {
  const file = join(root, path)
  const stat = await lstat(file).catch(() => undefined)
  if (!stat?.isFile() || (await realpath(dirname(file))) !== dirname(file)) {
    throw refused(`there is no file ${JSON.stringify(path)} to link to`)
  }
  return file
}

function leaves(path: string, target: string): DockerError {
  return refused(`the link ${JSON.stringify(path)} leads out of it, to ${JSON.stringify(target)}`)
}

function refused(why: string): DockerError {
  return new DockerError(`The archive is refused: ${why}.`, { code: 'context', hint: 'Nothing outside was touched.' })
}
