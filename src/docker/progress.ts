import { DockerError, NotFoundError } from './errors.ts'
import { jsonLines } from './json-lines.ts'

/** One line of what a pull, push or load tells. */
export type PullEvent = {
  status?: string
  /** The layer. */
  id?: string
  /** Bytes. */
  progressDetail?: { current?: number; total?: number }
  stream?: string
  aux?: Record<string, unknown>
}

/** @throws {DockerError} for the errors that the engine tells in mid-stream, behind a status 200 */
export async function* progress(body: AsyncIterable<Buffer>, what: string): AsyncGenerator<PullEvent, void> {
  for await (const event of jsonLines<PullEvent & StreamError>(body, what)) {
    const message = event.errorDetail?.message ?? event.error
    if (message !== undefined) {
      // Podman looks for it only when it has answered.
      const Class = /\bmanifest unknown\b/.test(message) ? NotFoundError : DockerError
      throw new Class(`${what} failed: ${message}`)
    }
    yield event
  }
}

type StreamError = { error?: string; errorDetail?: { code?: number; message?: string } }
