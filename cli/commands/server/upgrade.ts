import type { CommandDef } from 'citty'
import { command } from '../../command.ts'
import { operate } from '../../operate.ts'
import { installedProgram } from '../../program.ts'
import { print, printJson, progress } from '../../render.ts'

export const upgrade: CommandDef = command({
  args: {
    image: { type: 'string', valueHint: 'IMAGE', description: "The router's image from now on (that of config.toml)" },
    plan: { type: 'boolean', description: 'Print what would become of the router, and why, and do nothing' },
    json: { type: 'boolean', description: 'Print the result as JSON' },
  },
  async run({ args }) {
    const { planUpgrade, upgradeServer } = await import('../../../src/server/upgrade.ts')
    if (args.plan) {
      const plan = await operate({ quiet: true }, ({ server }) => planUpgrade(server, args.image))
      if (args.json) return printJson({ plan })
      for (const line of plan) print(line)
      return
    }
    const done = await operate({ quiet: true }, ({ server }) =>
      upgradeServer(server, { image: args.image, program: installedProgram(), onProgress: progress }),
    )
    if (args.json) return printJson(done)
    if (done.change === 'unchanged') print(`router: ${done.now}, as before`)
    else print(`router: ${done.change}, ${done.before} → ${done.now}; nobody was served for ${done.interruptedMs} ms`)
    if (done.daemon === 'restarted') print('daemon: restarted, with the mypaas that is installed now')
    if (done.daemon === 'outdated') progress('! The daemon is still the old mypaas: end it and start it again.')
  },
})
