import { setTimeout as sleep } from 'node:timers/promises'
import { DockerUnavailableError, ProtocolError, ServerError, TimeoutError } from '../docker/index.ts'
import type { Host } from './host.ts'

/** How long an engine that is being restarted may take to answer again. */
const engineBackMs = 60_000
/** An engine that was told to stop answers some calls still, and the next one does not come up in no time. */
const pauseMs = 500
/** An engine that answers but says that it can't: it may have its reason. */
const refusals = 3

/**
 * Does what must not be left half done. When the engine breaks off, or is away, it is done anew from the start as soon as
 * the engine answers, for up to a minute.
 * @param work Reads what is and does what is missing, so that it may be cut off anywhere. `again`: it was, before.
 */
export async function persistently<T>(host: Host, work: (again: boolean) => Promise<T>): Promise<T> {
  let deadline: number | undefined
  for (let again = false, refused = 0; ; again = true) {
    try {
      return await work(again)
    } catch (error) {
      deadline ??= performance.now() + engineBackMs
      const kind = engineTrouble(error)
      if (kind === 'refuses') refused += 1
      if (kind === undefined || refused === refusals || performance.now() > deadline) throw error
      await sleep(pauseMs)
      await engineAnswers(host, deadline)
    }
  }
}

/** Whether the engine is to blame, and may do better next time. */
export function isEngineTrouble(error: unknown): boolean {
  return engineTrouble(error) !== undefined
}

function engineTrouble(error: unknown): 'breaks off' | 'refuses' | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof DockerUnavailableError || cause instanceof ProtocolError || cause instanceof TimeoutError)
      return 'breaks off'
    if (cause instanceof ServerError) return 'refuses'
  }
  return undefined
}

async function engineAnswers(host: Host, deadline: number): Promise<void> {
  for (;;) {
    try {
      await host.docker.system.ping({ timeoutMs: 5_000 })
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(pauseMs)
    }
  }
}
