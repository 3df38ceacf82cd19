import { strayMark, withoutMark } from '../encoding.ts'
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
      if (line > 1 && pattern.startsWith('\uFEFF')) throw new BadPattern(`${strayMark}. ${withoutMark(name, line)}`)
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

/** What the rules say of one path, with what they need to know of it for what lies below: which runs have matched. */
export type Verdict = Readonly<{ ignored: boolean; hits: readonly boolean[] }>

/** Which paths a build context leaves out. Paths are relative, `/` between their parts. */
export class IgnoreRules {
  readonly #runs: readonly Run[]
  /** Verdicts on the first so many runs, each with what the next run makes of it: equal verdicts are one object. */
  readonly #verdicts: Branch = { verdict: topVerdict }
  readonly #directories = new Map<string, Verdict>()

  constructor(patterns: readonly IgnorePattern[]) {
    this.#runs = runsOf(patterns)
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0
  }

  /** Is the path left out, by a pattern that matches it or a directory above it? */
  ignores(path: string): boolean {
    return this.judge(path, this.#above(path)).ignored
  }

  /** Is the directory left out, and no exception could bring back anything below it? */
  canSkipDirectory(path: string): boolean {
    const verdict = this.judge(path, this.#above(path))
    return verdict.ignored && !this.mayReturnBelow(path, verdict)
  }

  /**
   * For a walker: the verdict on a path, given that on the directory above it (`topVerdict` for what lies at the top).
   *
   * A pattern that would change nothing at its place in the file is not asked, and so does not hold for what lies below:
   * with `*.env` and then `!config`, `config/a.env` comes back only if `config` itself had been left out. Of patterns in a
   * row that all leave out, or all bring back, it makes no difference which one matches.
   * @see https://pkg.go.dev/github.com/moby/patternmatcher#PatternMatcher.MatchesUsingParentResults
   */
  judge(path: string, above: Verdict): Verdict {
    const parts = path.includes('\n') ? undefined : partsOf(path)
    let branch = this.#verdicts
    for (let number = 0; number < this.#runs.length; number++) {
      const run = this.#runs[number] as Run
      const hit =
        above.hits[number] === true ||
        (run.exception === branch.verdict.ignored && (parts ? run.finds(parts) : run.tries(path)))
      const { ignored, hits } = branch.verdict
      if (hit) branch = branch.hit ??= { verdict: { ignored: !run.exception, hits: [...hits, true] } }
      else branch = branch.miss ??= { verdict: { ignored, hits: [...hits, false] } }
    }
    return branch.verdict
  }

  /** Could an exception bring back something below a directory that is left out? */
  mayReturnBelow(directory: string, { hits }: Verdict): boolean {
    // The last run that has matched leaves out, for all that lies below; only those behind it can change that.
    return this.#runs
      .slice(hits.lastIndexOf(true) + 1)
      .some(({ exception, texts }) => exception && texts.some((text) => canMatchBelow(text, directory)))
  }

  #above(path: string): Verdict {
    const end = path.lastIndexOf('/')
    if (end <= 0) return topVerdict
    const directory = path.slice(0, end)
    const known = this.#directories.get(directory)
    if (known !== undefined) return known
    const verdict = this.judge(directory, this.#above(directory))
    if (this.#directories.size >= maxDirectories) this.#directories.clear()
    this.#directories.set(directory, verdict)
    return verdict
  }
}

type Branch = { readonly verdict: Verdict; hit?: Branch; miss?: Branch }

/** On the context itself. */
export const topVerdict: Verdict = { ignored: false, hits: [] }

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

/** Patterns in a row that all leave out, or all bring back. */
type Run = Readonly<{
  exception: boolean
  texts: readonly string[]
  /** Does one of them match this very path, which has no line feed? */
  finds: (path: Parts) => boolean
  /** The same, of any path. */
  tries: (path: string) => boolean
}>

/** `extension` begins with its dot; what there is none of is empty. */
type Parts = Readonly<{ path: string; isAtTop: boolean; name: string; extension: string }>

function partsOf(path: string): Parts {
  const slash = path.lastIndexOf('/')
  const name = slash < 0 ? path : path.slice(slash + 1)
  const dot = name.lastIndexOf('.')
  return { path, isAtTop: slash < 0, name, extension: dot < 0 ? '' : name.slice(dot) }
}

function runsOf(patterns: readonly IgnorePattern[]): Run[] {
  const runs: { exception: boolean; compiled: CompiledPattern[] }[] = []
  for (const { exception, compiled } of patterns) {
    const run = runs.at(-1)
    if (run?.exception === exception) run.compiled.push(compiled)
    else runs.push({ exception, compiled: [compiled] })
  }
  return runs.map(({ exception, compiled }) => ({
    exception,
    texts: compiled.map(({ text }) => text),
    finds: finder(compiled),
    tries: (path) => compiled.some(({ matches }) => matches(path)),
  }))
}

/**
 * Most patterns are plain names, so that one look into a set stands for all of them. Right for every path without a line
 * feed (Go's `.` stops there).
 */
function finder(patterns: readonly CompiledPattern[]): Run['finds'] {
  const paths = new Set<string>()
  const names = new Set<string>()
  const extensions = new Set<string>()
  const top: CompiledPattern['matches'][] = [] // globs like `*.md`, which match only at the top
  const others: CompiledPattern['matches'][] = []
  for (const { text, form, matches } of patterns) {
    const anywhere = /^\*\*\/(\*(?=\.))?([^*?[\]\\^/]+)$/.exec(text)
    const [, star, rest = ''] = anywhere ?? []
    if (form === 'exact') paths.add(text)
    else if (anywhere && !star) names.add(rest)
    else if (anywhere && rest.lastIndexOf('.') === 0) extensions.add(rest)
    else if (/[/[\\]|\*\*/.test(text)) others.push(matches)
    else top.push(matches)
  }
  return ({ path, isAtTop, name, extension }) => {
    if (paths.has(path) || names.has(name) || extensions.has(extension)) return true
    if (isAtTop) for (const matches of top) if (matches(path)) return true
    for (const matches of others) if (matches(path)) return true
    return false
  }
}
