import type { CommandDef } from 'citty'
import { MypaasError } from '../../../src/errors.ts'
import { command } from '../../command.ts'
import { confirm } from '../../confirm.ts'
import { operate, operateArgs } from '../../operate.ts'
import { print, printJson, renderError } from '../../render.ts'

const name = { type: 'positional', required: true, description: 'The service' } as const

export const stop: CommandDef = command({
  args: { name, ...operateArgs },
  async run({ args }) {
    const { stopService } = await import('../../../src/deploy/reconcile.ts')
    await operate(args, ({ server, ...options }) => stopService(server.host, args.name, options))
    print(`${args.name} is stopped, until it is started or deployed: mypaas server start ${args.name}`)
  },
})

export const start: CommandDef = command({
  args: { name, ...operateArgs },
  async run({ args }) {
    const { startService } = await import('../../../src/deploy/reconcile.ts')
    const { release } = await operate(args, ({ server, ...options }) => startService(server.host, args.name, options))
    print(`${args.name} r${release} runs`)
  },
})

export const rm: CommandDef = command({
  args: {
    name,
    volumes: { type: 'boolean', description: 'Remove its directories and volumes, too' },
    yes: { type: 'boolean', alias: 'y', description: 'Do it without being asked' },
    ...operateArgs,
  },
  async run({ args }) {
    const { removeService } = await import('../../../src/deploy/reconcile.ts')
    const what = args.volumes ? 'with all its data; its secrets stay' : 'its volumes and secrets stay'
    if (!args.yes) await confirm(`Remove the service ${args.name} (${what})?`)
    const removed = await operate(args, ({ server, ...options }) =>
      removeService(server.host, args.name, { ...options, volumes: args.volumes === true }),
    )
    for (const line of removed) print(line)
  },
})

export const reconcile: CommandDef = command({
  args: { name: { ...name, required: false, description: 'The service (all)' }, ...operateArgs },
  async run({ args }) {
    const { reconcile, reconcileAll } = await import('../../../src/deploy/reconcile.ts')
    const { ensureServer } = await import('../../../src/server/ensure.ts')
    return operate(args, async ({ server, ...options }) => {
      for (const line of await ensureServer(server)) print(line)
      const { reconciled, failed } = args.name
        ? { reconciled: [await reconcile(server.host, args.name, options)], failed: [] }
        : await reconcileAll(server.host, { ...options, certificateWaitMs: server.host.certificateWaitMs })
      for (const done of reconciled) {
        if (args.json) printJson({ type: 'reconciled', ...done })
        else if (done.mended.length === 0)
          print(
            `${done.service} ${done.release === undefined ? 'has nothing to run' : `r${done.release} is as it should be`}`,
          )
        else print(`${done.service} r${done.release ?? '-'} mended: ${done.mended.join('; ')}`)
      }
      for (const { error } of failed) renderError(error)
      if (failed.length === 0) return 0
      const needsPerson = failed.some(({ error }) => !(error instanceof MypaasError) || error.code !== 'locked')
      return needsPerson ? 6 : 4
    })
  },
})
