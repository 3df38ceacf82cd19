import { readFile, statfs } from 'node:fs/promises'
import type { ServiceSpec } from '../service/spec.ts'
import { formatBytes } from '../units.ts'
import { replicaCount } from './container.ts'
import type { Host } from './host.ts'
import type { Plan } from './plan.ts'

const littleDiskBytes = 1024 ** 3

/** What a deploy may run short of: memory for old and new replicas side by side, disk for images and the journal. */
export async function resourceWarnings(host: Host, plan: Plan, spec: ServiceSpec): Promise<readonly string[]> {
  const warnings: string[] = []
  const free = await availableMemoryBytes()
  const needed = (spec.maxMemoryBytes ?? 0) * replicaCount(spec)
  if (plan.order === 'start-first' && free !== undefined && needed > free) {
    warnings.push(
      `${formatBytes(free)} of memory are free, and the new replicas may take ${formatBytes(needed)} beside the old ones.`,
    )
  }
  const { DockerRootDir } = await host.docker.system.info()
  for (const directory of new Set([DockerRootDir, host.directory])) {
    const bytes = await freeDiskBytes(directory)
    if (bytes !== undefined && bytes < littleDiskBytes) {
      warnings.push(`Only ${formatBytes(bytes)} of disk are free for ${directory}.`)
    }
  }
  return warnings
}

async function availableMemoryBytes(): Promise<number | undefined> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(text)
  return match ? Number(match[1]) * 1024 : undefined
}

/** Of the file system that a directory is on; `undefined` where that is not on this machine. */
async function freeDiskBytes(directory: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(directory)
    return bavail * bsize
  } catch {
    return undefined
  }
}
