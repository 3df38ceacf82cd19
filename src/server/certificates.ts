import { setTimeout as sleep } from 'node:timers/promises'
import { checkCertificates } from '../deploy/certificates.ts'
import type { DeployEvent } from '../deploy/events.ts'
import { openServer } from './host.ts'

/**
 * Looks after the names that have no certificate yet, every now and then until the signal: one whose DNS is set right
 * gets it without anybody's doing. What is wrong is said when it changes, not each time.
 */
export async function keepCertificates(home: string, signal: AbortSignal, log: (line: string) => void): Promise<void> {
  let said = new Set<string>()
  while (!signal.aborted) {
    const now = new Set<string>()
    const say = (line: string): void => {
      now.add(line)
      if (!said.has(line)) log(line)
    }
    let everyMs = 60_000
    try {
      await using server = await openServer(home)
      everyMs = server.config.router.certificateCheckMs
      await checkCertificates(server.host, { signal, emit: (event) => say(words(event)) })
    } catch (error) {
      if (!signal.aborted)
        say(`the certificates could not be seen to: ${error instanceof Error ? error.message : error}`)
    }
    said = now
    await sleep(everyMs, undefined, { signal }).catch(() => {})
  }
}

function words(event: DeployEvent): string {
  if (event.type === 'warning') return event.hint ? `${event.message} ${event.hint}` : event.message
  return event.type === 'certificate' ? `the authority is asked for a certificate for ${event.name}` : event.type
}
