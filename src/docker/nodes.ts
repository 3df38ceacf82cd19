import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import type { Node, NodeSpec } from './types/swarm.ts'

/** The machines of a swarm: `docker.nodes`. All calls need a swarm manager, else {@link UnavailableError}. */
export class Nodes {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Lists nodes. @param options.filters `id`, `label`, `membership`, `name`, `node.label`, `role`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Node/operation/NodeList
   */
  async list(options: { filters?: Filters | undefined } & CallOptions = {}): Promise<Node[]> {
    return this.#engine.json({
      method: 'GET',
      path: '/nodes',
      query: { filters: filtersJson(options.filters) },
      options,
    })
  }

  /**
   * One node.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Node/operation/NodeInspect
   */
  async inspect(id: string, options: CallOptions = {}): Promise<Node> {
    return this.#engine.json({ method: 'GET', path: path`/nodes/${id}`, options })
  }

  /**
   * Removes a node from the swarm. @param options.force also one that is up
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Node/operation/NodeDelete
   */
  async remove(id: string, options: { force?: boolean | undefined } & CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'DELETE', path: path`/nodes/${id}`, query: { force: options.force }, options })
  }

  /**
   * Changes a node's role, availability, name or labels; what is not named is emptied.
   * @param options.version the `Version.Index` that is changed
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Node/operation/NodeUpdate
   */
  async update(id: string, spec: NodeSpec, options: { version: number } & CallOptions): Promise<void> {
    const query = { version: options.version }
    await this.#engine.send({ method: 'POST', path: path`/nodes/${id}/update`, query, json: spec, options })
  }
}
