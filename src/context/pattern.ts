/**
 * Compiles one pattern of an ignore file into something that matches paths, as the Docker command line does.
 *
 * Docker turns each pattern into a Go regular expression, except for three simple forms. What that does to odd patterns
 * (a `*` inside brackets, `[^a]` that also matches `/`) is part of what `docker build` sends, so it is kept: the pattern
 * becomes that expression, the expression becomes tokens, and the tokens become a matcher.
 *
 * @see https://docs.docker.com/build/concepts/context/#dockerignore-files
 * @see https://pkg.go.dev/github.com/moby/patternmatcher
 */
export function compilePattern(text: string): CompiledPattern {
  assertWellFormed(text)
  const { form, expression } = toExpression(text)
  switch (form) {
    case 'exact':
      return { text, form, matches: (path) => path === text }
    case 'prefix': {
      const prefix = text.slice(0, -2)
      return { text, form, matches: (path) => path.startsWith(prefix) }
    }
    case 'suffix': {
      const suffix = text.slice(2)
      const whole = suffix.startsWith('/') ? suffix.slice(1) : undefined
      return { text, form, matches: (path) => path.endsWith(suffix) || path === whole }
    }
    case 'expression': {
      const tokens = tokenize(expression)
      return { text, form, matches: countRepeats(tokens) <= maxRepeats ? byRegExp(tokens) : byStates(tokens) }
    }
  }
}

/** `text`: the cleaned pattern. `matches`: this very path; what lies below a matching directory is for the caller. */
export type CompiledPattern = Readonly<{
  text: string
  form: 'exact' | 'prefix' | 'suffix' | 'expression'
  matches: (path: string) => boolean
}>

/** Thrown for a pattern that Docker refuses too. The message goes into the caller's sentence. */
export class BadPattern extends Error {}

/**
 * Can the pattern match a path below the directory? Never says no where it can; says yes without a closer look when
 * brackets or escapes stand in the way.
 */
export function canMatchBelow(pattern: string, directory: string): boolean {
  const wanted = pattern.split('/')
  const have = directory.split('/')
  for (const [index, name] of have.entries()) {
    const segment = wanted[index]
    if (segment === undefined) return false
    if (segment.includes('**') || /[[\\^]/.test(segment)) return true
    if (!segmentMatches(segment, name)) return false
  }
  return wanted.length > have.length
}

function segmentMatches(segment: string, name: string): boolean {
  if (!/[*?]/.test(segment)) return segment === name
  return byStates(tokenize(toExpression(segment).expression))(name)
}

/** The syntax check that Go's `filepath.Match` does, which Docker runs over each pattern first. */
function assertWellFormed(text: string): void {
  const characters = [...text]
  let at = 0
  const takeFromClass = (): void => {
    const character = characters[at]
    if (character === undefined || character === '-' || character === ']') throw new BadPattern(unclosed)
    at += character === '\\' ? 2 : 1
    if (at >= characters.length) throw new BadPattern(unclosed)
  }
  while (at < characters.length) {
    const character = characters[at]
    if (character === '\\') {
      if (at + 1 >= characters.length) throw new BadPattern('it ends in a \\ that escapes nothing')
      at += 2
    } else if (character === '[') {
      at += characters[at + 1] === '^' ? 2 : 1
      let first = true
      while (first || characters[at] !== ']') {
        takeFromClass()
        if (characters[at] === '-') {
          at += 1
          takeFromClass()
        }
        first = false
      }
      at += 1
    } else {
      at += 1
    }
  }
}

const unclosed = 'its [brackets] are not a list of characters and ranges, like [abc] or [a-z]'

/** The Go expression that Docker makes of a pattern, and whether Docker compares strings instead. */
function toExpression(text: string): { form: CompiledPattern['form']; expression: string } {
  const characters = [...text]
  let form: CompiledPattern['form'] = 'exact'
  let expression = '^'
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] as string
    if (character === '*' && characters[at + 1] === '*') {
      const leads = at === 0
      at += characters[at + 2] === '/' ? 2 : 1
      if (at + 1 < characters.length) {
        expression += '(.*/)?'
        form = 'expression'
      } else if (form === 'exact') {
        form = 'prefix'
      } else {
        expression += '.*'
        form = 'expression'
      }
      if (leads) form = 'suffix'
    } else if (character === '*' || character === '?') {
      expression += character === '*' ? '[^/]*' : '[^/]'
      form = 'expression'
    } else if (character === '\\') {
      at += 1
      expression += `\\${characters[at]}`
      form = 'expression'
    } else if ('.+()$'.includes(character)) {
      expression += `\\${character}`
    } else {
      if (character === '[' || character === ']') form = 'expression'
      expression += character
    }
  }
  return { form, expression: `${expression}$` }
}

/** `start`: only at the path's beginning. `directories`: nothing, or anything that ends in `/`. Ranges are code points. */
type Token =
  | { kind: 'start' }
  | { kind: 'directories' }
  | { kind: 'any' }
  | { kind: 'set'; negated: boolean; ranges: readonly Range[]; repeats: boolean }

type Range = readonly [first: number, last: number]

/** Reads the part of Go's expression syntax that {@link toExpression} can write. */
function tokenize(expression: string): Token[] {
  const characters = [...expression.slice(1, -1)]
  const tokens: Token[] = []
  let at = 0
  while (at < characters.length) {
    const character = characters[at] as string
    if (character === '(') {
      // Two of them in a row match what one does, and a matcher that tries all ways would take ages over ten.
      if (tokens.at(-1)?.kind !== 'directories') tokens.push({ kind: 'directories' })
      at += '(.*/)?'.length
    } else if (character === '.') {
      tokens.push({ kind: 'any' })
      at += '.*'.length
    } else if (character === '^') {
      tokens.push({ kind: 'start' })
      at += 1
    } else if (character === '[') {
      const set = readClass(characters, at)
      const repeats = characters[set.end] === '*'
      tokens.push({ kind: 'set', negated: set.negated, ranges: set.ranges, repeats })
      at = set.end + (repeats ? 1 : 0)
    } else if (character === '|' || /^\{\d+(,\d*)?\}/.test(characters.slice(at, at + 12).join(''))) {
      // Docker does not escape these, so that Go takes them as operators: `a|*` leaves out whatever starts with an a.
      throw new BadPattern(`docker reads its ${character} as an operator; write \\${character} for the character`)
    } else {
      const escaped = character === '\\'
      const ranges = escaped ? escapedRanges(characters[at + 1] as string) : one(character)
      tokens.push({ kind: 'set', negated: false, ranges, repeats: false })
      at += escaped ? 2 : 1
    }
  }
  return tokens
}

function readClass(characters: readonly string[], open: number): { negated: boolean; ranges: Range[]; end: number } {
  const ranges: Range[] = []
  let at = open + 1
  const negated = characters[at] === '^'
  if (negated) at += 1
  let first = true
  while (first || characters[at] !== ']') {
    first = false
    if (characters[at] === undefined) throw new BadPattern(unclosed)
    const named = /^\[:(\^?)(\w+):\]/.exec(characters.slice(at, at + 12).join(''))
    if (named) {
      const known = namedClasses[named[2] as string]
      if (!known) throw new BadPattern(`there is no class ${named[0]}`)
      ranges.push(...(named[1] ? complement(known) : known))
      at += named[0].length
      continue
    }
    const from = readClassCharacter(characters, at)
    at = from.end
    if (from.wide || characters[at] !== '-' || characters[at + 1] === ']') {
      ranges.push(...from.ranges)
      continue
    }
    const to = readClassCharacter(characters, at + 1)
    const [low, high] = [from.ranges[0]?.[0] as number, to.ranges[0]?.[0] as number]
    if (to.wide || high < low) throw new BadPattern('a range in it runs backwards')
    ranges.push([low, high])
    at = to.end
  }
  return { negated, ranges, end: at + 1 }
}

function readClassCharacter(
  characters: readonly string[],
  at: number,
): { ranges: readonly Range[]; wide: boolean; end: number } {
  const character = characters[at]
  if (character === undefined) throw new BadPattern(unclosed)
  if (character !== '\\') return { ranges: one(character), wide: false, end: at + 1 }
  const ranges = escapedRanges(characters[at + 1] as string)
  return { ranges, wide: ranges.some(([first, last]) => first !== last), end: at + 2 }
}

/**
 * What `\x` means to Go's expressions: a punctuation mark means itself, a few letters a class or a control character.
 * The remaining letters mean nothing there, or something that no file name needs: refused rather than guessed.
 */
function escapedRanges(character: string): readonly Range[] {
  const known = escapes[character]
  if (known) return known
  if (character < '\x80' && !/[0-9A-Za-z]/.test(character)) return one(character)
  throw new BadPattern(`\\${character} is no escape; a character that is not special needs none`)
}

function one(character: string): readonly Range[] {
  const code = character.codePointAt(0) as number
  return [[code, code]]
}

function complement(ranges: readonly Range[]): Range[] {
  const result: Range[] = []
  let next = 0
  for (const [first, last] of [...ranges].sort(([a], [b]) => a - b)) {
    if (first > next) result.push([next, first - 1])
    next = last + 1
  }
  if (next <= 0x10ffff) result.push([next, 0x10ffff])
  return result
}

function rangesOf(...pairs: string[]): Range[] {
  return pairs.map((pair) => [pair.charCodeAt(0), pair.charCodeAt(pair.length - 1)])
}

const digits = rangesOf('09')
const spaces = rangesOf('\t\n', '\f\r', ' ')
const wordCharacters = rangesOf('09', 'AZ', '_', 'az')

const escapes: Readonly<Record<string, readonly Range[]>> = {
  d: digits,
  D: complement(digits),
  s: spaces,
  S: complement(spaces),
  w: wordCharacters,
  W: complement(wordCharacters),
  a: rangesOf('\x07'),
  f: rangesOf('\f'),
  n: rangesOf('\n'),
  r: rangesOf('\r'),
  t: rangesOf('\t'),
  v: rangesOf('\v'),
}

const namedClasses: Readonly<Record<string, readonly Range[]>> = {
  alnum: rangesOf('09', 'AZ', 'az'),
  alpha: rangesOf('AZ', 'az'),
  ascii: rangesOf('\0\x7f'),
  blank: rangesOf('\t', ' '),
  cntrl: rangesOf('\0\x1f', '\x7f'),
  digit: digits,
  graph: rangesOf('!~'),
  lower: rangesOf('az'),
  print: rangesOf(' ~'),
  punct: rangesOf('!/', ':@', '[`', '{~'),
  space: rangesOf('\t\r', ' '),
  upper: rangesOf('AZ'),
  word: wordCharacters,
  xdigit: rangesOf('09', 'AF', 'af'),
}

/** Up to here a backtracking matcher is quick on any path; past it, each repeat multiplies the ways to try. */
const maxRepeats = 3

function countRepeats(tokens: readonly Token[]): number {
  return tokens.filter(
    (token) => token.kind === 'directories' || token.kind === 'any' || (token.kind === 'set' && token.repeats),
  ).length
}

function byRegExp(tokens: readonly Token[]): (path: string) => boolean {
  const expression = new RegExp(`^${tokens.map(source).join('')}$`, 'u')
  return (path) => expression.test(path)
}

function source(token: Token): string {
  switch (token.kind) {
    case 'start':
      return '^'
    // Go's `.` stops at a line feed, and only there.
    case 'directories':
      return '(?:[^\\n]*/)?'
    case 'any':
      return '[^\\n]*'
    case 'set': {
      const body = token.ranges.map(
        ([first, last]) => `${escapeCode(first)}${first === last ? '' : `-${escapeCode(last)}`}`,
      )
      return `[${token.negated ? '^' : ''}${body.join('')}]${token.repeats ? '*' : ''}`
    }
  }
}

function escapeCode(code: number): string {
  return `\\u{${code.toString(16)}}`
}

/** Follows all ways through the tokens at once: at most tokens × characters steps, whatever the pattern. */
function byStates(tokens: readonly Token[]): (path: string) => boolean {
  const accept = tokens.length
  return (path) => {
    const characters = [...path]
    let states = new Uint8Array(accept + 1)
    states[0] = 1
    for (let at = 0; at <= characters.length; at++) {
      const code = characters[at]?.codePointAt(0)
      const next = new Uint8Array(accept + 1)
      for (let state = 0; state < accept; state++) {
        if (states[state] === 0) continue
        step(tokens[state] as Token, { at, code, state, here: states, next })
      }
      if (code === undefined) return states[accept] === 1
      states = next
    }
    return false
  }
}

/** A state of 2 is inside of `directories`, where only a `/` leads on. */
function step(
  token: Token,
  now: { at: number; code: number | undefined; state: number; here: Uint8Array; next: Uint8Array },
): void {
  const { at, code, state, here, next } = now
  const follow = (states: Uint8Array): void => {
    states[state + 1] = 1
  }
  switch (token.kind) {
    case 'start':
      if (at === 0) follow(here)
      break
    case 'any':
      follow(here)
      if (code !== undefined && code !== lineFeed) next[state] = 1
      break
    case 'directories':
      if (here[state] === 1) follow(here)
      if (code === slash) follow(next)
      if (code !== undefined && code !== lineFeed && next[state] === 0) next[state] = 2
      break
    case 'set': {
      if (token.repeats) follow(here)
      const inside = code !== undefined && token.ranges.some(([first, last]) => first <= code && code <= last)
      if (code === undefined || inside === token.negated) break
      if (token.repeats) next[state] = 1
      else follow(next)
      break
    }
  }
}

const slash = 0x2f
const lineFeed = 0x0a
