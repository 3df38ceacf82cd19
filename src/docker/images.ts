import { type BuildEvent, type BuildOptions, build } from './build.ts'
import { type AuthConfig, type Credentials, encodeAuth } from './credentials.ts'
import type { CallOptions } from './deadline.ts'
import { compareVersions, type Engine, type Filters, filtersJson, path } from './engine.ts'
import { ProtocolError } from './errors.ts'
import { type PullEvent, progress } from './progress.ts'
import type { Platform } from './types/container.ts'
import type {
  AttestationStatement,
  ImageHistoryEntry,
  ImageInspect,
  ImageRemoval,
  ImageSearchResult,
  ImageSummary,
} from './types/image.ts'

/** Images: `docker.images`. A name may have a tag (default `latest`) or a digest, or be an id. */
export class Images {
  readonly #engine: Engine
  readonly #credentials: Credentials

  constructor(engine: Engine, credentials: Credentials) {
    this.#engine = engine
    this.#credentials = credentials
  }

  /**
   * Lists images, newest first.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageList
   */
  async list(options: ImageListOptions = {}): Promise<ImageSummary[]> {
    const { all, filters, digests, sharedSize, manifests, identity } = options
    const query = { all, filters: filtersJson(filters), digests, 'shared-size': sharedSize, manifests, identity }
    // Podman always tells them, but asked for them it answers nothing at all.
    if (digests && (await this.#engine.podman(options))) query.digests = undefined
    const since = [
      ['sharedSize of images.list', '1.42', sharedSize],
      ['manifests of images.list', '1.47', manifests],
      ['identity of images.list', '1.54', identity],
    ] as const
    return this.#engine.json({ method: 'GET', path: '/images/json', query, since, options })
  }

  /**
   * Builds an image from a tar archive with a Dockerfile. Reading the events drives the build; to stop reading, or the
   * signal, stops it on the engine too. The last event names the image.
   * @param context a tar archive, plain or with gzip, bzip2 or xz; each buffer is used up before the next is pulled
   * @throws {BuildError} when a step fails or the Dockerfile can't be built
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageBuild
   */
  build(context: AsyncIterable<Uint8Array>, options: BuildOptions = {}): AsyncGenerator<BuildEvent, void> {
    return build({ engine: this.#engine, credentials: this.#credentials, images: this }, context, options)
  }

  /** Stops a build that was started with that `buildId`, from wherever. A build that has ended is left as it is. */
  async cancelBuild(buildId: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: '/build/cancel', query: { id: buildId }, options })
  }

  /**
   * Removes what BuildKit keeps for later builds.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/BuildPrune
   */
  async pruneBuildCache(
    options: BuildPruneOptions = {},
  ): Promise<{ CachesDeleted: string[] | null; SpaceReclaimed: number }> {
    const { all, filters, reservedBytes, maxUsedBytes, minFreeBytes } = options
    const renamed = reservedBytes !== undefined && compareVersions(await this.#engine.apiVersion(), '1.48') < 0
    return this.#engine.json({
      method: 'POST',
      path: '/build/prune',
      query: {
        all,
        filters: filtersJson(filters),
        [renamed ? 'keep-storage' : 'reserved-space']: reservedBytes,
        'max-used-space': maxUsedBytes,
        'min-free-space': minFreeBytes,
      },
      since: [
        ['maxUsedBytes of images.pruneBuildCache', '1.48', maxUsedBytes],
        ['minFreeBytes of images.pruneBuildCache', '1.48', minFreeBytes],
      ],
      long: true,
      options,
    })
  }

  /** Whether there are credentials of `docker login` for the registry of an image. @throws {DockerError} when a helper fails */
  async hasLogin(ref: string, options: Pick<CallOptions, 'signal'> = {}): Promise<boolean> {
    return (await this.#credentials.forImage(ref, options)) !== undefined
  }

  /**
   * Pulls an image. Reading the events drives the pull.
   * @param ref with tag or digest; `latest` if it has none
   * @throws {NotFoundError} when there is no such image, or one may not see it
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageCreate
   */
  async *pull(ref: string, options: PullOptions = {}): AsyncGenerator<PullEvent, void> {
    const { platform } = options
    const auth = options.registryAuth ?? (await this.#credentials.forImage(ref, options))
    const { body } = await this.#engine.open({
      method: 'POST',
      path: '/images/create',
      query: { fromImage: ref, tag: /[:@][^/]*$/.test(ref) ? undefined : 'latest', platform },
      headers: { 'X-Registry-Auth': auth && encodeAuth(auth) },
      options,
    })
    yield* progress(body, `Pull of ${ref}`)
  }

  /**
   * Makes an image of one layer from a root file system.
   * @param tar a tar archive, plain or with gzip, bzip2 or xz
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageCreate
   */
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
    for await (const { status } of progress(body, `Import of ${repo}`)) if (status?.startsWith('sha256:')) id = status
    if (id === undefined) throw new ProtocolError(`The import of ${repo} broke off: the engine named no image.`)
    return { Id: id }
  }

  /**
   * Everything about one image.
   * @throws {NotFoundError}
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageInspect
   */
  async inspect(name: string, options: ImageInspectOptions = {}): Promise<ImageInspect> {
    const { manifests, platform } = options
    const query = { manifests, platform: platformJson(platform) }
    const since = [
      ['manifests of images.inspect', '1.48', manifests],
      ['platform of images.inspect', '1.49', platform],
    ] as const
    return this.#engine.json({ method: 'GET', path: path`/images/${name}/json`, query, since, options })
  }

  /**
   * The in-toto statements that are attached to an image. Since API 1.55.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageAttestations
   */
  async attestations(name: string, options: AttestationOptions = {}): Promise<AttestationStatement[]> {
    const query = { platform: platformJson(options.platform), type: options.types, statement: options.statement }
    const since = [['images.attestations', '1.55', true]] as const
    return this.#engine.json({ method: 'GET', path: path`/images/${name}/attestations`, query, since, options })
  }

  /**
   * The layers of an image, newest first, and what made them.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageHistory
   */
  async history(
    name: string,
    options: { platform?: Platform | undefined } & CallOptions = {},
  ): Promise<ImageHistoryEntry[]> {
    const { platform } = options
    const since = [['platform of images.history', '1.48', platform]] as const
    const query = { platform: platformJson(platform) }
    return this.#engine.json({ method: 'GET', path: path`/images/${name}/history`, query, since, options })
  }

  /**
   * Pushes an image to its registry. Reading the events drives the push.
   * @param ref with a tag; all tags if it has none
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImagePush
   */
  async *push(ref: string, options: PushOptions = {}): AsyncGenerator<PullEvent, void> {
    const [, name = ref, tag] = /^(.*?)(?::([^/:]+))?$/.exec(ref) ?? []
    const { platform } = options
    const auth = options.registryAuth ?? (await this.#credentials.forImage(ref, options)) ?? {}
    const { body } = await this.#engine.open({
      method: 'POST',
      path: path`/images/${name}/push`,
      query: { tag, platform: platformJson(platform) },
      // The engine insists on the header, be it empty.
      headers: { 'X-Registry-Auth': encodeAuth(auth) },
      since: [['platform of images.push', '1.46', platform]],
      options,
    })
    yield* progress(body, `Push of ${ref}`)
  }

  /**
   * Gives an image another name.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageTag
   */
  async tag(image: string, name: { repo: string; tag?: string | undefined }, options: CallOptions = {}): Promise<void> {
    const { repo, tag } = name
    await this.#engine.send({ method: 'POST', path: path`/images/${image}/tag`, query: { repo, tag }, options })
  }

  /**
   * Removes a name of an image, and the image with its last name.
   * @param options.force also one that has several names or stopped containers
   * @throws {ConflictError} when a container uses it
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageDelete
   */
  async remove(name: string, options: ImageRemoveOptions = {}): Promise<ImageRemoval[]> {
    const { force, noprune, platforms } = options
    const query = { force, noprune, platforms: platforms?.map((platform) => JSON.stringify(platform)) }
    const since = [['platforms of images.remove', '1.50', platforms]] as const
    return this.#engine.json({ method: 'DELETE', path: path`/images/${name}`, query, since, long: true, options })
  }

  /**
   * Looks for images on Docker Hub. @param options.filters `is-official`, `stars`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageSearch
   */
  async search(
    term: string,
    options: { limit?: number | undefined; filters?: Filters | undefined } & CallOptions = {},
  ): Promise<ImageSearchResult[]> {
    const query = { term, limit: options.limit, filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'GET', path: '/images/search', query, options })
  }

  /**
   * Removes the images that have no name; with the filter `{ dangling: ['false'] }` all that no container uses.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImagePrune
   */
  async prune(
    options: { filters?: Filters | undefined } & CallOptions = {},
  ): Promise<{ ImagesDeleted: ImageRemoval[] | null; SpaceReclaimed: number }> {
    const query = { filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'POST', path: '/images/prune', query, long: true, options })
  }

  /**
   * A tar archive of one image, or of several, with all their layers; `load` reads it.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageGet
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageGetAll
   */
  async *save(names: string | readonly string[], options: SaveOptions = {}): AsyncGenerator<Buffer, void> {
    const { platforms } = options
    const one = typeof names === 'string'
    const { body } = await this.#engine.open({
      method: 'GET',
      path: one ? path`/images/${names}/get` : '/images/get',
      query: { names: one ? undefined : names, platform: platforms?.map((platform) => JSON.stringify(platform)) },
      since: platformsSince('images.save', platforms),
      options,
    })
    yield* body
  }

  /**
   * Loads what `save` wrote.
   * @param tar a tar archive, plain or with gzip, bzip2 or xz
   * @returns the names of the images, or ids of those without
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageLoad
   */
  async load(tar: AsyncIterable<Uint8Array>, options: LoadOptions = {}): Promise<string[]> {
    const { onProgress, platforms } = options
    const { body } = await this.#engine.open({
      method: 'POST',
      path: '/images/load',
      query: {
        quiet: onProgress ? undefined : true,
        platform: platforms?.map((platform) => JSON.stringify(platform)),
      },
      headers: { 'Content-Type': 'application/x-tar' },
      body: tar,
      since: platformsSince('images.load', platforms),
      options,
    })
    const names: string[] = []
    for await (const event of progress(body, 'Load')) {
      const loaded = /^Loaded image(?: ID)?: (.*?)\s*$/.exec(event.stream ?? '')
      // Podman names them all in one line.
      if (loaded?.[1]) names.push(...loaded[1].split(','))
      else onProgress?.(event)
    }
    return names
  }
}

export type ImageListOptions = {
  /** Also the layers in between. */
  all?: boolean | undefined
  /** `before`, `dangling`, `label`, `reference`, `since`, `until` (API 1.44) */
  filters?: Filters | undefined
  digests?: boolean | undefined
  /** Also how much they share. Since API 1.42. */
  sharedSize?: boolean | undefined
  /** Also the images for each platform. Since API 1.47. */
  manifests?: boolean | undefined
  /** Also where they come from. Since API 1.54. */
  identity?: boolean | undefined
} & CallOptions

export type ImageInspectOptions = {
  /** Also the images for each platform. Since API 1.48. */
  manifests?: boolean | undefined
  /** Since API 1.49. */
  platform?: Platform | undefined
} & CallOptions

export type AttestationOptions = {
  /** Default: the engine's. */
  platform?: Platform | undefined
  /** Predicate types. Default: all. */
  types?: readonly string[] | undefined
  /** Also what they state. */
  statement?: boolean | undefined
} & CallOptions

export type ImageRemoveOptions = {
  force?: boolean | undefined
  /** Keep the nameless images that it was made from. */
  noprune?: boolean | undefined
  /** Only the content for these. Since API 1.50. */
  platforms?: readonly Platform[] | undefined
} & CallOptions

export type PullOptions = {
  /** `os[/arch[/variant]]` */
  platform?: string | undefined
  /** Default: as the docker command has it. */
  registryAuth?: AuthConfig | undefined
} & CallOptions

export type PushOptions = {
  /** Only the image for it. Since API 1.46. */
  platform?: Platform | undefined
  /** Default: as the docker command has it. */
  registryAuth?: AuthConfig | undefined
} & CallOptions

export type ImportOptions = {
  repo: string
  /** Default `latest`. */
  tag?: string | undefined
  /** Dockerfile instructions, e.g. `CMD ["/bin/sh"]`. */
  changes?: readonly string[] | undefined
  message?: string | undefined
  /** `os[/arch[/variant]]`. Default: the engine's. */
  platform?: string | undefined
} & CallOptions

export type SaveOptions = {
  /** Default: all. One since API 1.48, several since 1.52. */
  platforms?: readonly Platform[] | undefined
} & CallOptions

export type LoadOptions = {
  onProgress?: ((event: PullEvent) => void) | undefined
  /** Default: all. One since API 1.48, several since 1.52. */
  platforms?: readonly Platform[] | undefined
} & CallOptions

export type BuildPruneOptions = {
  /** Also what is in use by images. */
  all?: boolean | undefined
  /** `id`, `inuse`, `parent`, `private`, `shared`, `type`, `until` */
  filters?: Filters | undefined
  /** Keep at least so much. */
  reservedBytes?: number | undefined
  /** Keep at most so much. Since API 1.48. */
  maxUsedBytes?: number | undefined
  /** Remove until so much of the disk is free. Since API 1.48. */
  minFreeBytes?: number | undefined
} & CallOptions

function platformJson(platform: Platform | undefined): string | undefined {
  return platform && JSON.stringify(platform)
}

function platformsSince(method: string, platforms: readonly Platform[] | undefined) {
  const several = platforms && platforms.length > 1 ? true : undefined
  return [
    [`platforms of ${method}`, '1.48', platforms],
    [`More than one of platforms of ${method}`, '1.52', several],
  ] as const
}
