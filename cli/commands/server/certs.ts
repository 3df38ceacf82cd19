import type { CommandDef } from 'citty'
import { command } from '../../command.ts'
import { operate } from '../../operate.ts'
import { print, printJson, table } from '../../render.ts'

export const certs: CommandDef = command({
  args: {
    retry: { type: 'boolean', description: 'Ask the authority again also where it said no a short while ago' },
    json: { type: 'boolean', description: 'Print them as JSON' },
  },
  async run({ args }) {
    const { describeTrouble } = await import('../../../src/deploy/certificates.ts')
    const reports = await operate({ quiet: true }, ({ server: { host }, signal }) =>
      host.router.certify({
        thorough: true,
        signal,
        ...(args.retry ? { retry: true, waitMs: host.certificateWaitMs } : { readOnly: true }),
      }),
    )
    if (args.json) {
      printJson(reports)
      return
    }
    if (reports.length === 0) print('No service has an https URL.')
    const rows = reports.map(({ host, state, certificate, renewAt }) => [
      host,
      state,
      certificate?.issuer ?? '-',
      minute(certificate?.notAfter),
      minute(renewAt),
    ])
    for (const line of table([['name', '', 'issuer', 'expires', 'renewed'], ...rows])) print(line)
    for (const trouble of reports.map(describeTrouble)) {
      if (trouble) print(`! ${trouble.message}${trouble.hint ? ` ${trouble.hint}` : ''}`)
    }
  },
})

function minute(time: string | undefined): string {
  return time === undefined ? '-' : `${time.slice(0, 16).replace('T', ' ')}Z`
}
