import type { ImageCommand } from '../service/dockerfile.ts'
import { changesShells, isPlainShell, withExec } from '../service/shell-command.ts'

/** How an image's command in shell form (`CMD node server.js`) is run. */
export type ShellForm = Readonly<{
  instruction: 'CMD' | 'ENTRYPOINT'
  /** What the shell is to run. */
  text: string
  /** The same with `exec` where that changes nothing else, see {@link withExec}. */
  withExec: string | undefined
  /** What the container is started with then. */
  command: ImageCommand
}>

/**
 * Nothing for a command that no shell runs, and for one that another program gets as its arguments: what that makes of
 * them it alone knows.
 * @param environment `KEY=value`
 */
export function shellForm(image: ImageCommand, environment: readonly string[]): ShellForm | undefined {
  const isEntrypoint = image.entrypoint.length > 0 && !isInitOnly(image.entrypoint)
  const argv = isEntrypoint ? image.entrypoint : image.cmd
  const at = argv.findIndex((_, index) => isPlainShell(argv.slice(0, index)))
  const text = argv[at]
  if (at < 0 || text === undefined) return undefined
  const isOwn = environment.every((variable) => !changesShells(variable.split('=', 1)[0] ?? ''))
  const changed = isOwn ? withExec(text) : undefined
  const run = argv.with(at, changed ?? text)
  return {
    instruction: isEntrypoint ? 'ENTRYPOINT' : 'CMD',
    text,
    withExec: changed,
    command: isEntrypoint ? { entrypoint: run, cmd: image.cmd } : { entrypoint: image.entrypoint, cmd: run },
  }
}

/** `["tini", "--"]`: it runs what comes as it comes. */
function isInitOnly([program = '', ...flags]: readonly string[]): boolean {
  return (
    /^(?:\/[\w./-]*\/)?(?:tini|tini-static|dumb-init|catatonit)$/.test(program) &&
    flags.every((flag) => /^-/.test(flag))
  )
}

/** What the plan says of it. */
export function shellFormNotes(form: ShellForm | undefined): readonly string[] {
  if (!form) return []
  const { instruction, text, withExec } = form
  if (text.trimStart().startsWith('exec ')) return []
  const shown = `${instruction} ${text.length > 60 ? `${text.slice(0, 59)}…` : text}`
  return withExec === undefined
    ? [
        `${shown} runs behind a shell. mypaas asks what the shell waits for to end, and gives it its grace; when Docker itself ends it, at a restart of Docker or of the machine, it is killed without a word. ${instruction} ["program", "argument"] is not, nor is a last command with exec before it.`,
      ]
    : [`${shown} is run with exec before its last program, so that this hears what the shell would.`]
}
