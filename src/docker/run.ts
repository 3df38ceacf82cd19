import type { Containers } from './containers.ts'
import type { CallOptions } from './deadline.ts'
import type { OutputChunk } from './demux.ts'
import { NotFoundError } from './errors.ts'
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
  const { name, platform, stdin, onOutput, maxOutputBytes, signal, ...call } = options
  const config = configOf(image, cmd, options)
  const create = () => docker.containers.create(config, { name, platform, signal })
  const { Id } = await create().catch(async (error) => {
    if (!(options.pull && error instanceof NotFoundError)) throw error
    for await (const _ of docker.images.pull(image, { platform, signal }));
    return create()
  })
  try {
    await using stream = await docker.containers.attach(Id, { stdin: stdin !== undefined, tty: false, signal, ...call })
    const { exit } = await docker.containers.wait(Id, { condition: 'next-exit', signal })
    await docker.containers.start(Id, { signal })
    if (stdin !== undefined) stream.stdin.end(stdin)
    const written = await collectOutput(onOutput ? told(stream, onOutput) : stream, { maxOutputBytes })
    return { exitCode: (await exit).StatusCode, ...written }
  } finally {
    await docker.containers.remove(Id, { force: true, volumes: true })
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
