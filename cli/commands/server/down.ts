import type { CommandDef } from 'citty'
import { MypaasError } from '../../../src/errors.ts'
import { command } from '../../command.ts'
import { print, progress } from '../../render.ts'

const args = {
  yes: { type: 'boolean', alias: 'y', description: 'Do it without being asked' },
} as const

export const down: CommandDef = command({
  args,
  async run({ args }) {
    const { removeServer } = await import('../../../src/server/down.ts')
    if (!args.yes) {
      throw new MypaasError('This stops and removes every service of this server, their images, and the router.', {
        code: 'usage',
        hint: 'Volumes and ~/_mypaas stay. If that is what you want: mypaas server down --yes',
      })
    }
    for (const line of await removeServer({ onProgress: progress })) print(line)
  },
})
