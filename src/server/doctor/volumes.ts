import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Host } from '../../deploy/host.ts'
import type { Docker } from '../../docker/index.ts'
import { formatBytes } from '../../units.ts'
import type { Finding } from './finding.ts'

/** An anonymous volume that no container has. */
export type LostVolume = Readonly<{
  name: string
  /** ISO 8601; the engine may not say. */
  createdAt: string | undefined
  /** `undefined` where the engine could not count them in time. */
  sizeBytes: number | undefined
}>

/** The anonymous volumes that no container has and that are not older than this server, the largest first. */
export async function lostVolumes(host: Host): Promise<readonly LostVolume[]> {
  const { Volumes } = await host.docker.volumes.list({ filters: { dangling: ['true'] } })
  const { mtimeMs } = await stat(join(host.directory, 'server.json'))
  const lost = (Volumes ?? []).filter(
    ({ Name, Labels, CreatedAt }) =>
      /^[0-9a-f]{64}$/.test(Name) &&
      Object.keys(Labels ?? {}).every((label) => label === 'com.docker.volume.anonymous') &&
      // The engine gives whole seconds.
      !(Date.parse(CreatedAt ?? '') < mtimeMs - 1_000),
  )
  const sizes = lost.length > 0 ? await sizesOf(host.docker) : new Map<string, number>()
  return lost
    .map(({ Name, CreatedAt }) => ({ name: Name, createdAt: CreatedAt, sizeBytes: sizes.get(Name) }))
    .sort((a, b) => (b.sizeBytes ?? 0) - (a.sizeBytes ?? 0))
}

/** The engine counts every file of every volume for that. */
async function sizesOf(docker: Docker): Promise<ReadonlyMap<string, number>> {
  const usage = await docker.system.df({ timeoutMs: countMs }).catch(() => undefined)
  return new Map((usage?.Volumes ?? []).map(({ Name, UsageData }) => [Name, UsageData?.Size ?? 0]))
}

const countMs = 20_000

/** So many are listed one by one. */
const maxShown = 20

/**
 * Before mypaas removed them with their containers, those of an image's `VOLUME` stayed. Nothing tells them from those of a
 * person's own containers, so a person decides.
 */
export function judgeVolumes(lost: readonly LostVolume[]): readonly Finding[] {
  const findings: Finding[] = lost.slice(0, maxShown).map(({ name, createdAt, sizeBytes }) => ({
    check: 'leftovers',
    level: 'warning',
    message: `The anonymous volume ${name.slice(0, 12)} (${describe(sizeBytes, createdAt)}) is of no container any more. Versions of mypaas before left such behind; it may be of a container of your own.`,
    mend: `docker volume rm ${name}`,
  }))
  const others = lost.slice(maxShown)
  if (others.length > 0) {
    findings.push({
      check: 'leftovers',
      level: 'warning',
      message: `And ${others.length} more anonymous volumes are of no container any more (${formatBytes(others.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0))}).`,
      mend: 'docker volume ls --filter dangling=true',
    })
  }
  return findings
}

function describe(sizeBytes: number | undefined, createdAt: string | undefined): string {
  const size = sizeBytes === undefined ? 'of unknown size' : formatBytes(sizeBytes)
  return createdAt === undefined ? size : `${size}, of ${createdAt.slice(0, 10)}`
}
