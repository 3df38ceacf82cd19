import { userInfo } from 'node:os'
import type { BooleanArgDef, StringArgDef } from 'citty'
import type { DeployEvent } from '../src/deploy/events.ts'
import { MypaasError } from '../src/errors.ts'
import type { OpenServer } from '../src/server/host.ts'
import { parseDuration } from '../src/units.ts'
import { interruptible } from './interrupt.ts'
import { renderer } from './render.ts'

/** Flags of every command that changes a service on this server. */
export const operateArgs: {
  wait: StringArgDef
  verbose: BooleanArgDef
  json: BooleanArgDef
} = {
  wait: {
    type: 'string',
    valueHint: 'TIME',
    description: 'Wait that long for another command at the same service (0s)',
  },
  verbose: { type: 'boolean', alias: 'v', description: 'Show the output of the build and every step of the plan' },
  json: { type: 'boolean', description: 'Print events as lines of JSON' },
}

/** What a command at a service gets: the server, where events go, and when to end. */
export type Operation = Readonly<{
  server: OpenServer
  emit: (event: DeployEvent) => void
  signal: AbortSignal
  waitMs: number
  who: string
}>

/** Opens this machine's server for a command, shows its events, and turns Ctrl-C into a signal. */
export async function operate<T>(
  args: { wait?: string | undefined; verbose?: boolean | undefined; json?: boolean | undefined; quiet?: boolean },
  work: (operation: Operation) => Promise<T>,
): Promise<T> {
  const waitMs = args.wait === undefined ? 0 : parseDuration(args.wait)
  if (waitMs === undefined) {
    throw new MypaasError(`--wait must be a time such as 30s or 5m, not ${args.wait}.`, { code: 'usage' })
  }
  const { openServer } = await import('../src/server/host.ts')
  const show = renderer({ json: args.json === true, verbose: args.verbose === true })
  return interruptible(
    async (signal) => {
      await using server = await openServer()
      try {
        return await work({ server, emit: show.event, signal, waitMs, who: me() })
      } catch (error) {
        if (args.json && error instanceof MypaasError) {
          const { failedEvent } = await import('../src/deploy/why.ts')
          show.event(failedEvent(error))
        }
        throw error
      } finally {
        show.end()
      }
    },
    args.quiet ? { quiet: true } : {},
  )
}

/** The release that a word names: `r7` or `7`. @throws {MypaasError} `usage` */
export function releaseNumber(word: string | undefined): number | undefined {
  if (word === undefined) return undefined
  const match = /^r?(\d{1,9})$/.exec(word)
  if (match) return Number(match[1])
  throw new MypaasError(`${word} is no release: they are called r1, r2, …`, { code: 'usage' })
}

function me(): string {
  const user = process.env['SUDO_USER'] ?? userInfo().username
  return `${user} (on the server)`
}
