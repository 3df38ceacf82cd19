import type { CallOptions } from './deadline.ts'
import type { Engine } from './engine.ts'
import type { SwarmInitRequest, Swarm as SwarmInspect, SwarmJoinRequest, SwarmSpec } from './types/swarm.ts'

/** The swarm that the engine is part of: `docker.swarm`. */
export class Swarm {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * The swarm, its settings and join tokens.
   * @throws {UnavailableError} when the engine is no swarm manager
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Swarm/operation/SwarmInspect
   */
  async inspect(options: CallOptions = {}): Promise<SwarmInspect> {
    return this.#engine.json({ method: 'GET', path: '/swarm', options })
  }

  /**
   * Starts a swarm. @returns the id of this node
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Swarm/operation/SwarmInit
   */
  async init(config: SwarmInitRequest = {}, options: CallOptions = {}): Promise<string> {
    return this.#engine.json({ method: 'POST', path: '/swarm/init', json: config, long: true, options })
  }

  /**
   * Joins a swarm.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Swarm/operation/SwarmJoin
   */
  async join(config: SwarmJoinRequest, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: '/swarm/join', json: config, long: true, options })
  }

  /**
   * Leaves the swarm. @param options.force also as a manager, even if that breaks the swarm
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Swarm/operation/SwarmLeave
   */
  async leave(options: { force?: boolean | undefined } & CallOptions = {}): Promise<void> {
    const query = { force: options.force }
    await this.#engine.send({ method: 'POST', path: '/swarm/leave', query, long: true, options })
  }

  /**
   * Changes the swarm's settings; what is not named is emptied.
   * @param options.version the `Version.Index` that is changed
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Swarm/operation/SwarmUpdate
   */
  async update(spec: SwarmSpec, options: SwarmUpdateOptions): Promise<void> {
    const { version, rotateWorkerToken, rotateManagerToken, rotateManagerUnlockKey } = options
    const query = { version, rotateWorkerToken, rotateManagerToken, rotateManagerUnlockKey }
    await this.#engine.send({ method: 'POST', path: '/swarm/update', query, json: spec, options })
  }

  /**
   * The key that unlocks a manager after its restart.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Swarm/operation/SwarmUnlockkey
   */
  async unlockKey(options: CallOptions = {}): Promise<{ UnlockKey: string }> {
    return this.#engine.json({ method: 'GET', path: '/swarm/unlockkey', options })
  }

  /**
   * Unlocks a manager after its restart.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Swarm/operation/SwarmUnlock
   */
  async unlock(unlockKey: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: '/swarm/unlock', json: { UnlockKey: unlockKey }, options })
  }
}

export type SwarmUpdateOptions = {
  version: number
  rotateWorkerToken?: boolean | undefined
  rotateManagerToken?: boolean | undefined
  rotateManagerUnlockKey?: boolean | undefined
} & CallOptions
