import type { Writable } from 'node:stream'
import { byteWriter } from './output.ts'

/** A command that runs here or elsewhere. */
export type Joined = AsyncIterable<{ stream: string; data: Uint8Array }> & {
  readonly stdin: Writable
  end: () => Promise<void>
  resize: (size: { rows: number; columns: number }) => Promise<void>
  exitCode: () => Promise<number>
}

/** Whether both ends are a terminal, so that the command gets one, too. */
export function onTerminal(): boolean {
  return process.stdin.isTTY === true && process.stdout.isTTY === true
}

/**
 * Joins this process's input and output to a command: keys as they are typed on a terminal (Ctrl-C goes to the command),
 * else bytes to the end of the input.
 * @returns the command's exit code
 */
export async function joinTerminal(stream: Joined, tty: boolean): Promise<number> {
  const { stdin, stdout } = process
  const out = { stdout: byteWriter('stdout', { tty }), stderr: byteWriter('stderr', { tty }) }
  const resize = (): void => {
    // A command that has ended has no terminal to resize any more.
    stream.resize({ rows: stdout.rows, columns: stdout.columns }).catch(() => {})
  }
  if (tty) {
    stdin.setRawMode(true)
    stdout.on('resize', resize)
    resize()
  }
  const forward = (chunk: Buffer): void => {
    if (!stream.stdin.write(chunk)) {
      stdin.pause()
      stream.stdin.once('drain', () => stdin.resume())
    }
  }
  const end = (): void => {
    stream.end().catch(() => {})
  }
  stdin.on('data', forward)
  stdin.on('end', end)
  try {
    for await (const { stream: name, data } of stream) {
      const to = out[name === 'stderr' ? 'stderr' : 'stdout']
      if (!to.write(data)) await new Promise((resolve) => to.stream.once('drain', resolve))
    }
    return await stream.exitCode()
  } finally {
    out.stdout.end()
    out.stderr.end()
    stdin.off('data', forward)
    stdin.off('end', end)
    stdin.pause()
    if (tty) {
      stdin.setRawMode(false)
      stdout.off('resize', resize)
    }
  }
}
