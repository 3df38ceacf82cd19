import { randomBytes } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { discardContainer } from '../discard.ts'
import type { InteractiveStream } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { takeLock } from '../lock.ts'
import type { Mount } from '../service/spec.ts'
import { lockClaims } from './claims.ts'
import { containerConfig, imageName } from './container.ts'
import type { Host } from './host.ts'
import { identifyRun, runIdentityLabels } from './identity.ts'
import { releaseImage } from './image.ts'
import type { Journal, JournalRelease } from './journal.ts'
import { checkMounts } from './mounts.ts'
import { observe } from './observe.ts'
import { journalOf } from './operate.ts'
import { placesOf } from './places.ts'
import { environmentOf, narrowed } from './secret-rights.ts'
import { stopContainer } from './stop.ts'
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
 *
 * Its mounts are one more way in which they are written. Beside a replica of that release they are no news; where none
 * runs, they are held against what runs as those of a deploy are. While another release comes there is none: of two whose
 * mounts don't go together one would have been looked at without the other.
 * @throws {MypaasError} `locked` while a deploy is on · `directives` when its mounts can't be had now
 */
export async function runInService(
  host: Host,
  service: string,
  cmd: readonly string[],
  options: CommandOptions,
): Promise<RunningCommand> {
  const owned = await ownCommand(host, service)
  const remove = async (id: string): Promise<void> => {
    await endCommand(host, id, { hangUp: options.tty })
    await owned.end()
  }
  const made = await inTurn(service, () => makeContainer(host, service, cmd, { ...options, name: owned.name })).catch(
    async (error: unknown) => {
      await owned.end()
      throw error
    },
  )
  const { Id, spec, user, strict } = made
  try {
    await prepareMounts(host, spec, Id, user, { strict })
    const stream = await host.docker.containers.attach(Id, { stdin: true, tty: options.tty, signal: options.signal })
    await host.docker.containers.start(Id)
    return {
      stream,
      async [Symbol.asyncDispose](): Promise<void> {
        stream.close()
        await remove(Id)
      },
    }
  } catch (error) {
    await remove(Id)
    throw error
  }
}

/** As its service's containers are ended; a shell at a terminal hears only that this is gone. */
async function endCommand(host: Host, id: string, { hangUp = false }: { hangUp?: boolean } = {}): Promise<void> {
  if (hangUp) await host.docker.containers.kill(id, { killSignal: 'SIGHUP' }).catch(() => {})
  // Whatever keeps it from ending, it goes.
  await stopContainer(host, id).catch(() => {})
  await discardContainer(host.docker, id)
}

/** A name for a command's container, and the lock that says that somebody is at it: free when they are gone, however. */
async function ownCommand(host: Host, service: string): Promise<Readonly<{ name: string; end: () => Promise<void> }>> {
  await journalOf(host, service)
  const name = `${host.prefix}${service}-run-${randomBytes(4).toString('hex')}`
  const file = lockOf(host, service, name)
  const lock = await takeLock(file, { what: `a command of ${service}` })
  return {
    name,
    async end(): Promise<void> {
      // Nobody else takes it: no container has that name any more, and none will.
      await rm(file, { force: true })
      await lock[Symbol.asyncDispose]()
    },
  }
}

function lockOf(host: Host, service: string, name: string): string {
  return join(placesOf(host.directory, service).commands, `${name}.lock`)
}

/** Ends the commands that run in containers of their own. @returns the names of these */
export async function removeCommands(host: Host, service: string): Promise<readonly string[]> {
  const removed: string[] = []
  for (const { id, name } of (await commandsOf(host)).filter((command) => command.service === service)) {
    await endCommand(host, id)
    removed.push(name)
  }
  return removed
}

/**
 * Ends the commands in containers of their own that nobody is at any more, whose mypaas was killed: they have what their
 * service mounts, and would have it for ever.
 * @param service Of one service only.
 * @returns their names
 */
export async function removeAbandonedCommands(host: Host, service?: string): Promise<readonly string[]> {
  const removed: string[] = []
  for (const command of await commandsOf(host)) {
    if (!command.isOwned || (service !== undefined && command.service !== service)) continue
    const file = lockOf(host, command.service, command.name)
    const lock = await takeLock(file, { what: `the end of ${command.name}` }).catch((error: unknown) => {
      if (error instanceof MypaasError && error.code === 'locked') return undefined
      throw error
    })
    if (!lock) continue
    await using _ = lock
    await endCommand(host, command.id)
    await rm(file, { force: true })
    removed.push(command.name)
  }
  return removed
}

async function commandsOf(
  host: Host,
): Promise<readonly (NonNullable<ReturnType<typeof identifyRun>> & { id: string })[]> {
  const filters = { label: [`mypaas.server=${host.server}`, 'mypaas.role=run'] }
  const found = await host.docker.containers.list({ all: true, filters })
  return found.flatMap((container) => {
    const run = identifyRun(host, container)
    return run ? [{ ...run, id: container.Id }] : []
  })
}

type Made = Readonly<{ Id: string; spec: JournalRelease['spec']; user: string; strict: boolean }>

/** Once it is made it counts, for whoever looks at what is mounted: so only that much is done under the lock. */
async function makeContainer(
  host: Host,
  service: string,
  cmd: readonly string[],
  options: CommandOptions & { name: string },
): Promise<Made> {
  await using _ = await lockClaims(host.directory, `a command of ${service}`, options.signal)
  const journal = await journalOf(host, service)
  const { current, next } = journal
  if (!current) {
    throw new MypaasError(`No release of ${service} was ever live here.`, { code: 'usage', hint: 'Deploy it first.' })
  }
  if (next) {
    throw new MypaasError(`A deploy of ${service} is on: r${next.release} is to come.`, {
      code: 'locked',
      hint: `Run it when that is done, or in a replica: mypaas server exec ${service} -- …. If nobody deploys it: mypaas server reconcile ${service}`,
    })
  }
  const { spec, release } = current
  await host.permit?.(spec)
  const image = await releaseImage(host, service, release)
  const strict = !(await serves(host, journal))
  if (strict) await checkMounts(host, spec, { release, isCommand: true })
  await prepareVolumes(host, spec, { strict })
  const config = containerConfig({
    spec: { ...spec, publish: [], volumes: spec.volumes.map(besideReplicas) },
    release,
    replica: 1,
    server: host.server,
    markKey: host.markKey,
    prefix: host.prefix,
    network: host.network,
    home: host.home,
    image: imageName(host.prefix, service, release),
    bringsInit: image.bringsInit,
    shellForm: undefined,
    graceMs: host.graceMs,
    environment: environmentOf(host, spec, narrowed(host, current)),
    logBytes: host.logBytes,
    hardening: host.hardening(service),
  })
  const { name } = options
  // Without the signal: a create that is given up could leave a container behind that nobody knows.
  options.signal?.throwIfAborted()
  const { Id } = await host.docker.containers.create(
    {
      ...config,
      Env: (config.Env ?? []).map((variable) =>
        variable.startsWith('MYPAAS_CONTAINER=') ? `MYPAAS_CONTAINER=${name}` : variable,
      ),
      Labels: runIdentityLabels(host, { service, release, name }),
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
  return { Id, spec, user: image.user, strict }
}

/** `Z` would take the place from the replica that runs. */
function besideReplicas(mount: Mount): Mount {
  return mount.options?.includes('Z')
    ? { ...mount, options: mount.options.map((option) => (option === 'Z' ? 'z' : option)) }
    : mount
}

/** Whether a replica of the current release is up: it has the same mounts. */
async function serves(host: Host, { service, current, stopped }: Journal): Promise<boolean> {
  if (stopped) return false
  const { replicas } = await observe(host, service)
  return replicas.some(({ release, state }) => release === current?.release && state === 'running')
}

const turns = new Map<string, Promise<unknown>>()

/** One after the other of a service, so that who runs many commands keeps nobody else from the lock of all. */
async function inTurn<T>(service: string, work: () => Promise<T>): Promise<T> {
  const mine = (turns.get(service) ?? Promise.resolve()).then(work)
  const over = mine.catch(() => {})
  turns.set(service, over)
  try {
    return await mine
  } finally {
    if (turns.get(service) === over) turns.delete(service)
  }
}
