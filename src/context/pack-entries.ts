import { MypaasError } from '../errors.ts'
import type { ContextEntry } from './entries.ts'
import {
  directoryType,
  fileType,
  type HeaderFields,
  hardLinkType,
  headerSize,
  paddedSize,
  symlinkType,
  trailerSize,
  writeHeader,
} from './header.ts'

/**
 * Packs entries whose bytes come from anywhere (a blob store, say) into a tar archive, in the order given. The same entries
 * with the same bytes give the same archive as the directory that they were listed in.
 * @param open gives the bytes of a file; not called for empty ones
 * @throws {MypaasError} `context` when a file has not as many bytes as its entry says, or a path leads out of the context
 */
export async function* packEntries(
  entries: Iterable<ContextEntry>,
  open: (entry: ContextEntry) => FileContents | Promise<FileContents>,
  options: { signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array, void> {
  const parts = new Parts()
  for (const entry of entries) {
    options.signal?.throwIfAborted()
    const fields = fieldsOf(entry)
    const header = Buffer.alloc(headerSize(fields))
    writeHeader(header, 0, fields)
    yield* parts.add(header)
    if (fields.size === 0) continue
    let missing = fields.size
    const contents = await open(entry)
    for await (const bytes of contents instanceof Uint8Array ? [contents] : contents) {
      options.signal?.throwIfAborted()
      missing -= bytes.length
      if (missing < 0) throw wrongSize(entry, 'more')
      yield* parts.add(bytes)
    }
    if (missing > 0) throw wrongSize(entry, 'fewer')
    yield* parts.add(Buffer.alloc(paddedSize(fields.size) - fields.size))
  }
  yield* parts.add(Buffer.alloc(trailerSize))
  yield* parts.rest()
}

export type FileContents = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** Collects bytes into parts of a size that is good to send. */
class Parts {
  #part = Buffer.allocUnsafeSlow(partSize)
  #used = 0

  /** @returns the parts that are full now */
  add(bytes: Uint8Array): Uint8Array[] {
    const full: Uint8Array[] = []
    for (let from = 0; from < bytes.length; ) {
      const length = Math.min(bytes.length - from, partSize - this.#used)
      this.#part.set(bytes.subarray(from, from + length), this.#used)
      this.#used += length
      from += length
      if (this.#used === partSize) {
        full.push(this.#part)
        this.#part = Buffer.allocUnsafeSlow(partSize)
        this.#used = 0
      }
    }
    return full
  }

  rest(): Uint8Array[] {
    return this.#used > 0 ? [this.#part.subarray(0, this.#used)] : []
  }
}

const partSize = 256 * 1024

function fieldsOf(entry: ContextEntry): HeaderFields {
  assertInside(entry)
  const path = entry.rawPath ?? Buffer.from(entry.path)
  const linkTarget =
    entry.type === 'directory' ? Buffer.alloc(0) : (entry.rawLinkTarget ?? Buffer.from(entry.linkTarget ?? ''))
  const leaf = linkTarget.length > 0 ? hardLinkType : fileType
  return {
    text: Buffer.concat([path, linkTarget]),
    start: 0,
    middle: path.length,
    end: path.length + linkTarget.length,
    typeFlag: entry.type === 'symlink' ? symlinkType : entry.type === 'directory' ? directoryType : leaf,
    mode: entry.mode & 0o7777,
    size: entry.type === 'file' && leaf === fileType ? entry.size : 0,
    mtimeSeconds: Math.floor(entry.mtimeMs / 1000),
  }
}

function assertInside({ path }: ContextEntry): void {
  const isPlain =
    path !== '' && !path.includes('\0') && !path.split('/').some((part) => part === '' || part === '.' || part === '..')
  if (!isPlain) {
    throw new MypaasError(`${JSON.stringify(path)} is no path inside of a context.`, { code: 'context' })
  }
}

function wrongSize({ path, size }: ContextEntry, found: 'more' | 'fewer'): MypaasError {
  return new MypaasError(`${path} should have ${size} bytes and has ${found}.`, {
    code: 'context',
    hint: 'Push again; if that does not help, what is stored of the file is damaged.',
  })
}
