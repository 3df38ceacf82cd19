import { homedir } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { MypaasError } from '../errors.ts'
import { connectUnix } from '../unix-socket.ts'
import { serverDirectory } from './config.ts'
import { daemonSocket } from './daemon-socket.ts'

/**
 * Joins two pipes to the daemon's socket: what `ssh HOST mypaas server connect` runs. Done when either side has ended.
 * @throws {MypaasError} `unreachable` when no daemon runs
 */
export async function connectPipes(input: Readable, output: Writable, home: string = homedir()): Promise<void> {
  const path = daemonSocket(serverDirectory(home))
  const socket = await connectUnix(path, { allowHalfOpen: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new MypaasError(`The mypaas daemon does not run here: ${path} (${cause.code}).`, {
      code: 'unreachable',
      hint: 'Start it: mypaas server daemon',
      cause,
    })
  })
  await new Promise<void>((resolve) => {
    const end = (): void => {
      socket.destroy()
      resolve()
    }
    socket.on('error', end)
    socket.on('close', end)
    // The daemon has said its last; what is on its way still goes out.
    socket.on('end', () => output.write('', end))
    output.on('error', end)
    input.pipe(socket)
    socket.pipe(output)
  })
}
