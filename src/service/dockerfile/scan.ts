import { type Problem, quote } from '../problems.ts'
import { isKnownFrontend } from './frontend.ts'
import { readHereDocuments } from './here-documents.ts'
import { firstOther, isBlank, odd, trimmed, withoutBlanks } from './words.ts'

/** One line of a Dockerfile, or an instruction with its continuation lines joined; `line` is where it starts, from 1. */
export type Line = Readonly<{ line: number; text: string }>

/** `unclear` is what builders may read in more than one way, or a person otherwise than a builder. */
export type Scan = Readonly<{
  comments: readonly Line[]
  instructions: readonly Line[]
  unclear: readonly Problem[]
}>

/**
 * Splits a Dockerfile into what Docker takes for comments and what it takes for instructions. A comment may stand
 * between the lines of a continued instruction; the lines of a here-document are neither, they are file content.
 *
 * A here-document whose end is missing is not one: then its lines count as usual, so that nothing gets lost unseen
 * (Docker refuses such a file when it builds).
 * @see https://docs.docker.com/reference/dockerfile/#format
 * @see https://docs.docker.com/reference/dockerfile/#here-documents
 */
export function scanDockerfile(dockerfile: string): Scan {
  const unclear: Problem[] = []
  if (dockerfile.startsWith('\uFEFF'))
    unclear.push({ line: 1, message: 'The file begins with a byte order mark', hint: 'Save it as UTF-8 without one' })
  const lines = dockerfile
    .replace(/^\uFEFF/, '')
    .split('\n')
    .map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line))
  const comments: Line[] = []
  const instructions: Line[] = []
  const hereDocuments = readHereDocuments(lines)
  const head = new Head(unclear)
  let open: { line: number; text: string } | undefined

  for (let index = 0; index < lines.length; index += 1) {
    const text = lines[index] ?? ''
    const at = index + 1
    const first = firstOther(text)
    const strange = [...text.slice(0, first)].some((blank) => !isBlank(blank))
    if (strange) unclear.push({ line: at, message: 'The line begins with a blank of another kind', hint: plainBlanks })
    if (text[first] === '#') {
      if (!open && instructions.length === 0) head.read(text, at)
      comments.push({ line: at, text })
      continue
    }
    head.end()
    if (first === text.length) continue

    if (!strange) unclear.push(...unclearEnds(text, at, head.escape))
    open ??= { line: at, text: '' }
    const continued = beforeContinuation(text, head.escape)
    open.text += continued ?? text
    if (continued !== undefined) continue

    const instruction = { line: open.line, text: trimmed(open.text) }
    open = undefined
    instructions.push(instruction)
    const found = hereDocuments(instruction, index)
    unclear.push(...found.unclear)
    index = found.end
  }
  if (open) instructions.push({ line: open.line, text: trimmed(open.text) })
  return { comments, instructions, unclear }
}

const plainBlanks = 'Write spaces, tabs and plain ends of lines'

/**
 * The parser directives in the first lines of a Dockerfile: `# escape=`, `# syntax=`, `# check=`. They are followed as the
 * builder does; noted is every line that some builder might take for one, and that has not the plain form.
 * @see https://docs.docker.com/reference/dockerfile/#parser-directives
 */
class Head {
  escape: '\\' | '`' = '\\'
  /** They may only stand above the first line that is none. */
  #isOpen = true
  readonly #seen = new Set<string>()
  readonly #unclear: Problem[]

  constructor(unclear: Problem[]) {
    this.#unclear = unclear
  }

  end(): void {
    this.#isOpen = false
  }

  read(text: string, line: number): void {
    const [, name, rest] = /^\s*#\s*(syntax|escape|check)\s*=(.*)$/is.exec(text) ?? []
    if (name === undefined || rest === undefined) {
      this.end()
      return
    }
    const key = name.toLowerCase()
    const value = rest.trim()
    if (key === 'escape' && this.#isOpen && value === '`') this.escape = '`'
    const problem = this.#problem(text, key, value)
    if (problem) this.#unclear.push({ line, ...problem })
    this.#seen.add(key)
  }

  #problem(text: string, key: string, value: string): Omit<Problem, 'line'> | undefined {
    const isPlain = /^#[ \t]*(syntax|escape|check)[ \t]*=[ \t]*[!-~]+[ \t]*$/.test(text)
    if (key === 'syntax' && !/^(docker\.io\/)?docker\/dockerfile(:[\w.-]+)?$/.test(value))
      return {
        message: `The syntax ${quote(value)} is not Docker's own: a builder of somebody else could read anything`,
        hint: 'Write # syntax=docker/dockerfile:1, or leave the line out',
      }
    if (key === 'syntax' && !isKnownFrontend(value.split(':')[1] ?? 'latest'))
      return {
        message: `The syntax ${quote(value)} is not known here: it has to be 1.2 or newer`,
        hint: 'Write # syntax=docker/dockerfile:1, or leave the line out',
      }
    if (this.#seen.has(key)) return { message: `There is a second # ${key}= line`, hint: 'Leave one of them out' }
    // To older builders `check` is a comment, below which nothing is a directive.
    if (key === 'escape' && (!this.#isOpen || this.#seen.has('check')))
      return {
        message: 'The # escape= line stands below something else, where it has no effect',
        hint: 'Make it the first line, or leave it out',
      }
    if (!isPlain || (key === 'escape' && value !== '`' && value !== '\\'))
      return { message: `The line ${quote(text)} is not plain`, hint: `Write # ${key}=VALUE, or leave the line out` }
    return undefined
  }
}

/** What is unclear at the ends of a line of an instruction. */
function unclearEnds(text: string, line: number, mark: string): Problem[] {
  const plain = withoutBlanks(text)
  const ends = `${plain.slice(0, 2)}${plain.slice(-2)}`
  if (odd.test([...ends][0] ?? '') || odd.test([...ends].at(-1) ?? ''))
    return [{ line, message: 'The line begins or ends with a character that is not seen', hint: plainBlanks }]
  if (plain.endsWith(mark + mark))
    return [
      {
        line,
        message: `The line ends with ${mark}${mark}, which may or may not go on in the next one`,
        hint: `End it with one ${mark}, or with something else`,
      },
    ]
  return []
}

/**
 * The line without the escape character at its end that continues it; `undefined` if it has none there. One that is
 * itself behind an escape character is none, however many there are.
 */
function beforeContinuation(line: string, mark: string): string | undefined {
  let end = line.length
  while (isBlank(line[end - 1])) end -= 1
  return line[end - 1] === mark && line[end - 2] !== mark ? line.slice(0, end - 1) : undefined
}
