import { isSameImage, parseImageReference } from '../docker/image-reference.ts'
import { type AuthConfig, type BuildEvent, type Docker, DockerError, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { type BaseImage, baseImages } from '../service/dockerfile.ts'
import type { Host } from './host.ts'

/** An image that a release was built from, and what exactly that was: its registry's digest, or the id of a local one. */
export type UsedBase = Readonly<{ image: string; digest: string }>

/**
 * Sees to the images that a build needs: pulls those that are missing, with the credentials of their registries, which
 * the builder is not given; and looks for newer ones where the tag is `latest`. One that was made here is left alone,
 * and where its registry does not answer the one that is here will do.
 * @returns those that are here now, with their digests
 * @throws {MypaasError} `failed` when a registry does not let us in
 */
export async function provideBases(
  host: Host,
  dockerfile: string,
  options: { onEvent: (event: BuildEvent) => void; signal?: AbortSignal | undefined },
): Promise<readonly UsedBase[]> {
  const used: UsedBase[] = []
  for (const base of baseImages(dockerfile)) {
    if (!mayUse(host, base.image)) continue
    const before = await find(host.docker, base.image)
    if (!before || (base.newest && before.isPulled)) await provide(host, base, before !== undefined, options)
    const now = await find(host.docker, base.image)
    if (now) used.push({ image: base.image, digest: now.digest })
  }
  return used
}

/** Where a build is held to some images, nothing else is pulled for it. */
function mayUse({ buildTerms }: Host, image: string): boolean {
  if (buildTerms?.images === undefined) return true
  const used = parseImageReference(image)
  return buildTerms.images.some((allowed) => {
    const reference = parseImageReference(allowed)
    return reference !== undefined && used !== undefined && isSameImage(reference, used)
  })
}

/** The images that a build needs and that are not here. */
export async function missingBases(host: Host, dockerfile: string): Promise<readonly string[]> {
  const missing: string[] = []
  for (const { image } of baseImages(dockerfile)) {
    // The engine may take no word of it for a name; the deploy says that.
    const isHere = await find(host.docker, image).catch(() => true)
    if (!isHere) missing.push(image)
  }
  return missing
}

async function find(docker: Docker, image: string): Promise<{ digest: string; isPulled: boolean } | undefined> {
  try {
    const { Id, RepoDigests } = await docker.images.inspect(image)
    const digest = RepoDigests?.[0]?.split('@')[1]
    return { digest: digest ?? Id, isPulled: digest !== undefined }
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

type Telling = Readonly<{ onEvent: (event: BuildEvent) => void; signal?: AbortSignal | undefined }>

async function provide(host: Host, base: BaseImage, isHere: boolean, telling: Telling): Promise<void> {
  const { image } = base
  const { onEvent, signal } = telling
  const step = { type: 'step', id: `pull ${image}`, name: `pull ${image}` } as const
  onEvent({ ...step, status: 'started' })
  try {
    await pullImage(host, base, telling)
    onEvent({ ...step, status: 'done' })
  } catch (error) {
    if (!(error instanceof DockerError) || signal?.aborted) throw error
    const isTerse = host.buildTerms?.images !== undefined
    if (isRefusal(error) && !isTerse) throw refused(image, authOf(host, image), error)
    // The builder may do without it (a stage that is not built), or says itself what is wrong.
    onEvent({ ...step, status: 'done' })
    if (isHere)
      onEvent({
        type: 'warning',
        text: `No newer ${image} could be looked for${isTerse ? '' : ` (${error.message})`}; the one that is here is taken.`,
      })
  }
}

/** Pulls an image with the credentials of its registry. @throws {DockerError} with what the registry said */
export async function pullImage(
  host: Host,
  { image, platform }: Pick<BaseImage, 'image' | 'platform'>,
  { onEvent, signal }: Telling,
): Promise<void> {
  const registryAuth = authOf(host, image)
  const events = host.docker.images.pull(image, { registryAuth, platform, signal, idleMs: host.buildSilenceMs })
  for await (const { status = '', id = '', progressDetail } of events) {
    const { current, total = 0 } = progressDetail ?? {}
    if (current !== undefined)
      onEvent({ type: 'progress', id: `pull ${image}`, name: `${status} ${id}`.trim(), current, total })
  }
}

/** `unknown: no such repository` is none: many registries say that of what one may not see, but most often it is true. */
function isRefusal(error: DockerError): boolean {
  return /unauthorized|no basic auth credentials|authentication required|incorrect username or password|access forbidden|\b401\b/i.test(
    error.message,
  )
}

function refused(image: string, auth: AuthConfig | undefined, cause: DockerError): MypaasError {
  const registry = parseImageReference(image)?.registry ?? ''
  const from = auth ? `[registries.${JSON.stringify(registry)}] of config.toml` : 'docker login'
  return new MypaasError(
    `The registry ${registry} does not give us ${image}: it wants a user name and password, and those that ${from} has, if any, are wrong (${cause.message}).`,
    {
      code: 'failed',
      hint: `Log in on the server (docker login ${registry}), or set username and password in [registries.${JSON.stringify(registry)}] of ~/_mypaas/config.toml.`,
      cause,
    },
  )
}

function authOf(host: Host, image: string): AuthConfig | undefined {
  const reference = parseImageReference(image)
  return reference && host.registryAuth(reference.registry)
}
