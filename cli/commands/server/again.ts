import type { CommandDef } from 'citty'
import type { Host } from '../../../src/deploy/host.ts'
import { MypaasError } from '../../../src/errors.ts'
import { command } from '../../command.ts'
import { operate, operateArgs, releaseNumber } from '../../operate.ts'
import { print, progress, renderError } from '../../render.ts'

export const rollback: CommandDef = command({
  args: {
    name: { type: 'positional', required: true, description: 'The service' },
    release: {
      type: 'positional',
      required: false,
      description: 'The release to go back to (the last that is another build)',
    },
    ...operateArgs,
  },
  async run({ args }) {
    const { rollback } = await import('../../../src/deploy/again.ts')
    const release = releaseNumber(args.release)
    await operate(args, ({ server, ...options }) => rollback(server.host, args.name, release, options))
  },
})

export const restart: CommandDef = command({
  args: {
    name: { type: 'positional', required: true, description: 'The service; or router, daemon, all' },
    ...operateArgs,
  },
  async run({ args }) {
    const { name } = args
    return operate(args, async ({ server, ...options }) => {
      if (name === 'router' || name === 'all') {
        const { restartServersRouter } = await import('../../../src/server/upgrade.ts')
        print(`router: restarted; nobody was served for ${await restartServersRouter(server)} ms`)
      }
      if (name === 'daemon' || name === 'all') await restartDaemon(server.config.server.instance, name === 'all')
      if (name === 'router' || name === 'daemon') return 0
      const { restart } = await import('../../../src/deploy/again.ts')
      if (name !== 'all') {
        await restart(server.host, name, options)
        return 0
      }
      let code = 0
      for (const service of await runningServices(server.host)) {
        try {
          await restart(server.host, service, options)
        } catch (error) {
          // The others are to be restarted all the same.
          if (options.signal.aborted || !(error instanceof MypaasError)) throw error
          renderError(error)
          code = Math.max(code, error.code === 'degraded' ? 6 : 1)
        }
      }
      return code
    })
  },
})

async function restartDaemon(instance: string, isOptional: boolean): Promise<void> {
  const { restartUnit } = await import('../../../src/server/unit.ts')
  try {
    await restartUnit(instance)
    print('daemon: restarted')
  } catch (error) {
    if (!isOptional || !(error instanceof MypaasError) || error.code !== 'usage') throw error
    progress(`! ${error.message}`)
  }
}

async function runningServices(host: Host): Promise<readonly string[]> {
  const { serverStatus } = await import('../../../src/server/status.ts')
  return (await serverStatus(host)).filter(({ wanted }) => wanted > 0).map(({ service }) => service)
}

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
