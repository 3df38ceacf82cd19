import type { CommandDef } from 'citty'
import { MypaasError } from '../../../src/errors.ts'
import { command } from '../../command.ts'
import { operate, operateArgs, releaseNumber } from '../../operate.ts'

export const rollback: CommandDef = command({
  args: {
    name: { type: 'positional', required: true, description: 'The service' },
    release: { type: 'positional', required: false, description: 'The release to go back to (the one before)' },
    ...operateArgs,
  },
  async run({ args }) {
    const { rollback } = await import('../../../src/deploy/again.ts')
    const release = releaseNumber(args.release)
    await operate(args, ({ server, ...options }) => rollback(server.host, args.name, release, options))
  },
})

export const restart: CommandDef = command({
  args: { name: { type: 'positional', required: true, description: 'The service' }, ...operateArgs },
  async run({ args }) {
    const { restart } = await import('../../../src/deploy/again.ts')
    await operate(args, ({ server, ...options }) => restart(server.host, args.name, options))
  },
})

export const scale: CommandDef = command({
  args: {
    scale: {
      type: 'positional',
      required: true,
      valueHint: 'NAME=N',
      description: 'The service and how many replicas: blog=3',
    },
    ...operateArgs,
  },
  async run({ args }) {
    const match = /^([^=]+)=(\d{1,4})$/.exec(args.scale)
    if (!match)
      throw new MypaasError(`${args.scale} is not NAME=N.`, {
        code: 'usage',
        hint: 'For example: mypaas server scale blog=3',
      })
    const { scale } = await import('../../../src/deploy/again.ts')
    await operate(args, ({ server, ...options }) => scale(server.host, match[1] ?? '', Number(match[2]), options))
  },
})
