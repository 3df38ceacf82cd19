import type { CommandDef } from 'citty'
import { connectPipes } from '../../../src/server/connect.ts'
import { command } from '../../command.ts'

export const connect: CommandDef = command({
  async run() {
    await connectPipes(process.stdin, process.stdout)
    process.exit(0)
  },
})
