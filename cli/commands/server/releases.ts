import type { CommandDef } from 'citty'
import type { ReleaseInfo } from '../../../src/deploy/releases.ts'
import { formatBytes } from '../../../src/units.ts'
import { command } from '../../command.ts'
import { operate } from '../../operate.ts'
import { progress } from '../../output.ts'
import { print, printJson, table } from '../../render.ts'

export const releases: CommandDef = command({
  args: {
    name: { type: 'positional', required: true, description: 'The service' },
    json: { type: 'boolean', description: 'Print them as JSON' },
  },
  async run({ args }) {
    const { listReleases } = await import('../../../src/deploy/releases.ts')
    const found = await operate({}, ({ server }) => listReleases(server.host, args.name))
    showReleases(found, { json: args.json === true, back: `mypaas server rollback ${args.name} [RELEASE]` })
  },
})

/** @param options.back how to go back to one of them */
export function showReleases(
  found: { releases: readonly ReleaseInfo[]; diskBytes: number; problem?: string },
  options: { json: boolean; back: string },
): void {
  if (options.json) {
    printJson(found)
    return
  }
  if (found.problem !== undefined) progress(`! ${found.problem}`)
  const rows = found.releases.map(({ release, current, entry, kept, commit }) => [
    `r${release}`,
    current ? 'current' : kept ? 'kept' : '-',
    entry ? `${entry.action} of ${entry.from}` : '-',
    commit ? `${commit.id.slice(0, 12)}${commit.changed ? ' (changed)' : ''}` : '-',
    entry?.who ?? '-',
    (entry?.at ?? kept?.createdAt ?? '').replace('T', ' ').replace(/\.\d+Z$/, 'Z'),
    entry
      ? entry.receipt
        ? `${entry.outcome} after ${(entry.receipt.liveMs / 1000).toFixed(1)} s`
        : entry.outcome
      : '-',
    kept ? formatBytes(kept.sizeBytes) : '',
  ])
  for (const line of table([['release', '', 'from', 'commit', 'who', 'when', 'outcome', 'image'], ...rows])) print(line)
  print(`${formatBytes(found.diskBytes)} of images are kept. Go back: ${options.back}`)
}
