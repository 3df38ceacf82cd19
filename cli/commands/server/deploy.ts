import type { CommandDef } from 'citty'
import { MypaasError } from '../../../src/errors.ts'
import { parseDuration } from '../../../src/units.ts'
import { command } from '../../command.ts'
import { interruptible } from '../../interrupt.ts'
import { renderer } from '../../render.ts'

const args = {
  dir: { type: 'positional', description: 'The directory, or a Dockerfile in it' },
  wait: {
    type: 'string',
    valueHint: 'TIME',
    description: 'Wait that long for a deploy of the same service that is on (0s)',
  },
  verbose: { type: 'boolean', alias: 'v', description: 'Show the output of the build and every step' },
  json: { type: 'boolean', description: 'Print events as lines of JSON' },
} as const

export const deploy: CommandDef = command({
  args,
  async run({ args }) {
    const waitMs = args.wait === undefined ? 0 : parseDuration(args.wait)
    if (waitMs === undefined)
      throw new MypaasError(`--wait must be a time such as 30s or 5m, not ${args.wait}.`, { code: 'usage' })
    const [{ openContext }, { openServer }, { deploy }] = await Promise.all([
      import('../../context.ts'),
      import('../../../src/server/host.ts'),
      import('../../../src/deploy/deploy.ts'),
    ])
    const show = renderer({ json: args.json === true, verbose: args.verbose === true })
    await interruptible(async (signal) => {
      await using server = await openServer()
      const context = await openContext(args.dir ?? '.', signal)
      try {
        for (const message of context.warnings) show.event({ type: 'warning', message })
        await deploy(server.host, context, { emit: show.event, signal, waitMs })
      } finally {
        show.end()
      }
    })
  },
})
