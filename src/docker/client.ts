import type { Endpoint } from './address.ts'
import { Containers } from './containers.ts'
import { findEngine, parseHost } from './endpoint.ts'
import { Engine } from './engine.ts'
import { Exec } from './exec.ts'
import { Images } from './images.ts'
import { Networks } from './networks.ts'
import { System } from './system.ts'
import { Volumes } from './volumes.ts'

/** A Docker engine. Nothing is opened before the first call; connections are kept for the next ones until `close()`. */
export class Docker {
  readonly containers: Containers
  readonly exec: Exec
  readonly images: Images
  readonly networks: Networks
  readonly volumes: Volumes
  readonly system: System
  readonly #engine: Engine

  constructor(options: DockerOptions = {}) {
    const { host, env = process.env } = options
    const engine = new Engine({
      endpoint: () => (host === undefined ? findEngine(env) : typeof host === 'string' ? parseHost(host) : host),
      apiVersion: options.apiVersion ?? (env['DOCKER_API_VERSION'] || undefined),
      timeoutMs: options.timeoutMs,
      connectTimeoutMs: options.connectTimeoutMs,
    })
    this.#engine = engine
    this.exec = new Exec(engine)
    this.containers = new Containers(engine, this.exec)
    this.images = new Images(engine)
    this.networks = new Networks(engine)
    this.volumes = new Volumes(engine)
    this.system = new System(engine)
  }

  /** The API version that is used with this engine, e.g. `1.41`. */
  apiVersion(): Promise<string> {
    return this.#engine.apiVersion()
  }

  /** Closes all connections; calls under way fail. */
  close(): void {
    this.#engine.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }
}

export type DockerOptions = {
  /** E.g. `unix:///var/run/docker.sock`. Default: found as the docker command does. */
  host?: string | Endpoint | undefined
  /** A fixed API version. Default: `DOCKER_API_VERSION`, else agreed on with the engine. */
  apiVersion?: string | undefined
  /** Milliseconds that a short call may take. Default 120 000. */
  timeoutMs?: number | undefined
  /** Milliseconds to open a connection. Default 10 000. */
  connectTimeoutMs?: number | undefined
  /** Instead of `process.env`. */
  env?: NodeJS.ProcessEnv | undefined
}
