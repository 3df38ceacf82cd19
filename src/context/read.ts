import { resolve } from 'node:path'
import { type BuildFiles, readBuildFiles } from './build-files.ts'
import { type ContextEntry, type EntryTable, filterEntries, isIgnored, listEntries, pathOf } from './entries.ts'
import { type Listing, listDirectory } from './list.ts'
import { planTar } from './pack.ts'
import { streamTar } from './parts.ts'

/**
 * Looks at a directory as `docker build` does: which files go to the builder? `NAME.dockerignore` beside the Dockerfile
 * wins over `.dockerignore`. Large directories are read in a worker, so that the event loop stays free.
 *
 * The Dockerfile is sent even if it is ignored, and so is `.dockerignore`: the classic builder reads both and takes the
 * ignored ones out of the build again. BuildKit reads the Dockerfile only, and takes nothing out: with
 * `tar({ builder: 'buildkit' })` an ignored `.dockerignore` stays at home, while an ignored Dockerfile remains visible to
 * `COPY . .` (with its own command line it would not be; the Engine's API has no way to say so).
 * @param options.dockerfile relative to the directory; unless given `Dockerfile`, else `dockerfile` or `Containerfile` (for
 *   which `.containerignore` goes before `.dockerignore`)
 * @throws {MypaasError} `context`: no directory, no Dockerfile in it or two that may be meant, something unreadable or in
 *   UTF-16, a bad pattern
 */
export async function readContext(directory: string, options: ReadContextOptions = {}): Promise<Context> {
  const { signal } = options
  signal?.throwIfAborted()
  const root = resolve(directory)
  const files = readBuildFiles(root, options.dockerfile, directory)
  const { ignoreName, ignoreText, required } = files
  const listing = await listDirectory({ root, ignoreText, ignoreName, required }, signal)
  signal?.throwIfAborted()
  return new DirectoryContext(listing, root, files)
}

export type ReadContextOptions = { dockerfile?: string; signal?: AbortSignal }

/** What a build gets. */
export type Context = {
  /** Its path inside the context. A symlink counts as the file that it leads to. */
  readonly dockerfile: string
  readonly dockerfileText: string
  /** What is sent, sorted by the bytes of the paths. */
  readonly entries: readonly ContextEntry[]
  /** Sockets, named pipes and devices, which are not sent; a second Dockerfile, which does not count. */
  readonly warnings: readonly string[]
  /** Of all files. */
  readonly totalBytes: number
  /**
   * The files as a tar archive: sorted, owner 0:0, modes and modification times (whole seconds) as they are. The same files
   * give the same bytes. Each call reads them anew.
   * @throws {MypaasError} `context` when a file is not what it was: gone, shorter, longer
   */
  tar(options?: TarOptions): AsyncIterable<Uint8Array>
}

export type TarOptions = {
  /** Who reads it; default `classic`, which gets everything. `buildkit` gets no `.dockerignore` that is itself ignored. */
  builder?: 'buildkit' | 'classic'
  /**
   * For readers that are done with a part when they ask for the next one, as a request body is: memory is used again
   * instead of being allocated for each part. Default false: every part can be kept.
   */
  reuse?: boolean
  signal?: AbortSignal
}

/** What a context that was read from a directory consists of, in columns: for who goes through all of it. */
export function tableOf(context: Context): EntryTable {
  if (context instanceof DirectoryContext) return context.listing.table
  throw new TypeError('This context is of no directory.')
}

class DirectoryContext implements Context {
  readonly dockerfile: string
  readonly dockerfileText: string
  readonly warnings: readonly string[]
  readonly totalBytes: number
  readonly #root: string
  readonly listing: Listing
  #entries: readonly ContextEntry[] | undefined

  constructor(listing: Listing, root: string, { dockerfile, dockerfileText, warnings }: BuildFiles) {
    this.dockerfile = dockerfile
    this.dockerfileText = dockerfileText
    this.warnings = [...warnings, ...listing.warnings]
    this.totalBytes = listing.table.sizes.reduce((sum, size) => sum + size, 0)
    this.#root = root
    this.listing = listing
  }

  get entries(): readonly ContextEntry[] {
    this.#entries ??= listEntries(this.listing.table)
    return this.#entries
  }

  async *tar(options: TarOptions = {}): AsyncGenerator<Uint8Array, void> {
    options.signal?.throwIfAborted()
    const plan = planTar(
      this.#root,
      options.builder === 'buildkit' ? withoutIgnoreFile(this.listing) : this.listing.table,
    )
    yield* streamTar(plan, { helped: this.listing.isLarge, reuse: options.reuse ?? false, signal: options.signal })
  }
}

function withoutIgnoreFile({ table, isLarge }: Listing): EntryTable {
  const isIgnoreFile = (index: number): boolean =>
    ((table.flags[index] as number) & isIgnored) !== 0 && pathOf(table, index).toString() === '.dockerignore'
  return filterEntries(table, (index) => !isIgnoreFile(index), isLarge)
}
