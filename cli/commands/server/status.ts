import { setTimeout as sleep } from 'node:timers/promises'
import type { CommandDef } from 'citty'
import type { ServiceStatus } from '../../../src/server/status.ts'
import { formatBytes } from '../../../src/units.ts'
import { command } from '../../command.ts'
import { operate } from '../../operate.ts'
import { clearScreen } from '../../output.ts'
import { print, printJson, progress, table } from '../../render.ts'

const args = {
  watch: { type: 'boolean', alias: 'w', description: 'Show it again every two seconds, until Ctrl-C' },
  json: { type: 'boolean', description: 'Print the services as JSON' },
} as const

const watchEveryMs = 2_000

export const status: CommandDef = command({
  args,
  async run({ args }) {
    const { serverStatus } = await import('../../../src/server/status.ts')
    const { daemonPortTrouble } = await import('../../../src/server/daemon-trouble.ts')
    await operate({ quiet: true }, async ({ server, signal }) => {
      const { host } = server
      do {
        const services = await serverStatus(host, { usage: true })
        if (args.watch && process.stdout.isTTY && !args.json) clearScreen()
        showStatus(services, { json: args.json === true, deploy: 'mypaas server deploy DIR' })
        const trouble = await daemonPortTrouble(server)
        if (trouble !== undefined) progress(`! ${trouble}`)
        if (args.watch) await sleep(watchEveryMs, undefined, { signal }).catch(() => {})
      } while (args.watch && !signal.aborted)
    })
  },
})

/** A table for people. @param options.deploy how to get a first service */
export function showStatus(services: readonly ServiceStatus[], options: { json: boolean; deploy: string }): void {
  if (options.json) printJson(services)
  else if (services.length === 0) print(`No service yet. Deploy one: ${options.deploy}`)
  else {
    const head = ['service', 'release', 'running', 'cpu', 'memory', 'restarts', 'deployed', 'urls', '']
    for (const line of table([head, ...services.map((service) => row(service))])) print(line)
  }
}

function row(status: ServiceStatus): readonly string[] {
  const { service, release, next, running, wanted, replicas, deployedAt, urls, problem, stopped, changedSecrets } =
    status
  const usage = replicas.flatMap((replica) => (replica.usage ? [replica.usage] : []))
  const cpus = usage.reduce((sum, one) => sum + one.cpus, 0)
  const bytes = usage.reduce((sum, one) => sum + one.memoryBytes, 0)
  const uncertified = Object.entries(status.certificates).filter(([, state]) => state === 'none' || state === 'asked')
  return [
    service,
    release === undefined ? '-' : `r${release}`,
    `${running}/${wanted}`,
    usage.length === 0 ? '-' : `${Math.round(cpus * 100)} %`,
    usage.length === 0 ? '-' : formatBytes(bytes),
    String(replicas.reduce((sum, replica) => sum + replica.restarts, 0)),
    deployedAt === undefined ? '-' : `${deployedAt.slice(0, 16).replace('T', ' ')}Z`,
    urls.join(' ') || '-',
    [
      problem ?? (stopped ? 'stopped' : ''),
      next === undefined ? '' : `r${next} is coming`,
      changedSecrets.length === 0 ? '' : `older secrets: ${changedSecrets.join(', ')} (until a restart)`,
      uncertified.length === 0 ? '' : `no certificate: ${uncertified.map(([name]) => name).join(', ')}`,
    ]
      .filter((text) => text !== '')
      .join('; '),
  ]
}
