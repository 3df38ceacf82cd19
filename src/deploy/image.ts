import { createHash } from 'node:crypto'
import type { Context } from '../context/index.ts'
import {
  BuildError,
  type BuildEvent,
  type BuildOptions,
  type Docker,
  type ImageInspect,
  type ImageSummary,
  NotFoundError,
} from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { type ImageCommand, Steps } from '../service/dockerfile.ts'
import { specFromLabels, specToLabels } from '../service/labels.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { provideBases } from './bases.ts'
import { cacheNamespace } from './build-cache.ts'
import { type BuildSource, buildFailure } from './build-failure.ts'
import { limitBuild } from './build-limits.ts'
import { watchBuild, withoutAnswer, withoutAnswers } from './builders-word.ts'
import { bringsInit, imageName } from './container.ts'
import type { Host } from './host.ts'
import type { SecretRights } from './secret-rights.ts'
import { secretValues } from './secrets.ts'

/** What a deploy needs to know of an image. */
export type ReleaseImage = Readonly<{
  id: string
  /** `user[:group]` that its processes run as; empty for root. */
  user: string
  bringsInit: boolean
  command: ImageCommand
  /** `KEY=value` */
  environment: readonly string[]
  hasHealthcheck: boolean
  /** Where its `VOLUME`s are. */
  volumes: readonly string[]
  /** The same for all images whose files and settings are: they differ at most in the release that they were built as. */
  build: string
}>

/** A kept release: its image, with the spec that it carries. */
export type KeptRelease = Readonly<{
  release: number
  image: string
  id: string
  /** The release that the image was built as. */
  builtAs: number
  sizeBytes: number
  createdAt: string
  /** What it was built from: `node:22@sha256:…`; for an image that was made here, its id. */
  bases: readonly string[]
}>

/** Which labels an image of ours carries. Other keys than containers have: containers inherit an image's labels. */
const imageLabels = {
  server: 'mypaas.image.server',
  service: 'mypaas.image.service',
  release: 'mypaas.image.release',
  /** Whose secrets the release may have that it was built for. */
  secrets: 'mypaas.image.secrets',
  /** What it was built from: `node:22@sha256:…`, one after the other. */
  bases: 'mypaas.image.bases',
} as const

/**
 * Builds `NAME:rN` from a context. The image carries its own spec, so that it can be run again without the directory.
 * @throws {BuildError} with the failing step · {MypaasError} `directives` when the image sets `mypaas.*` labels itself ·
 *   `unauthorised` when the build uses what it may not (`host.buildTerms`) · `failed` when it takes too much
 */
export async function buildImage(
  host: Host,
  input: {
    context: Context
    spec: ServiceSpec
    release: number
    onEvent: (event: BuildEvent) => void
    signal?: AbortSignal | undefined
  },
): Promise<ReleaseImage> {
  const { context, spec, release } = input
  const tag = imageName(host.prefix, spec.service, release)
  const terms = host.buildTerms
  using limited = terms?.open ?? (await limitBuild(host, { signal: input.signal }))
  const before = limited.excess()
  if (before) throw before
  const signal = input.signal ? AbortSignal.any([input.signal, limited.signal]) : limited.signal
  const builder = (await host.docker.system.ping({ signal })).builderVersion === '1' ? 'classic' : 'buildkit'
  if (terms?.images && builder !== 'buildkit') throw classicRefused()
  const onEvent = terms?.images ? withoutAnswers(input.onEvent) : input.onEvent
  const buildId = `${host.server}-${spec.service}-r${release}`
  try {
    const bases = await provideBases(host, context.dockerfileText, { onEvent, signal })
    const labels = {
      ...specToLabels(spec),
      [imageLabels.server]: host.server,
      [imageLabels.service]: spec.service,
      [imageLabels.release]: String(release),
      [imageLabels.secrets]: host.secretsFrom,
      [imageLabels.bases]: bases.map(({ image, digest }) => `${image}@${digest}`).join(' '),
    }
    const tar = context.tar({ builder, reuse: true, signal })
    const build = host.docker.images.build(tar, {
      builder,
      tags: [tag],
      dockerfile: context.dockerfile,
      labels,
      secrets: secretValues(host, spec),
      signal,
      idleMs: host.buildSilenceMs,
      buildId,
      ...(builder === 'buildkit' ? apart(host, spec.service) : {}),
      // What needs credentials is here already.
      ...(terms?.images ? { watch: watchBuild(terms.images, terms.downloadHosts), registryAuth: {} } : {}),
    })
    for await (const event of build) onEvent(event)
    return await checkedImage(host, tag, labels, context)
  } catch (error) {
    await host.docker.images.cancelBuild(buildId).catch(() => {})
    const told = terms?.images ? withoutAnswer(error) : error
    throw limited.excess() ?? (told instanceof BuildError ? buildFailure(told, sourceOf(context)) : told)
  }
}

function sourceOf(context: Context): BuildSource {
  const { dockerfile, dockerfileText } = context
  return { dockerfile, dockerfileText, paths: () => context.entries.map(({ path }) => path) }
}

/** What keeps a service's builds apart from those of others. */
function apart(host: Host, service: string): Pick<BuildOptions, 'buildArgs' | 'shownArgs' | 'extraHosts'> {
  const name = 'BUILDKIT_CACHE_MOUNT_NS'
  return {
    buildArgs: { [name]: cacheNamespace(host, service) },
    shownArgs: [name],
    // To BuildKit of every version a command that knows another host is another command.
    ...(host.buildTerms?.ownLayers
      ? {
          extraHosts: [
            `${createHash('sha256').update(`${host.server} ${service}`).digest('hex').slice(0, 32)}.mypaas.invalid:127.0.0.1`,
          ],
        }
      : {}),
  }
}

function classicRefused(): MypaasError {
  return new MypaasError(
    'This engine builds with its classic builder, which does not tell what a build is made from.',
    {
      code: 'unauthorised',
      hint: 'The key is limited to some services. Turn BuildKit on ("features": {"buildkit": true} in /etc/docker/daemon.json), or let somebody with an unlimited key deploy this.',
    },
  )
}

/** @throws {MypaasError} `directives` when the image sets labels that are for mypaas to set */
async function checkedImage(
  host: Host,
  tag: string,
  labels: Readonly<Record<string, string>>,
  { dockerfile, dockerfileText }: Context,
): Promise<ReleaseImage> {
  const { image, carried } = await inspectImage(host.docker, tag)
  const { entrypoint, cmd } = image.command
  if (entrypoint.length + cmd.length === 0) {
    const line = new Steps(dockerfileText).all.findLast(({ keyword }) => keyword === 'FROM')?.line ?? 1
    throw new MypaasError(
      `${dockerfile}:${line}: the image of this stage has no CMD and no ENTRYPOINT, so nothing would run in it.`,
      {
        code: 'failed',
        hint: 'Say at its end what to run: CMD ["PROGRAM", "ARGUMENT"]',
      },
    )
  }
  const wanted: Readonly<Record<string, string>> = labels
  const foreign = Object.keys(carried).filter((key) => key.startsWith('mypaas.') && carried[key] !== wanted[key])
  if (foreign.length > 0) {
    throw new MypaasError(`The image sets the label ${foreign.join(', ')}, which is for mypaas to set.`, {
      code: 'directives',
      hint: 'Take it out of the Dockerfile (LABEL), or build on another base image.',
    })
  }
  return image
}

/** The image of a release that is there already. @throws {MypaasError} `failed` when it is gone */
export async function releaseImage(host: Host, service: string, release: number): Promise<ReleaseImage> {
  const tag = imageName(host.prefix, service, release)
  try {
    return (await inspectImage(host.docker, tag)).image
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    throw new MypaasError(`The image ${tag} is gone, so r${release} of ${service} can't be run.`, {
      code: 'degraded',
      hint: `Deploy ${service} again.`,
      cause: error,
    })
  }
}

/**
 * What a kept release was deployed with, as its image says: its spec, and whose secrets it may have. An older one does
 * not say.
 * @throws {MypaasError} `failed` when the image carries no spec
 */
export async function releaseSettings(
  host: Host,
  service: string,
  release: number,
): Promise<SecretRights & { spec: ServiceSpec }> {
  const image = imageName(host.prefix, service, release)
  const { carried } = await inspectImage(host.docker, image)
  const spec = specFromLabels(carried)
  const secretsFrom = carried[imageLabels.secrets]
  if (spec) return secretsFrom === 'server' || secretsFrom === 'service' ? { spec, secretsFrom } : { spec }
  throw new MypaasError(`The image ${image} does not say how it was deployed.`, {
    code: 'failed',
    hint: `Deploy ${service} from its directory.`,
  })
}

/** The releases of a service whose images are here, newest first. */
export async function keptReleases(host: Host, service: string): Promise<readonly KeptRelease[]> {
  const found = await imagesOf(host, service)
  const releases: KeptRelease[] = []
  const begin = `${host.prefix}${service}:r`
  for (const { Id, RepoTags, Size, Created, Labels } of found) {
    const bases = (Labels?.[imageLabels.bases] ?? '').split(' ').filter((base) => base !== '')
    // An image that somebody built on ours inherits the labels, but not the name; one may be that of two releases.
    for (const image of RepoTags ?? []) {
      const release = image.startsWith(begin) ? Number(image.slice(begin.length)) : Number.NaN
      if (!Number.isSafeInteger(release)) continue
      const createdAt = new Date(Created * 1000).toISOString()
      const builtAs = Number(Labels?.[imageLabels.release] ?? release)
      releases.push({ release, image, id: Id, builtAs, sizeBytes: Size, createdAt, bases })
    }
  }
  return releases.sort((a, b) => b.release - a.release)
}

/** Removes those whose names are gone already: an engine that stops while it removes an image leaves it without. */
export async function removeNamelessImages(host: Host, service: string): Promise<void> {
  const now = Date.now() / 1000
  for (const { Id, RepoTags, Created } of await imagesOf(host, service)) {
    const isNameless = (RepoTags ?? []).every((name) => name === '<none>:<none>')
    // The latest may be a step of a build on ours that somebody is at.
    if (isNameless && now - Created > namelessSeconds) await removeImage(host, Id)
  }
}

const namelessSeconds = 10

function imagesOf(host: Host, service: string): Promise<readonly ImageSummary[]> {
  const label = [`${imageLabels.server}=${host.server}`, `${imageLabels.service}=${service}`]
  return host.docker.images.list({ filters: { label } })
}

/** Takes an image's name away, and with its last name the image. False when a container still uses it, or it is gone. */
export async function removeImage(host: Host, image: string): Promise<boolean> {
  try {
    await host.docker.images.remove(image, { timeoutMs: host.engineTimeoutMs })
    return true
  } catch (error) {
    if (error instanceof MypaasError && 'status' in error && (error.status === 404 || error.status === 409))
      return false
    throw error
  }
}

async function inspectImage(
  docker: Docker,
  name: string,
): Promise<{ image: ReleaseImage; carried: Readonly<Record<string, string>> }> {
  const found = await docker.images.inspect(name)
  const { Id, Config } = found
  const test = Config?.Healthcheck?.Test ?? []
  return {
    image: {
      id: Id,
      user: Config?.User ?? '',
      bringsInit: bringsInit([Config?.Entrypoint ?? [], Config?.Cmd ?? []].flat()),
      command: { entrypoint: [Config?.Entrypoint ?? []].flat(), cmd: Config?.Cmd ?? [] },
      environment: Config?.Env ?? [],
      hasHealthcheck: test.length > 0 && test[0] !== 'NONE',
      volumes: Object.keys(Config?.Volumes ?? {}),
      build: buildOf(found),
    },
    carried: Config?.Labels ?? {},
  }
}

/** Without what the engine makes up for each build: the image's id, its date, the container of its last step. */
function buildOf({ RootFS, Config, Os, Architecture, Variant }: ImageInspect): string {
  const { Env, Cmd, Entrypoint, User, WorkingDir, ExposedPorts, Volumes, StopSignal, Healthcheck, Shell, OnBuild } =
    Config ?? {}
  const { [imageLabels.release]: _, [imageLabels.bases]: __, ...labels } = Config?.Labels ?? {}
  const settings = [
    Env,
    Cmd,
    Entrypoint,
    User,
    WorkingDir,
    ExposedPorts,
    Volumes,
    StopSignal,
    Healthcheck,
    Shell,
    OnBuild,
  ]
  const content = [RootFS.Layers, Os, Architecture, Variant, settings, Object.entries(labels).sort()]
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 32)
}
