/**
 * The command with `exec` before its last program, so that this takes the shell's place and hears every signal; nothing for
 * one that is not simple, which is left as it is.
 *
 * Simple is, on one line:
 * ```
 * command    = step { ("&&" | ";") step } last
 * last       = { NAME=word } program { word | ">&2" | "1>&2" | "2>&1" }
 * step       = last | ("cd" | "export" | "umask" | "ulimit" | "echo" | "true" | ":") { word }
 * program    = letters, digits and _ . / + -, beginning with one of the first three or a slash, and no word of a shell's own
 * word       = { A-Z a-z 0-9 _ . / : @ % + , = - | '…' | "…" | expansion }
 * expansion  = $NAME | ${NAME} | ${NAME:-plain} | ${NAME-plain}
 * ```
 * with spaces and tabs between. Everything of that is done by a shell before the program starts, with `exec` as without; and
 * nothing is left for it to do when the program ends.
 */
export function withExec(command: string): string | undefined {
  const steps: Step[] = []
  let at = 0
  for (;;) {
    const step = readStep(command, at)
    if (!step) return undefined
    steps.push(step)
    if (step.end === command.length) break
    const [joint] = /^(?:&&|;)/.exec(command.slice(step.end)) ?? []
    if (joint === undefined) return undefined
    at = step.end + joint.length
  }
  const last = steps.pop()
  if (last?.program === undefined || !steps.every(({ program, isQuiet }) => program !== undefined || isQuiet))
    return undefined
  return `${command.slice(0, last.programAt)}exec ${command.slice(last.programAt)}`
}

/** Whether a shell started so runs the command as any other would: no flags but those that end it at a failure. */
export function isPlainShell(words: readonly string[]): boolean {
  const [program = '', ...flags] = words
  return (
    /^(?:\/[\w./-]*\/)?(?:sh|dash|ash|bash)$/.test(program) &&
    /^(?:-[eu]+ |-[eu]*o pipefail )*-[eu]*c$/.test(flags.join(' '))
  )
}

/** Variables by which a shell gets functions or options from outside. */
export function changesShells(variable: string): boolean {
  return /^(?:BASH_ENV|ENV|SHELLOPTS|BASHOPTS|POSIXLY_CORRECT|BASH_FUNC_.*)$/.test(variable)
}

type Step = Readonly<{
  /** Where it ends, blanks behind it included. */
  end: number
  programAt: number
  /** What takes the shell's place; nothing where that is for the shell itself to do. */
  program: string | undefined
  /** Of what the shell does itself: it changes nothing but where and with which variables the next one runs. */
  isQuiet: boolean
}>

const expansion = String.raw`\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*(?::?-[\w./:@%+,=-]*)?\})`
const plain = String.raw`[\w./:@%+,=-]`
const word = String.raw`(?:${plain}|'[^'\n\0]*'|"(?:[^"\\$${'`'}\n\0]|${expansion})*"|${expansion})+`
const stepPattern = new RegExp(
  String.raw`^(?<blanks>[ \t]*)(?<before>(?:(?!(?:PATH|IFS)=)[A-Za-z_]\w*=(?:${word})?[ \t]+)*)(?<program>[\w./][\w./+-]*)(?:[ \t]+(?:[12]?>&[12]|${word})(?=[ \t;&]|$))*[ \t]*`,
)

function readStep(command: string, at: number): Step | undefined {
  const text = command.slice(at)
  const found = stepPattern.exec(text)
  const { blanks = '', before = '', program = '' } = found?.groups ?? {}
  const rest = found ? text[found[0].length] : undefined
  if (!found || (rest !== undefined && rest !== ';' && rest !== '&')) return undefined
  const isProgram = !ownWords.has(program)
  return {
    end: at + found[0].length,
    programAt: at + blanks.length + before.length,
    program: isProgram ? program : undefined,
    isQuiet: before === '' && quiet.has(program),
  }
}

const quiet = new Set(['cd', 'export', 'umask', 'ulimit', 'echo', 'true', ':'])

/** What dash, bash, busybox's ash, ksh or zsh have built in or reserved. */
const ownWords = new Set(
  (
    '! . : [ [[ ]] { } alias autoload bg bind break builtin bye caller case cd chdir command compgen complete compopt ' +
    'continue coproc declare dirs disable disown do done echo elif else emulate enable end esac eval exec exit export ' +
    'false fc fg fi float for foreach function getopts hash help history if in integer jobs kill let limit local logout ' +
    'mapfile nameref nocorrect noglob popd print printf pushd pwd r read readarray readonly rehash repeat return sched ' +
    'select set setopt shift shopt source stop suspend test then time times trap true type typeset ulimit umask unalias ' +
    'unfunction unhash unlimit unset unsetopt until wait whence where which while zmodload'
  ).split(' '),
)
