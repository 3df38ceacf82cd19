import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import { sinceOf, volumeConfigSince } from './since.ts'
import type { ClusterVolumeSpec, Volume, VolumeConfig } from './types/volume.ts'

/** Volumes: `docker.volumes`. */
export class Volumes {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Lists volumes. @param options.filters `dangling`, `driver`, `label`, `name`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Volume/operation/VolumeList
   */
  async list(
    options: { filters?: Filters | undefined } & CallOptions = {},
  ): Promise<{ Volumes: Volume[] | null; Warnings: string[] | null }> {
    const query = { filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'GET', path: '/volumes', query, options })
  }

  /**
   * Makes a volume; one of that name and driver that exists already is returned as it is.
   * @throws {ConflictError} when the name is taken by a volume of another driver
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Volume/operation/VolumeCreate
   */
  async create(config: VolumeConfig = {}, options: CallOptions = {}): Promise<Volume> {
    const since = sinceOf(volumeConfigSince, config)
    return this.#engine.json({ method: 'POST', path: '/volumes/create', json: config, since, options })
  }

  /**
   * One volume.
   * @throws {NotFoundError}
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Volume/operation/VolumeInspect
   */
  async inspect(name: string, options: CallOptions = {}): Promise<Volume> {
    return this.#engine.json({ method: 'GET', path: path`/volumes/${name}`, options })
  }

  /**
   * Changes a cluster volume (its availability is all that may change). Since API 1.42, on a swarm manager.
   * @param version the `ClusterVolume.Version.Index` that is changed
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Volume/operation/VolumeUpdate
   */
  async update(
    name: string,
    version: number,
    options: { spec?: ClusterVolumeSpec | undefined } & CallOptions = {},
  ): Promise<void> {
    const since = [['volumes.update', '1.42', true]] as const
    const call = { method: 'PUT', path: path`/volumes/${name}`, query: { version } } as const
    await this.#engine.send({ ...call, json: { Spec: options.spec }, since, options })
  }

  /**
   * Removes a volume.
   * @param options.force no error when there is none
   * @throws {ConflictError} when a container uses it
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Volume/operation/VolumeDelete
   */
  async remove(name: string, options: { force?: boolean | undefined } & CallOptions = {}): Promise<void> {
    await this.#engine.send({
      method: 'DELETE',
      path: path`/volumes/${name}`,
      query: { force: options.force },
      options,
    })
  }

  /**
   * Removes the volumes that no container uses; since API 1.42 only the nameless ones, unless `filters` has `all`.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Volume/operation/VolumePrune
   */
  async prune(
    options: { filters?: Filters | undefined } & CallOptions = {},
  ): Promise<{ VolumesDeleted: string[] | null; SpaceReclaimed: number }> {
    const query = { filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'POST', path: '/volumes/prune', query, long: true, options })
  }
}
