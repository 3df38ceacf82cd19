import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { writeDurably } from '../files.ts'
import { serviceFolder } from './history.ts'
import type { Host } from './host.ts'
import { observe, type Replica } from './observe.ts'
import { journalOf } from './operate.ts'
import type { Target } from './plan.ts'

/** One line that a replica wrote. */
export type LogLine = Readonly<{
  /** RFC 3339 with nanoseconds, in UTC: sorts as text. */
  at: string
  release: number
  replica: number
  stream: 'stdout' | 'stderr'
  text: string
}>

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

/** What is kept of the log of one container that was removed. */
const keptLines = 10_000
const keptBytes = 2 * 1024 * 1024
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

/** Keeps the end of a container's log before the container goes; a replica that never ran has none. */
export async function keepLog(host: Host, service: string, target: Target): Promise<void> {
  const lines: string[] = []
  try {
    for await (const { at, stream, text } of linesOf(host, target, { tail: keptLines }))
      lines.push(`${at} ${stream} ${text}\n`)
  } catch (error) {
    if (error instanceof NotFoundError) return
    // A log driver that can't be read keeps nobody from removing the container.
    if (!(error instanceof MypaasError)) throw error
  }
  if (lines.length === 0) return
  let bytes = 0
  let from = lines.length
  while (from > 0 && bytes + Buffer.byteLength(lines[from - 1] ?? '') <= keptBytes) {
    from -= 1
    bytes += Buffer.byteLength(lines[from] ?? '')
  }
  const folder = logFolder(host, service)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeDurably(join(folder, `r${target.release}-${target.replica}.log`), lines.slice(from).join(''))
}

/** Removes the kept logs of all but the newest `keep` releases. */
export async function pruneLogs(host: Host, service: string, keep: number): Promise<void> {
  const files = await keptFiles(host, service)
  const releases = [...new Set(files.map(({ release }) => release))].sort((a, b) => b - a)
  for (const { file, release } of files) {
    if (!releases.slice(0, keep).includes(release)) await rm(file, { force: true })
  }
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

/** The lines of one container. What it writes comes in pieces; a line may be spread over several. */
async function* linesOf(
  host: Host,
  { name, release, replica }: Target,
  options: {
    follow?: boolean | undefined
    since?: Date | undefined
    tail?: number | undefined
    signal?: AbortSignal | undefined
  },
): AsyncGenerator<LogLine, void> {
  const rest = { stdout: '', stderr: '' }
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }
  const chunks = host.docker.containers.logs(name, {
    timestamps: true,
    follow: options.follow,
    since: options.since,
    tail: options.tail,
    signal: options.signal,
    ...(options.follow ? {} : { timeoutMs: host.engineTimeoutMs }),
  })
  for await (const { stream, data } of chunks) {
    const lines = (rest[stream] + decoders[stream].decode(data, { stream: true })).split('\n')
    rest[stream] = lines.pop() ?? ''
    for (const line of lines) yield { ...parse(line), release, replica, stream }
  }
  for (const stream of ['stdout', 'stderr'] as const) {
    if (rest[stream] !== '') yield { ...parse(rest[stream]), release, replica, stream }
  }
}

function parse(line: string): { at: string; text: string } {
  const space = line.indexOf(' ')
  return space < 0
    ? { at: line, text: '' }
    : { at: line.slice(0, space), text: line.slice(space + 1).replace(/\r$/, '') }
}

async function keptLog({ file, release, replica }: KeptFile): Promise<LogLine[]> {
  const text = await readFile(file, 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const { at, text } = parse(line)
      const { at: stream, text: written } = parse(text)
      return { at, release, replica, stream: stream === 'stderr' ? 'stderr' : 'stdout', text: written }
    })
}

type KeptFile = { file: string; release: number; replica: number }

async function keptFiles(host: Host, service: string): Promise<KeptFile[]> {
  const folder = logFolder(host, service)
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return files.flatMap((file) => {
    const match = /^r(\d+)-(\d+)\.log$/.exec(file)
    return match ? [{ file: join(folder, file), release: Number(match[1]), replica: Number(match[2]) }] : []
  })
}

function logFolder(host: Host, service: string): string {
  return join(serviceFolder(host.directory, service), 'logs')
}

function isWanted(found: { release: number; replica: number }, options: LogsOptions): boolean {
  if (options.release !== undefined && found.release !== options.release) return false
  return options.replica === undefined || found.replica === options.replica
}

function key({ release, replica }: { release: number; replica: number }): string {
  return `r${release}-${replica}`
}
