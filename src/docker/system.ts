import type { AuthConfig } from './credentials.ts'
import type { CallOptions } from './deadline.ts'
import type { Engine } from './engine.ts'
import { type EventOptions, events } from './events.ts'
import type { Wire } from './pool.ts'
import type { DiskUsage, EngineEvent, SystemInfo, SystemVersion } from './types/system.ts'

/** The engine itself: `docker.system`. */
export class System {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Checks credentials with a registry.
   * @throws {UnauthorizedError} when they are wrong
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemAuth
   */
  async auth(credentials: AuthConfig, options: CallOptions = {}): Promise<{ Status: string; IdentityToken: string }> {
    const { body } = await this.#engine.send({ method: 'POST', path: '/auth', json: credentials, options })
    const answer = body.length === 0 ? {} : (JSON.parse(body.toString()) as { Status?: string; IdentityToken?: string })
    return { Status: answer.Status ?? '', IdentityToken: answer.IdentityToken ?? '' }
  }

  /**
   * What the engine is, how it is set up, and what it runs.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemInfo
   */
  async info(options: CallOptions = {}): Promise<SystemInfo> {
    return this.#engine.json({ method: 'GET', path: '/info', options })
  }

  /**
   * Versions of the engine and its parts.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemVersion
   */
  async version(options: CallOptions = {}): Promise<SystemVersion> {
    return this.#engine.json({ method: 'GET', path: '/version', options })
  }

  /**
   * Asks whether the engine answers. The one call that needs no agreement on a version first.
   * @param options.head by `HEAD`, which some proxies refuse
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemPingHead
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemPing
   */
  async ping(options: { head?: boolean | undefined } & CallOptions = {}): Promise<Ping> {
    const call = { method: options.head ? 'HEAD' : 'GET', path: '/_ping', unversioned: true, options } as const
    const { headers } = await this.#engine.send(call)
    return {
      apiVersion: headers['api-version'],
      osType: headers['ostype'],
      builderVersion: headers['builder-version'],
      experimental: headers['docker-experimental'] === 'true',
      swarm: headers['swarm'],
    }
  }

  /**
   * What happens to containers, images, networks, …, as it happens. When the connection breaks (the engine is
   * restarted, say) it waits for the engine and goes on where it was: without loss as far as the engine remembers
   * (256 events), and without doubles. Ends at `until`, or when the reader stops.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemEvents
   */
  events(options: EventOptions = {}): AsyncGenerator<EngineEvent, void> {
    return events(this.#engine, options)
  }

  /**
   * How much disk is used, and for what.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemDataUsage
   */
  async df(options: DiskUsageOptions = {}): Promise<DiskUsage> {
    const { types, verbose } = options
    const since = [
      ['types of system.df', '1.42', types],
      ['verbose of system.df', '1.52', verbose],
    ] as const
    const query = { type: types, verbose }
    return this.#engine.json({ method: 'GET', path: '/system/df', query, since, long: true, options })
  }

  /**
   * Opens the stream over which BuildKit talks gRPC with its client. Deprecated since API 1.53; builds of this client
   * don't use it. The stream stands still until it is read: iterate it, pipe it, or `resume()` it.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Session/operation/Session
   */
  async session(options: SessionOptions): Promise<Wire> {
    const headers = {
      'X-Docker-Expose-Session-Uuid': options.uuid,
      'X-Docker-Expose-Session-Name': options.name,
      'X-Docker-Expose-Session-Sharedkey': options.sharedKey,
    }
    const call = { method: 'POST', path: '/session', headers, upgrade: 'h2c', options } as const
    const { socket, rest, deadline } = await this.#engine.hijack(call)
    deadline.guard({ abort: (error) => socket.destroy(error), waits: () => true })
    socket.once('close', () => deadline.done())
    if (rest.length > 0) socket.unshift(rest)
    return socket
  }
}

export type Ping = {
  /** The newest API that the engine speaks. */
  apiVersion: string | undefined
  osType: string | undefined
  /** The builder that the engine recommends; `2` is BuildKit. Engines before 23 don't say. */
  builderVersion: string | undefined
  experimental: boolean
  /** E.g. `inactive`, `active/manager`. Engines before 23 don't say. */
  swarm: string | undefined
}

export type DiskUsageOptions = {
  /** Since API 1.42. Default: all. */
  types?: readonly ('container' | 'image' | 'volume' | 'build-cache')[] | undefined
  /** The objects too, not only the sums. Since API 1.52; before, always. */
  verbose?: boolean | undefined
} & CallOptions

export type SessionOptions = { uuid: string; name?: string | undefined; sharedKey?: string | undefined } & CallOptions
