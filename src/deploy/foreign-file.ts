import { posix } from 'node:path'
import { type ArchiveEntry, readArchive } from '../docker/archive.ts'
import { type Docker, NotFoundError, ServerError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'

/** What is read of a file that somebody else made. */
export const maxForeignBytes: number = 1024 ** 2
/** As many as Linux follows are not needed for `/etc/passwd`. */
const maxLinks = 8

/**
 * The text of a file in a container that whoever made the image chose: of any size and kind. Links are followed within the
 * container; nothing of it lands on the disk, and no more than a megabyte in memory.
 * @returns `undefined` when there is none
 * @throws {MypaasError} `failed` when it is larger than that, or no file
 */
export async function readForeignFile(
  docker: Docker,
  container: string,
  path: string,
  options: { timeoutMs: number },
): Promise<string | undefined> {
  let at = path
  for (let links = 0; links <= maxLinks; links += 1) {
    const found = await readEntry(docker, container, at, options)
    switch (found.kind) {
      case 'none':
        return undefined
      case 'text':
        return found.text
      case 'link':
        at = posix.resolve(posix.dirname(at), found.target)
        break
      case 'large':
        throw refused(path, `has ${found.bytes} bytes; up to ${maxForeignBytes} are read`)
      case 'other':
        throw refused(path, `is no file but a ${found.type}`)
      default:
        found satisfies never
    }
  }
  throw refused(path, 'is a link that leads in circles')
}

function refused(path: string, why: string): MypaasError {
  return new MypaasError(`${path} of the image ${why}.`, {
    code: 'failed',
    hint: 'mypaas looks there for the user of the image, to make a missing directory of a volume for it. Mend the image, give USER as numbers (1000:1000), or make the directory beforehand.',
  })
}

type Entry =
  | { kind: 'none' }
  | { kind: 'text'; text: string }
  | { kind: 'link'; target: string }
  | { kind: 'large'; bytes: number }
  | { kind: 'other'; type: string }

/** The first entry of the archive is all that there is of a file; whatever else comes is not read. */
async function readEntry(
  docker: Docker,
  container: string,
  path: string,
  options: { timeoutMs: number },
): Promise<Entry> {
  let archive: Awaited<ReturnType<Docker['containers']['getArchive']>>
  try {
    archive = await docker.containers.getArchive(container, path, options)
  } catch (error) {
    if (error instanceof NotFoundError) return { kind: 'none' }
    // The engine follows links itself, and says where on this machine that ended.
    if (error instanceof ServerError && /too many links/.test(error.message)) return { kind: 'link', target: path }
    throw error
  }
  try {
    for await (const entry of readArchive(archive.tar, { links: 'any' })) return await read(entry)
    return { kind: 'none' }
  } finally {
    archive.tar.cancel()
  }
}

async function read({ type, size, target, body }: ArchiveEntry): Promise<Entry> {
  if (type === 'symlink') return { kind: 'link', target: target ?? '' }
  if (type !== 'file') return { kind: 'other', type }
  if (size > maxForeignBytes) return { kind: 'large', bytes: size }
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return { kind: 'text', text: Buffer.concat(parts).toString('latin1') }
}
