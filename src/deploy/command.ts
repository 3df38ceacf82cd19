import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type InteractiveStream, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { containerConfig, imageName } from './container.ts'
import type { Host } from './host.ts'
import { releaseImage } from './image.ts'
import { observe } from './observe.ts'
import { journalOf } from './operate.ts'
import { environmentOf, narrowed } from './secret-rights.ts'
import { prepareMounts, prepareVolumes } from './volumes.ts'

/** A command that runs and can be talked to; disposing of it ends it (and removes the container that `run` made). */
export type RunningCommand = Readonly<{ stream: InteractiveStream }> & AsyncDisposable

export type CommandOptions = Readonly<{ tty: boolean; signal?: AbortSignal | undefined }>

/**
 * Starts a command in a running replica.
 * @param options.replica Which; the first that runs unless given.
 * @throws {MypaasError} `failed` when no such replica runs
 */
export async function execInService(
  host: Host,
  service: string,
  cmd: readonly string[],
  options: CommandOptions & { replica?: number | undefined },
): Promise<RunningCommand> {
  const journal = await journalOf(host, service)
  const { replicas } = await observe(host, service)
  const running = replicas.filter(({ release, state }) => release === journal.current?.release && state === 'running')
  const chosen = running.find(({ replica }) => options.replica === undefined || replica === options.replica)
  if (!chosen) {
    const which = options.replica === undefined ? 'No replica' : `No replica ${options.replica}`
    throw new MypaasError(`${which} of ${service} runs.`, {
      code: 'failed',
      hint:
        running.length > 0
          ? `There are ${running.map(({ replica }) => replica).join(', ')}.`
          : 'See mypaas server status',
    })
  }
  const { Id } = await host.docker.exec.create(chosen.id, {
    Cmd: [...cmd],
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: options.tty,
  })
  const stream = await host.docker.exec.start(Id, { tty: options.tty, signal: options.signal })
  return {
    stream,
    async [Symbol.asyncDispose](): Promise<void> {
      stream.close()
      await endExec(host, Id, options.tty ? 'SIGHUP' : 'SIGTERM')
    },
  }
}

const endMs = 5_000

/**
 * Ends a command that nobody is at any more, and what it started. The engine has no call for that, so it is done where
 * the engine's machine is this one and we may; elsewhere the command has only seen the end of its input.
 */
async function endExec(host: Host, id: string, signal: NodeJS.Signals): Promise<void> {
  for (const [next, waitMs] of [[signal, endMs] as const, ['SIGKILL', 0] as const]) {
    const found = await host.docker.exec.inspect(id).catch(() => undefined)
    if (!found?.Running || !found.Pid) return
    // A number means another process on another machine.
    const cgroup = await readFile(`/proc/${found.Pid}/cgroup`, 'utf8').catch(() => '')
    if (!cgroup.includes(found.ContainerID)) return
    const fields = await readFile(`/proc/${found.Pid}/stat`, 'latin1').catch(() => '')
    const group = Number(fields.slice(fields.lastIndexOf(')')).split(' ')[3])
    try {
      process.kill(group === found.Pid ? -group : found.Pid, next)
    } catch {
      return
    }
    for (const end = performance.now() + waitMs; performance.now() < end; await sleep(50)) {
      const { Running } = await host.docker.exec.inspect(id).catch(() => ({ Running: false }))
      if (!Running) return
    }
  }
}

/**
 * Runs a command in a new container of the current release, with its image, variables, mounts and limits, but without its
 * ports, its name on the network and its URLs. Removed when it has ended, or when it is let go of.
 */
export async function runInService(
  host: Host,
  service: string,
  cmd: readonly string[],
  options: CommandOptions,
): Promise<RunningCommand> {
  const { current } = await journalOf(host, service)
  if (!current) {
    throw new MypaasError(`No release of ${service} was ever live here.`, { code: 'usage', hint: 'Deploy it first.' })
  }
  const { spec, release } = current
  await host.permit?.(spec)
  const image = await releaseImage(host, service, release)
  await prepareVolumes(host, spec)
  const config = containerConfig({
    spec: { ...spec, publish: [] },
    release,
    replica: 1,
    server: host.server,
    markKey: host.markKey,
    prefix: host.prefix,
    network: host.network,
    home: host.home,
    image: imageName(host.prefix, service, release),
    bringsInit: image.bringsInit,
    environment: environmentOf(host, spec, narrowed(host, current)),
    logBytes: host.logBytes,
    hardening: host.hardening(service),
  })
  const name = `${host.prefix}${service}-run-${randomBytes(4).toString('hex')}`
  const { Id } = await host.docker.containers.create(
    {
      ...config,
      Env: (config.Env ?? []).map((variable) =>
        variable.startsWith('MYPAAS_CONTAINER=') ? `MYPAAS_CONTAINER=${name}` : variable,
      ),
      Labels: { 'mypaas.server': host.server, 'mypaas.role': 'run', 'mypaas.run.service': service },
      Cmd: [...cmd],
      OpenStdin: true,
      StdinOnce: true,
      AttachStdin: true,
      AttachStdout: true,
      AttachStderr: true,
      Tty: options.tty,
      NetworkingConfig: { EndpointsConfig: { [host.network]: {} } },
    },
    { name },
  )
  const remove = async (): Promise<void> => {
    await host.docker.containers.remove(Id, { force: true }).catch((error: unknown) => {
      if (!(error instanceof NotFoundError)) throw error
    })
  }
  try {
    await prepareMounts(host, spec, Id, image.user)
    const stream = await host.docker.containers.attach(Id, { stdin: true, tty: options.tty, signal: options.signal })
    await host.docker.containers.start(Id)
    return {
      stream,
      async [Symbol.asyncDispose](): Promise<void> {
        stream.close()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}
