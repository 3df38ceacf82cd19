import type { CommandDef } from 'citty'
import { command } from '../command.ts'
import { interruptible } from '../interrupt.ts'
import { releaseNumber } from '../operate.ts'
import { remoteArgs, server, withRemote } from '../remote.ts'
import { joinTerminal, onTerminal } from '../terminal.ts'
import { commandWords, wholeNumber } from './server/inside.ts'
import { logsArgs, showLines } from './server/logs.ts'

const name = { type: 'positional', required: true, description: 'The service' } as const

export const logs: CommandDef = command({
  args: { server, name, ...logsArgs, ...remoteArgs },
  async run({ args }) {
    const { remoteLogs } = await import('../../src/push/logs.ts')
    const release = releaseNumber(args.release)
    const asked = {
      ...(args.follow ? { follow: 'yes' } : {}),
      ...(args.since === undefined ? {} : { since: args.since }),
      ...(args.tail === undefined ? {} : { tail: String(wholeNumber('tail', args.tail)) }),
      ...(args.replica === undefined ? {} : { replica: String(wholeNumber('replica', args.replica)) }),
      ...(release === undefined ? {} : { release: String(release) }),
    }
    await interruptible(
      (signal) =>
        withRemote(args, signal, (remote) => showLines(remoteLogs(remote, args.name, asked, signal), args, signal)),
      { quiet: true },
    )
  },
})

export const exec: CommandDef = command({
  rest: true,
  args: {
    server,
    name,
    replica: { type: 'string', valueHint: 'N', description: 'In which replica (the first that runs)' },
    ...remoteArgs,
  },
  run: ({ args, rawArgs }) => inside('exec', args, rawArgs),
})

export const run: CommandDef = command({
  rest: true,
  args: { server, name, ...remoteArgs },
  run: ({ args, rawArgs }) => inside('run', args, rawArgs),
})

type Args = { server: string; name: string; key?: string | undefined; replica?: string | undefined }

/** Whoever ends this ends the command over there. On a terminal Ctrl-C is for the command. */
async function inside(action: 'exec' | 'run', args: Args, rawArgs: readonly string[]): Promise<number> {
  const words = commandWords(rawArgs, `mypaas ${action} ${args.server} ${args.name}`)
  const { openSession } = await import('../../src/push/session.ts')
  const tty = onTerminal()
  const replica = args.replica === undefined ? undefined : wholeNumber('replica', args.replica)
  return interruptible(
    (signal) =>
      withRemote(args, signal, async (remote) => {
        const session = await openSession(remote, action, args.name, words, { tty, replica, signal })
        signal.addEventListener('abort', () => session.close(), { once: true })
        return joinTerminal(session, tty)
      }),
    { quiet: true },
  )
}
