import { Demux, type OutputChunk } from './demux.ts'
import { DockerError } from './errors.ts'

/** What a command wrote, and how it ended. */
export type RunResult = { exitCode: number; stdout: Buffer; stderr: Buffer }

/** What a container wrote, taken apart by stream; a container with a terminal has only one. */
export async function* output(body: AsyncIterable<Buffer>, tty: boolean): AsyncGenerator<OutputChunk, void> {
  if (tty) {
    for await (const data of body) yield { stream: 'stdout', data }
    return
  }
  const demux = new Demux()
  for await (const part of body) yield* demux.feed(part)
  demux.end()
}

/** Reads all output. @throws {DockerError} when it is more than `maxOutputBytes`, default 64 MiB */
export async function collectOutput(
  chunks: AsyncIterable<OutputChunk>,
  { maxOutputBytes = 64 * 1024 * 1024 }: { maxOutputBytes?: number | undefined } = {},
): Promise<{ stdout: Buffer; stderr: Buffer }> {
  const parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  let bytes = 0
  for await (const { stream, data } of chunks) {
    bytes += data.length
    if (bytes > maxOutputBytes) {
      throw new DockerError(`The command wrote more than ${maxOutputBytes} bytes.`, { hint: 'Raise maxOutputBytes.' })
    }
    parts[stream].push(data)
  }
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) }
}
