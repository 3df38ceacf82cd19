import type { CallOptions } from './deadline.ts'
import type { OutputChunk } from './demux.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import { output } from './output.ts'
import { logQuery, type ServiceLogOptions } from './services.ts'
import type { Task } from './types/swarm.ts'

/** The containers of swarm services: `docker.tasks`. All calls need a swarm manager, else {@link UnavailableError}. */
export class Tasks {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Lists tasks. @param options.filters `desired-state`, `id`, `label`, `name`, `node`, `service`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Task/operation/TaskList
   */
  async list(options: { filters?: Filters | undefined } & CallOptions = {}): Promise<Task[]> {
    return this.#engine.json({
      method: 'GET',
      path: '/tasks',
      query: { filters: filtersJson(options.filters) },
      options,
    })
  }

  /**
   * One task.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Task/operation/TaskInspect
   */
  async inspect(id: string, options: CallOptions = {}): Promise<Task> {
    return this.#engine.json({ method: 'GET', path: path`/tasks/${id}`, options })
  }

  /**
   * What a task wrote; with `follow` also what it will write.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Task/operation/TaskLogs
   */
  async *logs(id: string, options: ServiceLogOptions = {}): AsyncGenerator<OutputChunk, void> {
    const { signal } = options
    const tty = options.tty ?? (await this.inspect(id, { signal })).Spec.ContainerSpec?.TTY ?? false
    const call = { method: 'GET', path: path`/tasks/${id}/logs`, query: logQuery(options), options } as const
    const { body } = await this.#engine.open(call)
    yield* output(body, tty)
  }
}
