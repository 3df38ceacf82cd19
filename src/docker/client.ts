import type { Endpoint } from './address.ts'
import { Configs } from './configs.ts'
import { Containers } from './containers.ts'
import { Credentials } from './credentials.ts'
import { Distribution } from './distribution.ts'
import { findEngine, parseHost } from './endpoint.ts'
import { Engine, isVersion } from './engine.ts'
import { DockerError } from './errors.ts'
import { Exec } from './exec.ts'
import { Images } from './images.ts'
import { Networks } from './networks.ts'
import { Nodes } from './nodes.ts'
import type { RunResult } from './output.ts'
import { Plugins } from './plugins.ts'
import { type RunOptions, run } from './run.ts'
import { Secrets } from './secrets.ts'
import { Services } from './services.ts'
import { Swarm } from './swarm.ts'
import { System } from './system.ts'
import { Tasks } from './tasks.ts'
import { Volumes } from './volumes.ts'

/**
 * A Docker Engine. Nothing is opened before the first call; connections are kept for the next ones until `close()`.
 *
 * ```ts
 * await using docker = new Docker()
 * for (const container of await docker.containers.list()) console.log(container.Names[0], container.Status)
 * ```
 */
export class Docker {
  readonly containers: Containers
  readonly exec: Exec
  readonly images: Images
  readonly networks: Networks
  readonly volumes: Volumes
  readonly system: System
  readonly distribution: Distribution
  readonly plugins: Plugins
  readonly swarm: Swarm
  readonly nodes: Nodes
  readonly services: Services
  readonly tasks: Tasks
  readonly secrets: Secrets
  readonly configs: Configs
  readonly #engine: Engine

  /** @throws {DockerError} for an API version or a host that is none */
  constructor(options: DockerOptions = {}) {
    const { host, context, env = process.env, timeoutMs, connectTimeoutMs } = options
    const apiVersion = options.apiVersion ?? (env['DOCKER_API_VERSION'] || undefined)
    if (apiVersion !== undefined && !isVersion(apiVersion)) {
      throw new DockerError(`${JSON.stringify(apiVersion)} is no API version.`, {
        code: 'usage',
        hint: 'Set DOCKER_API_VERSION to one like 1.41, or leave it unset.',
      })
    }
    const given = typeof host === 'string' ? parseHost(host) : host
    const endpoint = () => given ?? findEngine(env, { context })
    const engine = new Engine({ endpoint, apiVersion, timeoutMs, connectTimeoutMs, env })
    const credentials = new Credentials(env)
    this.#engine = engine
    this.exec = new Exec(engine)
    this.containers = new Containers(engine, this.exec)
    this.images = new Images(engine, credentials)
    this.networks = new Networks(engine)
    this.volumes = new Volumes(engine)
    this.system = new System(engine)
    this.distribution = new Distribution(engine, credentials)
    this.plugins = new Plugins(engine, credentials)
    this.swarm = new Swarm(engine)
    this.nodes = new Nodes(engine)
    this.services = new Services(engine, credentials)
    this.tasks = new Tasks(engine)
    this.secrets = new Secrets(engine)
    this.configs = new Configs(engine)
  }

  /**
   * Runs a command in a container of its own, and removes that.
   * @param cmd default: the image's own
   * @throws {NotFoundError} when there is no such image and `pull` is not set
   */
  run(image: string, cmd?: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this, image, cmd, options)
  }

  /** Where the engine is. */
  endpoint(): Promise<Endpoint> {
    return this.#engine.endpoint()
  }

  /** The API version that is used with this engine, e.g. `1.41`; agreed on with it on first use. */
  apiVersion(): Promise<string> {
    return this.#engine.apiVersion()
  }

  /** How many connections are open now, idle ones included. */
  get connections(): number {
    return this.#engine.connections
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
  /** E.g. `unix:///var/run/docker.sock`, or with TLS an {@link Endpoint}. Default: found as the docker command does. */
  host?: string | Endpoint | undefined
  /** The name of a docker context. */
  context?: string | undefined
  /** A fixed API version. Default: `DOCKER_API_VERSION`, else agreed on with the engine. */
  apiVersion?: string | undefined
  /** Milliseconds that a short call may take, unless it says otherwise. Default 120 000. */
  timeoutMs?: number | undefined
  /** Milliseconds to open a connection. Default 10 000. */
  connectTimeoutMs?: number | undefined
  /** Instead of `process.env`: `DOCKER_HOST`, `DOCKER_CONFIG`, `PATH` for ssh and credential helpers, … */
  env?: NodeJS.ProcessEnv | undefined
}
