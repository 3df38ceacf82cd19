import { MypaasError } from '../errors.ts'
import { BadPattern, type CompiledPattern, canMatchBelow, compilePattern } from './pattern.ts'

/**
 * Reads the text of a `.dockerignore` file: one pattern a line, `#` in the first column starts a comment, `!` makes an
 * exception. The last pattern that matches a path, or a directory above it, decides.
 * @param options.name What errors call the file; default `.dockerignore`.
 * @throws {MypaasError} `context`, with every line that is no pattern
 * @see https://docs.docker.com/build/concepts/context/#dockerignore-files
 */
export function parseIgnore(text: string, options: { name?: string } = {}): IgnoreRules {
  const name = options.name ?? '.dockerignore'
  const patterns: IgnorePattern[] = []
  const problems: string[] = []
  for (const { line, pattern } of readPatterns(text)) {
    try {
      const exception = pattern.startsWith('!')
      if (pattern === '!') throw new BadPattern('nothing stands behind the !')
      patterns.push({ exception, compiled: compilePattern(exception ? pattern.slice(1) : pattern) })
    } catch (error) {
      if (!(error instanceof BadPattern)) throw error
      problems.push(`${name} line ${line}: bad pattern ${JSON.stringify(pattern)}: ${error.message}`)
    }
  }
  if (problems.length > 0) {
    const hint = 'A \\ before a special character (\\[) makes it an ordinary one.'
    throw new MypaasError(problems.join('\n'), { code: 'context', hint })
  }
  return new IgnoreRules(patterns)
}

type IgnorePattern = Readonly<{ exception: boolean; compiled: CompiledPattern }>

/** Which paths a build context leaves out. Paths are relative, `/` between their parts. */
export class IgnoreRules {
  readonly #patterns: readonly IgnorePattern[]
  readonly #index: Index
  readonly #directories = new Map<string, number>()

  constructor(patterns: readonly IgnorePattern[]) {
    this.#patterns = patterns
    this.#index = buildIndex(patterns.map((pattern) => pattern.compiled))
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0
  }

  /** Is the path left out, by a pattern that matches it or a directory above it? */
  ignores(path: string): boolean {
    return this.isIgnoring(this.lastMatch(path, this.#lastMatchAbove(path)))
  }

  /** Is the directory left out, and no exception could bring back anything below it? */
  canSkipDirectory(path: string): boolean {
    const last = this.lastMatch(path, this.#lastMatchAbove(path))
    return this.isIgnoring(last) && !this.mayReturnBelow(path, last)
  }

  /** For a walker: the number of the last pattern that matches, given the one of the directory above (`noMatch` at the top). */
  lastMatch(path: string, above: number): number {
    return path.includes('\n') ? this.#slowLastMatch(path, above) : lookUp(this.#index, path, above)
  }

  /** Does the pattern of this number, as the last match, leave the path out? */
  isIgnoring(last: number): boolean {
    return last !== noMatch && this.#patterns[last]?.exception === false
  }

  /** Could a later exception than the directory's last match bring back something below the directory? */
  mayReturnBelow(directory: string, last: number): boolean {
    return this.#patterns.some(
      ({ exception, compiled }, index) => index > last && exception && canMatchBelow(compiled.text, directory),
    )
  }

  #lastMatchAbove(path: string): number {
    const end = path.lastIndexOf('/')
    if (end <= 0) return noMatch
    const directory = path.slice(0, end)
    const known = this.#directories.get(directory)
    if (known !== undefined) return known
    const last = this.lastMatch(directory, this.#lastMatchAbove(directory))
    if (this.#directories.size >= maxDirectories) this.#directories.clear()
    this.#directories.set(directory, last)
    return last
  }

  #slowLastMatch(path: string, above: number): number {
    for (let index = this.#patterns.length - 1; index > above; index--) {
      if (this.#patterns[index]?.compiled.matches(path)) return index
    }
    return above
  }
}

export const noMatch = -1

/** Enough for every directory that a walk has open at once; a bound on what many random paths can take. */
const maxDirectories = 4096

/** The lines as Docker reads them: byte order mark off, blanks off, `/` at either end off, `a/./b/../c` cleaned. */
function* readPatterns(text: string): Iterable<{ line: number; pattern: string }> {
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    if (raw.startsWith('#')) continue
    const trimmed = trim(raw)
    if (trimmed === '') continue
    const exception = trimmed.startsWith('!')
    let pattern = exception ? trim(trimmed.slice(1)) : trimmed
    if (pattern !== '') {
      pattern = clean(pattern)
      if (pattern.length > 1 && pattern.startsWith('/')) pattern = pattern.slice(1)
    }
    // Docker cleans a second time with the ! in front: `!/` becomes a lone `!`, which is an error.
    pattern = trim(exception ? `!${pattern}` : pattern)
    if (pattern !== '') yield { line: index + 1, pattern: clean(pattern) }
  }
}

/** Blanks as Go sees them: with U+0085, without the byte order mark. */
function trim(text: string): string {
  return text.replace(leadingBlanks, '').replace(trailingBlanks, '')
}

const leadingBlanks = /^[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/
const trailingBlanks = /[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/

/** Go's `path.Clean`: the shortest path that names the same. */
function clean(path: string): string {
  const rooted = path.startsWith('/')
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.length > 0 && parts.at(-1) !== '..') parts.pop()
    else if (!rooted) parts.push('..')
  }
  const joined = parts.join('/')
  return rooted ? `/${joined}` : joined || '.'
}

/**
 * Patterns by what finds them: most are plain names, so that one look into a map stands for all of them. Each map gives the
 * highest pattern number, each list has the last pattern first. Right for every path without a line feed (Go's `.` stops there).
 */
type Index = Readonly<{
  paths: ReadonlyMap<string, number>
  names: ReadonlyMap<string, number>
  extensions: ReadonlyMap<string, number>
  /** Globs like `*.md`, which match only at the top. */
  top: readonly Numbered[]
  others: readonly Numbered[]
}>

type Numbered = Readonly<{ number: number; matches: (path: string) => boolean }>

function buildIndex(patterns: readonly CompiledPattern[]): Index {
  const paths = new Map<string, number>()
  const names = new Map<string, number>()
  const extensions = new Map<string, number>()
  const top: Numbered[] = []
  const others: Numbered[] = []
  for (const [number, { text, form, matches }] of patterns.entries()) {
    const anywhere = /^\*\*\/(\*(?=\.))?([^*?[\]\\^/]+)$/.exec(text)
    const [, star, rest = ''] = anywhere ?? []
    if (form === 'exact') paths.set(text, number)
    else if (anywhere && !star) names.set(rest, number)
    else if (anywhere && rest.lastIndexOf('.') === 0) extensions.set(rest, number)
    else if (/[/[\\]|\*\*/.test(text)) others.unshift({ number, matches })
    else top.unshift({ number, matches })
  }
  return { paths, names, extensions, top, others }
}

function lookUp(index: Index, path: string, above: number): number {
  let last = Math.max(above, index.paths.get(path) ?? noMatch)
  const slash = path.lastIndexOf('/')
  const name = slash < 0 ? path : path.slice(slash + 1)
  if (index.names.size > 0) last = Math.max(last, index.names.get(name) ?? noMatch)
  const dot = index.extensions.size > 0 ? name.lastIndexOf('.') : -1
  if (dot >= 0) last = Math.max(last, index.extensions.get(name.slice(dot)) ?? noMatch)
  if (slash < 0) last = lastOf(index.top, path, last)
  return lastOf(index.others, path, last)
}

function lastOf(patterns: readonly Numbered[], path: string, floor: number): number {
  for (const { number, matches } of patterns) {
    if (number <= floor) return floor
    if (matches(path)) return number
  }
  return floor
}
