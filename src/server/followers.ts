import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Jobs } from './jobs.ts'
import { beatMs, drained } from './reply.ts'

/** Those who see what a job does, as it does it. */
export class Followers {
  readonly #jobs: Jobs
  readonly #following = new Set<AbortController>()

  constructor(jobs: Jobs) {
    this.#jobs = jobs
  }

  /** Sends a job's lines as they come, those behind `after`. Who leaves stops nothing. */
  async follow(request: IncomingMessage, response: ServerResponse, job: string, after: number): Promise<void> {
    const follower = new AbortController()
    const lines = this.#jobs.follow(job, after, follower.signal)
    // Begun now, so that it sees also a job that ends in the next moment.
    const first = lines.next()
    first.catch(() => {})
    this.#following.add(follower)
    response.on('close', () => follower.abort())
    // Gone before anybody listened for that.
    if (response.destroyed || request.socket.destroyed) follower.abort()
    request.resume()
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
    const beat = setInterval(() => response.write('\n'), beatMs)
    try {
      for (let { value, done } = await first; !done; { value, done } = await lines.next()) {
        if (follower.signal.aborted) break
        if (!response.write(`${value}\n`)) await drained(response, follower.signal)
      }
    } catch (error) {
      if (!follower.signal.aborted) throw error
    } finally {
      clearInterval(beat)
      this.#following.delete(follower)
      response.end()
    }
  }

  /** Ends all of them. */
  clear(): void {
    for (const follower of this.#following) follower.abort()
  }
}
