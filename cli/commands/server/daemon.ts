import type { CommandDef } from 'citty'
import { command } from '../../command.ts'
import { progress } from '../../render.ts'

export const daemon: CommandDef = command({
  async run() {
    const { runDaemon } = await import('../../../src/server/daemon.ts')
    const controller = new AbortController()
    process.on('SIGINT', () => controller.abort())
    process.on('SIGTERM', () => controller.abort())
    await runDaemon({ log: progress, signal: controller.signal })
  },
})
