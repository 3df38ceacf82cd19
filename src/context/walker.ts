import { accessSync, constants, lstatSync, readdirSync, readlinkSync, type Stats, statSync } from 'node:fs'
import {
  type EntryTable,
  EntryTableBuilder,
  hasMoreNames,
  isIgnored,
  isNotAscii,
  needsContents,
  typeOf,
} from './entries.ts'
import { type IgnoreRules, topVerdict, type Verdict } from './ignore.ts'

/**
 * Reads directories and collects what belongs to the context, without returning to the event loop: that is what makes it fast.
 *
 * Paths are strings with one character per byte (`latin1`) in here: so they sort bytewise, and names that are not UTF-8
 * survive.
 */
export class Walker {
  readonly #root: string
  readonly #rules: IgnoreRules
  readonly #required: readonly string[]
  readonly #entries = new EntryTableBuilder()
  readonly #warnings: string[] = []
  readonly #unreadable: string[] = []
  readonly #isRoot = process.getuid?.() === 0
  /** Numbers of files are told apart on one device only. */
  readonly #device: number | undefined
  /** Names looked at, ignored ones too. */
  seen = 0

  constructor(root: string, rules: IgnoreRules, required: readonly string[]) {
    this.#root = root
    this.#rules = rules
    this.#required = required
    this.#device = statSync(root, { throwIfNoEntry: false })?.dev
  }

  get count(): number {
    return this.#entries.count
  }

  found(): Found {
    return { table: this.#entries.table(), warnings: this.#warnings, unreadable: this.#unreadable }
  }

  #names({ prefix, isAscii }: Directory): string[] {
    const path = prefix.slice(0, -1)
    try {
      return readdirSync(this.#absolute(path, isAscii), 'latin1').sort()
    } catch (error) {
      this.#fail(path || '.', error)
      return []
    }
  }

  /** Reads a directory's names; `next` goes on with them. */
  open(directory: Directory): Reading {
    return { directory, names: this.#names(directory), at: 0, waiting: [] }
  }

  /**
   * Adds the entries of a directory, until the contents of a directory in it are next in order: that one is returned.
   * @param until on the clock of `performance.now()`
   */
  next(reading: Reading, until: number): Directory | 'done' | 'paused' {
    const { directory, names, waiting } = reading
    while (reading.at < names.length) {
      const name = names[reading.at] as string
      const path = directory.prefix + name
      // `a-b` sorts before `a/b`: what is in a directory waits until a name comes that sorts behind it.
      const first = waiting.at(-1)
      if (first && first.prefix < path) return waiting.pop() ?? first
      const found = this.#add(path, directory.isAscii && isAscii(name), directory.verdict)
      if (found) waiting.push(found)
      reading.at += 1
      this.seen += 1
      if ((this.seen & 31) === 0 && performance.now() > until) return 'paused'
    }
    return waiting.pop() ?? 'done'
  }

  /** @returns the directory, if it is one that has to be looked into */
  #add(path: string, isAscii: boolean, above: Verdict): Directory | undefined {
    let verdict = topVerdict
    if (!this.#rules.isEmpty) {
      const readable = isAscii ? path : decode(path)
      verdict = this.#rules.judge(readable, above)
      if (verdict.ignored && !this.#rules.mayReturnBelow(readable, verdict) && !this.#leadsToRequired(readable)) {
        return undefined
      }
    }
    const { ignored } = verdict
    const stats = this.#stat(path, isAscii)
    if (stats === undefined) return undefined
    const { mode, mtimeMs, ctimeMs, ino: inode } = stats
    const flags = isAscii ? 0 : isNotAscii
    const type = typeOf(mode)
    if (type === 'directory') {
      this.#entries.add({
        path,
        mode,
        size: 0,
        mtimeMs,
        ctimeMs,
        inode,
        linkTarget: '',
        flags: ignored ? flags | needsContents : flags,
      })
      return { prefix: `${path}/`, isAscii, verdict }
    }
    if (ignored && !this.#required.includes(decode(path))) return undefined
    if (type === undefined) {
      this.#warnings.push(`${decode(path)} is a ${specialName(stats)}: not sent`)
      return undefined
    }
    if (type === 'file' && !this.#isRoot && (mode & 0o444) !== 0o444) this.#assertReadable(path, isAscii)
    this.#entries.add({
      path,
      mode,
      size: type === 'file' ? stats.size : 0,
      mtimeMs,
      ctimeMs,
      inode,
      linkTarget: type === 'symlink' ? this.#linkTarget(path, isAscii) : '',
      flags: ignored ? flags | isIgnored : this.#mayBeLinked(stats) ? flags | hasMoreNames : flags,
    })
    return undefined
  }

  #mayBeLinked({ nlink, dev, ino, mode }: Stats): boolean {
    return nlink > 1 && dev === this.#device && Number.isSafeInteger(ino) && typeOf(mode) === 'file'
  }

  #leadsToRequired(path: string): boolean {
    return this.#required.some((required) => required === path || required.startsWith(`${path}/`))
  }

  #stat(path: string, isAscii: boolean): Stats | undefined {
    try {
      return lstatSync(this.#absolute(path, isAscii))
    } catch (error) {
      // Gone since the directory was read is as good as gone before.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#fail(path, error)
      return undefined
    }
  }

  #linkTarget(path: string, isAscii: boolean): string {
    try {
      return readlinkSync(this.#absolute(path, isAscii), 'latin1')
    } catch (error) {
      this.#fail(path, error)
      return ''
    }
  }

  /** Says now what would else be found out in the middle of the archive. For most files their mode says enough. */
  #assertReadable(path: string, isAscii: boolean): void {
    try {
      accessSync(this.#absolute(path, isAscii), constants.R_OK)
    } catch (error) {
      this.#fail(path, error)
    }
  }

  #absolute(path: string, isAscii: boolean): string | Buffer {
    if (isAscii) return `${this.#root}/${path}`
    return Buffer.concat([Buffer.from(`${this.#root}/`), Buffer.from(path, 'latin1')])
  }

  #fail(path: string, error: unknown): void {
    this.#unreadable.push(`${decode(path)} (${(error as NodeJS.ErrnoException).code ?? error})`)
  }
}

export type Directory = Readonly<{
  /** The path with a `/` at the end, or nothing for the root. */
  prefix: string
  isAscii: boolean
  verdict: Verdict
}>

/** A directory that is being read. */
export type Reading = {
  readonly directory: Directory
  readonly names: readonly string[]
  at: number
  readonly waiting: Directory[]
}

/** `unreadable`: path and reason. */
export type Found = Readonly<{ table: EntryTable; warnings: readonly string[]; unreadable: readonly string[] }>

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
