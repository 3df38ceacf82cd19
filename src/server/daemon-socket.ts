import { join } from 'node:path'

/** The daemon's socket, for those who run as the same user. */
export function daemonSocket(directory: string): string {
  return join(directory, 'daemon.sock')
}
