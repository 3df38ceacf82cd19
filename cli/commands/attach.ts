import type { CommandDef } from 'citty'
import type { DeployEvent } from '../../src/deploy/events.ts'
import { attach as attachJob } from '../../src/push/client.ts'
import { command } from '../command.ts'
import { interruptible } from '../interrupt.ts'
import { remoteArgs, server, withRemote } from '../remote.ts'
import { progress, renderer } from '../render.ts'

export const attach: CommandDef = command({
  args: {
    server,
    job: { type: 'positional', required: false, description: 'What mypaas push named (the newest one)' },
    verbose: { type: 'boolean', alias: 'v', description: 'Show the output of the build and every step of the plan' },
    json: { type: 'boolean', description: 'Print events as lines of JSON' },
    ...remoteArgs,
  },
  async run({ args }) {
    const show = renderer({ json: args.json === true, verbose: args.verbose === true, server: args.server })
    await interruptible(
      async (signal) => {
        try {
          await withRemote(args, signal, (remote) =>
            attachJob(remote, args.job, {
              onEvent: (event) => show.event(event as DeployEvent),
              onLineBroke: (message) => progress(`! ${message}`),
              signal,
            }),
          )
        } finally {
          show.end()
        }
      },
      { leaving: 'What is on over there goes on.' },
    )
  },
})
