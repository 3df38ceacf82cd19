import type { CommandDef } from 'citty'
import { command } from '../../command.ts'
import { operate } from '../../operate.ts'
import { print, printJson, table } from '../../render.ts'

export const releases: CommandDef = command({
  args: {
    name: { type: 'positional', required: true, description: 'The service' },
    json: { type: 'boolean', description: 'Print them as JSON' },
  },
  async run({ args }) {
    const { listReleases } = await import('../../../src/deploy/releases.ts')
    const { formatBytes } = await import('../../../src/units.ts')
    const found = await operate({}, ({ server }) => listReleases(server.host, args.name))
    if (args.json) {
      printJson(found)
      return
    }
    const rows = found.releases.map(({ release, current, entry, kept }) => [
      `r${release}`,
      current ? 'current' : kept ? 'kept' : '-',
      entry ? `${entry.action} of ${entry.from}` : '-',
      entry?.who ?? '-',
      (entry?.at ?? kept?.createdAt ?? '').replace('T', ' ').replace(/\.\d+Z$/, 'Z'),
      entry
        ? entry.receipt
          ? `${entry.outcome} after ${(entry.receipt.liveMs / 1000).toFixed(1)} s`
          : entry.outcome
        : '-',
      kept ? formatBytes(kept.sizeBytes) : '',
    ])
    for (const line of table([['release', '', 'from', 'who', 'when', 'outcome', 'image'], ...rows])) print(line)
    print(`${formatBytes(found.diskBytes)} of images are kept. Go back: mypaas server rollback ${args.name} [RELEASE]`)
  },
})
