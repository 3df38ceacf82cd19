import { type AuthConfig, type Credentials, encodeAuth } from './credentials.ts'
import type { CallOptions } from './deadline.ts'
import { type Engine, path } from './engine.ts'
import type { Descriptor, Platform } from './types/container.ts'

/** Images in registries: `docker.distribution`. */
export class Distribution {
  readonly #engine: Engine
  readonly #credentials: Credentials

  constructor(engine: Engine, credentials: Credentials) {
    this.#engine = engine
    this.#credentials = credentials
  }

  /**
   * Digest and platforms of an image in its registry, without pulling it.
   * @throws {UnauthorizedError} when there is no such image, or one may not see it
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Distribution/operation/DistributionInspect
   */
  async inspect(
    name: string,
    options: { registryAuth?: AuthConfig | undefined } & CallOptions = {},
  ): Promise<{ Descriptor: Descriptor; Platforms: Platform[] | null }> {
    const auth = options.registryAuth ?? (await this.#credentials.forImage(name, options))
    const headers = { 'X-Registry-Auth': auth && encodeAuth(auth) }
    return this.#engine.json({ method: 'GET', path: path`/distribution/${name}/json`, headers, options })
  }
}
