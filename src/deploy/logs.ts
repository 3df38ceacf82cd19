import { setTimeout as sleep } from 'node:timers/promises'
import { NotFoundError } from '../docker/index.ts'
import type { Host } from './host.ts'
import { keptFiles, keptLog, type LogLine, linesOf } from './kept-logs.ts'
import { observe, type Replica } from './observe.ts'
import { journalOf } from './operate.ts'

export type LogsOptions = Readonly<{
  /** Goes on with what is written from now on, also by releases to come, until `signal`. */
  follow?: boolean | undefined
  since?: Date | undefined
  /** Only so many lines from the end, before what is followed. */
  tail?: number | undefined
  replica?: number | undefined
  release?: number | undefined
  signal?: AbortSignal | undefined
}>

const lookForNewMs = 500

/**
 * What the replicas of a service wrote, merged by time: those that are here, and those of earlier releases whose logs
 * were kept. Ends with the last line, or with `follow` when the signal fires.
 * @throws {MypaasError} `usage` when there is no such service
 */
export async function* serviceLogs(host: Host, service: string, options: LogsOptions): AsyncGenerator<LogLine, void> {
  await journalOf(host, service)
  const seen = new Map<string, string>()
  if (options.signal?.aborted) return
  const history = await pastLines(host, service, options)
  for (const line of options.tail === undefined ? history : history.slice(history.length - options.tail)) {
    yield line
  }
  for (const line of history) seen.set(key(line), line.at)
  if (options.follow) yield* newLines(host, service, options, seen)
}

async function pastLines(host: Host, service: string, options: LogsOptions): Promise<readonly LogLine[]> {
  const wanted = (found: { release: number; replica: number }): boolean => isWanted(found, options)
  const lines: LogLine[] = []
  for (const found of (await keptFiles(host, service)).filter(wanted)) lines.push(...(await keptLog(found)))
  for (const replica of (await observe(host, service)).replicas.filter(wanted)) {
    try {
      const { since, tail, signal } = options
      for await (const line of linesOf(host, replica, { since, tail, signal })) lines.push(line)
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
    }
  }
  const since = options.since?.toISOString() ?? ''
  return lines.filter(({ at }) => at >= since).sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
}

/** Lines as they come, of every replica that is there or appears. A slow reader slows the reading, nothing is dropped. */
async function* newLines(
  host: Host,
  service: string,
  options: LogsOptions,
  seen: Map<string, string>,
): AsyncGenerator<LogLine, void> {
  const end = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, end.signal]) : end.signal
  const queue: LogLine[] = []
  const followed = new Set<string>()
  let wake = (): void => {}
  let room = (): void => {}
  const follow = async (replica: Replica): Promise<void> => {
    const last = seen.get(key(replica)) ?? ''
    const from = last === '' ? {} : { since: new Date(last) }
    for await (const line of linesOf(host, replica, { follow: true, signal, ...from })) {
      if (line.at <= last) continue
      queue.push(line)
      wake()
      if (queue.length > 1000)
        await new Promise<void>((resolve) => {
          room = resolve
        })
    }
  }
  const look = async (): Promise<void> => {
    while (!signal.aborted) {
      for (const replica of (await observe(host, service)).replicas.filter((found) => isWanted(found, options))) {
        if (followed.has(replica.id) || replica.state === 'created') continue
        followed.add(replica.id)
        follow(replica).catch(() => followed.delete(replica.id))
      }
      await sleep(lookForNewMs, undefined, { signal }).catch(() => {})
    }
  }
  let failed: unknown
  const looking = look().catch((error: unknown) => {
    failed = error
    wake()
  })
  signal.addEventListener('abort', () => wake(), { once: true })
  try {
    while (!signal.aborted) {
      for (let line = queue.shift(); line; line = queue.shift()) yield line
      room()
      if (failed) throw failed
      if (!signal.aborted)
        await new Promise<void>((resolve) => {
          wake = resolve
          if (queue.length > 0) resolve()
        })
    }
  } finally {
    end.abort()
    room()
    await looking
  }
}

function isWanted(found: { release: number; replica: number }, options: LogsOptions): boolean {
  if (options.release !== undefined && found.release !== options.release) return false
  return options.replica === undefined || found.replica === options.replica
}

function key({ release, replica }: { release: number; replica: number }): string {
  return `r${release}-${replica}`
}
