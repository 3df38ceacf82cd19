import { type CallOptions, sharing } from './deadline.ts'
import type { Exec } from './exec.ts'
import { collectOutput, type RunResult } from './output.ts'

/** Runs a command in a running container: prepare, start, read to the end, ask for the exit code. */
export async function runExec(
  exec: Exec,
  container: string,
  cmd: readonly string[],
  options: ExecRunOptions,
): Promise<RunResult> {
  const { stdin, env, workingDir, user, privileged, maxOutputBytes, ...call } = options
  const rest = sharing(call)
  const config = {
    Cmd: [...cmd],
    AttachStdin: stdin !== undefined,
    AttachStdout: true,
    AttachStderr: true,
    Env: env,
    WorkingDir: workingDir,
    User: user,
    Privileged: privileged,
  }
  const { Id } = await exec.create(container, config, rest())
  await using stream = await exec.start(Id, { tty: false, ...rest() })
  if (stdin !== undefined) stream.stdin.end(stdin)
  const written = await collectOutput(stream, { maxOutputBytes })
  return { exitCode: await stream.exitCode(), ...written }
}

export type ExecRunOptions = {
  /** Default: no input. */
  stdin?: string | Uint8Array | undefined
  /** `KEY=value` */
  env?: string[] | undefined
  workingDir?: string | undefined
  /** `user`, `uid`, `user:group`, … */
  user?: string | undefined
  privileged?: boolean | undefined
  /** More output than that is an error. Default 64 MiB. */
  maxOutputBytes?: number | undefined
} & CallOptions
