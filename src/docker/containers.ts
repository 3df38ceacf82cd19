import type { CallOptions } from './deadline.ts'
import { Demux, type OutputChunk } from './demux.ts'
import { type Engine, type Filters, filtersJson, path } from './engine.ts'
import { DockerError } from './errors.ts'
import type { Exec } from './exec.ts'
import { InteractiveStream } from './interactive.ts'
import { jsonLines } from './json-lines.ts'
import type {
  ContainerConfig,
  ContainerExit,
  ContainerInspect,
  ContainerSummary,
  ContainerUpdate,
} from './types/container.ts'

/** Containers: `docker.containers`. */
export class Containers {
  readonly #engine: Engine
  readonly #exec: Exec

  constructor(engine: Engine, exec: Exec) {
    this.#engine = engine
    this.#exec = exec
  }

  list(options: ContainerListOptions = {}): Promise<ContainerSummary[]> {
    const { all, limit, size, filters } = options
    const query = { all, limit, size, filters: filtersJson(filters) }
    return this.#engine.json({ method: 'GET', path: '/containers/json', query, options })
  }

  create(config: ContainerConfig, options: ContainerCreateOptions = {}): Promise<{ Id: string; Warnings: string[] }> {
    const { name, platform } = options
    return this.#engine.json({
      method: 'POST',
      path: '/containers/create',
      query: { name, platform },
      json: config,
      options,
    })
  }

  inspect(id: string, options: { size?: boolean } & CallOptions = {}): Promise<ContainerInspect> {
    return this.#engine.json({
      method: 'GET',
      path: path`/containers/${id}/json`,
      query: { size: options.size },
      options,
    })
  }

  async start(id: string, options: { detachKeys?: string } & CallOptions = {}): Promise<void> {
    const query = { detachKeys: options.detachKeys }
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/start`, query, success: [304], options })
  }

  async stop(id: string, options: StopOptions = {}): Promise<void> {
    const query = { t: options.graceSeconds, signal: options.stopSignal }
    const since = [['stopSignal of containers.stop', '1.42', options.stopSignal]] as const
    await this.#engine.send({
      method: 'POST',
      path: path`/containers/${id}/stop`,
      query,
      success: [304],
      long: true,
      since,
      options,
    })
  }

  async restart(id: string, options: StopOptions = {}): Promise<void> {
    const query = { t: options.graceSeconds, signal: options.stopSignal }
    const since = [['stopSignal of containers.restart', '1.42', options.stopSignal]] as const
    await this.#engine.send({
      method: 'POST',
      path: path`/containers/${id}/restart`,
      query,
      long: true,
      since,
      options,
    })
  }

  async kill(id: string, options: { killSignal?: string } & CallOptions = {}): Promise<void> {
    await this.#engine.send({
      method: 'POST',
      path: path`/containers/${id}/kill`,
      query: { signal: options.killSignal },
      options,
    })
  }

  async rename(id: string, name: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/rename`, query: { name }, options })
  }

  update(id: string, changes: ContainerUpdate, options: CallOptions = {}): Promise<{ Warnings: string[] | null }> {
    return this.#engine.json({ method: 'POST', path: path`/containers/${id}/update`, json: changes, options })
  }

  async pause(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/pause`, options })
  }

  async unpause(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/unpause`, options })
  }

  async remove(id: string, options: ContainerRemoveOptions = {}): Promise<void> {
    const query = { force: options.force, v: options.volumes, link: options.link }
    await this.#engine.send({ method: 'DELETE', path: path`/containers/${id}`, query, options })
  }

  /**
   * Waits for a container's end. Done as soon as the engine has taken the wait, so a start after it misses no exit.
   * @param options.condition `not-running` (default; a container not yet started counts), `next-exit` or `removed`
   */
  async wait(id: string, options: WaitOptions = {}): Promise<{ exit: Promise<ContainerExit> }> {
    const query = { condition: options.condition }
    const { body } = await this.#engine.open({ method: 'POST', path: path`/containers/${id}/wait`, query, options })
    const exit = readExit(body, id)
    // Whoever does not ask for the exit is not to be hit by its failure.
    exit.catch(() => {})
    return { exit }
  }

  /** The output of a container, as it was written; with `follow` also what is still to come. */
  async *logs(id: string, options: LogOptions = {}): AsyncGenerator<OutputChunk, void> {
    const { follow, stdout = true, stderr = true, since, until, timestamps, tail, signal } = options
    const tty = options.tty ?? (await this.inspect(id, { signal })).Config.Tty
    const query = { follow, stdout, stderr, since: unixTime(since), until: unixTime(until), timestamps, tail }
    const { body } = await this.#engine.open({ method: 'GET', path: path`/containers/${id}/logs`, query, options })
    yield* output(body, tty)
  }

  /** Joins a container's input and output. Attach before you start it and you miss nothing. */
  async attach(id: string, options: AttachOptions = {}): Promise<InteractiveStream> {
    const { stdin, stdout = true, stderr = true, logs, stream = true, detachKeys } = options
    const tty = options.tty ?? (await this.inspect(id, { signal: options.signal })).Config.Tty
    const query = { stream, stdin, stdout, stderr, logs, detachKeys }
    const hijacked = await this.#engine.hijack({ method: 'POST', path: path`/containers/${id}/attach`, query, options })
    return new InteractiveStream(hijacked, {
      tty,
      resize: (size) => this.resize(id, size),
      exitCode: async () => (await (await this.wait(id, { signal: options.signal })).exit).StatusCode,
    })
  }

  async resize(id: string, size: { rows: number; columns: number }, options: CallOptions = {}): Promise<void> {
    const query = { h: size.rows, w: size.columns }
    await this.#engine.send({ method: 'POST', path: path`/containers/${id}/resize`, query, options })
  }

  /** Runs a command in a running container and collects what it writes. */
  async exec(id: string, cmd: readonly string[], options: ExecRunOptions = {}): Promise<RunResult> {
    const { stdin, env, workingDir, user, privileged, maxOutputBytes, ...call } = options
    const created = await this.#exec.create(
      id,
      {
        Cmd: [...cmd],
        AttachStdin: stdin !== undefined,
        AttachStdout: true,
        AttachStderr: true,
        Env: env,
        WorkingDir: workingDir,
        User: user,
        Privileged: privileged,
      },
      call,
    )
    await using stream = await this.#exec.start(created.Id, { tty: false, ...call })
    if (stdin !== undefined) stream.stdin.end(stdin)
    const written = await collect(stream, maxOutputBytes ?? defaultOutputBytes)
    return { exitCode: await stream.exitCode(), ...written }
  }
}

export type ContainerListOptions = {
  /** Also those that do not run. */
  all?: boolean | undefined
  limit?: number | undefined
  size?: boolean | undefined
  filters?: Filters | undefined
} & CallOptions

export type ContainerCreateOptions = { name?: string | undefined; platform?: string | undefined } & CallOptions

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
  link?: boolean | undefined
} & CallOptions

export type WaitOptions = { condition?: 'not-running' | 'next-exit' | 'removed' | undefined } & CallOptions

export type LogOptions = {
  follow?: boolean | undefined
  stdout?: boolean | undefined
  stderr?: boolean | undefined
  /** A time, or Unix seconds. */
  since?: Date | number | string | undefined
  until?: Date | number | string | undefined
  timestamps?: boolean | undefined
  tail?: number | 'all' | undefined
  /** Whether the container has a terminal. Default: asked of the engine. */
  tty?: boolean | undefined
} & CallOptions

export type AttachOptions = {
  stdin?: boolean | undefined
  stdout?: boolean | undefined
  stderr?: boolean | undefined
  /** Begin with what was written before. */
  logs?: boolean | undefined
  stream?: boolean | undefined
  detachKeys?: string | undefined
  tty?: boolean | undefined
} & CallOptions

export type ExecRunOptions = {
  stdin?: string | Uint8Array | undefined
  env?: string[] | undefined
  workingDir?: string | undefined
  user?: string | undefined
  privileged?: boolean | undefined
  /** More output than that is an error. Default 64 MiB. */
  maxOutputBytes?: number | undefined
} & CallOptions

export type RunResult = { exitCode: number; stdout: Buffer; stderr: Buffer }

const defaultOutputBytes = 64 * 1024 * 1024

/** What a container wrote, taken apart unless it has a terminal. */
export async function* output(body: AsyncIterable<Buffer>, tty: boolean): AsyncGenerator<OutputChunk, void> {
  if (tty) {
    for await (const data of body) yield { stream: 'stdout', data }
    return
  }
  const demux = new Demux()
  for await (const part of body) yield* demux.feed(part)
  demux.end()
}

async function collect(
  chunks: AsyncIterable<OutputChunk>,
  maxBytes: number,
): Promise<{ stdout: Buffer; stderr: Buffer }> {
  const parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  let bytes = 0
  for await (const { stream, data } of chunks) {
    bytes += data.length
    if (bytes > maxBytes)
      throw new DockerError(`The command wrote more than ${maxBytes} bytes.`, { hint: 'Raise maxOutputBytes.' })
    parts[stream].push(data)
  }
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) }
}

async function readExit(body: AsyncIterable<Buffer>, id: string): Promise<ContainerExit> {
  for await (const exit of jsonLines<ContainerExit>(body, `Waiting for container ${id}`)) return exit
  throw new DockerError(`The engine ended the wait for container ${id} without a result.`)
}

function unixTime(time: Date | number | string | undefined): string | number | undefined {
  return time instanceof Date ? (time.getTime() / 1000).toFixed(3) : time
}
