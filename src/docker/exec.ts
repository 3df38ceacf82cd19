import type { CallOptions } from './deadline.ts'
import { type Engine, path } from './engine.ts'
import { ProtocolError } from './errors.ts'
import { InteractiveStream } from './interactive.ts'
import type { Some } from './types/partial.ts'

/** Commands in running containers: `docker.exec`. */
export class Exec {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  create(container: string, config: ExecConfig, options: CallOptions = {}): Promise<{ Id: string }> {
    return this.#engine.json({ method: 'POST', path: path`/containers/${container}/exec`, json: config, options })
  }

  /** Starts it and joins its input and output. */
  async start(id: string, options: ExecStartOptions = {}): Promise<InteractiveStream> {
    const tty = options.tty ?? (await this.inspect(id, { signal: options.signal })).ProcessConfig?.tty ?? false
    const json = { Detach: false, Tty: tty, ConsoleSize: options.consoleSize }
    const since = [['consoleSize of exec.start', '1.42', options.consoleSize]] as const
    const hijacked = await this.#engine.hijack({ method: 'POST', path: path`/exec/${id}/start`, json, since, options })
    return new InteractiveStream(hijacked, {
      tty,
      resize: (size) => this.resize(id, size),
      exitCode: () => this.#exitCode(id, options),
    })
  }

  /** Starts it and lets it run. */
  async startDetached(id: string, options: CallOptions = {}): Promise<void> {
    await this.#engine.send({
      method: 'POST',
      path: path`/exec/${id}/start`,
      json: { Detach: true, Tty: false },
      options,
    })
  }

  async resize(id: string, size: { rows: number; columns: number }, options: CallOptions = {}): Promise<void> {
    const query = { h: size.rows, w: size.columns }
    await this.#engine.send({ method: 'POST', path: path`/exec/${id}/resize`, query, options })
  }

  inspect(id: string, options: CallOptions = {}): Promise<ExecInspect> {
    return this.#engine.json({ method: 'GET', path: path`/exec/${id}/json`, options })
  }

  async #exitCode(id: string, { signal }: CallOptions): Promise<number> {
    // The output ends a moment before the engine has noted the end.
    for (let waitMs = 1; waitMs < 5000; waitMs *= 2) {
      const { Running, ExitCode } = await this.inspect(id, { signal })
      if (!Running && ExitCode !== null) return ExitCode
      await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
    throw new ProtocolError(`The output of exec ${id} broke off: its command still runs.`)
  }
}

export type ExecConfig = Some<{
  AttachStdin: boolean
  AttachStdout: boolean
  AttachStderr: boolean
  /** Rows and columns. Since API 1.42. */
  ConsoleSize: [number, number] | null
  DetachKeys: string
  Tty: boolean
  Env: string[]
  Cmd: string[]
  Privileged: boolean
  User: string
  WorkingDir: string
}>

export type ExecStartOptions = {
  /** Whether it was created with a terminal. Default: asked of the engine. */
  tty?: boolean | undefined
  consoleSize?: [number, number] | undefined
} & CallOptions

export type ExecInspect = {
  ID: string
  ContainerID: string
  Running: boolean
  ExitCode: number | null
  Pid: number
  CanRemove: boolean
  DetachKeys: string
  OpenStdin: boolean
  OpenStdout: boolean
  OpenStderr: boolean
  ProcessConfig: { tty: boolean; entrypoint: string; arguments: string[]; user?: string; privileged?: boolean }
}
