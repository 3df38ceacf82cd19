import { accessSync, constants, lstatSync, readdirSync, readlinkSync, type Stats } from 'node:fs'
import { type EntryTable, EntryTableBuilder, isIgnored, isNotAscii, needsContents, typeOf } from './entries.ts'
import { type IgnoreRules, noMatch } from './ignore.ts'

/**
 * Lists what the context of a directory consists of, without returning to the event loop: that is what makes it fast. It
 * goes through the upper directories first and stops where the limits are reached; what is left is for `walkBranches`.
 * @param root an absolute path
 */
export function walkTop(root: string, rules: IgnoreRules, limits: WalkTopOptions): Top {
  const walker = new Walker(root, rules, limits.required)
  const top: TopDirectory = { ...rootDirectory, parts: [] }
  const open: Directory[] = []
  const queue = [top]
  for (let next = queue.shift(); next; next = queue.shift()) {
    const directory = next
    const names = Date.now() > limits.until ? undefined : walker.names(directory)
    if (names === undefined || walker.seen + names.length > limits.maxNames) {
      directory.parts.push({ branch: open.length })
      open.push({ prefix: directory.prefix, isAscii: directory.isAscii, last: directory.last })
      continue
    }
    let from = walker.count
    walker.visit(directory, names, (found) => {
      const child: TopDirectory = { ...found, parts: [] }
      directory.parts.push({ from, to: walker.count }, child)
      from = walker.count
      queue.push(child)
    })
    directory.parts.push({ from, to: walker.count })
  }
  return { found: walker.found(), parts: top.parts, open }
}

export type WalkTopOptions = Readonly<{
  /** Paths of files that are sent even if they are ignored. */
  required: readonly string[]
  maxNames: number
  /** On the clock of `Date.now()`. */
  until: number
}>

/** What lies in the upper directories, and which directories were not looked into. */
export type Top = Readonly<{ found: Found; parts: readonly TopPart[]; open: readonly Directory[] }>

/** In the order of the archive: entries of the top's own table, all below one of the open directories, or a directory. */
export type TopPart = Readonly<{ from: number; to: number }> | Readonly<{ branch: number }> | TopDirectory
export type TopDirectory = Directory & { readonly parts: TopPart[] }

export type Directory = Readonly<{
  /** The path with a `/` at the end, or nothing for the root. */
  prefix: string
  isAscii: boolean
  /** The last pattern that matches the directory. */
  last: number
}>

/** `unreadable`: path and reason. */
export type Found = Readonly<{ table: EntryTable; warnings: readonly string[]; unreadable: readonly string[] }>

const rootDirectory: Directory = { prefix: '', isAscii: true, last: noMatch }

/**
 * Lists all that is below some of the directories.
 * @param options.take the number of the next directory; past the last one when there is none left
 * @returns with each directory that was taken, the entries that are its own
 */
export function walkBranches(
  root: string,
  rules: IgnoreRules,
  options: { required: readonly string[]; directories: readonly Directory[]; take: () => number },
): { found: Found; branches: Branch[] } {
  const walker = new Walker(root, rules, options.required)
  const branches: Branch[] = []
  const descend = (directory: Directory): void => walker.visit(directory, walker.names(directory), descend)
  for (let number = options.take(); number < options.directories.length; number = options.take()) {
    const from = walker.count
    descend(options.directories[number] as Directory)
    branches.push({ number, from, to: walker.count })
  }
  return { found: walker.found(), branches }
}

export type Branch = Readonly<{ number: number; from: number; to: number }>

/**
 * Paths are strings with one character per byte (`latin1`) in here: so they sort bytewise, and names that are not UTF-8
 * survive.
 */
class Walker {
  readonly #root: string
  readonly #rules: IgnoreRules
  readonly #required: readonly string[]
  readonly #entries = new EntryTableBuilder()
  readonly #warnings: string[] = []
  readonly #unreadable: string[] = []
  readonly #isRoot = process.getuid?.() === 0
  /** Names looked at, ignored ones too. */
  seen = 0

  constructor(root: string, rules: IgnoreRules, required: readonly string[]) {
    this.#root = root
    this.#rules = rules
    this.#required = required
  }

  get count(): number {
    return this.#entries.count
  }

  found(): Found {
    return { table: this.#entries.table(), warnings: this.#warnings, unreadable: this.#unreadable }
  }

  /** Sorted. */
  names({ prefix, isAscii }: Directory): string[] {
    const path = prefix.slice(0, -1)
    try {
      return readdirSync(this.#absolute(path, isAscii), 'latin1').sort()
    } catch (error) {
      this.#fail(path || '.', error)
      return []
    }
  }

  /** Adds the entries of a directory. @param enter called for each directory in it, when its contents are next in order */
  visit(directory: Directory, names: readonly string[], enter: (directory: Directory) => void): void {
    // `a-b` sorts before `a/b`: what is in a directory waits until a name comes that sorts behind it.
    const waiting: Directory[] = []
    for (const name of names) {
      const path = directory.prefix + name
      for (let next = waiting.at(-1); next && next.prefix < path; next = waiting.at(-1)) enter(waiting.pop() ?? next)
      const found = this.#add(path, directory.isAscii && isAscii(name), directory.last)
      if (found) waiting.push(found)
    }
    while (waiting.length > 0) enter(waiting.pop() as Directory)
    this.seen += names.length
  }

  /** @returns the directory, if it is one that has to be looked into */
  #add(path: string, isAscii: boolean, above: number): Directory | undefined {
    let last = noMatch
    let ignored = false
    if (!this.#rules.isEmpty) {
      const readable = isAscii ? path : decode(path)
      last = this.#rules.lastMatch(readable, above)
      ignored = this.#rules.isIgnoring(last)
      if (ignored && !this.#rules.mayReturnBelow(readable, last) && !this.#leadsToRequired(readable)) return undefined
    }
    const stats = this.#stat(path, isAscii)
    if (stats === undefined) return undefined
    const { mode, mtimeMs } = stats
    const flags = isAscii ? 0 : isNotAscii
    const type = typeOf(mode)
    if (type === 'directory') {
      this.#entries.add({
        path,
        mode,
        size: 0,
        mtimeMs,
        linkTarget: '',
        flags: ignored ? flags | needsContents : flags,
      })
      return { prefix: `${path}/`, isAscii, last }
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
      linkTarget: type === 'symlink' ? this.#linkTarget(path, isAscii) : '',
      flags: ignored ? flags | isIgnored : flags,
    })
    return undefined
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
