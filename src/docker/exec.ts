import type { CallOptions } from './deadline.ts'
import { type Engine, path } from './engine.ts'
import { ProtocolError } from './errors.ts'
import { InteractiveStream } from './interactive.ts'
import type { Some } from './types/partial.ts'

/** Commands in running containers: `docker.exec`. For a command and its output, `docker.containers.exec` is shorter. */
export class Exec {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /**
   * Prepares a command in a running container.
   * @throws {ConflictError} when the container does not run
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Exec/operation/ContainerExec
   */
  async create(container: string, config: ExecConfig, options: CallOptions = {}): Promise<{ Id: string }> {
    const since = [['ConsoleSize', '1.42', config.ConsoleSize ?? undefined]] as const
    return this.#engine.json({
      method: 'POST',
      path: path`/containers/${container}/exec`,
      json: config,
      since,
      options,
    })
  }

  /**
   * Starts a command and joins its input and output.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Exec/operation/ExecStart
   */
  async start(id: string, options: ExecStartOptions = {}): Promise<InteractiveStream> {
    const { consoleSize, signal } = options
    const tty = options.tty ?? (await this.inspect(id, { signal })).ProcessConfig.tty
    const json = { Detach: false, Tty: tty, ConsoleSize: consoleSize }
    const since = [['consoleSize of exec.start', '1.42', consoleSize]] as const
    const hijacked = await this.#engine.hijack({ method: 'POST', path: path`/exec/${id}/start`, json, since, options })
    return new InteractiveStream(hijacked, {
      tty,
      resize: (size) => this.resize(id, size, { signal }),
      exitCode: (firstOutput) => this.#exitCode(id, firstOutput, signal),
    })
  }

  /**
   * Starts a command and lets it run.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Exec/operation/ExecStart
   */
  async startDetached(id: string, options: { tty?: boolean | undefined } & CallOptions = {}): Promise<void> {
    const json = { Detach: true, Tty: options.tty ?? false }
    await this.#engine.send({ method: 'POST', path: path`/exec/${id}/start`, json, options })
  }

  /**
   * Gives a command's terminal a new size.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Exec/operation/ExecResize
   */
  async resize(id: string, size: { rows: number; columns: number }, options: CallOptions = {}): Promise<void> {
    const query = { h: size.rows, w: size.columns }
    await this.#engine.send({ method: 'POST', path: path`/exec/${id}/resize`, query, options })
  }

  /**
   * Whether a command runs, and how it ended.
   * @see https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Exec/operation/ExecInspect
   */
  async inspect(id: string, options: CallOptions = {}): Promise<ExecInspect> {
    return this.#engine.json({ method: 'GET', path: path`/exec/${id}/json`, options })
  }

  async #exitCode(id: string, firstOutput: string, signal: AbortSignal | undefined): Promise<number> {
    // The output ends a moment before the engine has noted the end.
    for (let waitMs = 1; waitMs < 2500; waitMs *= 2) {
      const { Running, ExitCode, Pid } = await this.inspect(id, { signal })
      // Engines before 23.0 say 126 of a command that is not there, too; shells and later ones say 127.
      if (!Running && ExitCode === 126 && Pid === 0 && isNotThere.test(firstOutput)) return 127
      if (!Running && ExitCode !== null) return ExitCode
      await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
    throw new ProtocolError(`The output of exec ${id} broke off: its command still runs.`)
  }
}

/** What the engine writes in place of a process that could not be started. */
const isNotThere = /^OCI runtime exec failed: .*: (executable file not found in \$PATH|.*: no such file or directory)/

export type ExecConfig = Some<{
  AttachStdin: boolean
  AttachStdout: boolean
  AttachStderr: boolean
  /** Rows and columns. Since API 1.42. */
  ConsoleSize: [number, number] | null
  DetachKeys: string
  Tty: boolean
  /** `KEY=value` */
  Env: string[]
  Cmd: string[]
  Privileged: boolean
  /** `user`, `uid`, `user:group`, … */
  User: string
  WorkingDir: string
}>

export type ExecStartOptions = {
  /** Whether it was created with a terminal. Default: asked of the engine. */
  tty?: boolean | undefined
  /** Rows and columns. Since API 1.42. */
  consoleSize?: [number, number] | undefined
} & CallOptions

export type ExecInspect = {
  ID: string
  ContainerID: string
  Running: boolean
  /** `null` until it has ended. */
  ExitCode: number | null
  Pid: number
  CanRemove: boolean
  DetachKeys: string
  OpenStdin: boolean
  OpenStdout: boolean
  OpenStderr: boolean
  ProcessConfig: { tty: boolean; entrypoint: string; arguments: string[]; user?: string; privileged?: boolean }
}
