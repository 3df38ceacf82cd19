import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import type { EndpointConfig } from './types/container.ts'
import type { Network, NetworkConfig, NetworkInspect } from './types/network.ts'

/** Networks: `docker.networks`. */
export class Networks {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  list(options: { filters?: Filters | undefined } & CallOptions = {}): Promise<Network[]> {
    return this.#engine.json({
      method: 'GET',
      path: '/networks',
      query: { filters: filtersJson(options.filters) },
      options,
    })
  }

  inspect(
    id: string,
    options: { verbose?: boolean | undefined; scope?: string | undefined } & CallOptions = {},
  ): Promise<NetworkInspect> {
    const { verbose, scope } = options
    return this.#engine.json({ method: 'GET', path: path`/networks/${id}`, query: { verbose, scope }, options })
  }

  create(config: NetworkConfig, options: CallOptions = {}): Promise<{ Id: string; Warning: string }> {
    return this.#engine.json({ method: 'POST', path: '/networks/create', json: config, options })
  }

  async remove(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'DELETE', path: path`/networks/${id}`, options })
  }

  async connect(
    network: string,
    connection: { Container: string; EndpointConfig?: EndpointConfig | undefined },
    options: CallOptions = {},
  ): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/networks/${network}/connect`, json: connection, options })
  }

  async disconnect(
    network: string,
    connection: { Container: string; Force?: boolean | undefined },
    options: CallOptions = {},
  ): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/networks/${network}/disconnect`, json: connection, options })
  }

  prune(options: { filters?: Filters | undefined } & CallOptions = {}): Promise<{ NetworksDeleted: string[] | null }> {
    const query = { filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'POST', path: '/networks/prune', query, long: true, options })
  }
}
