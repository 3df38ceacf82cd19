import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import type { Volume, VolumeConfig } from './types/volume.ts'

/** Volumes: `docker.volumes`. */
export class Volumes {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  list(
    options: { filters?: Filters | undefined } & CallOptions = {},
  ): Promise<{ Volumes: Volume[] | null; Warnings: string[] | null }> {
    return this.#engine.json({
      method: 'GET',
      path: '/volumes',
      query: { filters: filtersJson(options.filters) },
      options,
    })
  }

  create(config: VolumeConfig = {}, options: CallOptions = {}): Promise<Volume> {
    return this.#engine.json({ method: 'POST', path: '/volumes/create', json: config, options })
  }

  inspect(name: string, options: CallOptions = {}): Promise<Volume> {
    return this.#engine.json({ method: 'GET', path: path`/volumes/${name}`, options })
  }

  async remove(name: string, options: { force?: boolean | undefined } & CallOptions = {}): Promise<void> {
    await this.#engine.send({
      method: 'DELETE',
      path: path`/volumes/${name}`,
      query: { force: options.force },
      options,
    })
  }

  prune(
    options: { filters?: Filters | undefined } & CallOptions = {},
  ): Promise<{ VolumesDeleted: string[] | null; SpaceReclaimed: number }> {
    const query = { filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'POST', path: '/volumes/prune', query, long: true, options })
  }
}
