import http from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const againMs = 20

/**
 * Connects to a unix socket. Where so many wait to be accepted that there is no room for one more, the kernel says so at
 * once instead of letting one wait, as it would on TCP: so it is tried again.
 * @param options.waitMs so long; default 10 s
 * @throws {NodeJS.ErrnoException} of the last try
 */
export async function connectUnix(
  path: string,
  options: { waitMs?: number; allowHalfOpen?: boolean } = {},
): Promise<Socket> {
  const { waitMs = 10_000, allowHalfOpen = false } = options
  for (const end = performance.now() + waitMs; ; await sleep(againMs)) {
    const socket = connect({ path, allowHalfOpen })
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      socket.once('connect', () => resolve(undefined)).once('error', resolve)
    })
    if (!error) return socket
    if (error.code !== 'EAGAIN' || performance.now() > end) throw error
  }
}

/** An agent of node:http whose connections go to a unix socket in that way. */
export function unixAgent(path: string, options: http.AgentOptions & { waitMs?: number } = {}): http.Agent {
  const { waitMs = 10_000, ...rest } = options
  const createConnection = (_: unknown, done: (error: Error | null, socket?: Socket) => void): void => {
    connectUnix(path, { waitMs }).then((socket) => done(null, socket), done)
  }
  return Object.assign(new http.Agent(rest), { createConnection })
}
