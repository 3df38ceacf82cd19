import { type BuildEvent, type BuildOptions, build } from './build.ts'
import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import { DockerError } from './errors.ts'
import { jsonLines } from './json-lines.ts'
import { type AuthConfig, encodeAuth } from './registry-auth.ts'
import type { ImageHistoryEntry, ImageInspect, ImageRemoval, ImageSearchResult, ImageSummary } from './types/image.ts'

/** Images: `docker.images`. */
export class Images {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  list(options: ImageListOptions = {}): Promise<ImageSummary[]> {
    const { all, filters, digests, sharedSize } = options
    const query = { all, filters: filtersJson(filters), digests, 'shared-size': sharedSize }
    const since = [['sharedSize of images.list', '1.42', sharedSize]] as const
    return this.#engine.json({ method: 'GET', path: '/images/json', query, since, options })
  }

  inspect(name: string, options: CallOptions = {}): Promise<ImageInspect> {
    return this.#engine.json({ method: 'GET', path: path`/images/${name}/json`, options })
  }

  history(name: string, options: CallOptions = {}): Promise<ImageHistoryEntry[]> {
    return this.#engine.json({ method: 'GET', path: path`/images/${name}/history`, options })
  }

  async tag(image: string, name: { repo: string; tag?: string | undefined }, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/images/${image}/tag`, query: name, options })
  }

  remove(
    name: string,
    options: { force?: boolean | undefined; noprune?: boolean | undefined } & CallOptions = {},
  ): Promise<ImageRemoval[]> {
    const { force, noprune } = options
    return this.#engine.json({ method: 'DELETE', path: path`/images/${name}`, query: { force, noprune }, options })
  }

  search(
    term: string,
    options: { limit?: number | undefined; filters?: Filters | undefined } & CallOptions = {},
  ): Promise<ImageSearchResult[]> {
    const query = { term, limit: options.limit, filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'GET', path: '/images/search', query, options })
  }

  prune(
    options: { filters?: Filters | undefined } & CallOptions = {},
  ): Promise<{ ImagesDeleted: ImageRemoval[] | null; SpaceReclaimed: number }> {
    const query = { filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'POST', path: '/images/prune', query, long: true, options })
  }

  /** Builds an image from a tar archive with a Dockerfile. Reading the events drives the build. */
  build(context: AsyncIterable<Uint8Array>, options: BuildOptions = {}): AsyncGenerator<BuildEvent, void> {
    return build(this.#engine, context, options)
  }

  /** Pulls an image. Reading the events drives the pull. @param ref with tag or digest; `latest` if it has none */
  async *pull(ref: string, options: PullOptions = {}): AsyncGenerator<PullEvent, void> {
    const { platform, registryAuth } = options
    const { body } = await this.#engine.open({
      method: 'POST',
      path: '/images/create',
      query: { fromImage: ref, tag: /[:@][^/]*$/.test(ref) ? undefined : 'latest', platform },
      headers: { 'X-Registry-Auth': registryAuth && encodeAuth(registryAuth) },
      options,
    })
    yield* progress(body, `Pull of ${ref}`)
  }

  /** Pushes an image. Reading the events drives the push. */
  async *push(ref: string, options: PushOptions = {}): AsyncGenerator<PullEvent, void> {
    const [, name = ref, tag] = /^(.*?)(?::([^/:]+))?$/.exec(ref) ?? []
    const { body } = await this.#engine.open({
      method: 'POST',
      path: path`/images/${name}/push`,
      query: { tag },
      // The engine insists on the header, be it empty.
      headers: { 'X-Registry-Auth': encodeAuth(options.registryAuth ?? {}) },
      options,
    })
    yield* progress(body, `Push of ${ref}`)
  }

  /** Makes an image of one layer from a root file system. */
  async import(tar: AsyncIterable<Uint8Array>, options: ImportOptions): Promise<{ Id: string }> {
    const { repo, tag, changes, message, platform } = options
    const query = { fromSrc: '-', repo, tag, changes, message, platform }
    const headers = { 'Content-Type': 'application/x-tar' }
    const { body } = await this.#engine.open({
      method: 'POST',
      path: '/images/create',
      query,
      headers,
      body: tar,
      options,
    })
    let id: string | undefined
    for await (const { status } of progress(body, `Import of ${repo}`)) if (/^sha256:/.test(status ?? '')) id = status
    if (id === undefined) throw new DockerError(`The import of ${repo} ended without an image.`)
    return { Id: id }
  }

  /** Loads what `save` wrote. @returns the names or ids of the images */
  async load(tar: AsyncIterable<Uint8Array>, options: LoadOptions = {}): Promise<string[]> {
    const headers = { 'Content-Type': 'application/x-tar' }
    const query = { quiet: options.onProgress ? undefined : true }
    const { body } = await this.#engine.open({
      method: 'POST',
      path: '/images/load',
      query,
      headers,
      body: tar,
      options,
    })
    const names: string[] = []
    for await (const event of progress(body, 'Load')) {
      const loaded = /^Loaded image(?: ID)?: (.*?)\s*$/.exec(event.stream ?? '')
      if (loaded?.[1]) names.push(loaded[1])
      else options.onProgress?.(event)
    }
    return names
  }

  /** Yields a tar archive of images with all their layers. */
  async *save(names: string | readonly string[], options: CallOptions = {}): AsyncGenerator<Buffer, void> {
    const single = typeof names === 'string'
    const { body } = await this.#engine.open({
      method: 'GET',
      path: single ? path`/images/${names}/get` : '/images/get',
      query: single ? {} : { names },
      options,
    })
    yield* body
  }
}

export type ImageListOptions = {
  /** Also the layers in between. */
  all?: boolean | undefined
  filters?: Filters | undefined
  digests?: boolean | undefined
  /** Since API 1.42. */
  sharedSize?: boolean | undefined
} & CallOptions

export type PullOptions = { platform?: string | undefined; registryAuth?: AuthConfig | undefined } & CallOptions
export type PushOptions = { registryAuth?: AuthConfig | undefined } & CallOptions
export type ImportOptions = {
  repo: string
  tag?: string | undefined
  /** Dockerfile instructions, e.g. `CMD ["/bin/sh"]`. */
  changes?: readonly string[] | undefined
  message?: string | undefined
  platform?: string | undefined
} & CallOptions
export type LoadOptions = { onProgress?: ((event: PullEvent) => void) | undefined } & CallOptions

export type PullEvent = {
  status?: string
  /** The layer. */
  id?: string
  progressDetail?: { current?: number; total?: number }
  stream?: string
  aux?: Record<string, unknown>
}

/** @throws {DockerError} for the errors that the engine tells in mid-stream */
async function* progress(body: AsyncIterable<Buffer>, what: string): AsyncGenerator<PullEvent, void> {
  for await (const event of jsonLines<PullEvent & { error?: string; errorDetail?: { message?: string } }>(body, what)) {
    const message = event.errorDetail?.message ?? event.error
    if (message !== undefined) throw new DockerError(`${what} failed: ${message}`)
    yield event
  }
}
