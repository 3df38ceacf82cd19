/**
 * What the worker of `helper.ts` does: one job at a time, each from its start to its end without a look at the event loop.
 */
import { type MessagePort, parentPort, type Transferable } from 'node:worker_threads'
import { MypaasError } from '../errors.ts'
import { type DigestJob, digestUnits } from './digest.ts'
import { parseIgnore } from './ignore.ts'
import { type PackJob, packParts } from './parts.ts'
import { type BranchesFound, walkBranches } from './walk.ts'
import type { Directory } from './walker.ts'

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

export type Report =
  | { kind: 'ready' }
  | ({ kind: 'walked' } & BranchesFound)
  | { kind: 'part'; number: number; bytes: Uint8Array }
  | { kind: 'packed' }
  | { kind: 'digested' }
  | {
      kind: 'failed'
      message: string
      code: MypaasError['code'] | undefined
      hint: string | undefined
      stack: string | undefined
    }

function work(port: MessagePort): void {
  port.on('message', (job: WalkJob | PackJob | DigestJob) => {
    try {
      if (job.kind === 'walk') runWalk(job, port)
      else if (job.kind === 'pack') runPack(job, port)
      else runDigest(job, port)
    } catch (error) {
      const { message, stack } = error as Error
      const { code, hint } = error instanceof MypaasError ? error : { code: undefined, hint: undefined }
      report(port, { kind: 'failed', message, code, hint, stack })
    }
  })
  report(port, { kind: 'ready' })
}

function runWalk({ root, ignoreText, ignoreName, required, directories, counters }: WalkJob, port: MessagePort): void {
  const rules = parseIgnore(ignoreText, { name: ignoreName })
  const take = (): number => Atomics.add(counters, 0, 1)
  const { found, branches } = walkBranches(root, rules, { required, directories, take })
  const { text, ends, modes, sizes, mtimesMs, ctimesMs, inodes, flags } = found.table
  const columns = [text, ends, modes, sizes, mtimesMs, ctimesMs, inodes, flags]
  const memory = columns.map((column) => column.buffer as ArrayBuffer)
  report(port, { kind: 'walked', found, branches }, memory)
}

function runPack(job: PackJob, port: MessagePort): void {
  packParts(job, (number, bytes) => {
    report(port, { kind: 'part', number, bytes }, job.ring ? [] : [bytes.buffer as ArrayBuffer])
  })
  report(port, { kind: 'packed' })
}

function runDigest(job: DigestJob, port: MessagePort): void {
  digestUnits(job, Number.POSITIVE_INFINITY)
  report(port, { kind: 'digested' })
}

function report(port: MessagePort, message: Report, transfer: Transferable[] = []): void {
  port.postMessage(message, transfer)
}

if (parentPort) work(parentPort)
