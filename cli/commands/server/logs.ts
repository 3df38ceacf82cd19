import { once } from 'node:events'
import type { BooleanArgDef, CommandDef, StringArgDef } from 'citty'
import type { LogLine } from '../../../src/deploy/kept-logs.ts'
import { command } from '../../command.ts'
import { operate, releaseNumber } from '../../operate.ts'
import { printJson, printLogLine } from '../../render.ts'
import { wholeNumber } from './inside.ts'

export const logsArgs: {
  follow: BooleanArgDef
  since: StringArgDef
  tail: StringArgDef
  replica: StringArgDef
  release: StringArgDef
  timestamps: BooleanArgDef
  json: BooleanArgDef
} = {
  follow: { type: 'boolean', alias: 'f', description: 'Go on with what is written from now on' },
  since: {
    type: 'string',
    valueHint: 'TIME',
    description: 'From then on: 10m for ten minutes ago, or 2026-01-31T12:00:00Z',
  },
  tail: { type: 'string', alias: 'n', valueHint: 'N', description: 'Only the last N lines' },
  replica: { type: 'string', valueHint: 'N', description: 'Of one replica only (all)' },
  release: { type: 'string', valueHint: 'R', description: 'Of one release only (all that are kept)' },
  timestamps: { type: 'boolean', alias: 't', description: 'Show when each line was written' },
  json: { type: 'boolean', description: 'Print lines as JSON' },
}

export const logs: CommandDef = command({
  args: { name: { type: 'positional', required: true, description: 'The service' }, ...logsArgs },
  async run({ args }) {
    const { parseSince, serviceLogs } = await import('../../../src/deploy/logs.ts')
    await operate({ quiet: true }, async ({ server, signal }) => {
      const lines = serviceLogs(server.host, args.name, {
        follow: args.follow,
        since: args.since === undefined ? undefined : parseSince(args.since),
        tail: args.tail === undefined ? undefined : wholeNumber('tail', args.tail),
        replica: args.replica === undefined ? undefined : wholeNumber('replica', args.replica),
        release: releaseNumber(args.release),
        signal,
      })
      await showLines(lines, args, signal)
    })
  },
})

/** Prints lines as they come, no faster than they are read; to their end, the signal's, or until nobody reads them. */
export async function showLines(
  lines: AsyncIterable<LogLine>,
  options: { json?: boolean | undefined; timestamps?: boolean | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { stdout, stderr } = process
  const left = new AbortController()
  const leave = (): void => left.abort()
  stdout.on('error', leave)
  signal.addEventListener('abort', leave)
  try {
    for await (const line of lines) {
      if (options.json) printJson(line)
      else printLogLine(line, { timestamps: options.timestamps === true })
      for (const stream of [stdout, stderr])
        if (stream.writableNeedDrain) await once(stream, 'drain', { signal: left.signal })
      if (left.signal.aborted) return
    }
  } catch (error) {
    if (!left.signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', leave)
    // What was written last may still find nobody.
    setImmediate(() => stdout.off('error', leave))
  }
}
