import type { CallOptions } from './deadline.ts'
import { type Engine, type Filters, filtersJson } from './engine.ts'
import { jsonLines } from './json-lines.ts'
import type { DiskUsage, EngineEvent, SystemInfo, SystemVersion } from './types/system.ts'

/** The engine itself: `docker.system`. */
export class System {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Asks whether the engine answers; its headers say what it is. */
  async ping(options: CallOptions = {}): Promise<Ping> {
    const { headers } = await this.#engine.send({ method: 'GET', path: '/_ping', unversioned: true, options })
    return {
      apiVersion: headers['api-version'],
      osType: headers['ostype'],
      builderVersion: headers['builder-version'],
      experimental: headers['docker-experimental'] === 'true',
      swarm: headers['swarm'],
    }
  }

  info(options: CallOptions = {}): Promise<SystemInfo> {
    return this.#engine.json({ method: 'GET', path: '/info', options })
  }

  version(options: CallOptions = {}): Promise<SystemVersion> {
    return this.#engine.json({ method: 'GET', path: '/version', options })
  }

  df(options: CallOptions = {}): Promise<DiskUsage> {
    return this.#engine.json({ method: 'GET', path: '/system/df', long: true, options })
  }

  async *events(options: EventOptions = {}): AsyncGenerator<EngineEvent, void> {
    const { since, until } = options
    const query = { since: unixTime(since), until: unixTime(until), filters: filtersJson(options.filters) }
    const { body } = await this.#engine.open({ method: 'GET', path: '/events', query, options })
    yield* jsonLines<EngineEvent>(body, 'Events')
  }
}

export type Ping = {
  apiVersion: string | undefined
  osType: string | undefined
  /** `2`: BuildKit is the default. */
  builderVersion: string | undefined
  experimental: boolean
  /** E.g. `inactive`, `active/manager`. */
  swarm: string | undefined
}

export type EventOptions = {
  since?: Date | number | string | undefined
  until?: Date | number | string | undefined
  filters?: Filters | undefined
} & CallOptions

function unixTime(time: Date | number | string | undefined): string | number | undefined {
  return time instanceof Date ? (time.getTime() / 1000).toFixed(3) : time
}
