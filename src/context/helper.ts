import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { MypaasError } from '../errors.ts'
import type { DigestJob } from './digest.ts'
import type { PackJob } from './parts.ts'
import type { Report, WalkJob } from './worker.ts'

/**
 * A worker that helps with one job. Without a second processor, or where it can't be started, it never gets ready, and its
 * owner does all by itself. Given back with `release`, it is there at once for the next job; else it ends.
 */
export class Helper implements AsyncDisposable {
  readonly #signal: AbortSignal | undefined
  readonly #reports: Report[] = []
  #worker: Worker | undefined
  #failure: { error: unknown } | undefined
  #wake: (() => void) | undefined

  constructor(signal: AbortSignal | undefined) {
    signal?.throwIfAborted()
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    this.#worker = takeIdle() ?? startWorker()
    this.#worker?.on('message', this.#onReport)
    this.#worker?.on('error', this.#onError)
    this.#worker?.on('exit', this.#onExit)
  }

  get isReady(): boolean {
    return this.#worker !== undefined && ready.has(this.#worker)
  }

  send(job: WalkJob | PackJob | DigestJob): void {
    this.#worker?.postMessage(job)
  }

  /** What has been reported since. @throws what the worker threw, or the signal's reason */
  reports(): Report[] {
    if (this.#failure) throw this.#failure.error
    return this.#reports.splice(0)
  }

  /** Done when there is something to read in the reports, or nothing to wait for. */
  async wait(): Promise<void> {
    if (this.#failure || this.#reports.length > 0 || this.#worker === undefined) return
    this.#worker.ref()
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }

  /** An owner that never comes back does not keep the process alive. */
  rest(): void {
    this.#worker?.unref()
  }

  /** The next report of the kind; the helper must be ready. */
  async next<K extends Report['kind']>(kind: K): Promise<Extract<Report, { kind: K }>> {
    for (;;) {
      for (const report of this.reports()) if (report.kind === kind) return report as Extract<Report, { kind: K }>
      await this.wait()
    }
  }

  /** The worker has nothing to do any more, and waits a moment for the next job. */
  release(): void {
    const worker = this.#leave()
    if (worker) keepIdle(worker)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave()?.terminate()
  }

  #leave(): Worker | undefined {
    const worker = this.#worker
    this.#worker = undefined
    this.#signal?.removeEventListener('abort', this.#onAbort)
    worker?.off('message', this.#onReport)
    worker?.off('error', this.#onError)
    worker?.off('exit', this.#onExit)
    return worker
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#wake?.()
  }

  readonly #onReport = (report: Report): void => {
    if (report.kind === 'failed') this.#fail(errorFrom(report))
    else if (report.kind !== 'ready') this.#reports.push(report)
    this.#wake?.()
  }

  readonly #onAbort = (): void => this.#fail(this.#signal?.reason)

  readonly #onError = (error: unknown): void => {
    if (this.isReady) this.#fail(error)
    else this.#lose()
  }

  readonly #onExit = (code: number): void => {
    const error = new MypaasError(`The worker that packs files ended by itself (${code}).`, { code: 'context' })
    if (this.isReady) this.#fail(error)
    else this.#lose()
  }

  #lose(): void {
    this.#leave()
    this.#wake?.()
  }
}

/** Starts a worker that will be asked for soon: it takes longer than reading a small directory. */
export function prepareHelper(): void {
  const worker = takeIdle() ?? startWorker()
  if (worker) keepIdle(worker)
}

/** What is done at a stretch, without a turn of the event loop. */
export const sliceMs = 8

/** Workers that have said that they are. */
const ready = new WeakSet<Worker>()

/** Workers without work. Starting one takes longer than a small job; they leave after a moment. */
const idle = new Map<Worker, NodeJS.Timeout>()
const idleMs = 1000

function takeIdle(): Worker | undefined {
  for (const [worker, timer] of idle) {
    clearTimeout(timer)
    forget(worker)
    return worker
  }
  return undefined
}

function keepIdle(worker: Worker): void {
  worker.on('exit', onIdleExit)
  worker.unref()
  const timer = setTimeout(() => {
    forget(worker)
    void worker.terminate()
  }, idleMs)
  idle.set(worker, timer.unref())
}

function forget(worker: Worker): void {
  idle.delete(worker)
  worker.off('exit', onIdleExit)
}

function onIdleExit(this: Worker): void {
  clearTimeout(idle.get(this))
  forget(this)
}

function startWorker(): Worker | undefined {
  if (availableParallelism() < 2) return undefined
  // The process's own flags are not for it: `-e` and `--input-type`, say, it would refuse.
  const options = { execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: 2 } }
  const worker = import.meta.url.endsWith('.ts')
    ? new Worker(loadSource(fileURLToPath(new URL('./worker.ts', import.meta.url))), { ...options, eval: true })
    : new Worker(new URL('./worker.js', import.meta.url), options)
  worker.once('message', () => ready.add(worker))
  // Who has work for it listens too. What it says while it has none is nobody's.
  worker.on('error', () => {})
  return worker
}

/** From the sources, as tests run them: Node 20 does not load in a worker what `--import` names, so this does. */
function loadSource(file: string): string {
  const loaders = process.execArgv.filter((_, index, all) => all[index - 1] === '--import')
  return `
    const load = require('node:module').createRequire(${JSON.stringify(file)})
    const find = (name) => (name.startsWith('file:') ? name : require('node:url').pathToFileURL(load.resolve(name)).href)
    Promise.all(${JSON.stringify(loaders)}.map((name) => import(find(name)))).then(() => load(${JSON.stringify(file)}))
  `
}

function errorFrom({ message, code, hint, stack }: Extract<Report, { kind: 'failed' }>): Error {
  if (code !== undefined) return new MypaasError(message, { code, hint })
  const error = new Error(message)
  if (stack !== undefined) error.stack = stack
  return error
}
