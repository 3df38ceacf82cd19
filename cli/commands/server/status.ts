import type { CommandDef } from 'citty'
import type { ServiceStatus } from '../../../src/server/status.ts'
import { command } from '../../command.ts'
import { print, printJson, table } from '../../render.ts'

const args = {
  json: { type: 'boolean', description: 'Print the services as JSON' },
} as const

export const status: CommandDef = command({
  args,
  async run({ args }) {
    const [{ openServer }, { serverStatus }] = await Promise.all([
      import('../../../src/server/host.ts'),
      import('../../../src/server/status.ts'),
    ])
    await using server = await openServer()
    const services = await serverStatus(server.host)
    showStatus(services, { json: args.json === true, deploy: 'mypaas server deploy DIR' })
  },
})

/** A table for people. @param options.deploy how to get a first service */
export function showStatus(services: readonly ServiceStatus[], options: { json: boolean; deploy: string }): void {
  if (options.json) printJson(services)
  else if (services.length === 0) print(`No service yet. Deploy one: ${options.deploy}`)
  else {
    const rows = services.map(({ service, release, next, running, wanted, urls, problem }) => [
      service,
      release === undefined ? '-' : `r${release}`,
      `${running}/${wanted}`,
      urls.join(' ') || '-',
      problem ?? (next === undefined ? '' : `r${next} is coming`),
    ])
    for (const line of table([['service', 'release', 'running', 'urls', ''], ...rows])) print(line)
  }
}
