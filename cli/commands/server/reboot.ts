import type { CommandDef } from 'citty'
import { command } from '../../command.ts'
import { print } from '../../render.ts'

export const scheduleReboot: CommandDef = command({
  args: {
    when: { type: 'positional', required: true, description: '10m, 2h, 03:00; or cancel, to take it back' },
  },
  async run({ args }) {
    const { cancelReboot, scheduleReboot } = await import('../../../src/server/reboot.ts')
    const said = args.when === 'cancel' ? await cancelReboot() : await scheduleReboot(args.when)
    if (said !== '') print(said)
    print(
      args.when === 'cancel'
        ? 'The machine does not reboot.'
        : 'Services come back by themselves. To take it back: mypaas server schedule-reboot cancel',
    )
  },
})
