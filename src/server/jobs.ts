import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs'
import { open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { MypaasError } from '../errors.ts'
import { openPrivate, privateFolder, readPrivately } from '../files.ts'
import { reportError } from '../push/remote-error.ts'

export type JobInfo = Readonly<{ job: string; what: string; service?: string; who: string; at: string }>

/** Work that goes on whoever watches: its numbered events are in a file, to be followed from any point, also later. */
export class Jobs {
  readonly #folder: string
  readonly #live = new Map<string, Live>()

  private constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Opens the folder. Jobs that were on when the daemon ended get an end.
   * @param ended says what became of the service of such a job, after it was brought in order
   */
  static async open(folder: string, ended: (info: JobInfo) => Promise<string>): Promise<Jobs> {
    await privateFolder(folder)
    const jobs = new Jobs(folder)
    await jobs.#forgetOld()
    for (const job of await jobs.#list()) {
      const text = await readPrivately(jobs.#file(job))
      const lines = text.split('\n')
      if (lines.some((line) => line.startsWith('{"end":'))) continue
      const info = parseInfo(lines[0])
      const now = info ? await ended(info) : ''
      const error = {
        code: 'failed',
        message: 'The server was restarted in the middle of this.',
        ...(now === '' ? {} : { now }),
        hint: 'Push again.',
      }
      await using handle = await openPrivate(jobs.#file(job), 'a')
      // A line that the end of the process cut off stays one by itself.
      await handle.write(`${text.endsWith('\n') ? '' : '\n'}${JSON.stringify({ end: { ok: false, error } })}\n`)
    }
    return jobs
  }

  /** How many are on. */
  get running(): number {
    return this.#live.size
  }

  /** Begins a job. It has its id at once; `run`'s result or error becomes its end. */
  start(
    about: Omit<JobInfo, 'job' | 'at'>,
    run: (emit: (event: unknown) => void, signal: AbortSignal) => Promise<unknown>,
    options: { isKept?: boolean } = {},
  ): { info: JobInfo; done: Promise<{ ok: boolean; error?: unknown }> } {
    const info: JobInfo = { job: newId(), at: new Date().toISOString(), ...about }
    const live = new Live(options.isKept === false ? undefined : this.#file(info.job), info)
    this.#live.set(info.job, live)
    const done = (async () => {
      try {
        const result = await run((event) => live.add(event), live.controller.signal)
        await live.end({ ok: true, result })
        return { ok: true }
      } catch (error) {
        await live.end({ ok: false, error: reportError(error) })
        return { ok: false, error }
      } finally {
        // Who asked for something that is not kept gets the end of it all the same: it follows by now.
        this.#live.delete(info.job)
        live.release()
        // What can't be removed now is tried again after the next one.
        if (options.isKept !== false) await this.#forgetOld().catch(() => {})
      }
    })()
    live.done = done
    return { info, done }
  }

  /** What is known of a job. @throws {MypaasError} `usage` when there is none */
  async info(job: string): Promise<JobInfo> {
    const live = this.#live.get(job)
    if (live) return live.info
    const first = /^[a-z0-9-]{8,60}$/.test(job) ? await firstLine(this.#file(job)) : undefined
    const info = parseInfo(first)
    if (info) return info
    throw new MypaasError(`There is no job ${job}.`, { code: 'usage', hint: 'The newest one: mypaas attach SERVER' })
  }

  /** The newest jobs first, running ones before all. */
  async list(): Promise<readonly JobInfo[]> {
    const stored = (await this.#list()).reverse().filter((job) => !this.#live.has(job))
    const old = await Promise.all(stored.slice(0, 20).map((job) => this.info(job).catch(() => undefined)))
    return [...[...this.#live.values()].map(({ info }) => info).reverse(), ...old.filter((info) => info !== undefined)]
  }

  /** The job's lines behind the event of that number, to its end, as they come. */
  async *follow(job: string, after: number, signal: AbortSignal): AsyncGenerator<string, void> {
    const live = this.#live.get(job)
    if (live) {
      yield* live.follow(after, signal)
      return
    }
    await this.info(job)
    const input = createReadStream(this.#file(job))
    try {
      for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
        if (line.startsWith('{"end":')) yield line
        else if (line.startsWith('{"seq":') && Number.parseInt(line.slice(7), 10) > after && line.endsWith('}'))
          yield line
      }
    } finally {
      input.destroy()
    }
  }

  /** Lets running jobs come to their end; after `graceMs` they are asked to stop, and tidy up. */
  async finish(graceMs: number): Promise<void> {
    const all = [...this.#live.values()]
    const timer = setTimeout(() => {
      for (const live of all) live.controller.abort()
    }, graceMs)
    await Promise.all(all.map(({ done }) => done))
    clearTimeout(timer)
  }

  /** Removes what is over, but for the last ones. */
  async #forgetOld(): Promise<void> {
    const over = (await this.#list()).filter((job) => !this.#live.has(job)).reverse()
    let bytes = 0
    for (const [at, job] of over.entries()) {
      bytes += (await stat(this.#file(job)).catch(() => undefined))?.size ?? 0
      if (at >= maxKept || bytes > maxKeptBytes) await rm(this.#file(job), { force: true })
    }
  }

  async #list(): Promise<string[]> {
    return (await readdir(this.#folder)).flatMap((name) => /^([a-z0-9-]{8,60})\.ndjson$/.exec(name)?.[1] ?? []).sort()
  }

  #file(job: string): string {
    return join(this.#folder, `${job}.ndjson`)
  }
}

const maxKept = 100
const maxKeptBytes = 512 * 1024 ** 2
/** Of one job: a build that never stops talking fills no disk. */
const maxBytes = 64 * 1024 ** 2
/** Of all that are on, which are in memory: what builds say beyond that is dropped. */
const maxLiveBytes = 256 * 1024 ** 2

class Live {
  readonly info: JobInfo
  readonly controller = new AbortController()
  done: Promise<unknown> = Promise.resolve()
  readonly #lines: string[] = []
  readonly #file: WriteStream | undefined
  readonly #news = new EventEmitter().setMaxListeners(0)
  /** Of all that are on. */
  static #allBytes = 0
  #bytes = 0
  #ended = false

  constructor(file: string | undefined, info: JobInfo) {
    this.info = info
    this.#file = file === undefined ? undefined : createWriteStream(file, { flags: 'a', mode: 0o600 })
    this.#file?.on('error', () => {}) // a full disk ends no deploy
    this.#file?.write(`${JSON.stringify(info)}\n`)
  }

  add(event: unknown): void {
    const line = JSON.stringify({ seq: this.#lines.length, event })
    const isTooMuch = this.#bytes + line.length > maxBytes || Live.#allBytes + line.length > maxLiveBytes
    if (isTooMuch && (event as { type?: unknown }).type === 'build') return
    this.#push(line)
  }

  async end(end: unknown): Promise<void> {
    this.#ended = true
    this.#push(JSON.stringify({ end }))
    const file = this.#file
    if (!file) return
    // A full disk has closed it already.
    if (file.closed) return
    await new Promise<void>((resolve) => {
      file.once('close', resolve)
      file.end()
    })
  }

  async *follow(after: number, signal: AbortSignal): AsyncGenerator<string, void> {
    for (let at = after + 1; ; ) {
      while (at < this.#lines.length) {
        yield this.#lines[at] as string
        at += 1
      }
      if (this.#ended) return
      await once(this.#news, 'line', { signal })
    }
  }

  /** It is in memory no longer. */
  release(): void {
    Live.#allBytes -= this.#bytes
    this.#bytes = 0
  }

  #push(line: string): void {
    this.#bytes += line.length
    Live.#allBytes += line.length
    this.#lines.push(line)
    this.#file?.write(`${line}\n`)
    this.#news.emit('line')
  }
}

function newId(): string {
  const time = new Date()
    .toISOString()
    .replace(/[-:.TZ]/g, '')
    .slice(0, 14)
  return `${time}-${randomBytes(4).toString('hex')}`
}

function parseInfo(line: string | undefined): JobInfo | undefined {
  try {
    const info = JSON.parse(line ?? '') as JobInfo
    return typeof info.job === 'string' ? info : undefined
  } catch {
    return undefined
  }
}

async function firstLine(file: string): Promise<string | undefined> {
  const handle = await open(file).catch(() => undefined)
  if (!handle) return undefined
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0)
    return buffer.toString('utf8', 0, bytesRead).split('\n')[0]
  } finally {
    await handle.close()
  }
}
