import type { Containers } from './containers.ts'
import { type CallOptions, sharing } from './deadline.ts'
import type { OutputChunk } from './demux.ts'
import { ConflictError, NotFoundError } from './errors.ts'
import type { Images } from './images.ts'
import { collectOutput, type RunResult } from './output.ts'
import type { ContainerConfig } from './types/container.ts'

/** Runs a command in a container of its own, which is removed afterwards, come what may. */
export async function run(
  docker: { containers: Containers; images: Images },
  image: string,
  cmd: readonly string[] | undefined,
  options: RunOptions,
): Promise<RunResult> {
  const { name, platform, pull, signal, timeoutMs } = options
  const rest = sharing({ signal, timeoutMs })
  const config = configOf(image, cmd, options)
  signal?.throwIfAborted()
  // Without the signal: a create that is given up could leave a container behind that nobody knows.
  const create = () => docker.containers.create(config, { name, platform })
  const { Id } = await create().catch(async (error: unknown) => {
    if (!(pull && error instanceof NotFoundError)) throw error
    for await (const _ of docker.images.pull(image, { platform, ...rest() }));
    return create()
  })
  let result: RunResult
  try {
    signal?.throwIfAborted()
    result = await runIn(docker.containers, Id, options, rest)
  } catch (error) {
    // What went wrong first counts.
    await remove(docker.containers, Id).catch(() => {})
    throw error
  }
  await remove(docker.containers, Id)
  return result
}

async function runIn(
  containers: Containers,
  id: string,
  { stdin, onOutput, maxOutputBytes, idleMs }: RunOptions,
  rest: () => CallOptions,
): Promise<RunResult> {
  const hasInput = stdin !== undefined
  await using stream = await containers.attach(id, { stdin: hasInput, tty: false, idleMs, ...rest() })
  const { exit } = await containers.wait(id, { condition: 'next-exit', ...rest() })
  await containers.start(id, rest())
  if (hasInput) stream.stdin.end(stdin)
  const written = await collectOutput(onOutput ? told(stream, onOutput) : stream, { maxOutputBytes })
  return { exitCode: (await exit).StatusCode, ...written }
}

async function remove(containers: Containers, id: string): Promise<void> {
  try {
    await containers.remove(id, { force: true, volumes: true })
  } catch (error) {
    // `AutoRemove` was first, or is at it.
    if (!(error instanceof NotFoundError || error instanceof ConflictError)) throw error
  }
}

export type RunOptions = {
  /** Default: none. */
  stdin?: string | Uint8Array | undefined
  env?: Readonly<Record<string, string>> | undefined
  workingDir?: string | undefined
  user?: string | undefined
  /** Everything else of the container, e.g. `{ HostConfig: { Memory: 64e6 } }`. */
  config?: ContainerConfig | undefined
  name?: string | undefined
  /** `os[/arch[/variant]]` */
  platform?: string | undefined
  /** Pull the image if it is not there. */
  pull?: boolean | undefined
  /** Called with the output as it comes. */
  onOutput?: ((chunk: OutputChunk) => void) | undefined
  /** More output than that is an error. Default 64 MiB. */
  maxOutputBytes?: number | undefined
} & CallOptions

function configOf(image: string, cmd: readonly string[] | undefined, options: RunOptions): ContainerConfig {
  const { stdin, env, workingDir, user, config = {} } = options
  return {
    ...config,
    Image: image,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    ...(cmd && { Cmd: [...cmd] }),
    ...(env && { Env: [...(config.Env ?? []), ...Object.entries(env).map(([key, value]) => `${key}=${value}`)] }),
    ...(workingDir !== undefined && { WorkingDir: workingDir }),
    ...(user !== undefined && { User: user }),
    ...(stdin !== undefined && { AttachStdin: true, OpenStdin: true, StdinOnce: true }),
  }
}

async function* told(
  chunks: AsyncIterable<OutputChunk>,
  tell: (chunk: OutputChunk) => void,
): AsyncGenerator<OutputChunk, void> {
  for await (const chunk of chunks) {
    tell(chunk)
    yield chunk
  }
}
