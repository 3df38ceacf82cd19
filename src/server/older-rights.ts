import type { Host } from '../deploy/host.ts'
import { servicesWithoutRights } from '../deploy/note-rights.ts'
import { lockService } from '../deploy/operate.ts'

/**
 * Notes whose secrets the releases of an older mypaas may have. That can be told by the values of now, so it comes before
 * one changes. What is noted for a service is so whoever comes later.
 * @param service All of them unless given.
 * @throws {MypaasError} `locked` when somebody is at such a service, who may be an older mypaas
 */
export async function noteOlderRights(host: Host, service?: string): Promise<void> {
  for (const unclear of await servicesWithoutRights(host)) {
    if (service !== undefined && unclear !== service) continue
    // Whoever takes the lock notes it.
    await using _ = await lockService(host, unclear, 'a note of whose secrets it may have', { waitMs: 5_000 })
  }
}
