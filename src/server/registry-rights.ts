import type { Host } from '../deploy/host.ts'
import { parseImageReference } from '../docker/image-reference.ts'
import { type AuthConfig, DockerError, type ImageInspect } from '../docker/index.ts'
import type { ServerConfig } from './config.ts'

/** Whether a service that a limited key deploys may have what the server's credentials of a registry reach. */
export function mayUseLogin(config: ServerConfig, service: string, registry: string): boolean {
  return config.services[service]?.registries.includes(registry) === true
}

/** The credentials that pulls of a limited key get: those of the registries that its service may use, and no others. */
export function limitedLogins(host: Host, config: ServerConfig, service: string): Host['registryAuth'] {
  const none: AuthConfig = {}
  return (registry) => (mayUseLogin(config, service, registry) ? host.registryAuth(registry) : none)
}

/** What to write so that a service may use them. */
export function loginLine(host: Host, config: ServerConfig, service: string, registry: string): string {
  const list = JSON.stringify([...(config.services[service]?.registries ?? []), registry])
  const section = `[services.${/^[a-z0-9_-]+$/.test(service) ? service : `"${service}"`}]`
  return `if ${service} may use the server's credentials for ${registry}, set in ${section} of ${host.directory}/config.toml: registries = ${list}`
}

/**
 * Whether an image that is here already may have come from a registry by credentials of the server that the service may not
 * use: all names by which it was pulled are of registries that the server has credentials for, and none of these gives it
 * to everybody, which is asked anew.
 * @returns such a registry
 */
export async function foreignOrigin(
  host: Host,
  config: ServerConfig,
  { service, image, signal }: Readonly<{ service: string; image: ImageInspect; signal?: AbortSignal | undefined }>,
): Promise<string | undefined> {
  const names = image.RepoDigests ?? []
  let guarded: string | undefined
  for (const name of names) {
    const reference = parseImageReference(name)
    if (!reference || mayUseLogin(config, service, reference.registry)) return undefined
    // Docker's own are everybody's.
    if (reference.registry === 'docker.io' && reference.repository.startsWith('library/')) return undefined
    if (!(await hasLogin(host, name, reference.registry, signal))) return undefined
    guarded ??= reference.registry
  }
  for (const name of guarded === undefined ? [] : names.slice(0, 4)) {
    try {
      await host.docker.distribution.inspect(name, { registryAuth: {}, signal })
      return undefined
    } catch (error) {
      if (!(error instanceof DockerError) || signal?.aborted) throw error
    }
  }
  return guarded
}

/** Whether the server has credentials for the registry of an image. */
export async function hasLogin(
  host: Host,
  image: string,
  registry: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (host.registryAuth(registry) !== undefined) return true
  // A helper that fails may know it.
  return host.docker.images.hasLogin(image, { signal }).catch(() => true)
}
