import { strayMark, withoutMark } from '../encoding.ts'
import { type Line, labelKeys, scanDockerfile } from './dockerfile.ts'
import { type Problem, quote, type Report } from './problems.ts'

/**
 * One `# mypaas.key = value` line. The value is without the blanks and the pair of quotes around it; `quoted` says that
 * there was such a pair.
 */
export type Directive = Readonly<{ key: string; value: string; line: number; quoted: boolean }>

/** `unread` are the keys of lines that are not among the directives but among the problems. */
export type DirectiveReading = Readonly<{
  directives: readonly Directive[]
  problems: readonly Problem[]
  unread: ReadonlySet<string>
}>

/**
 * Reads the `# mypaas.` lines of a Dockerfile, wherever Docker takes them for comments: before, between and after its
 * instructions, also between the lines of one that goes on, but not in a here-document, which is file content.
 *
 * A line is: blanks, `#`, blanks, `mypaas.key`, blanks, `=`, blanks, the value; blanks are spaces and tabs. Anything
 * else behind the `#` turns a line off (`#--- mypaas.url = …`). Which keys there are is not looked at here.
 */
export function readDirectives(dockerfile: string): DirectiveReading {
  const { comments, instructions } = scanDockerfile(dockerfile)
  const problems: Problem[] = []
  const unread = new Set<string>()
  for (const { line, text } of instructions) {
    // Docker takes it for a part of the first word, that of a comment included: `unknown instruction`.
    if (text.startsWith('\uFEFF')) problems.push({ line, message: strayMark, hint: withoutMark('Dockerfile', line) })
  }
  const directives = comments.flatMap((comment) => {
    const read = readComment(comment, (key) => reporter(problems, comment.line, key))
    if (read?.value === undefined) {
      if (read) unread.add(read.key)
      return []
    }
    return [{ key: read.key, value: read.value, line: comment.line, quoted: read.quoted }]
  })
  for (const { line, text } of instructions) {
    const own = labelKeys(text).find((key) => key.startsWith('mypaas.'))
    if (own === undefined) continue
    problems.push({
      line,
      message: `The label ${quote(own)} can't be set: labels that begin with mypaas. say what belongs to mypaas`,
      hint: 'Give it another name. Settings are comments: # mypaas.KEY = VALUE',
    })
  }
  return { directives, problems: problems.sort((a, b) => a.line - b.line), unread }
}

/** Notes problems of one line, each with the name of the directive before it. */
export function reporter(problems: Problem[], line: number, key: string): Report {
  const name = /^[a-z][a-z_]{0,19}$/.test(key) ? `mypaas.${key}` : quote(`mypaas.${key}`)
  return (message, hint) => {
    problems.push({ line, message: `${name}: ${message}`, ...(hint === undefined ? {} : { hint }) })
  }
}

type ReadComment = Readonly<{ key: string; value: string | undefined; quoted: boolean }>

/** Without a value if it can't be read; `undefined` for a comment that is none of ours. */
function readComment({ text }: Line, reportFor: (key: string) => Report): ReadComment | undefined {
  const body = /^[ \t]*#[ \t]*mypaas\.(.*)$/s.exec(text)?.[1]
  if (body === undefined) return readNearly(text, reportFor)

  const at = body.indexOf('=')
  const key = trimEnd(at < 0 ? (/^[^ \t:]*/.exec(body)?.[0] ?? '') : body.slice(0, at))
  const name = `mypaas.${/^[a-z][a-z_]{0,19}$/.test(key) ? key : 'KEY'}`
  const report = reportFor(key)
  const unread = { key, value: undefined, quoted: false }
  const strange = noText.exec(body)?.[0]
  if (strange !== undefined) {
    report(`it has a character that is no text (${quote(strange)})`, 'Write the line anew, in UTF-8')
    return unread
  }
  if (at < 0) {
    report('the line has no = and no value', `Write # ${name} = VALUE, or turn the line off: #--- ${name}`)
    return unread
  }
  const written = trimBlanks(body.slice(at + 1))
  const value = unpair(written, report)
  if (value === undefined) return unread
  if (trimBlanks(value) === '') {
    report('it has no value', `Give it one, or turn the line off: #--- ${name} =`)
    return unread
  }
  return { key, value, quoted: value !== written }
}

/** Lines that are off, but hardly on purpose: with other blanks than space and tab, or with capitals. */
function readNearly(text: string, reportFor: (key: string) => Report): ReadComment | undefined {
  const match = /^([\s\p{Cf}]*#[\s\p{Cf}]*mypaas\.([a-z_]+))[ \t]*=/iu.exec(text)
  const [, start = '', key = ''] = match ?? []
  if (!match) return undefined
  const report = reportFor(key.toLowerCase())
  const shown = quote(trimBlanks(start))
  if (/^[ -~\t]*$/.test(start)) {
    report(`${shown} is not in lower case`, `Write # mypaas.${key.toLowerCase()} = …`)
  } else {
    report(`in ${shown} is something like a blank that is neither space nor tab`, 'Write the line anew')
  }
  return { key: key.toLowerCase(), value: undefined, quoted: false }
}

/** The text between a pair of quotes, else the text itself; `undefined`, and a report, if the pair is not clear. */
export function unpair(text: string, report: Report): string | undefined {
  const mark = text[0]
  if (text.length < 2 || (mark !== '"' && mark !== "'") || text.at(-1) !== mark) return text
  const inner = text.slice(1, -1)
  if (!inner.includes(mark)) return inner
  const other = mark === '"' ? "'" : '"'
  report(
    `it is not clear which ${mark} belong to the value and which are around it`,
    inner.includes(other) ? 'Leave the outer ones out' : `Leave the outer ones out, or use ${other} for them`,
  )
  return undefined
}

/** Control characters except the tab, halves of characters, and what a decoder puts for bytes that are not UTF-8. */
export const noText: RegExp = /(?!\t)[\p{Cc}\p{Cs}\uFFFD]/u

/** Without the spaces and tabs around it. */
function trimBlanks(text: string): string {
  let from = 0
  while (text[from] === ' ' || text[from] === '\t') from += 1
  return trimEnd(text.slice(from))
}

/** Without the spaces and tabs at its end; a loop, because a pattern takes the square of their number. */
function trimEnd(text: string): string {
  let end = text.length
  while (text[end - 1] === ' ' || text[end - 1] === '\t') end -= 1
  return text.slice(0, end)
}
