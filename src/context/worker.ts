/**
 * What a worker of `workers.ts` does: one job at a time, each from its start to its end without a look at the event loop.
 */
import { type MessagePort, parentPort, type Transferable } from 'node:worker_threads'
import { MypaasError } from '../errors.ts'
import { parseIgnore } from './ignore.ts'
import { fillTar, plannedSize, spareRoom, type TarPlan } from './pack.ts'
import { type Branch, type Directory, type Found, walkBranches } from './walk.ts'

/** Several workers share one walk job: each takes the next directory that nobody has taken. */
export type WalkJob = Readonly<{
  kind: 'walk'
  root: string
  ignoreText: string
  ignoreName: string
  required: readonly string[]
  directories: readonly Directory[]
  /** One number: the directories taken. */
  counters: Int32Array
}>

/**
 * Several workers share one pack job: each takes the next part of the archive that nobody has taken, when there is room for
 * it. `ring` is memory that the parts go round in; without it, each part has memory of its own.
 */
export type PackJob = Readonly<{
  kind: 'pack'
  plan: TarPlan
  partSize: number
  /** So many parts may be under way or not used up. */
  window: number
  /** Two numbers: the parts taken, the parts used up. */
  counters: Int32Array
  ring: SharedArrayBuffer | undefined
}>

export const takenCounter = 0
export const usedCounter = 1

export type Report =
  | { kind: 'walked'; found: Found; branches: readonly Branch[] }
  | { kind: 'part'; number: number; bytes: Uint8Array }
  | { kind: 'packed' }
  | {
      kind: 'failed'
      message: string
      code: MypaasError['code'] | undefined
      hint: string | undefined
      stack: string | undefined
    }

/** Bytes of one part in a ring, whole pages. */
export function ringStride(partSize: number): number {
  return Math.ceil((partSize + spareRoom) / 4096) * 4096
}

function work(port: MessagePort): void {
  port.on('message', (job: WalkJob | PackJob) => {
    try {
      if (job.kind === 'walk') runWalk(job, port)
      else runPack(job, port)
    } catch (error) {
      const { message, stack } = error as Error
      const { code, hint } = error instanceof MypaasError ? error : { code: undefined, hint: undefined }
      report(port, { kind: 'failed', message, code, hint, stack })
    }
  })
}

function runWalk({ root, ignoreText, ignoreName, required, directories, counters }: WalkJob, port: MessagePort): void {
  const rules = parseIgnore(ignoreText, { name: ignoreName })
  const take = (): number => Atomics.add(counters, takenCounter, 1)
  const { found, branches } = walkBranches(root, rules, { required, directories, take })
  const { text, ends, modes, sizes, mtimesMs, flags } = found.table
  const memory = [text, ends, modes, sizes, mtimesMs, flags].map((column) => column.buffer as ArrayBuffer)
  report(port, { kind: 'walked', found, branches }, memory)
}

function runPack({ plan, partSize, window, counters, ring }: PackJob, port: MessagePort): void {
  const total = plannedSize(plan)
  const parts = Math.ceil(total / partSize)
  const take = (): number => Atomics.add(counters, takenCounter, 1)
  for (let number = take(); number < parts; number = take()) {
    awaitRoom(counters, number, window)
    const at = number * partSize
    const length = Math.min(partSize, total - at)
    if (ring) {
      const target = Buffer.from(ring, (number % window) * ringStride(partSize), partSize + spareRoom)
      fillTar(plan, at, target, length)
      report(port, { kind: 'part', number, bytes: target.subarray(0, length) })
    } else {
      const target = Buffer.allocUnsafeSlow(length + spareRoom)
      fillTar(plan, at, target, length)
      report(port, { kind: 'part', number, bytes: target.subarray(0, length) }, [target.buffer as ArrayBuffer])
    }
  }
  report(port, { kind: 'packed' })
}

function awaitRoom(counters: Int32Array, number: number, window: number): void {
  for (
    let used = Atomics.load(counters, usedCounter);
    number >= used + window;
    used = Atomics.load(counters, usedCounter)
  ) {
    Atomics.wait(counters, usedCounter, used)
  }
}

function report(port: MessagePort, message: Report, transfer: Transferable[] = []): void {
  port.postMessage(message, transfer)
}

if (parentPort) work(parentPort)
