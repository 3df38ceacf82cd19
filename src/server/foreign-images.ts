import { pullImage } from '../deploy/bases.ts'
import type { Host } from '../deploy/host.ts'
import { parseImageReference } from '../docker/image-reference.ts'
import { BadRequestError, DockerError, NotFoundError } from '../docker/index.ts'
import { triggerProblem } from '../service/dockerfile.ts'
import type { ServerConfig } from './config.ts'
import type { HostReach } from './host-reach.ts'
import { type AuthorizedKey, coversService } from './keys.ts'
import type { PulledImages } from './pulled-images.ts'
import { foreignOrigin, hasLogin, limitedLogins, loginLine, mayUseLogin } from './registry-rights.ts'

/** For which service images are looked at, and what helps with that. */
export type ImageUse = Readonly<{
  service: string
  reach: HostReach
  /** Where one that is not here is to be pulled, so that what it brings in can be looked at: gets those that were. */
  pulled?: PulledImages | undefined
  signal?: AbortSignal | undefined
}>

/** Why an image is not used. `nobody` says that it is so for everybody: there is none, or it can't be had. */
export type ImageProblem = Readonly<{ why: string; of: 'key' | 'nobody' }>

/**
 * Why a limited key may not use an image, or nothing: one of another service, one from a registry that only this server
 * can reach, unless its config knows that registry, or one that only the server's credentials can get, unless its config
 * lets the service use them.
 */
export async function imageProblem(
  host: Host,
  config: ServerConfig,
  key: AuthorizedKey,
  image: string,
  { service, reach, pulled, signal }: ImageUse,
): Promise<ImageProblem | undefined> {
  const refused = (why: string): ImageProblem => ({ why: `the image ${image}: ${why}`, of: 'key' })
  const absent = (why: string): ImageProblem => ({ why: `The image ${image} ${why}`, of: 'nobody' })
  const reference = parseImageReference(image)
  const isId = /^(sha256:)?[0-9a-f]{6,64}$/.test(image)
  if (!/^[\w[][\w./:@[\]-]*$/.test(image) || (!reference && !isId))
    return { why: `The image ${quoted(image)}: that is no name of one`, of: 'nobody' }
  const plain = image.replace(/^((index\.)?docker\.io\/)?(library\/)?/, '')
  const own = /^([a-z0-9._-]+):r\d+(@.*)?$/.exec(plain)?.[1]
  if (own !== undefined) {
    // It may not be there now and be there a moment later.
    const name = own.startsWith(host.prefix) ? own.slice(host.prefix.length) : own
    if (!coversService(key, name)) return refused(`it is one of ${name}`)
  }
  let found = await inspect(host, image)
  if (found && pulled && found.Config?.Labels?.['mypaas.image.service'] === undefined) {
    const registry = await foreignOrigin(host, config, { service, image: found, signal })
    if (registry !== undefined)
      return refused(
        `it may be one that ${registry} gives to the server alone; ${loginLine(host, config, service, registry)}`,
      )
  }
  if (!found) {
    if (isId || !reference) return absent('is not here')
    const { registry } = reference
    const isKnown =
      registry === 'docker.io' || Object.hasOwn(config.registries, registry) || mayUseLogin(config, service, registry)
    // A registry in the config is one that the server's owner means to be used.
    const where = isKnown ? 'public' : await reach.of(registry.replace(/:\d+$/, ''))
    if (where !== 'public') {
      const why = where === 'private' ? 'is not on the Internet' : 'could not be looked up'
      return refused(
        `its registry ${registry} ${why}, and the server's config has no [registries.${JSON.stringify(registry)}]`,
      )
    }
    if (!pulled) return undefined
    const own = { ...host, registryAuth: limitedLogins(host, config, service) }
    try {
      await pullImage(own, { image }, { onEvent: () => {}, signal })
    } catch (error) {
      if (!(error instanceof DockerError) || signal?.aborted) throw error
      if (!mayUseLogin(config, service, registry) && (await hasLogin(host, image, registry, signal)))
        return refused(
          `it can't be pulled from ${registry} without credentials; ${loginLine(host, config, service, registry)}`,
        )
      // No word of the answer: it could be anybody's.
      return absent(
        `can't be pulled from ${registry}: not found there, not open to this server, or the registry does not answer`,
      )
    }
    found = await inspect(host, image)
    if (found) pulled.add(image, found.Id)
  }
  const owner = found?.Config?.Labels?.['mypaas.image.service']
  if (owner !== undefined && !coversService(key, owner)) return refused(`it is made from one of ${owner}`)
  for (const trigger of found?.Config?.OnBuild ?? []) {
    const problem = triggerProblem(trigger)
    if (problem) return refused(`it brings an ONBUILD instruction, and ${problem}`)
  }
  return undefined
}

async function inspect(host: Host, image: string) {
  try {
    return await host.docker.images.inspect(image)
  } catch (error) {
    // Some names are none for some engines.
    if (error instanceof NotFoundError || error instanceof BadRequestError || isBadName(error)) return undefined
    throw error
  }
}

/** An old engine says so with a status 500. */
function isBadName(error: unknown): boolean {
  return error instanceof DockerError && /invalid reference format/.test(error.message)
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
