import { setTimeout as sleep } from 'node:timers/promises'
import { MypaasError } from '../errors.ts'
import { isUnreachable } from './remote.ts'
import { parseErrorReport, RemoteError } from './remote-error.ts'
import type { Answer } from './transport.ts'

/** A line of a job: an event with its number, or how it ended. A line without both only says that the line is alive. */
type JobLine = Readonly<{ seq?: number; event?: unknown; end?: { ok?: unknown; result?: unknown; error?: unknown } }>

export type FollowOptions = Readonly<{
  /** The answer to begin with; asked for as after a broken line unless given. */
  first?: Answer
  onEvent: (event: unknown) => void
  /** Follows from behind the event of that number; -1 is from the beginning. */
  again?: (after: number) => Promise<Answer>
  onLineBroke?: (message: string) => void
  signal?: AbortSignal | undefined
  patienceMs: number
  /** What is said when the signal ends it before anything came. Default: that it goes on. */
  unheard?: string
  /** The error when it can't be followed any more. */
  lost: () => MypaasError
}>

/**
 * Reads a job's events to its end, over as many connections as it takes; each event comes once.
 * @returns what the job resulted in
 * @throws {RemoteError} when it failed over there; `lost()` when the line stays broken
 * @throws {MypaasError} `aborted` when the signal ends it, saying what is known of the job by then
 */
export async function follow(options: FollowOptions): Promise<unknown> {
  let seen = -1
  let answer = options.first
  let lastSign = performance.now()
  let isTold = false
  let now = options.unheard ?? goesOn
  for (let pause = 100; ; pause = Math.min(2 * pause, 5_000)) {
    try {
      options.signal?.throwIfAborted()
      answer ??= await options.again?.(seen)
      for await (const line of jobLines(answer?.body as AsyncIterable<Buffer>)) {
        lastSign = performance.now()
        pause = 100
        isTold = false
        if (line.end) {
          if (line.end.ok === true) return line.end.result
          throw new RemoteError(parseErrorReport(line.end.error))
        }
        if (line.seq === undefined || line.seq <= seen) continue
        seen = line.seq
        now = stateAfter(line.event, now === options.unheard ? goesOn : now)
        options.onEvent(line.event)
      }
      throw new MypaasError('the answer ended early', { code: 'unreachable' })
    } catch (error) {
      if (options.signal?.aborted) {
        const { hint } = options.lost()
        throw new MypaasError(now, { code: 'aborted', hint })
      }
      if (!isUnreachable(error)) throw error
      if (!options.again || performance.now() - lastSign > options.patienceMs) throw options.lost()
      if (!isTold) options.onLineBroke?.((error as Error).message)
      isTold = true
    }
    answer = undefined
    // Ended early by the signal, which the next round sees.
    await sleep(pause, undefined, { signal: options.signal }).catch(() => {})
  }
}

const goesOn = 'It goes on over there, with nobody here following it.'

/** What can be said of a deploy from that event on, to somebody who leaves. */
function stateAfter(event: unknown, before: string): string {
  const { type, service, release } = (event ?? {}) as { type?: unknown; service?: unknown; release?: unknown }
  if (type === 'live')
    return `r${release} of ${service} is live. What is left of its deploy goes on over there, with nobody here following it.`
  if (type === 'taking-back')
    return `r${release} of ${service} failed, and is taken back over there, with nobody here following it.`
  return before
}

const maxLineBytes = 4 * 1024 * 1024

/** The lines of an answer as they come. @throws {MypaasError} `unreachable` when it breaks off in the middle */
export async function* jobLines(body: AsyncIterable<Buffer>): AsyncGenerator<JobLine, void> {
  let rest: Buffer = Buffer.alloc(0)
  try {
    for await (const part of body) {
      let text = rest.length > 0 ? Buffer.concat([rest, part]) : part
      for (let end = text.indexOf(10); end >= 0; end = text.indexOf(10)) {
        const line = text.toString('utf8', 0, end)
        text = text.subarray(end + 1)
        yield line.trim() === '' ? {} : (JSON.parse(line) as JobLine)
      }
      if (text.length > maxLineBytes) throw new Error('a line is too long')
      rest = text
    }
  } catch (cause) {
    if (cause instanceof MypaasError) throw cause
    throw new MypaasError(`the line broke (${(cause as Error).message})`, { code: 'unreachable', cause })
  }
}
