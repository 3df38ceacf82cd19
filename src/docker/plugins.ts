import { type AuthConfig, type Credentials, encodeAuth } from './credentials.ts'
import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import { type PullEvent, progress } from './progress.ts'
import type { Plugin, PluginPrivilege } from './types/plugin.ts'

/** Plugins of the engine: `docker.plugins`. */
export class Plugins {
  readonly #engine: Engine
  readonly #credentials: Credentials

  constructor(engine: Engine, credentials: Credentials) {
    this.#engine = engine
    this.#credentials = credentials
  }

  /**
   * Lists plugins. @param options.filters `capability`, `enabled`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginList
   */
  async list(options: { filters?: Filters | undefined } & CallOptions = {}): Promise<Plugin[]> {
    return this.#engine.json({
      method: 'GET',
      path: '/plugins',
      query: { filters: filtersJson(options.filters) },
      options,
    })
  }

  /**
   * What a plugin in a registry wants to be allowed.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/GetPluginPrivileges
   */
  async privileges(remote: string, options: PluginAuth & CallOptions = {}): Promise<PluginPrivilege[]> {
    const headers = await this.#auth(remote, options)
    const call = {
      method: 'GET',
      path: '/plugins/privileges',
      query: { remote },
      headers,
      long: true,
      options,
    } as const
    return (await this.#engine.json<PluginPrivilege[] | null>(call)) ?? []
  }

  /**
   * Installs a plugin, not enabled yet. Reading the events drives it.
   * @param options.privileges what it is allowed; it must be all that `privileges` says
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginPull
   */
  async *pull(remote: string, options: PluginPullOptions = {}): AsyncGenerator<PullEvent, void> {
    const query = { remote, name: options.name }
    const headers = await this.#auth(remote, options)
    const call = { method: 'POST', path: '/plugins/pull', query, headers, json: options.privileges ?? [] } as const
    const { body } = await this.#engine.open({ ...call, options })
    yield* progress(body, `Pull of plugin ${remote}`)
  }

  /**
   * One plugin.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginInspect
   */
  async inspect(name: string, options: CallOptions = {}): Promise<Plugin> {
    return this.#engine.json({ method: 'GET', path: path`/plugins/${name}/json`, options })
  }

  /**
   * Removes a plugin. @param options.force also one that is enabled
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginDelete
   */
  async remove(name: string, options: { force?: boolean | undefined } & CallOptions = {}): Promise<void> {
    await this.#engine.send({
      method: 'DELETE',
      path: path`/plugins/${name}`,
      query: { force: options.force },
      options,
    })
  }

  /**
   * Starts a plugin. @param options.startSeconds how long it may take to answer; default 0: no limit
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginEnable
   */
  async enable(name: string, options: { startSeconds?: number | undefined } & CallOptions = {}): Promise<void> {
    const query = { timeout: options.startSeconds ?? 0 }
    await this.#engine.send({ method: 'POST', path: path`/plugins/${name}/enable`, query, long: true, options })
  }

  /**
   * Stops a plugin. @param options.force also one that is in use
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginDisable
   */
  async disable(name: string, options: { force?: boolean | undefined } & CallOptions = {}): Promise<void> {
    const query = { force: options.force }
    await this.#engine.send({ method: 'POST', path: path`/plugins/${name}/disable`, query, options })
  }

  /**
   * Replaces a disabled plugin by another version. Reading the events drives it.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginUpgrade
   */
  async *upgrade(
    name: string,
    remote: string,
    options: Omit<PluginPullOptions, 'name'> = {},
  ): AsyncGenerator<PullEvent, void> {
    const headers = await this.#auth(remote, options)
    const call = { method: 'POST', path: path`/plugins/${name}/upgrade`, query: { remote }, headers } as const
    const { body } = await this.#engine.open({ ...call, json: options.privileges ?? [], options })
    yield* progress(body, `Upgrade of plugin ${name}`)
  }

  /**
   * Makes a plugin of a tar archive with `config.json` and `rootfs`.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginCreate
   */
  async create(name: string, tar: AsyncIterable<Uint8Array> | Buffer, options: CallOptions = {}): Promise<void> {
    const headers = { 'Content-Type': 'application/x-tar' }
    const call = { method: 'POST', path: '/plugins/create', query: { name }, headers, body: tar, long: true } as const
    await this.#engine.send({ ...call, options })
  }

  /**
   * Pushes a plugin to its registry. Reading the events drives it.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginPush
   */
  async *push(name: string, options: PluginAuth & CallOptions = {}): AsyncGenerator<PullEvent, void> {
    const headers = { 'X-Registry-Auth': encodeAuth({}), ...(await this.#auth(name, options)) }
    const { body } = await this.#engine.open({ method: 'POST', path: path`/plugins/${name}/push`, headers, options })
    yield* progress(body, `Push of plugin ${name}`)
  }

  /**
   * Changes the settings of a disabled plugin. @param settings e.g. `DEBUG=1`, `mymount.source=/srv`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Plugin/operation/PluginSet
   */
  async set(name: string, settings: readonly string[], options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/plugins/${name}/set`, json: settings, options })
  }

  async #auth(image: string, { registryAuth, signal }: PluginAuth & CallOptions): Promise<Record<string, string>> {
    const auth = registryAuth ?? (await this.#credentials.forImage(image, { signal }))
    return auth ? { 'X-Registry-Auth': encodeAuth(auth) } : {}
  }
}

export type PluginAuth = {
  /** Default: as the docker command has it. */
  registryAuth?: AuthConfig | undefined
}

export type PluginPullOptions = {
  /** The name to give it here. Default: its own. */
  name?: string | undefined
  privileges?: readonly PluginPrivilege[] | undefined
} & PluginAuth &
  CallOptions
