import { setTimeout as sleep } from 'node:timers/promises'
import { MypaasError } from '../errors.ts'
import { jobLines } from './follow.ts'
import { isUnreachable, type Remote } from './remote.ts'
import { parseErrorReport, RemoteError } from './remote-error.ts'

/** A line of a log as the server sends it, as far as it matters on the way. */
type Stamped = Readonly<{ at: string; release: number; replica: number }>

const patienceMs = 120_000
const overlapMs = 5_000

/**
 * The lines of a service's log over there, as they come. With `follow` it goes on where the line broke, without loss or
 * doubles, and ends when the signal fires.
 * @param args as the server's action takes them: `follow`, `since`, `tail`, `replica`, `release`
 * @throws {RemoteError} when the server refused; {MypaasError} `unreachable` when the line broke for good
 */
export async function* remoteLogs<Line extends Stamped>(
  remote: Remote,
  service: string,
  args: Readonly<Record<string, string>>,
  signal: AbortSignal,
): AsyncGenerator<Line, void> {
  /** When the last line of each replica was written. */
  const seen = new Map<string, string>()
  let newest = ''
  let lastSign = performance.now()
  for (let pause = 100; !signal.aborted; pause = Math.min(2 * pause, 5_000)) {
    const { tail: _, ...rest } = args
    // Replicas have no order among each other: a line of one that was not seen yet may be a little older.
    const again = newest === '' ? args : { ...rest, since: new Date(Date.parse(newest) - overlapMs).toISOString() }
    try {
      const answer = await remote.signed(
        '/v1/call',
        { purpose: 'call', action: 'logs', args: { service, ...again } },
        {},
        { retry: true },
      )
      const before = new Map(seen)
      for await (const { event, end } of jobLines(answer.body as AsyncIterable<Buffer>)) {
        lastSign = performance.now()
        pause = 100
        if (end?.ok === true) return
        if (end) throw new RemoteError(parseErrorReport(end.error))
        if (event === undefined) continue
        const line = event as Line
        const replica = `${line.release}-${line.replica}`
        if (line.at <= (before.get(replica) ?? '')) continue
        seen.set(replica, line.at)
        if (line.at > newest) newest = line.at
        yield line
      }
      throw new MypaasError('The answer ended early.', { code: 'unreachable' })
    } catch (error) {
      if (signal.aborted) return
      if (!isUnreachable(error) || args['follow'] === undefined) throw error
      if (performance.now() - lastSign > patienceMs) throw error
    }
    await sleep(pause, undefined, { signal }).catch(() => {})
  }
}
