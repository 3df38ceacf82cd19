import { MypaasError } from '../errors.ts'

/** One thing that is wrong in a Dockerfile: where it stands, what it is, and what would be right. */
export type Problem = Readonly<{ line: number; message: string; hint?: string }>

/** Takes note of one thing that is wrong with a value, and of what would be right. */
export type Report = (message: string, hint?: string) => void

/** The `# mypaas.` lines of a Dockerfile can't be followed. `problems` has all of them, in the order of their lines. */
export class DirectiveError extends MypaasError {
  override readonly name = 'DirectiveError'
  readonly problems: readonly Problem[]

  /** @param options.file What the messages call the file; `Dockerfile` unless given. */
  constructor(problems: readonly Problem[], options: { file?: string | undefined } = {}) {
    const file = options.file ?? 'Dockerfile'
    const inOrder = [...problems].sort((a, b) => a.line - b.line)
    const lines = inOrder.slice(0, maxShown).map((problem) => `${file}:${problem.line}: ${formatProblem(problem)}`)
    if (inOrder.length > maxShown) lines.push(`${file}: and ${inOrder.length - maxShown} more`)
    super(lines.join('\n'), {
      code: 'directives',
      hint: `Nothing was changed. Correct ${inOrder.length === 1 ? 'this line' : 'these lines'} and try again.`,
    })
    this.problems = inOrder
  }
}

/** How many problems the message has; a person corrects one at a time, and the message travels to them. */
const maxShown = 100

/** One line: the message, then the hint, without a full stop that would be copied with what it shows. */
function formatProblem({ message, hint }: Problem): string {
  return hint === undefined ? message : `${message}. ${hint}`
}

/**
 * Text of a stranger, fit for a message: in quotes, on one line, at most 60 characters, with nothing in it that a
 * terminal would obey or that a reader could not see.
 */
export function quote(text: string): string {
  const characters = [...text.slice(0, 240)]
  const cut = characters.length > 60 || text.length > 240
  return `"${characters
    .slice(0, 60)
    .map((character) => (unseen.test(character) ? escapeCharacter(character) : character))
    .join('')}${cut ? '…' : ''}"`
}

/** Control and format characters, lone surrogates, unassigned code points, and blanks other than the plain one. */
export const unseen: RegExp = /[\p{C}\p{Z}]/u

function escapeCharacter(character: string): string {
  return character === ' ' ? ' ' : `\\u{${character.codePointAt(0)?.toString(16)}}`
}
