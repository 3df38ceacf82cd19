import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import { networkConfigSince, networkConnectSince, sinceOf } from './since.ts'
import type { EndpointConfig } from './types/container.ts'
import type { Network, NetworkConfig, NetworkInspect } from './types/network.ts'

/** Networks: `docker.networks`. An `id` may be a name. */
export class Networks {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Lists networks. @param options.filters `dangling`, `driver`, `id`, `label`, `name`, `scope`, `type`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Network/operation/NetworkList
   */
  async list(options: { filters?: Filters | undefined } & CallOptions = {}): Promise<Network[]> {
    const query = { filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'GET', path: '/networks', query, options })
  }

  /**
   * Everything about one network, its containers included.
   * @throws {NotFoundError}
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Network/operation/NetworkInspect
   */
  async inspect(id: string, options: NetworkInspectOptions = {}): Promise<NetworkInspect> {
    const { verbose, scope } = options
    return this.#engine.json({ method: 'GET', path: path`/networks/${id}`, query: { verbose, scope }, options })
  }

  /**
   * Makes a network.
   * @throws {ConflictError} when the name is taken (engines before 25 make a second one of that name)
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Network/operation/NetworkCreate
   */
  async create(config: NetworkConfig, options: CallOptions = {}): Promise<{ Id: string; Warning: string }> {
    const since = sinceOf(networkConfigSince, config)
    return this.#engine.json({ method: 'POST', path: '/networks/create', json: config, since, options })
  }

  /**
   * Removes a network that no container is on.
   * @throws {ForbiddenError} when it is in use, or one of the engine's own
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Network/operation/NetworkDelete
   */
  async remove(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'DELETE', path: path`/networks/${id}`, options })
  }

  /**
   * Puts a container on a network.
   * @throws {ForbiddenError} when it is on it already
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Network/operation/NetworkConnect
   */
  async connect(network: string, connection: NetworkConnection, options: CallOptions = {}): Promise<void> {
    const since = sinceOf(networkConnectSince, connection)
    const call = { method: 'POST', path: path`/networks/${network}/connect` } as const
    await this.#engine.send({ ...call, json: connection, since, options })
  }

  /**
   * Takes a container off a network.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Network/operation/NetworkDisconnect
   */
  async disconnect(
    network: string,
    connection: { Container: string; Force?: boolean | undefined },
    options: CallOptions = {},
  ): Promise<void> {
    const call = { method: 'POST', path: path`/networks/${network}/disconnect` } as const
    await this.#engine.send({ ...call, json: connection, options })
  }

  /**
   * Removes all networks that no container is on. @param options.filters `label`, `until`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Network/operation/NetworkPrune
   */
  async prune(
    options: { filters?: Filters | undefined } & CallOptions = {},
  ): Promise<{ NetworksDeleted: string[] | null }> {
    const query = { filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'POST', path: '/networks/prune', query, long: true, options })
  }
}

export type NetworkInspectOptions = {
  /** Also the tasks of swarm services on it. */
  verbose?: boolean | undefined
  /** `swarm`, `global` or `local`. */
  scope?: string | undefined
} & CallOptions

export type NetworkConnection = { Container: string; EndpointConfig?: EndpointConfig | undefined }
