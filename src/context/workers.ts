import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { MypaasError } from '../errors.ts'
import { plannedSize, type TarPlan } from './pack.ts'
import type { Branch, Found } from './walk.ts'
import { type PackJob, type Report, ringStride, usedCounter, type WalkJob } from './worker.ts'

/** Lists all that is below the directories, in workers, so that the event loop stays free. */
export async function walkInWorkers(
  job: Omit<WalkJob, 'kind' | 'counters'>,
  signal?: AbortSignal,
): Promise<BranchesFound[]> {
  const counters = new Int32Array(new SharedArrayBuffer(4))
  const crew = new Crew(crewSize, signal)
  try {
    crew.send({ kind: 'walk', ...job, counters })
    const found: BranchesFound[] = []
    while (found.length < crew.size) {
      const report = await crew.next()
      if (report.kind === 'walked') found.push(report)
    }
    crew.release()
    return found
  } finally {
    await crew.dismiss()
  }
}

export type BranchesFound = Readonly<{ found: Found; branches: readonly Branch[] }>

/**
 * The entries' bytes, packed by workers that stay a few parts ahead of the reader, no more.
 * @param options.reuse the bytes are good only until the next part is asked for
 */
export async function* packInWorkers(
  plan: TarPlan,
  options: { reuse: boolean; signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array, void> {
  const parts = Math.ceil(plannedSize(plan) / partSize)
  const counters = new Int32Array(new SharedArrayBuffer(8))
  const ring = options.reuse ? new SharedArrayBuffer(window * ringStride(partSize)) : undefined
  const crew = new Crew(Math.min(crewSize, Math.ceil(parts / 8)), options.signal)
  try {
    crew.send({ kind: 'pack', plan, partSize, window, counters, ring })
    const early = new Map<number, Uint8Array>()
    for (let number = 0; number < parts; number++) {
      while (!early.has(number)) {
        const report = await crew.next()
        if (report.kind === 'part') early.set(report.number, report.bytes)
      }
      crew.rest()
      yield early.get(number) as Uint8Array
      early.delete(number)
      Atomics.add(counters, usedCounter, 1)
      Atomics.notify(counters, usedCounter)
    }
    await crew.finish()
    crew.release()
  } finally {
    await crew.dismiss()
  }
}

/** Large enough that a message a part costs nothing, small enough to stay in the processor's cache. */
const partSize = 512 * 1024
const window = 8
/** More would take the processor from the engine, which unpacks at the same time. */
const crewSize = Math.min(2, availableParallelism())

/** A few workers with one job. Whoever has one releases or dismisses it. */
class Crew {
  readonly #workers: Worker[] = []
  readonly #reports: Report[] = []
  readonly #signal: AbortSignal | undefined
  #failure: unknown
  #failed = false
  #packed = 0
  #wake: (() => void) | undefined

  constructor(size: number, signal: AbortSignal | undefined) {
    signal?.throwIfAborted()
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    while (this.#workers.length < size) {
      const worker = takeWorker()
      worker.on('message', this.#onReport)
      worker.on('error', this.#onError)
      worker.on('exit', this.#onExit)
      this.#workers.push(worker)
    }
  }

  get size(): number {
    return this.#workers.length
  }

  send(job: WalkJob | PackJob): void {
    for (const worker of this.#workers) worker.postMessage(job)
  }

  /** @throws what a worker threw, or the signal's reason */
  async next(): Promise<Report> {
    for (;;) {
      if (this.#failed) throw this.#failure
      const report = this.#reports.shift()
      if (report) return report
      for (const worker of this.#workers) worker.ref()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** A reader that takes its time, or never comes back, does not keep the process alive. */
  rest(): void {
    for (const worker of this.#workers) worker.unref()
  }

  /** Every worker has said that its part of the job is done. */
  async finish(): Promise<void> {
    while (this.#packed < this.#workers.length) await this.next()
  }

  /** The job is done; the workers may do another. */
  release(): void {
    for (const worker of this.#workers.splice(0)) {
      this.#leave(worker)
      keepWorker(worker)
    }
  }

  /** Ends the workers that are still at it. */
  async dismiss(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#onAbort)
    await Promise.all(
      this.#workers.splice(0).map((worker) => {
        this.#leave(worker)
        worker.on('error', () => {})
        return worker.terminate()
      }),
    )
  }

  #leave(worker: Worker): void {
    worker.off('message', this.#onReport)
    worker.off('error', this.#onError)
    worker.off('exit', this.#onExit)
  }

  #fail(error: unknown): void {
    if (!this.#failed) this.#failure = error
    this.#failed = true
    this.#wake?.()
  }

  readonly #onReport = (report: Report): void => {
    if (report.kind === 'failed') {
      this.#fail(errorFrom(report))
      return
    }
    if (report.kind === 'packed') this.#packed += 1
    this.#reports.push(report)
    this.#wake?.()
  }

  readonly #onAbort = (): void => this.#fail(this.#signal?.reason)

  readonly #onError = (error: Error): void => this.#fail(error)

  readonly #onExit = (code: number): void =>
    this.#fail(new MypaasError(`A worker that packs files ended by itself (${code}).`, { code: 'context' }))
}

/** Workers without work, for the next job: starting one takes longer than a small job. They leave after a moment. */
const idle = new Map<Worker, NodeJS.Timeout>()

function takeWorker(): Worker {
  for (const [worker, timer] of idle) {
    clearTimeout(timer)
    forget(worker)
    return worker
  }
  return startWorker()
}

function startWorker(): Worker {
  const options = { resourceLimits: { maxYoungGenerationSizeMb: 8 } }
  if (!import.meta.url.endsWith('.ts')) return new Worker(new URL('./worker.js', import.meta.url), options)
  return new Worker(loadSource(fileURLToPath(new URL('./worker.ts', import.meta.url))), { ...options, eval: true })
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

function keepWorker(worker: Worker): void {
  worker.on('error', onIdleEnd)
  worker.on('exit', onIdleEnd)
  worker.unref()
  const timer = setTimeout(() => {
    forget(worker)
    void worker.terminate()
  }, idleMs)
  idle.set(worker, timer.unref())
}

function forget(worker: Worker): void {
  idle.delete(worker)
  worker.off('error', onIdleEnd)
  worker.off('exit', onIdleEnd)
}

function onIdleEnd(this: Worker): void {
  clearTimeout(idle.get(this))
  forget(this)
}

const idleMs = 1000

function errorFrom(report: Report & { kind: 'failed' }): Error {
  const { message, code, hint, stack } = report
  const error = code === undefined ? new Error(message) : new MypaasError(message, { code, hint })
  if (code === undefined && stack !== undefined) error.stack = stack
  return error
}
