import { join } from 'node:path'
import { checkedName } from '../service/names.ts'

/** Where what belongs to a service lies: in `~/_mypaas/services`, and what was pushed for it. */
export type ServicePlaces = Readonly<{
  /** Its journal, `NAME.json`. */
  journal: string
  /** Held by whoever changes the service, `NAME.lock`. */
  lock: string
  /** Everything else: its history, logs that it left, and what is being written. */
  folder: string
  /** The locks of commands in containers of their own, each held by whoever is at the command. */
  commands: string
  /** What its pushes have brought. */
  pushed: string
}>

/**
 * The only way from the name of a service to a file: whoever it comes from, no name leads elsewhere.
 * @throws {MypaasError} `usage` for a text that no service can be called
 */
export function placesOf(directory: string, service: string): ServicePlaces {
  const name = checkedName(service)
  const folder = join(servicesFolder(directory), name)
  return {
    journal: `${folder}.json`,
    lock: `${folder}.lock`,
    folder,
    commands: join(folder, 'commands'),
    pushed: join(directory, 'push', 'blobs', name),
  }
}

export function servicesFolder(directory: string): string {
  return join(directory, 'services')
}
