import { setTimeout as sleep } from 'node:timers/promises'
import { DockerUnavailableError, ProtocolError, ServerError, TimeoutError } from '../docker/index.ts'
import type { Host } from './host.ts'

/** How long an engine that is being restarted may take to answer again. */
const engineBackMs = 60_000
const attempts = 3

/**
 * Does what must not be left half done. When the engine breaks off, or is away, it is done anew from the start as soon as
 * the engine answers: three times at most.
 * @param work Reads what is and does what is missing, so that it may be cut off anywhere. `again`: it was, before.
 */
export async function persistently<T>(host: Host, work: (again: boolean) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work(attempt > 1)
    } catch (error) {
      if (attempt === attempts || !isEngineTrouble(error)) throw error
      await engineAnswers(host)
    }
  }
}

/** Whether the engine is to blame, and may do better next time. */
export function isEngineTrouble(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const kinds = [DockerUnavailableError, ProtocolError, ServerError, TimeoutError]
    if (kinds.some((kind) => cause instanceof kind)) return true
  }
  return false
}

async function engineAnswers(host: Host): Promise<void> {
  const deadline = performance.now() + engineBackMs
  for (;;) {
    try {
      await host.docker.system.ping({ timeoutMs: 5_000 })
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await sleep(200)
    }
  }
}
