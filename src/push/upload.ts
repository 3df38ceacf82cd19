import { setTimeout as sleep } from 'node:timers/promises'
import { MypaasError } from '../errors.ts'
import type { PushEmit } from './events.ts'
import type { Blob } from './manifest.ts'
import { parseMissing } from './missing.ts'
import { encodeFrame, groupBlobs } from './packs.ts'

/** What an upload needs of the server; `client.ts` has it. */
export type UploadSide = Readonly<{
  /** Sends a body of frames. @returns which blobs are missing now */
  send: (body: AsyncIterable<Uint8Array>) => Promise<string>
  /** Asks which blobs are missing, after the line broke. */
  ask: () => Promise<string>
}>

export type UploadOptions = Readonly<{
  blobs: readonly Blob[]
  /** Of the blobs that the server lacks, as it said. */
  missing: string
  read: (blob: number) => Buffer
  link: Link
  emit: PushEmit
  signal?: AbortSignal | undefined
  /** How long to try when nothing comes through. */
  patienceMs: number
}>

/**
 * Sends what the server lacks, and goes on where the line broke: what has arrived whole is not sent again.
 * @throws {MypaasError} `unreachable` when nothing came through for `patienceMs`; what `read` throws
 */
export async function upload(side: UploadSide, options: UploadOptions): Promise<void> {
  const { blobs, link, emit, signal } = options
  let missing = parseMissing(options.missing, blobs.length)
  const bytesOf = (list: readonly number[]): number => list.reduce((sum, index) => sum + (blobs[index] as Blob).size, 0)
  const total = bytesOf(missing)
  const begin = performance.now()
  const wireBefore = link.wireBytes
  let lastGain = performance.now()
  let tries = 0
  while (missing.length > 0) {
    const before = missing.length
    try {
      const done = total - bytesOf(missing)
      const body = frames(missing, options, (sent) => {
        emit({
          type: 'sent-part',
          bytes: done + sent,
          totalBytes: total,
          wireBytes: link.wireBytes - wireBefore,
          ms: Math.round(performance.now() - begin),
        })
      })
      missing = parseMissing(await side.send(body), blobs.length)
    } catch (error) {
      if (!(error instanceof MypaasError) || error.code !== 'unreachable') throw error
      if (tries === 0) emit({ type: 'line-broke', message: error.message })
      missing = await askAgain(side, { blobs, signal, until: lastGain + options.patienceMs, tries })
    }
    tries = missing.length < before ? 0 : tries + 1
    if (missing.length < before) lastGain = performance.now()
    else if (tries > 20) throw new MypaasError('The server keeps nothing of what is sent.', { code: 'failed' })
  }
  emit({
    type: 'sent',
    bytes: total,
    wireBytes: link.wireBytes - wireBefore,
    ms: Math.round(performance.now() - begin),
  })
}

async function askAgain(
  side: UploadSide,
  options: { blobs: readonly Blob[]; signal: AbortSignal | undefined; until: number; tries: number },
): Promise<number[]> {
  for (let pause = 100 * 2 ** Math.min(options.tries, 5); ; pause = Math.min(2 * pause, 5_000)) {
    await sleep(pause, undefined, { signal: options.signal })
    try {
      return parseMissing(await side.ask(), options.blobs.length)
    } catch (error) {
      const broken = error instanceof MypaasError && error.code === 'unreachable'
      if (!broken || performance.now() > options.until) throw error
    }
  }
}

async function* frames(
  missing: readonly number[],
  { blobs, read, link, signal }: UploadOptions,
  onSent: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void> {
  let sent = 0
  for (const indexes of groupBlobs(missing, blobs)) {
    signal?.throwIfAborted()
    const parts = indexes.map((index) => read(index))
    const data = joined(parts)
    const squeeze = link.isWorthSqueezing(data.length)
    const begin = performance.now()
    const frame = await encodeFrame({ indexes, data }, squeeze)
    const bytes = frame.reduce((sum, part) => sum + part.length, 0)
    if (squeeze) link.squeezed(data.length, bytes, performance.now() - begin)
    const handed = performance.now()
    yield* frame
    // The next one is asked for when the line has taken this one.
    link.sent(bytes, performance.now() - handed)
    sent += data.length
    onSent(sent)
  }
}

/** In one piece: without a copy where they stand one after another in memory. */
function joined(parts: readonly Buffer[]): Buffer {
  const [first] = parts
  if (!first) return Buffer.alloc(0)
  let end = first.byteOffset
  for (const part of parts) {
    if (part.buffer !== first.buffer || part.byteOffset !== end) return Buffer.concat(parts)
    end += part.length
  }
  return Buffer.from(first.buffer, first.byteOffset, end - first.byteOffset)
}

/**
 * What is known of the line: whether it takes longer to compress than to send. On a fast line bytes go as they are; on
 * a slow one compressing pays off, unless the files are compressed already.
 */
export class Link {
  wireBytes = 0
  /** Bytes per millisecond. */
  #rate: number
  #squeezeRate = 300_000
  #ratio = 0.3
  #sinceTried = 0

  /** @param isLocal nothing is gained by compressing what stays on the machine */
  constructor(isLocal: boolean) {
    this.#rate = isLocal ? 1_000_000 : 10_000
  }

  isWorthSqueezing(bytes: number): boolean {
    if (bytes < 1024) return false
    this.#sinceTried += 1
    if (this.#ratio > 0.95 && this.#sinceTried < 16) return false
    const gain = (bytes * (1 - this.#ratio)) / this.#rate
    return gain > bytes / this.#squeezeRate
  }

  squeezed(from: number, to: number, ms: number): void {
    this.#sinceTried = 0
    this.#ratio = mix(this.#ratio, to / from)
    this.#squeezeRate = mix(this.#squeezeRate, from / Math.max(ms, 0.05))
  }

  sent(bytes: number, ms: number): void {
    this.wireBytes += bytes
    if (bytes > 32 * 1024) this.#rate = mix(this.#rate, bytes / Math.max(ms, 0.05))
  }
}

function mix(before: number, now: number): number {
  return before * 0.7 + now * 0.3
}
