import { setImmediate } from 'node:timers/promises'
import { trailerSize } from './header.ts'
import { Helper, sliceMs } from './helper.ts'
import { fillTar, plannedSize, spareRoom, type TarPlan } from './pack.ts'

/**
 * The whole archive, part by part. A worker packs a few parts ahead of the reader, no more; when the next part is not there
 * yet, another one is packed here instead of waiting, in slices between the turns of the event loop.
 * @param options.helped false: all is packed here
 * @param options.reuse the bytes are good only until the next part is asked for
 */
export async function* streamTar(
  plan: TarPlan,
  options: { helped: boolean; reuse: boolean; signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array, void> {
  const { signal } = options
  const job = packJob(plan, options.reuse)
  await using helper = options.helped ? new Helper(signal) : undefined
  const early = new Map<number, Uint8Array>()
  const help = { isAsked: false, isOver: false }
  const read = (): void => {
    if (!help.isAsked && helper?.isReady) {
      helper.send(job)
      help.isAsked = true
    }
    for (const report of helper?.reports() ?? []) {
      if (report.kind === 'part') early.set(report.number, report.bytes)
      else if (report.kind === 'packed') help.isOver = true
    }
  }
  let turn = performance.now()
  for (let number = 0; number < job.parts; number++) {
    for (read(); !early.has(number); read()) {
      const own = takeNow(job)
      if (own !== undefined) early.set(own, packPart(job, own))
      else await helper?.wait()
      if (performance.now() - turn < sliceMs) continue
      await setImmediate()
      turn = performance.now()
    }
    signal?.throwIfAborted()
    helper?.rest()
    yield early.get(number) as Uint8Array
    early.delete(number)
    Atomics.add(job.counters, usedCounter, 1)
    Atomics.notify(job.counters, usedCounter)
  }
  while (help.isAsked && !help.isOver) {
    await helper?.wait()
    read()
  }
  helper?.release()
  yield Buffer.alloc(trailerSize)
}

/**
 * Whoever packs takes the next part that nobody has taken, when there is room for it. `ring` is memory that the parts go
 * round in; without it, each part has memory of its own.
 */
export type PackJob = Readonly<{
  kind: 'pack'
  plan: TarPlan
  parts: number
  /** Two numbers: the parts taken, the parts used up. */
  counters: Int32Array
  ring: SharedArrayBuffer | undefined
}>

/** Large enough that a message a part costs nothing, small enough to stay in the processor's cache. */
const partSize = 256 * 1024
/** So many parts may be under way or not used up. */
const window = 6
/** Bytes of a part in the ring, whole pages. */
const stride = partSize + 4096

const takenCounter = 0
const usedCounter = 1

function packJob(plan: TarPlan, reuse: boolean): PackJob {
  const parts = Math.ceil(plannedSize(plan) / partSize)
  const counters = new Int32Array(new SharedArrayBuffer(8))
  const ring = reuse && parts > window ? new SharedArrayBuffer(window * stride) : undefined
  return { kind: 'pack', plan, parts, counters, ring }
}

/** The number of a part that is to be packed and has room now. */
function takeNow(job: PackJob): number | undefined {
  const { counters, parts } = job
  const next = Atomics.load(counters, takenCounter)
  if (next >= parts || next >= Atomics.load(counters, usedCounter) + window) return undefined
  return Atomics.compareExchange(counters, takenCounter, next, next + 1) === next ? next : takeNow(job)
}

/** The worker's half: packs as long as there are parts, and waits for room in between. */
export function packParts(job: PackJob, onPart: (number: number, bytes: Uint8Array) => void): void {
  const { counters, parts } = job
  for (;;) {
    const number = takeNow(job)
    if (number !== undefined) {
      onPart(number, packPart(job, number))
      continue
    }
    const used = Atomics.load(counters, usedCounter)
    if (Atomics.load(counters, takenCounter) >= parts) return
    if (Atomics.load(counters, takenCounter) >= used + window) Atomics.wait(counters, usedCounter, used)
  }
}

function packPart({ plan, ring }: PackJob, number: number): Uint8Array {
  const from = number * partSize
  const length = Math.min(partSize, plannedSize(plan) - from)
  const target = ring
    ? Buffer.from(ring, (number % window) * stride, partSize + spareRoom)
    : Buffer.allocUnsafeSlow(length + spareRoom)
  fillTar(plan, from, target, length)
  return target.subarray(0, length)
}
