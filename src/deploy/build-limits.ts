import { statfs } from 'node:fs/promises'
import { hostname } from 'node:os'
import { MypaasError } from '../errors.ts'
import { formatBytes, formatDuration } from '../units.ts'
import type { Host } from './host.ts'

/** A build that is looked after; leaving its scope ends that. */
export type LimitedBuild = Disposable &
  Readonly<{
    /** Ends the build when its caller wants that, or when it takes what it may not. */
    signal: AbortSignal
    /** What it took too much of; nothing when its caller ended it, or nobody did. */
    excess: () => MypaasError | undefined
  }>

/**
 * Looks after the time and the disk that a build takes. The disk is that of the engine's data, looked at every second;
 * whatever writes to it meanwhile counts as well. Where the engine's disk is not this machine's, it is not looked at.
 */
export async function limitBuild(
  host: Host,
  options: { signal?: AbortSignal | undefined; look?: (path: string) => Promise<number>; everyMs?: number } = {},
): Promise<LimitedBuild> {
  const { signal, look = freeBytes, everyMs = 1_000 } = options
  const controller = new AbortController()
  let excess: MypaasError | undefined
  const end = (message: string, hint: string): void => {
    excess ??= new MypaasError(message, { code: 'failed', hint })
    controller.abort(excess)
  }
  const { buildTimeoutMs, diskReserveBytes } = host
  const mayTake = host.buildTerms?.diskBytes
  const timer = setTimeout(
    () =>
      end(
        `The build was stopped after ${formatDuration(buildTimeoutMs)}, the longest that one may take.`,
        'Make it shorter, or raise [server] build_timeout in the config of the server.',
      ),
    Math.min(buildTimeoutMs, longestTimerMs),
  )
  timer.unref()
  const path = mayTake === undefined && diskReserveBytes === 0 ? undefined : await localDataOf(host)
  const before = path === undefined ? undefined : await look(path).catch(() => undefined)
  const judge = (free: number): void => {
    if (free < diskReserveBytes) {
      end(
        `The build was stopped: the engine's disk has ${formatBytes(Math.max(0, free))} left, and ${formatBytes(diskReserveBytes)} stay free of builds.`,
        'Make room there (docker system df), or lower [server] disk_reserve in the config of the server.',
      )
    } else if (mayTake !== undefined && before !== undefined && before - free > mayTake) {
      end(
        `The build was stopped: since it began, more than ${formatBytes(mayTake)} were written to the engine's disk.`,
        'Make it smaller, or raise [server] build_disk in the config of the server.',
      )
    }
  }
  if (before !== undefined) judge(before)
  const looking =
    path === undefined || before === undefined
      ? undefined
      : setInterval(() => void look(path).then(judge, () => {}), everyMs)
  looking?.unref()
  return {
    signal: signal ? AbortSignal.any([signal, controller.signal]) : controller.signal,
    excess: () => (signal?.aborted ? undefined : excess),
    [Symbol.dispose]() {
      clearTimeout(timer)
      clearInterval(looking)
    },
  }
}

/** Node's timers end at once if they are to take longer. */
const longestTimerMs = 2 ** 31 - 1

/** Where the engine keeps images, if that is a directory of this machine. */
async function localDataOf(host: Host): Promise<string | undefined> {
  const { Name, DockerRootDir } = await host.docker.system.info()
  return Name === hostname() && DockerRootDir ? DockerRootDir : undefined
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}
