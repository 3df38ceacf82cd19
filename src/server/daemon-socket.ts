import { connect } from 'node:net'
import { join } from 'node:path'

/** The daemon's socket, for those who run as the same user. */
export function daemonSocket(directory: string): string {
  return join(directory, 'daemon.sock')
}

/** Whether a daemon listens there at this moment. */
export function isDaemonUp(directory: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(daemonSocket(directory))
    // No room for one more is what only a daemon that runs says.
    socket.once('connect', () => resolve(true))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EAGAIN'))
    socket.once('connect', () => socket.destroy())
  })
}
