import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

/** What a file looked like when it was hashed. */
export type Seen = Readonly<{ size: number; mtimeMs: number; ctimeMs: number; inode: number }>

/**
 * The digests of a directory's files from the last time, for those that did not change since. A file counts as unchanged
 * when size, times and inode are what they were, and when it had been at rest for longer than the file system's clock
 * ticks before it was hashed: else it could have been written to once more within the same tick, unseen.
 *
 * One file per directory, columns one after another: 20,000 entries are read in a few milliseconds. A cache that is lost,
 * damaged or stale costs time, never a wrong image: the server checks the digest of every byte that it gets.
 */
export class HashCache {
  readonly #file: string
  readonly #old = new Map<string, number>()
  #columns: Columns = { numbers: new Float64Array(0), digests: Buffer.alloc(0) }
  readonly #fresh: { path: string; seen: Seen; hashedAt: number; digests: Buffer }[] = []
  #hits = 0

  /** @param root the absolute path of the directory */
  constructor(root: string, folder: string = cacheFolder()) {
    this.#file = join(folder, createHash('sha256').update(root).digest('hex').slice(0, 32))
    this.#load()
  }

  /** The digests of the file's chunks, 32 bytes each, if it is the file that was hashed. */
  get(path: string, seen: Seen): Buffer | undefined {
    const at = this.#old.get(path)
    if (at === undefined) return undefined
    const { numbers, digests } = this.#columns
    const [size, mtimeMs, ctimeMs, inode, hashedAt, from, to] = numbers.subarray(at, at + width) as unknown as number[]
    if (size !== seen.size || mtimeMs !== seen.mtimeMs || ctimeMs !== seen.ctimeMs || inode !== seen.inode)
      return undefined
    if (!wasAtRest(seen, hashedAt as number)) return undefined
    const found = digests.subarray(from, to)
    this.#hits += 1
    this.#fresh.push({ path, seen, hashedAt: hashedAt as number, digests: found })
    return found
  }

  /** @param hashedAt when reading it began */
  set(path: string, seen: Seen, hashedAt: number, digests: Buffer): void {
    this.#fresh.push({ path, seen, hashedAt, digests })
  }

  /** Keeps what was asked for and found, and what was hashed anew. A cache that can't be written is none. */
  save(): void {
    if (this.#hits === this.#fresh.length && this.#hits === this.#old.size) return
    const paths = Buffer.from(this.#fresh.map(({ path }) => path).join('\0'), 'latin1')
    const numbers = new Float64Array(width * this.#fresh.length)
    const digests: Buffer[] = []
    let used = 0
    for (const [row, { seen, hashedAt, digests: own }] of this.#fresh.entries()) {
      numbers.set([seen.size, seen.mtimeMs, seen.ctimeMs, seen.inode, hashedAt, used, used + own.length], width * row)
      digests.push(own)
      used += own.length
    }
    const body = Buffer.concat([Buffer.from(numbers.buffer), ...digests, paths])
    const head = Buffer.alloc(headSize)
    head.write(magic, 0, 'latin1')
    head.writeUInt32LE(this.#fresh.length, 8)
    head.writeUInt32LE(used, 12)
    createHash('sha256').update(body).digest().copy(head, 16, 0, 16)
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 })
      const temporary = `${this.#file}.${process.pid}.tmp`
      writeFileSync(temporary, Buffer.concat([head, body]), { mode: 0o600 })
      renameSync(temporary, this.#file)
    } catch {
      // A read-only home: the next push hashes again.
    }
  }

  #load(): void {
    let bytes: Buffer
    try {
      bytes = readFileSync(this.#file)
    } catch {
      return
    }
    if (bytes.length < headSize || bytes.toString('latin1', 0, 8) !== magic) return
    const body = bytes.subarray(headSize)
    if (!createHash('sha256').update(body).digest().subarray(0, 16).equals(bytes.subarray(16, 32))) return
    const count = bytes.readUInt32LE(8)
    const used = bytes.readUInt32LE(12)
    const numbers = new Float64Array(width * count)
    body.copy(Buffer.from(numbers.buffer))
    this.#columns = { numbers, digests: body.subarray(numbers.byteLength, numbers.byteLength + used) }
    if (count === 0) return
    const paths = body.toString('latin1', numbers.byteLength + used).split('\0')
    for (const [row, path] of paths.entries()) this.#old.set(path, width * row)
  }
}

type Columns = Readonly<{ numbers: Float64Array; digests: Buffer }>

const width = 7
const headSize = 32
const magic = 'mphash1\n'

/** Times in whole seconds are those of a file system that knows no finer ones. */
function wasAtRest({ mtimeMs, ctimeMs }: Seen, hashedAt: number): boolean {
  const coarse = mtimeMs % 1000 === 0 && ctimeMs % 1000 === 0
  return Math.max(ctimeMs, coarse ? mtimeMs : 0) < hashedAt - (coarse ? 2_000 : 100)
}

export function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'mypaas', 'hashes')
}
