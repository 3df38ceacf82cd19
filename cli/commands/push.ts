import { resolve } from 'node:path'
import type { CommandDef } from 'citty'
import { commitOf } from '../../src/context/commit.ts'
import type { DeployEvent } from '../../src/deploy/events.ts'
import { MypaasError } from '../../src/errors.ts'
import { push as pushContext } from '../../src/push/client.ts'
import { cacheFolder } from '../../src/push/hash-cache.ts'
import { anyHome } from '../../src/service/home.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { command } from '../command.ts'
import { openContext, rootOf } from '../context.ts'
import { interruptible } from '../interrupt.ts'
import { releaseNumber } from '../operate.ts'
import { pushProgress } from '../push-progress.ts'
import { remoteArgs, server, withRemote } from '../remote.ts'
import { printJson, progress, renderer, statusLine } from '../render.ts'

export const push: CommandDef = command({
  args: {
    server,
    dir: { type: 'positional', required: true, description: 'The directory, or a Dockerfile in it' },
    expect: {
      type: 'string',
      valueHint: 'RELEASE',
      description: 'Deploy only if this is the current release (r7, or none)',
    },
    detach: { type: 'boolean', description: "Don't wait for the deploy: mypaas attach follows it" },
    verbose: { type: 'boolean', alias: 'v', description: 'Show the output of the build and every step of the plan' },
    json: { type: 'boolean', description: 'Print events as lines of JSON' },
    ...remoteArgs,
  },
  async run({ args }) {
    const expect = args.expect === 'none' ? 0 : releaseNumber(args.expect)
    const json = args.json === true
    const status = statusLine()
    const show = renderer({ json, verbose: args.verbose === true, server: args.server })
    await interruptible(
      async (signal) => {
        try {
          const { job } = await withRemote(args, signal, async (remote) => {
            // Asked meanwhile: a server may be far away, and a directory large. What is wrong here is told first.
            remote.greet().catch(() => {})
            const context = await openContext(args.dir, signal)
            const { service } = parseSpec(context.dockerfileText, { file: context.dockerfile, home: anyHome })
            const root = resolve(await rootOf(args.dir))
            return pushContext(remote, context, {
              root,
              commit: commitOf(root, signal),
              service,
              ...(expect === undefined ? {} : { expect }),
              emit: pushProgress(status, { json }),
              onEvent: (event) => {
                status.end()
                show.event(event as DeployEvent)
              },
              signal,
              cacheFolder: cacheFolder(),
              ...(args.detach ? { detach: true } : {}),
            })
          })
          if (args.detach && !json) progress(`The deploy goes on there. Follow it: mypaas attach ${args.server} ${job}`)
          if (args.detach && json) printJson({ type: 'detached', job })
        } catch (error) {
          if (error instanceof MypaasError || !signal.aborted) throw error
          throw new MypaasError('Stopped: nothing was deployed.', {
            code: 'aborted',
            hint: 'What was sent already is kept for the next push.',
          })
        } finally {
          status.end()
          show.end()
        }
      },
      { leaving: `If the deploy had been asked for, it is on over there: mypaas attach ${args.server}` },
    )
  },
})
