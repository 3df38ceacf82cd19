import { hash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { type FileHandle, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { MypaasError } from '../errors.ts'
import { openPrivate, privateFolder, readIfThere, writeDurably } from '../files.ts'
import type { Blob } from '../push/manifest.ts'

/** Where a blob's bytes are. */
type Place = Readonly<{ pack: number; offset: number; size: number }>
type Pack = Readonly<{ number: number; data: FileHandle; list: FileHandle; descriptor: number; path: string }>

/**
 * What one service's pushes have brought, by digest: bytes in a pack, appended; a list beside it that says where each
 * blob is. Whatever ends the process, each blob is there whole or not at all: what the list says since the last
 * {@link sync} is checked when the store is opened, and every read checks its digest.
 */
export class BlobStore {
  readonly #folder: string
  readonly #places = new Map<string, Place>()
  readonly #packs = new Map<number, Pack>()
  #newest: Pack | undefined
  #end = 0
  #listEnd = 0
  #bytes = 0
  #work: Promise<unknown> = Promise.resolve()

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async open(folder: string): Promise<BlobStore> {
    await privateFolder(folder)
    const store = new BlobStore(folder)
    const numbers = (await readdir(folder)).flatMap((name) => /^(\d+)\.list$/.exec(name)?.[1] ?? []).map(Number)
    for (const number of numbers.sort((a, b) => a - b)) await store.#load(number)
    return store
  }

  /** Of all packs, garbage included. */
  get bytes(): number {
    return this.#bytes
  }

  has(digest: string): boolean {
    return this.#places.has(digest)
  }

  /**
   * Keeps blobs that stand one after another in `data`; those that are there already are passed over.
   * @returns how many bytes were new
   * @throws {MypaasError} `context` when one is not what its digest says: then none is kept
   */
  async put(blobs: readonly Blob[], data: Buffer): Promise<number> {
    const fresh: { blob: Blob; from: number }[] = []
    let from = 0
    for (const blob of blobs) {
      const bytes = data.subarray(from, from + blob.size)
      if (bytes.length !== blob.size || hash('sha256', bytes, 'hex') !== blob.digest) {
        throw new MypaasError('What was sent is not what its digest says.', { code: 'context', hint: 'Push again.' })
      }
      fresh.push({ blob, from })
      from += blob.size
    }
    return this.#inTurn(async () => {
      const seen = new Set<string>()
      const wanted = fresh.filter(({ blob: { digest } }) => {
        const isNew = !this.has(digest) && !seen.has(digest)
        seen.add(digest)
        return isNew
      })
      if (wanted.length === 0) return 0
      const whole = wanted.length === fresh.length
      const bytes = whole ? data : Buffer.concat(wanted.map(({ blob, from }) => data.subarray(from, from + blob.size)))
      const pack = this.#newest ?? (await this.#begin())
      const start = this.#end
      await writeAll(pack.data, bytes, start)
      const list = Buffer.alloc(wanted.length * recordSize)
      let offset = start
      for (const [row, { blob }] of wanted.entries()) {
        record(list, row, blob.digest, offset, blob.size)
        // From the record: as a piece of the manifest's text it would keep all of that in memory.
        this.#places.set(digestAt(list, row), { pack: pack.number, offset, size: blob.size })
        offset += blob.size
      }
      this.#end = offset
      this.#bytes += bytes.length
      await writeAll(pack.list, list, this.#listEnd)
      this.#listEnd += list.length
      return bytes.length
    })
  }

  /** After this, what was kept outlives a power cut. */
  sync(): Promise<void> {
    return this.#inTurn(async () => {
      const pack = this.#newest
      if (!pack) return
      await pack.data.datasync()
      const mark = Buffer.alloc(recordSize)
      record(mark, 0, syncMark, this.#end, 0)
      await writeAll(pack.list, mark, this.#listEnd)
      this.#listEnd += recordSize
      await pack.list.datasync()
    })
  }

  /** @throws {MypaasError} `failed` when it is missing or damaged; then it counts as missing, and a push brings it again */
  read(digest: string): Buffer {
    const place = this.#places.get(digest)
    const pack = place && this.#packs.get(place.pack)
    if (place && pack) {
      const bytes = readAt(pack.descriptor, place.offset, place.size)
      if (bytes && hash('sha256', bytes, 'hex') === digest) return bytes
      this.#places.delete(digest)
    }
    throw new MypaasError('A part of what was pushed is lost or damaged on the server.', {
      code: 'failed',
      hint: 'Push again: it is sent anew.',
    })
  }

  /** Keeps only these blobs. Reads that are on meanwhile go on. */
  sweep(keep: ReadonlySet<string>): Promise<void> {
    return this.#inTurn(async () => {
      const old = [...this.#packs.values()]
      const kept = [...this.#places].filter(([digest]) => keep.has(digest))
      this.#newest = undefined
      const pack = await this.#begin()
      let offset = 0
      let list = 0
      for (const [digest, place] of kept) {
        const source = this.#packs.get(place.pack)
        const bytes = source && readAt(source.descriptor, place.offset, place.size)
        if (!bytes || hash('sha256', bytes, 'hex') !== digest) {
          this.#places.delete(digest)
          continue
        }
        await writeAll(pack.data, bytes, offset)
        const row = Buffer.alloc(recordSize)
        record(row, 0, digest, offset, place.size)
        await writeAll(pack.list, row, list)
        this.#places.set(digest, { pack: pack.number, offset, size: place.size })
        offset += place.size
        list += recordSize
      }
      for (const digest of this.#places.keys()) if (!keep.has(digest)) this.#places.delete(digest)
      this.#end = offset
      this.#listEnd = list
      await pack.data.datasync()
      await pack.list.datasync()
      for (const { number, path } of old) {
        // The list goes first: a pack without one is nothing.
        await rm(`${path}.list`, { force: true })
        await rm(`${path}.pack`, { force: true })
        await this.#close(number)
      }
      this.#bytes = offset
    })
  }

  /** The indexes of the last manifests that were deployed, newest first: what they name is kept. */
  async recent(): Promise<readonly string[]> {
    try {
      return JSON.parse((await readIfThere(join(this.#folder, 'recent.json'))) ?? '[]') as string[]
    } catch {
      return []
    }
  }

  async remember(index: string): Promise<void> {
    const others = (await this.recent()).filter((other) => other !== index)
    await writeDurably(join(this.#folder, 'recent.json'), JSON.stringify([index, ...others].slice(0, 3)))
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => {
      for (const number of [...this.#packs.keys()]) await this.#close(number)
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#work.then(work, work)
    this.#work = done.catch(() => {})
    return done
  }

  async #begin(): Promise<Pack> {
    const number = Math.max(0, ...this.#packs.keys()) + 1
    const pack = await this.#openPack(number)
    this.#newest = pack
    this.#end = 0
    this.#listEnd = 0
    return pack
  }

  async #openPack(number: number): Promise<Pack> {
    const path = join(this.#folder, String(number))
    const data = await openPrivate(`${path}.pack`, 'a+')
      .then((made) => made.close())
      .then(() => open(`${path}.pack`, 'r+'))
    const list = await openPrivate(`${path}.list`, 'a+')
      .then((made) => made.close())
      .then(() => open(`${path}.list`, 'r+'))
    const pack = { number, data, list, descriptor: openSync(`${path}.pack`, 'r'), path }
    this.#packs.set(number, pack)
    return pack
  }

  async #load(number: number): Promise<void> {
    const pack = await this.#openPack(number)
    const size = (await pack.data.stat()).size
    const records = await pack.list.readFile()
    const count = Math.floor(records.length / recordSize)
    let synced = 0
    for (let row = 0; row < count; row += 1) if (digestAt(records, row) === syncMark) synced = row
    for (let row = 0; row < count; row += 1) {
      const digest = digestAt(records, row)
      const offset = Number(records.readBigUInt64BE(row * recordSize + 32))
      const length = records.readUInt32BE(row * recordSize + 40)
      if (digest === syncMark || offset + length > size) continue
      if (row > synced && hash('sha256', readAt(pack.descriptor, offset, length) ?? '', 'hex') !== digest) continue
      this.#places.set(digest, { pack: number, offset, size: length })
    }
    this.#newest = pack
    this.#end = size
    this.#listEnd = count * recordSize
    this.#bytes += size
  }

  async #close(number: number): Promise<void> {
    const pack = this.#packs.get(number)
    this.#packs.delete(number)
    if (!pack) return
    closeSync(pack.descriptor)
    await pack.data.close()
    await pack.list.close()
  }
}

/** Digest, offset, size. */
const recordSize = 44
const syncMark = '0'.repeat(64)

function record(target: Buffer, row: number, digest: string, offset: number, size: number): void {
  target.write(digest, row * recordSize, 'hex')
  target.writeBigUInt64BE(BigInt(offset), row * recordSize + 32)
  target.writeUInt32BE(size, row * recordSize + 40)
}

function digestAt(records: Buffer, row: number): string {
  return records.toString('hex', row * recordSize, row * recordSize + 32)
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
  }
}

function readAt(descriptor: number, offset: number, size: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(size)
  for (let done = 0; done < size; ) {
    const read = readSync(descriptor, bytes, done, size - done, offset + done)
    if (read === 0) return undefined
    done += read
  }
  return bytes
}
