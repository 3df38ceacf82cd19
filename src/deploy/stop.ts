import { setTimeout as sleep } from 'node:timers/promises'
import type { Docker } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { endBehindShell } from './behind-shell.ts'

/** The first process of a container that has just been started may not listen to signals yet: the kernel drops them. */
const deafMs = 1_000

/**
 * Stops a container: its image's STOPSIGNAL, then its own grace for what runs in it, also behind a shell, then SIGKILL.
 * @param host.graceMs For containers that say none, which older versions made.
 * @throws {NotFoundError} when there is no such container · {MypaasError} `failed` when it goes on running
 */
export async function stopContainer(
  host: Readonly<{ docker: Docker; graceMs: number; engineTimeoutMs: number }>,
  container: string,
): Promise<void> {
  const { docker, engineTimeoutMs } = host
  const { Id, Config, State, HostConfig } = await docker.containers.inspect(container)
  const startedAt = Date.parse(State.StartedAt)
  const age = Math.max(0, Date.now() - startedAt)
  if (State.Running && age < deafMs) await sleep(deafMs - age)
  const graceMs = Config.StopTimeout ? Config.StopTimeout * 1000 : host.graceMs
  // What ends by itself when it is asked to is not to be started again before the engine is told to stop it.
  const policy = HostConfig.RestartPolicy?.Name ?? 'no'
  if (State.Running && policy !== 'no')
    await docker.containers.update(Id, { RestartPolicy: { Name: 'no' } }).catch(() => {})
  const deadline = performance.now() + graceMs
  // Whatever came in the way there or before, the engine's own way comes next, and says what is wrong.
  if (State.Running && !State.Paused)
    await endBehindShell(docker, Id, { stopSignal: Config.StopSignal, graceMs }).catch(() => {})
  // The engine may be about to start one that never ran, for a deploy that was killed: it has nothing to finish.
  const hasRun = State.Running || startedAt > 0
  const leftMs = hasRun ? deadline - performance.now() : 0
  await docker.containers.stop(Id, {
    graceSeconds: Math.max(1, Math.ceil(leftMs / 1000)),
    timeoutMs: graceMs + engineTimeoutMs,
  })
  const after = await docker.containers.inspect(Id)
  if (after.State.Running)
    throw new MypaasError(`${container} does not stop.`, { code: 'failed', hint: `docker kill ${container}` })
}
