import type { CallOptions } from './deadline.ts'
import type { OutputChunk } from './demux.ts'
import { compareVersions, type Engine, type Filters, filtersJson, path, unixTime } from './engine.ts'
import { NotFoundError, ProtocolError } from './errors.ts'
import type { Exec } from './exec.ts'
import { type ExecRunOptions, runExec } from './exec-run.ts'
import { InteractiveStream } from './interactive.ts'
import { jsonLines } from './json-lines.ts'
import { output, type RunResult } from './output.ts'
import { decodePathStat } from './path-stat.ts'
import { containerConfigSince, containerUpdateSince, sinceOf } from './since.ts'
import type {
  ContainerConfig,
  ContainerExit,
  ContainerInspect,
  ContainerSettings,
  ContainerStats,
  ContainerSummary,
  ContainerTop,
  ContainerUpdate,
  FilesystemChange,
  PathStat,
} from './types/container.ts'
import { WebSocketStream } from './websocket.ts'

/** Containers: `docker.containers`. An `id` may be a name, or as much of an id as is unique. */
export class Containers {
  readonly #engine: Engine
  readonly #exec: Exec

  constructor(engine: Engine, exec: Exec) {
    this.#engine = engine
    this.#exec = exec
  }

  /**
   * Lists containers, newest first; running ones unless `all` is set.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerList
   */
  async list(options: ContainerListOptions = {}): Promise<ContainerSummary[]> {
    const { all, limit, size, filters } = options
    const query = { all, limit, size, filters: filtersJson(filters) }
    return this.#engine.json({ method: 'GET', path: '/containers/json', query, options })
  }

  /**
   * Makes a container, without starting it.
   * @throws {NotFoundError} when there is no such image
   * @throws {ConflictError} when the name is taken
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerCreate
   */
  async create(
    config: ContainerConfig,
    options: ContainerCreateOptions = {},
  ): Promise<{ Id: string; Warnings: string[] }> {
    const { name, platform } = options
    const endpoints = Object.keys(config.NetworkingConfig?.EndpointsConfig ?? {}).length
    return this.#engine.json({
      method: 'POST',
      path: '/containers/create',
      query: { name, platform },
      json: config,
      since: [
        ['platform of containers.create', '1.41', platform],
        ['More than one network in NetworkingConfig.EndpointsConfig', '1.44', endpoints > 1 ? true : undefined],
        ...sinceOf(containerConfigSince, config),
      ],
      options,
    })
  }

  /**
   * Everything about one container. @param options.size also its size on disk (slow)
   * @throws {NotFoundError}
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerInspect
   */
  async inspect(id: string, options: { size?: boolean | undefined } & CallOptions = {}): Promise<ContainerInspect> {
    return this.#engine.json({
      method: 'GET',
      path: path`/containers/${id}/json`,
      query: { size: options.size },
      options,
    })
  }

  /**
   * The processes in a running container. @param options.psArgs arguments for the host's `ps`; default `-ef`
   * @throws {ConflictError} when it does not run
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerTop
   */
  async top(id: string, options: { psArgs?: string | undefined } & CallOptions = {}): Promise<ContainerTop> {
    const query = { ps_args: options.psArgs }
    return this.#engine.json({ method: 'GET', path: path`/containers/${id}/top`, query, options })
  }

  /**
   * What a container wrote, in order; with `follow` also what it will write, until it ends. Needs a log driver that can
   * be read (`json-file`, `local`, `journald`). With `timestamps` each line starts with its time.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerLogs
   */
  async *logs(id: string, options: LogOptions = {}): AsyncGenerator<OutputChunk, void> {
    const { follow, stdout = true, stderr = true, since, until, timestamps, details, tail, signal } = options
    const tty = options.tty ?? (await this.inspect(id, { signal })).Config.Tty
    const query = { follow, stdout, stderr, since: unixTime(since), until: unixTime(until), timestamps, details, tail }
    const { body } = await this.#engine.open({ method: 'GET', path: path`/containers/${id}/logs`, query, options })
    yield* output(body, tty)
  }

  /**
   * The files that a container has added, changed or deleted.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerChanges
   */
  async changes(id: string, options: CallOptions = {}): Promise<FilesystemChange[]> {
    const call = { method: 'GET', path: path`/containers/${id}/changes`, long: true, options } as const
    return (await this.#engine.json<FilesystemChange[] | null>(call)) ?? []
  }

  /**
   * A tar archive of the whole file system of a container.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerExport
   */
  async *export(id: string, options: CallOptions = {}): AsyncGenerator<Buffer, void> {
    const { body } = await this.#engine.open({ method: 'GET', path: path`/containers/${id}/export`, options })
    yield* body
  }

  /**
   * One measurement of what a container uses. Takes one to two seconds, for the CPU's share, unless `oneShot` is set.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerStats
   */
  async stats(id: string, options: { oneShot?: boolean | undefined } & CallOptions = {}): Promise<ContainerStats> {
    const query = { stream: false, 'one-shot': options.oneShot }
    const since = [['oneShot of containers.stats', '1.41', options.oneShot]] as const
    return this.#engine.json({ method: 'GET', path: path`/containers/${id}/stats`, query, since, options })
  }

  /**
   * A measurement every second, until the container is removed.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerStats
   */
  async *watchStats(id: string, options: CallOptions = {}): AsyncGenerator<ContainerStats, void> {
    const query = { stream: true }
    const { body } = await this.#engine.open({ method: 'GET', path: path`/containers/${id}/stats`, query, options })
    yield* jsonLines<ContainerStats>(body, `Stats of container ${id}`)
  }

  /**
   * Gives a container's terminal a new size.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerResize
   */
  async resize(id: string, size: { rows: number; columns: number }, options: CallOptions = {}): Promise<void> {
    const query = { h: size.rows, w: size.columns }
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/resize`, query, options })
  }

  /**
   * Starts a container; one that runs already is left as it is.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerStart
   */
  async start(id: string, options: { detachKeys?: string | undefined } & CallOptions = {}): Promise<void> {
    const query = { detachKeys: options.detachKeys }
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/start`, query, success: [304], options })
  }

  /**
   * Stops a container; done when it has ended. One that does not run is left as it is.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerStop
   */
  async stop(id: string, options: StopOptions = {}): Promise<void> {
    const query = { t: options.graceSeconds, signal: options.stopSignal }
    const since = [['stopSignal of containers.stop', '1.42', options.stopSignal]] as const
    const call = { method: 'POST', path: path`/containers/${id}/stop`, query, since, long: true, options } as const
    await this.#engine.send({ ...call, success: [304] })
  }

  /**
   * Stops a container, if it runs, and starts it.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerRestart
   */
  async restart(id: string, options: StopOptions = {}): Promise<void> {
    const query = { t: options.graceSeconds, signal: options.stopSignal }
    const since = [['stopSignal of containers.restart', '1.42', options.stopSignal]] as const
    await this.#engine.send({
      method: 'POST',
      path: path`/containers/${id}/restart`,
      query,
      since,
      long: true,
      options,
    })
  }

  /**
   * Sends a signal to a container's first process. @param options.killSignal default `SIGKILL`
   * @throws {ConflictError} when it does not run
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerKill
   */
  async kill(id: string, options: { killSignal?: string | undefined } & CallOptions = {}): Promise<void> {
    const query = { signal: options.killSignal }
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/kill`, query, options })
  }

  /**
   * Changes limits and the restart policy; what is not named stays.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerUpdate
   */
  async update(
    id: string,
    changes: ContainerUpdate,
    options: CallOptions = {},
  ): Promise<{ Warnings: string[] | null }> {
    const since = sinceOf(containerUpdateSince, changes)
    return this.#engine.json({ method: 'POST', path: path`/containers/${id}/update`, json: changes, since, options })
  }

  /**
   * Gives a container another name.
   * @throws {ConflictError} when the name is taken
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerRename
   */
  async rename(id: string, name: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/rename`, query: { name }, options })
  }

  /**
   * Freezes all processes of a container.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerPause
   */
  async pause(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/pause`, options })
  }

  /**
   * Lets the processes of a frozen container go on.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerUnpause
   */
  async unpause(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/unpause`, options })
  }

  /**
   * Joins a container's input and output. Attached before its start, nothing is missed.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerAttach
   */
  async attach(id: string, options: AttachOptions = {}): Promise<InteractiveStream> {
    const { stdin, stdout = true, stderr = true, logs, stream = true, detachKeys, signal } = options
    const tty = options.tty ?? (await this.inspect(id, { signal })).Config.Tty
    const query = { stream, stdin, stdout, stderr, logs, detachKeys }
    const hijacked = await this.#engine.hijack({ method: 'POST', path: path`/containers/${id}/attach`, query, options })
    return new InteractiveStream(hijacked, {
      tty,
      resize: (size) => this.resize(id, size, { signal }),
      exitCode: async () => (await (await this.wait(id, { signal })).exit).StatusCode,
    })
  }

  /**
   * Joins a container's input and output over a WebSocket, which passes proxies that `attach` does not. Output is not
   * told apart by stream. Engines before API 1.42 always join all three streams; `false` for one is an error there.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerAttachWebsocket
   */
  async attachWebSocket(id: string, options: Omit<AttachOptions, 'tty'> = {}): Promise<WebSocketStream> {
    const { stdin, stdout, stderr, logs, stream = true, detachKeys } = options
    const call = { path: path`/containers/${id}/attach/ws`, options }
    if (compareVersions(await this.#engine.apiVersion(options), '1.42') < 0) {
      const unless = (name: string, wanted: boolean | undefined) =>
        [`${name}: false of containers.attachWebSocket`, '1.42', wanted === false ? false : undefined] as const
      const since = [unless('stdin', stdin), unless('stdout', stdout), unless('stderr', stderr)]
      return WebSocketStream.open(this.#engine, { ...call, query: { stream, logs, detachKeys }, since })
    }
    const streams = { stdin: stdin ?? false, stdout: stdout ?? true, stderr: stderr ?? true }
    return WebSocketStream.open(this.#engine, { ...call, query: { stream, ...streams, logs, detachKeys } })
  }

  /**
   * Waits for a container's end. Done as soon as the engine has taken the wait, so a start after it misses no exit:
   * `const { exit } = await wait(id, { condition: 'next-exit' }); await start(id); await exit`.
   * @param options.condition `not-running` (default; one that was never started counts), `next-exit` or `removed`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerWait
   */
  async wait(id: string, options: WaitOptions = {}): Promise<{ exit: Promise<ContainerExit> }> {
    const query = { condition: options.condition }
    const { body } = await this.#engine.open({ method: 'POST', path: path`/containers/${id}/wait`, query, options })
    const exit = readExit(body, id)
    // Whoever does not ask for the exit is not to be hit by its failure.
    exit.catch(() => {})
    return { exit }
  }

  /**
   * Removes a container.
   * @throws {ConflictError} when it runs and `force` is not set, or is being removed already
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerDelete
   */
  async remove(id: string, options: ContainerRemoveOptions = {}): Promise<void> {
    const query = { force: options.force, v: options.volumes, link: options.link }
    await this.#engine.send({ method: 'DELETE', path: path`/containers/${id}`, query, options })
  }

  /**
   * What there is at a path in a container; `undefined` when there is nothing.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerArchiveInfo
   */
  async stat(id: string, file: string, options: CallOptions = {}): Promise<PathStat | undefined> {
    try {
      const target = { path: path`/containers/${id}/archive`, query: { path: file } }
      const { headers } = await this.#engine.send({ method: 'HEAD', ...target, options })
      return decodePathStat(headers)
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
      // The answer to HEAD does not say which of the two is missing.
      await this.inspect(id, options)
      return undefined
    }
  }

  /**
   * A file or directory of a container as a tar archive (read it to the end, or `cancel()` it), and what it is.
   * @throws {NotFoundError} when there is no such container or path
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerArchive
   */
  async getArchive(id: string, file: string, options: CallOptions = {}): Promise<{ stat: PathStat; tar: Download }> {
    const target = { path: path`/containers/${id}/archive`, query: { path: file } }
    const { headers, body } = await this.#engine.open({ method: 'GET', ...target, options })
    try {
      return { stat: decodePathStat(headers), tar: body }
    } catch (error) {
      body.cancel()
      throw error
    }
  }

  /**
   * Unpacks a tar archive (plain, gzip, bzip2 or xz) into a directory of a container.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/PutContainerArchive
   */
  async putArchive(
    id: string,
    directory: string,
    tar: AsyncIterable<Uint8Array> | Buffer,
    options: PutArchiveOptions = {},
  ): Promise<void> {
    const { noOverwriteDirNonDir, copyUidGid } = options
    await this.#engine.send({
      method: 'PUT',
      path: path`/containers/${id}/archive`,
      query: { path: directory, noOverwriteDirNonDir, copyUIDGID: copyUidGid },
      headers: { 'Content-Type': 'application/x-tar' },
      body: tar,
      long: true,
      options,
    })
  }

  /**
   * Removes all containers that do not run. @param options.filters `label`, `until`
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerPrune
   */
  async prune(
    options: { filters?: Filters | undefined } & CallOptions = {},
  ): Promise<{ ContainersDeleted: string[] | null; SpaceReclaimed: number }> {
    const query = { filters: filtersJson(options.filters) }
    return this.#engine.json({ method: 'POST', path: '/containers/prune', query, long: true, options })
  }

  /**
   * Makes an image of a container's file system. @param options.pause freeze it meanwhile; default yes
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Image/operation/ImageCommit
   */
  async commit(id: string, options: CommitOptions = {}): Promise<{ Id: string }> {
    const { repo, tag, comment, author, pause, changes } = options
    const query = { container: id, repo, tag, comment, author, pause, changes }
    // Podman wants a body; of Docker an empty one would take the container's settings.
    const config = options.config ?? ((await this.#engine.podman(options)) ? {} : undefined)
    const call = { method: 'POST', path: '/commit', query, json: config, long: true, options } as const
    const { Id } = await this.#engine.json<{ Id: string }>(call)
    // Podman leaves the prefix out.
    return { Id: /^[0-9a-f]{64}$/.test(Id) ? `sha256:${Id}` : Id }
  }

  /**
   * Runs a command in a running container and collects what it writes. To give the call up does not stop the command.
   * @throws {ConflictError} when the container does not run
   */
  async exec(id: string, cmd: readonly string[], options: ExecRunOptions = {}): Promise<RunResult> {
    return runExec(this.#exec, id, cmd, options)
  }
}

export type ContainerListOptions = {
  /** Also those that do not run. */
  all?: boolean | undefined
  /** The newest so many, running or not. */
  limit?: number | undefined
  /** Also their sizes on disk (slow). */
  size?: boolean | undefined
  /** `ancestor`, `exited`, `health`, `id`, `label`, `name`, `network`, `status`, `volume`, … */
  filters?: Filters | undefined
} & CallOptions

export type ContainerCreateOptions = {
  /** Default: one that the engine makes up. */
  name?: string | undefined
  /** `os[/arch[/variant]]`. Since API 1.41. */
  platform?: string | undefined
} & CallOptions

export type StopOptions = {
  /** Seconds between the stop signal and SIGKILL; -1: no SIGKILL. Default: the container's own, else 10. */
  graceSeconds?: number | undefined
  /** Instead of the container's own, e.g. `SIGINT`. Since API 1.42. */
  stopSignal?: string | undefined
} & CallOptions

export type ContainerRemoveOptions = {
  /** Kills it first if it runs. */
  force?: boolean | undefined
  /** Its anonymous volumes too. */
  volumes?: boolean | undefined
  /** Remove the link of that name, not the container. */
  link?: boolean | undefined
} & CallOptions

export type WaitOptions = { condition?: 'not-running' | 'next-exit' | 'removed' | undefined } & CallOptions

export type LogOptions = {
  /** Go on with what is still to come. */
  follow?: boolean | undefined
  /** Default true. */
  stdout?: boolean | undefined
  /** Default true. */
  stderr?: boolean | undefined
  /** A time, or Unix seconds. */
  since?: Date | number | string | undefined
  /** A time, or Unix seconds. */
  until?: Date | number | string | undefined
  timestamps?: boolean | undefined
  /** What the log driver knows besides. */
  details?: boolean | undefined
  /** Only so many lines from the end. Default `all`. */
  tail?: number | 'all' | undefined
  /** Whether the container has a terminal. Default: asked of the engine. */
  tty?: boolean | undefined
} & CallOptions

export type AttachOptions = {
  /** Default false. */
  stdin?: boolean | undefined
  /** Default true. */
  stdout?: boolean | undefined
  /** Default true. */
  stderr?: boolean | undefined
  /** Begin with what was written before. */
  logs?: boolean | undefined
  /** Go on with what is written from now on. Default true. */
  stream?: boolean | undefined
  detachKeys?: string | undefined
  /** Whether the container has a terminal. Default: asked of the engine. */
  tty?: boolean | undefined
} & CallOptions

export type PutArchiveOptions = {
  /** Refuse to put a file in the place of a directory, and the other way round. */
  noOverwriteDirNonDir?: boolean | undefined
  /** Keep the owners of the archive. */
  copyUidGid?: boolean | undefined
} & CallOptions

export type CommitOptions = {
  repo?: string | undefined
  tag?: string | undefined
  comment?: string | undefined
  author?: string | undefined
  pause?: boolean | undefined
  /** Dockerfile instructions, e.g. `CMD ["/bin/sh"]`. */
  changes?: readonly string[] | undefined
  config?: ContainerSettings | undefined
} & CallOptions

/** Bytes as they come in. Read them to the end, or `cancel()`: an open one keeps its connection. */
export type Download = AsyncIterableIterator<Buffer> & { cancel(): void }

async function readExit(body: AsyncIterable<Buffer>, id: string): Promise<ContainerExit> {
  const exits = jsonLines<ContainerExit>(body, `Waiting for container ${id}`)
  const { value } = await exits.next()
  if (typeof value?.StatusCode !== 'number') {
    await exits.return(undefined)
    throw new ProtocolError(`The engine ended the wait for container ${id} without a result.`)
  }
  // To the end, so that the connection can be used again; the result counts, whatever follows.
  void exits.next().catch(() => {})
  return value
}
