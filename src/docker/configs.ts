import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import type { Config, ConfigSpec } from './types/swarm.ts'

/** Configuration files of swarm services: `docker.configs`. All calls need a swarm manager, else {@link UnavailableError}. */
export class Configs {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Lists configs, without their data. @param options.filters `id`, `label`, `name`, `names`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Config/operation/ConfigList
   */
  async list(options: { filters?: Filters | undefined } & CallOptions = {}): Promise<Config[]> {
    return this.#engine.json({
      method: 'GET',
      path: '/configs',
      query: { filters: filtersJson(options.filters) },
      options,
    })
  }

  /**
   * Makes a config.
   * @throws {ConflictError} when the name is taken
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Config/operation/ConfigCreate
   */
  async create(spec: ConfigSpec, options: CallOptions = {}): Promise<{ ID: string }> {
    return this.#engine.json({ method: 'POST', path: '/configs/create', json: spec, options })
  }

  /**
   * One config.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Config/operation/ConfigInspect
   */
  async inspect(id: string, options: CallOptions = {}): Promise<Config> {
    return this.#engine.json({ method: 'GET', path: path`/configs/${id}`, options })
  }

  /**
   * Removes a config that no service uses.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Config/operation/ConfigDelete
   */
  async remove(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'DELETE', path: path`/configs/${id}`, options })
  }

  /**
   * Changes the labels of a config; all else must stay as it is.
   * @param options.version the `Version.Index` that is changed
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Config/operation/ConfigUpdate
   */
  async update(id: string, spec: ConfigSpec, options: { version: number } & CallOptions): Promise<void> {
    const query = { version: options.version }
    await this.#engine.send({ method: 'POST', path: path`/configs/${id}/update`, query, json: spec, options })
  }
}
