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
    const before = await find(host.docker, base.image)
    if (!before || (base.newest && before.isPulled)) await pull(host, base, before !== undefined, options)
    const now = await find(host.docker, base.image)
    if (now) used.push({ image: base.image, digest: now.digest })
  }
  return used
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

async function pull(
  host: Host,
  base: BaseImage,
  isHere: boolean,
  { onEvent, signal }: { onEvent: (event: BuildEvent) => void; signal?: AbortSignal | undefined },
): Promise<void> {
  const { image, platform } = base
  const step = { type: 'step', id: `pull ${image}`, name: `pull ${image}` } as const
  const registryAuth = host.registryAuth(registryOf(image))
  onEvent({ ...step, status: 'started' })
  try {
    const events = host.docker.images.pull(image, { registryAuth, platform, signal, idleMs: host.buildSilenceMs })
    for await (const { status = '', id = '', progressDetail } of events) {
      const { current, total = 0 } = progressDetail ?? {}
      if (current !== undefined)
        onEvent({ type: 'progress', id: step.id, name: `${status} ${id}`.trim(), current, total })
    }
    onEvent({ ...step, status: 'done' })
  } catch (error) {
    if (!(error instanceof DockerError) || signal?.aborted) throw error
    if (isRefusal(error)) throw refused(image, registryAuth, error)
    // The builder may do without it (a stage that is not built), or says itself what is wrong.
    onEvent({ ...step, status: 'done' })
    if (isHere)
      onEvent({
        type: 'warning',
        text: `No newer ${image} could be looked for (${error.message}); the one that is here is taken.`,
      })
  }
}

/** `unknown: no such repository` is none: many registries say that of what one may not see, but most often it is true. */
function isRefusal(error: DockerError): boolean {
  return /unauthorized|no basic auth credentials|authentication required|incorrect username or password|access forbidden|\b401\b/i.test(
    error.message,
  )
}

function refused(image: string, auth: AuthConfig | undefined, cause: DockerError): MypaasError {
  const registry = registryOf(image)
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

/** The registry of an image: what stands before the first slash, if it looks like a host; else Docker Hub. */
function registryOf(image: string): string {
  const slash = image.indexOf('/')
  const first = slash < 0 ? '' : image.slice(0, slash)
  return /[.:]/.test(first) || first === 'localhost' ? first : 'docker.io'
}
