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
  #paths: readonly string[] = []
  #numbers = new Float64Array(0)
  #digests = ''
  #at = 0
  /** Rows of the last time that still hold, and new ones, in the order in which they were asked for. */
  readonly #rows: (number | Fresh)[] = []
  #isNew = false

  /** @param root the absolute path of the directory */
  constructor(root: string, folder: string = cacheFolder()) {
    this.#file = join(folder, createHash('sha256').update(root).digest('hex').slice(0, 32))
    this.#load()
  }

  /**
   * The digests of the file's chunks, in hex, one after another, if it is the file that was hashed. Paths are asked for in
   * their order, as they are kept; they are bytes, one character each.
   */
  get(path: string, { size, mtimeMs, ctimeMs, inode }: Seen): string | undefined {
    const paths = this.#paths
    while (this.#at < paths.length && (paths[this.#at] as string) < path) this.#at += 1
    if (paths[this.#at] !== path) return undefined
    const row = width * this.#at
    const numbers = this.#numbers
    const isSame =
      numbers[row] === size &&
      numbers[row + 1] === mtimeMs &&
      numbers[row + 2] === ctimeMs &&
      numbers[row + 3] === inode
    if (!isSame || !wasAtRest(mtimeMs, ctimeMs, numbers[row + 4] as number)) return undefined
    this.#rows.push(this.#at)
    return this.#digests.slice(numbers[row + 5], numbers[row + 6])
  }

  /** @param hashedAt when reading it began */
  set(path: string, seen: Seen, hashedAt: number, digests: string): void {
    this.#isNew = true
    this.#rows.push({ path, seen, hashedAt, digests })
  }

  /** Keeps what was asked for and found, and what was hashed anew. A cache that can't be written is none. */
  save(): void {
    if (!this.#isNew && this.#rows.length === this.#paths.length) return
    const numbers = new Float64Array(width * this.#rows.length)
    const digests: string[] = []
    const paths: string[] = []
    let used = 0
    for (const [row, kept] of this.#rows.entries()) {
      const { path, seen, hashedAt, digests: own } = typeof kept === 'number' ? this.#old(kept) : kept
      numbers.set([seen.size, seen.mtimeMs, seen.ctimeMs, seen.inode, hashedAt, used, used + own.length], width * row)
      digests.push(own)
      paths.push(path)
      used += own.length
    }
    const text = Buffer.from(digests.join('') + paths.join('\0'), 'latin1')
    const body = Buffer.concat([Buffer.from(numbers.buffer), text])
    const head = Buffer.alloc(headSize)
    head.write(magic, 0, 'latin1')
    head.writeUInt32LE(this.#rows.length, 8)
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

  #old(at: number): Fresh {
    const [size = 0, mtimeMs = 0, ctimeMs = 0, inode = 0, hashedAt = 0, from, to] = this.#numbers.subarray(width * at)
    const seen = { size, mtimeMs, ctimeMs, inode }
    return { path: this.#paths[at] as string, seen, hashedAt, digests: this.#digests.slice(from, to) }
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
    if (count === 0) return
    this.#numbers = new Float64Array(width * count)
    body.copy(Buffer.from(this.#numbers.buffer))
    const start = this.#numbers.byteLength
    this.#digests = body.toString('latin1', start, start + used)
    this.#paths = body.toString('latin1', start + used).split('\0')
  }
}

type Fresh = Readonly<{ path: string; seen: Seen; hashedAt: number; digests: string }>

const width = 7
const headSize = 32
const magic = 'mphash2\n'

/** Times in whole seconds are those of a file system that knows no finer ones. */
function wasAtRest(mtimeMs: number, ctimeMs: number, hashedAt: number): boolean {
  const coarse = mtimeMs % 1000 === 0 && ctimeMs % 1000 === 0
  return Math.max(ctimeMs, coarse ? mtimeMs : 0) < hashedAt - (coarse ? 2_000 : 100)
}

export function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'mypaas', 'hashes')
}
