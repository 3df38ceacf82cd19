import type { CommandDef } from 'citty'
import { command } from '../../command.ts'
import { progress } from '../../render.ts'

export const daemon: CommandDef = command({
  async run() {
    const { runDaemon } = await import('../../../src/server/daemon.ts')
    const controller = new AbortController()
    for (const ending of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(ending, () => controller.abort())
    await runDaemon({ log: progress, signal: controller.signal })
  },
})
