import { type AuthConfig, type Credentials, encodeAuth } from './credentials.ts'
import type { CallOptions } from './deadline.ts'
import type { OutputChunk } from './demux.ts'
import { type Engine, type Filters, filtersJson, path, unixTime } from './engine.ts'
import { output } from './output.ts'
import { serviceSpecSince, sinceOf } from './since.ts'
import type { Service, ServiceSpec } from './types/swarm.ts'

/** Services of a swarm: `docker.services`. All calls need a swarm manager, else {@link UnavailableError}. */
export class Services {
  readonly #engine: Engine
  readonly #credentials: Credentials

  constructor(engine: Engine, credentials: Credentials) {
    this.#engine = engine
    this.#credentials = credentials
  }

  /**
   * Lists services. @param options.filters `id`, `label`, `mode`, `name`
   * @param options.status also how many tasks run. Since API 1.41
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Service/operation/ServiceList
   */
  async list(
    options: { filters?: Filters | undefined; status?: boolean | undefined } & CallOptions = {},
  ): Promise<Service[]> {
    const query = { filters: filtersJson(options.filters), status: options.status }
    const since = [['status of services.list', '1.41', options.status]] as const
    return this.#engine.json({ method: 'GET', path: '/services', query, since, options })
  }

  /**
   * Starts a service.
   * @throws {ConflictError} when the name is taken
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Service/operation/ServiceCreate
   */
  async create(
    spec: ServiceSpec,
    options: { registryAuth?: AuthConfig | undefined } & CallOptions = {},
  ): Promise<{ ID: string; Warnings?: string[] | null }> {
    const headers = await this.#auth(spec, options)
    const since = sinceOf(serviceSpecSince, spec)
    return this.#engine.json({ method: 'POST', path: '/services/create', headers, json: spec, since, options })
  }

  /**
   * One service. @param options.insertDefaults fill in what the spec leaves out
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Service/operation/ServiceInspect
   */
  async inspect(id: string, options: { insertDefaults?: boolean | undefined } & CallOptions = {}): Promise<Service> {
    const query = { insertDefaults: options.insertDefaults }
    return this.#engine.json({ method: 'GET', path: path`/services/${id}`, query, options })
  }

  /**
   * Stops and removes a service.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Service/operation/ServiceDelete
   */
  async remove(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'DELETE', path: path`/services/${id}`, options })
  }

  /**
   * Gives a service a new spec; what is not named is emptied.
   * @param options.version the `Version.Index` that is changed
   * @param options.rollback `previous`: back to the spec before
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Service/operation/ServiceUpdate
   */
  async update(id: string, spec: ServiceSpec, options: ServiceUpdateOptions): Promise<{ Warnings?: string[] | null }> {
    const { version, registryAuthFrom, rollback } = options
    return this.#engine.json({
      method: 'POST',
      path: path`/services/${id}/update`,
      query: { version, registryAuthFrom, rollback },
      headers: registryAuthFrom === undefined ? await this.#auth(spec, options) : {},
      json: spec,
      since: sinceOf(serviceSpecSince, spec),
      options,
    })
  }

  /**
   * What the tasks of a service wrote; with `follow` also what they will write.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Service/operation/ServiceLogs
   */
  async *logs(id: string, options: ServiceLogOptions = {}): AsyncGenerator<OutputChunk, void> {
    const { signal } = options
    const tty = options.tty ?? (await this.inspect(id, { signal })).Spec.TaskTemplate?.ContainerSpec?.TTY ?? false
    const call = { method: 'GET', path: path`/services/${id}/logs`, query: logQuery(options), options } as const
    const { body } = await this.#engine.open(call)
    yield* output(body, tty)
  }

  async #auth(
    spec: ServiceSpec,
    { registryAuth, signal }: { registryAuth?: AuthConfig | undefined } & CallOptions,
  ): Promise<Record<string, string | undefined>> {
    const image = spec.TaskTemplate?.ContainerSpec?.Image
    const auth = registryAuth ?? (image === undefined ? undefined : await this.#credentials.forImage(image, { signal }))
    return { 'X-Registry-Auth': auth && encodeAuth(auth) }
  }
}

export type ServiceUpdateOptions = {
  version: number
  /** Where credentials come from that are not given. */
  registryAuthFrom?: 'spec' | 'previous-spec' | undefined
  rollback?: 'previous' | undefined
  registryAuth?: AuthConfig | undefined
} & CallOptions

export type ServiceLogOptions = {
  follow?: boolean | undefined
  /** Default true. */
  stdout?: boolean | undefined
  /** Default true. */
  stderr?: boolean | undefined
  /** A time, or Unix seconds. */
  since?: Date | number | string | undefined
  timestamps?: boolean | undefined
  /** Also which task on which node wrote it. */
  details?: boolean | undefined
  /** Only so many lines from the end. Default `all`. */
  tail?: number | 'all' | undefined
  /** Whether the tasks have a terminal. Default: asked of the engine. */
  tty?: boolean | undefined
} & CallOptions

export function logQuery(options: ServiceLogOptions): Record<string, string | number | boolean | undefined> {
  const { follow, stdout = true, stderr = true, since, timestamps, details, tail } = options
  return { follow, stdout, stderr, since: unixTime(since), timestamps, details, tail }
}
