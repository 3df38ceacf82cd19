import type { CommandDef } from 'citty'
import type { CommandOptions, RunningCommand } from '../../../src/deploy/command.ts'
import type { Host } from '../../../src/deploy/host.ts'
import { MypaasError } from '../../../src/errors.ts'
import { command } from '../../command.ts'
import { interruptible } from '../../interrupt.ts'
import { joinTerminal, onTerminal } from '../../terminal.ts'

const name = { type: 'positional', required: true, description: 'The service' } as const

export const exec: CommandDef = command({
  rest: true,
  args: {
    name,
    replica: { type: 'string', valueHint: 'N', description: 'In which replica (the first that runs)' },
  },
  run: ({ args, rawArgs }) =>
    inside(async (host, options) => {
      const { execInService } = await import('../../../src/deploy/command.ts')
      const replica = args.replica === undefined ? undefined : wholeNumber('replica', args.replica)
      const words = commandWords(rawArgs, `mypaas server exec ${args.name}`)
      return execInService(host, args.name, words, { ...options, replica })
    }),
})

export const run: CommandDef = command({
  rest: true,
  args: { name },
  run: ({ args, rawArgs }) =>
    inside(async (host, options) => {
      const { runInService } = await import('../../../src/deploy/command.ts')
      return runInService(host, args.name, commandWords(rawArgs, `mypaas server run ${args.name}`), options)
    }),
})

/** Whoever ends this ends the command, and the container that was made for it. */
async function inside(begin: (host: Host, options: CommandOptions) => Promise<RunningCommand>): Promise<number> {
  const { openServer } = await import('../../../src/server/host.ts')
  const tty = onTerminal()
  return interruptible(
    async (signal) => {
      await using server = await openServer()
      await using running = await begin(server.host, { tty, signal })
      // Awaited here: leaving the scope closes what it reads from.
      return await joinTerminal(running.stream, tty)
    },
    { quiet: true },
  )
}

/** @throws {MypaasError} `usage` when there are none */
export function commandWords(words: readonly string[], call: string): readonly string[] {
  if (words.length > 0) return words
  throw new MypaasError('The command is missing.', { code: 'usage', hint: `For example: ${call} -- sh` })
}

export function wholeNumber(flag: string, text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new MypaasError(`--${flag} must be a whole number, not ${text}.`, { code: 'usage' })
}
