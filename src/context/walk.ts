import { accessSync, constants, lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs'
import { MypaasError } from '../errors.ts'
import { type EntryTable, EntryTableBuilder, isIgnored, isNotAscii, typeOf } from './entries.ts'
import { type IgnoreRules, noMatch } from './ignore.ts'

/**
 * Lists what the context of a directory consists of, sorted by the bytes of the paths. It does not return to the event loop
 * before it is done: that is what makes it fast.
 * @param root an absolute path
 * @returns `undefined` when `options.mayGoOn` said no
 * @throws {MypaasError} `context`, with all that can't be read
 */
export function walk(root: string, rules: IgnoreRules, options: WalkOptions): Walked | undefined {
  return new Walker(root, rules, options).run()
}

export type WalkOptions = {
  /** Paths of files that are sent even if they are ignored. */
  required: readonly string[]
  /** The table goes into memory that workers can read. */
  shared?: boolean
  /** Asked now and then, with the number of names seen so far. */
  mayGoOn?: (seen: number) => boolean
}

export type Walked = Readonly<{ table: EntryTable; warnings: readonly string[] }>

type Directory = Readonly<{
  /** With a `/` at the end, or nothing for the root. */
  prefix: string
  ascii: boolean
  /** The last pattern that matches the directory. */
  last: number
  /** The entry of a directory that is sent only if something below it is. */
  withheld: number | undefined
}>

/**
 * Paths are strings with one character per byte (`latin1`) in here: so they sort bytewise, and names that are not UTF-8
 * survive.
 */
class Walker {
  readonly #root: string
  readonly #rules: IgnoreRules
  readonly #options: WalkOptions
  readonly #entries = new EntryTableBuilder()
  readonly #withheld: number[] = []
  readonly #warnings: string[] = []
  readonly #unreadable: string[] = []
  readonly #isRoot = process.getuid?.() === 0
  #seen = 0

  constructor(root: string, rules: IgnoreRules, options: WalkOptions) {
    this.#root = root
    this.#rules = rules
    this.#options = options
  }

  run(): Walked | undefined {
    if (!this.#walk({ prefix: '', ascii: true, last: noMatch, withheld: undefined })) return undefined
    if (this.#unreadable.length > 0) throw unreadable(this.#unreadable)
    return { table: this.#entries.finish(this.#options.shared ?? false), warnings: this.#warnings }
  }

  #walk(directory: Directory): boolean {
    if (directory.withheld !== undefined) this.#withheld.push(directory.withheld)
    // `a-b` sorts before `a/b`: what is in a directory waits until a name comes that sorts behind it.
    const waiting: Directory[] = []
    const enter = (path?: string): boolean => {
      for (let next = waiting.at(-1); next && (path === undefined || next.prefix < path); next = waiting.at(-1)) {
        waiting.pop()
        if (!this.#walk(next)) return false
      }
      return true
    }
    for (const name of this.#names(directory)) {
      const path = directory.prefix + name
      if (!enter(path)) return false
      if ((++this.#seen & 31) === 0 && this.#options.mayGoOn?.(this.#seen) === false) return false
      const found = this.#visit(path, directory.ascii && isAscii(name), directory)
      if (found) waiting.push(found)
    }
    if (!enter()) return false
    if (directory.withheld !== undefined) this.#withheld.pop()
    return true
  }

  /** Adds the entry; a directory comes back, to be entered in its turn. */
  #visit(path: string, ascii: boolean, parent: Directory): Directory | undefined {
    let last = noMatch
    let ignored = false
    if (!this.#rules.isEmpty) {
      const readable = ascii ? path : decode(path)
      last = this.#rules.lastMatch(readable, parent.last)
      ignored = this.#rules.isIgnoring(last)
      if (ignored && !this.#rules.mayReturnBelow(readable, last) && !this.#leadsToRequired(readable)) return undefined
    }
    const stats = this.#stat(path, ascii)
    if (stats === undefined) return undefined
    const { mode, mtimeMs } = stats
    const flags = (ascii ? 0 : isNotAscii) | (ignored ? isIgnored : 0)
    const type = typeOf(mode)
    if (type === 'directory') {
      const index = this.#entries.add({ path, mode, size: 0, mtimeMs, linkTarget: '', flags: flags & ~isIgnored })
      if (ignored) this.#entries.withhold(index)
      else this.#releaseParents()
      return { prefix: `${path}/`, ascii, last, withheld: ignored ? index : undefined }
    }
    if (ignored && !this.#options.required.includes(decode(path))) return undefined
    if (type === undefined) {
      this.#warnings.push(`${decode(path)} is a ${specialName(stats)}: not sent`)
      return undefined
    }
    this.#releaseParents()
    if (type === 'file') {
      if (!this.#isRoot && (mode & 0o444) !== 0o444) this.#assertReadable(path, ascii)
      this.#entries.add({ path, mode, size: stats.size, mtimeMs, linkTarget: '', flags })
    } else {
      this.#entries.add({ path, mode, size: 0, mtimeMs, linkTarget: this.#linkTarget(path, ascii), flags })
    }
    return undefined
  }

  #leadsToRequired(path: string): boolean {
    return this.#options.required.some((required) => required === path || required.startsWith(`${path}/`))
  }

  #releaseParents(): void {
    for (const index of this.#withheld) this.#entries.release(index)
  }

  #names({ prefix, ascii }: Directory): string[] {
    const path = prefix.slice(0, -1)
    try {
      return readdirSync(this.#absolute(path, ascii), 'latin1').sort()
    } catch (error) {
      this.#fail(path || '.', error)
      return []
    }
  }

  #stat(path: string, ascii: boolean): Stats | undefined {
    try {
      return lstatSync(this.#absolute(path, ascii))
    } catch (error) {
      // Gone since the directory was read is as good as gone before.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#fail(path, error)
      return undefined
    }
  }

  #linkTarget(path: string, ascii: boolean): string {
    try {
      return readlinkSync(this.#absolute(path, ascii), 'latin1')
    } catch (error) {
      this.#fail(path, error)
      return ''
    }
  }

  /** Says now what would else be found out in the middle of the archive. For most files their mode says enough. */
  #assertReadable(path: string, ascii: boolean): void {
    try {
      accessSync(this.#absolute(path, ascii), constants.R_OK)
    } catch (error) {
      this.#fail(path, error)
    }
  }

  #absolute(path: string, ascii: boolean): string | Buffer {
    return ascii ? `${this.#root}/${path}` : Buffer.concat([Buffer.from(`${this.#root}/`), Buffer.from(path, 'latin1')])
  }

  #fail(path: string, error: unknown): void {
    this.#unreadable.push(`${decode(path)} (${(error as NodeJS.ErrnoException).code ?? error})`)
  }
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false
  return true
}

function decode(path: string): string {
  return Buffer.from(path, 'latin1').toString()
}

function specialName(stats: Stats): string {
  if (stats.isSocket()) return 'socket'
  if (stats.isFIFO()) return 'named pipe'
  return stats.isBlockDevice() || stats.isCharacterDevice() ? 'device' : 'special file'
}

function unreadable(paths: readonly string[]): MypaasError {
  const shown = paths.slice(0, 10).join(', ')
  const more = paths.length > 10 ? ` and ${paths.length - 10} more` : ''
  return new MypaasError(`These can't be read: ${shown}${more}.`, {
    code: 'context',
    hint: 'Make them readable, or list them in .dockerignore.',
  })
}
