import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import type { Secret, SecretSpec } from './types/swarm.ts'

/** Secrets of swarm services: `docker.secrets`. All calls need a swarm manager, else {@link UnavailableError}. */
export class Secrets {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Lists secrets, without their data. @param options.filters `id`, `label`, `name`, `names`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Secret/operation/SecretList
   */
  async list(options: { filters?: Filters | undefined } & CallOptions = {}): Promise<Secret[]> {
    return this.#engine.json({
      method: 'GET',
      path: '/secrets',
      query: { filters: filtersJson(options.filters) },
      options,
    })
  }

  /**
   * Makes a secret.
   * @throws {ConflictError} when the name is taken
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Secret/operation/SecretCreate
   */
  async create(spec: SecretSpec, options: CallOptions = {}): Promise<{ ID: string }> {
    return this.#engine.json({ method: 'POST', path: '/secrets/create', json: spec, options })
  }

  /**
   * One secret, without its data.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Secret/operation/SecretInspect
   */
  async inspect(id: string, options: CallOptions = {}): Promise<Secret> {
    return this.#engine.json({ method: 'GET', path: path`/secrets/${id}`, options })
  }

  /**
   * Removes a secret that no service uses.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Secret/operation/SecretDelete
   */
  async remove(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'DELETE', path: path`/secrets/${id}`, options })
  }

  /**
   * Changes the labels of a secret; all else must stay as it is.
   * @param options.version the `Version.Index` that is changed
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Secret/operation/SecretUpdate
   */
  async update(id: string, spec: SecretSpec, options: { version: number } & CallOptions): Promise<void> {
    const query = { version: options.version }
    await this.#engine.send({ method: 'POST', path: path`/secrets/${id}/update`, query, json: spec, options })
  }
}
