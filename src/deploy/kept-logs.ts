import { createReadStream } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type CallOptions, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { privateFolder, removeAbandoned, writeDurably } from '../files.ts'
import type { Host } from './host.ts'
import { placesOf } from './places.ts'
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

/** What is kept of the log of one container that was removed. */
const keptLines = 10_000
const keptBytes = 2 * 1024 * 1024

/** Keeps the end of a container's log before the container goes; a replica that never ran has none. */
export async function keepLog(host: Host, service: string, target: Target): Promise<void> {
  let lines: string[] = []
  let held = 0
  try {
    for await (const { at, stream, text } of linesOf(host, target, {
      tail: keptLines,
      timeoutMs: host.engineTimeoutMs,
    })) {
      const line = `${at} ${stream} ${text}\n`
      lines.push(line)
      held += line.length
      // Lines may be of any length: what is too old to be kept goes now and then.
      if (held <= 4 * keptBytes) continue
      lines = endOf(lines, keptBytes)
      held = lines.reduce((sum, { length }) => sum + length, 0)
    }
  } catch (error) {
    if (error instanceof NotFoundError) return
    // A log driver that can't be read keeps nobody from removing the container.
    if (!(error instanceof MypaasError)) throw error
  }
  if (lines.length === 0) return
  const folder = logFolder(host, service)
  try {
    await privateFolder(folder)
    const text = endOf(lines, keptBytes).join('')
    await writeDurably(join(folder, `r${target.release}-${target.replica}.log`), text, {
      scratch: placesOf(host.directory, service).folder,
    })
  } catch {
    // Nor does a full disk.
  }
}

/** The last lines, as many as have room. */
function endOf(lines: readonly string[], maxBytes: number): string[] {
  let bytes = 0
  let from = lines.length
  while (from > 0 && bytes + Buffer.byteLength(lines[from - 1] ?? '') <= maxBytes) {
    from -= 1
    bytes += Buffer.byteLength(lines[from] ?? '')
  }
  return lines.slice(from)
}

/** Removes the kept logs of all but the newest `keep` releases, and halves of them that older versions left when killed. */
export async function pruneLogs(host: Host, service: string, keep: number): Promise<void> {
  await removeAbandoned(logFolder(host, service))
  const files = await keptFiles(host, service)
  const releases = [...new Set(files.map(({ release }) => release))].sort((a, b) => b - a)
  for (const { file, release } of files) {
    if (!releases.slice(0, keep).includes(release)) await rm(file, { force: true })
  }
}

/** What is longer comes as several lines. */
const maxLineLength = 256 * 1024

/** The lines of one container. What it writes comes in pieces; a line may be spread over several. */
export async function* linesOf(
  host: Host,
  { name, id = name, release, replica }: Target & Readonly<{ id?: string }>,
  options: {
    follow?: boolean | undefined
    since?: Date | undefined
    tail?: number | undefined
  } & CallOptions,
): AsyncGenerator<LogLine, void> {
  const rest = { stdout: '', stderr: '' }
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }
  const chunks = host.docker.containers.logs(id, {
    timestamps: true,
    ...options,
  })
  for await (const { stream, data } of chunks) {
    const lines = (rest[stream] + decoders[stream].decode(data, { stream: true })).split('\n')
    rest[stream] = lines.pop() ?? ''
    for (const line of lines) yield { ...parse(line), release, replica, stream }
    if (rest[stream].length > maxLineLength) {
      const line = parse(rest[stream])
      yield { ...line, release, replica, stream }
      rest[stream] = `${line.at} `
    }
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

/** The lines of a log that was kept; none when it was removed meanwhile. */
export async function* keptLog({ file, release, replica }: KeptFile): AsyncGenerator<LogLine, void> {
  const input = createReadStream(file)
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const { at, text } = parse(line)
      const { at: stream, text: written } = parse(text)
      yield { at, release, replica, stream: stream === 'stderr' ? 'stderr' : 'stdout', text: written }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  } finally {
    input.destroy()
  }
}

type KeptFile = { file: string; release: number; replica: number }

export async function keptFiles(host: Host, service: string): Promise<KeptFile[]> {
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
  return join(placesOf(host.directory, service).folder, 'logs')
}
