import { constants } from 'node:os'
import type { ContainerInspect, Docker } from '../docker/index.ts'
import { type ErrorCode, MypaasError } from '../errors.ts'
import type { ServiceSpec } from '../service/spec.ts'
import type { DeployEvent, FailureReport } from './events.ts'
import { secretMask } from './secrets.ts'
import { listeningIn } from './sockets.ts'
import { programOf, startTrouble } from './start-trouble.ts'

/** A release that did not become what it should be, with what is known about the container in question. */
export class DeployError extends MypaasError {
  override readonly name: string = 'DeployError'
  readonly report: FailureReport | undefined
  /** What serves now, in words; set once that is known. */
  readonly now: string | undefined

  constructor(
    message: string,
    options: {
      code?: ErrorCode
      hint?: string | undefined
      cause?: unknown
      report?: FailureReport | undefined
      now?: string
    },
  ) {
    super(message, { code: options.code ?? 'failed', hint: options.hint, cause: options.cause })
    this.report = options.report
    this.now = options.now
  }
}

/** A container that is not there any more, or was started again: whatever it was asked for, this is why. */
export class ContainerEnded extends DeployError {
  override readonly name = 'ContainerEnded'
}

/** An error as the last event of a deploy, for readers of events. Anything but a MypaasError is a bug: no event of ours. */
export function failedEvent(error: MypaasError): Extract<DeployEvent, { type: 'failed' }> {
  const { code, message, hint } = error
  const { now, report } = error instanceof DeployError ? error : {}
  return {
    type: 'failed',
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(now === undefined ? {} : { now }),
    ...(report === undefined ? {} : { report }),
  }
}

/** What is known about a container that failed: how it ended, where it listens, its last words, without its secrets. */
export async function report(docker: Docker, container: ContainerInspect): Promise<FailureReport> {
  const { State, RestartCount, Name } = container
  const listening = State.Running ? await listeningIn(State.Pid) : undefined
  const ended = !State.Running || State.Restarting
  const signal = ended ? signalName(State.ExitCode) : undefined
  const health = State.Health?.Log?.at(-1)
  const mask = secretMask(container.Config)
  const lines = await lastLines(docker, container.Id, mask)
  const trouble = ended ? await startTrouble(docker, container, lines) : undefined
  return {
    container: Name.replace(/^\//, ''),
    ...(ended ? { exitCode: State.ExitCode } : {}),
    ...(signal ? { signal } : {}),
    ...((await ranOutOfMemory(docker, container)) ? { outOfMemory: true } : {}),
    ...(RestartCount > 0 ? { restarts: RestartCount } : {}),
    ...(listening ? { listening } : {}),
    ...(health ? { health: `exit code ${health.ExitCode}: ${mask(health.Output.trim()).slice(0, 500)}` } : {}),
    ...(trouble ? { startTrouble: trouble } : {}),
    lastLines: lines,
  }
}

/** An engine that is busy may hear of the kill later than of the exit: then only its events tell. */
async function ranOutOfMemory(docker: Docker, { Id, State }: ContainerInspect): Promise<boolean> {
  if (State.OOMKilled) return true
  if (State.Running || State.ExitCode !== killedCode) return false
  const filters = { container: [Id], event: ['oom'] }
  const until = new Date(Date.now() + oomPatienceMs)
  for await (const _ of docker.system.events({ since: State.StartedAt, until, filters })) return true
  return false
}

const killedCode = 128 + constants.signals.SIGKILL
const oomPatienceMs = 1_000

/** How a container ended, in words, and what to do about it. */
export function explainExit(
  found: FailureReport,
  spec: ServiceSpec,
  seconds: number,
): { message: string; hint: string } {
  const after = `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s after its start`
  const how = found.signal
    ? `was ended by ${found.signal}`
    : found.exitCode === undefined
      ? 'went down and was started again'
      : `exited with code ${found.exitCode}`
  const message = `${found.container} ${how} ${after}.`
  if (found.outOfMemory) {
    return {
      message: `${found.container} ran out of memory ${after}.`,
      hint:
        spec.maxMemoryBytes === undefined
          ? 'The machine has too little: free some, or limit others with # mypaas.maxmem=…'
          : 'Give it more with # mypaas.maxmem=…, or let it use less.',
    }
  }
  if (found.exitCode === killedCode) {
    return { message, hint: 'Somebody killed it, or the kernel did, for want of memory on this machine: see dmesg.' }
  }
  if (found.startTrouble) return { message, hint: found.startTrouble }
  if (found.exitCode === 126 || found.exitCode === 127) {
    const name = programOf(found.lastLines)
    const what = found.exitCode === 127 ? 'is not there' : 'is not executable'
    return {
      message,
      hint: `Its command ${name ? `${name} ` : ''}${what}. Check the CMD or ENTRYPOINT of the Dockerfile.`,
    }
  }
  if (found.exitCode === 0) {
    return {
      message,
      hint: 'A service must go on running: start its server in the foreground (CMD), not as a background job.',
    }
  }
  return {
    message,
    hint:
      found.lastLines.length > 0
        ? 'Its last lines say why; mend it and deploy again.'
        : 'It wrote nothing. Check the CMD or ENTRYPOINT of the Dockerfile.',
  }
}

/** 137 → `SIGKILL`: shells and the engine give 128 plus the number of the signal. */
function signalName(exitCode: number): string | undefined {
  if (exitCode <= 128 || exitCode > 128 + 31) return undefined
  const found = Object.entries(constants.signals).find(([, number]) => number === exitCode - 128)
  return found?.[0]
}

/** Of the last lines, so much at least. */
const maxLastBytes = 256 * 1024

async function lastLines(docker: Docker, id: string, mask: (text: string) => string): Promise<readonly string[]> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const { data } of docker.containers.logs(id, {
      stdout: true,
      stderr: true,
      tail: 30,
      timeoutMs: 5_000,
    })) {
      chunks.push(Buffer.from(data))
      bytes += data.length
      // A line may be of any length; its end is what counts.
      while (bytes - (chunks[0]?.length ?? 0) > maxLastBytes) bytes -= chunks.shift()?.length ?? 0
    }
  } catch {
    // Gone, or with a log driver that can't be read: the report does without.
  }
  const text = mask(Buffer.concat(chunks).toString().trimEnd())
  return text === '' ? [] : text.split('\n').slice(-30)
}
