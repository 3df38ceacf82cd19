import { setTimeout as sleep } from 'node:timers/promises'
import type { ContainerStats, Docker } from '../docker/index.ts'

/** What a container takes at the moment. */
export type Usage = Readonly<{
  /** CPUs: 1.5 is one and a half. */
  cpus: number
  /** Without what the kernel only keeps because nobody else wants it. */
  memoryBytes: number
  /** `undefined` when it may take all that the machine has. */
  memoryLimitBytes: number | undefined
}>

const overMs = 500

/** Measures containers, all at once, over half a second. Those that end meanwhile are left out. @returns by id */
export async function measureUsage(docker: Docker, ids: readonly string[]): Promise<ReadonlyMap<string, Usage>> {
  if (ids.length === 0) return new Map()
  const [{ MemTotal }, first] = await Promise.all([docker.system.info(), all(docker, ids)])
  await sleep(overMs)
  const second = await all(docker, ids)
  const found = new Map<string, Usage>()
  for (const id of ids) {
    const [before, after] = [first.get(id), second.get(id)]
    if (before && after) found.set(id, usageOf(before, after, MemTotal))
  }
  return found
}

type Measured = Readonly<{ stats: ContainerStats; at: number }>

async function all(docker: Docker, ids: readonly string[]): Promise<ReadonlyMap<string, Measured>> {
  const found = new Map<string, Measured>()
  const one = async (id: string): Promise<void> => {
    const stats = await docker.containers.stats(id, { oneShot: true, timeoutMs: 10_000 }).catch(() => undefined)
    if (stats?.memory_stats.usage !== undefined) found.set(id, { stats, at: performance.now() })
  }
  await Promise.all(ids.map(one))
  return found
}

/** Two measurements of one container → what it took between them. */
export function usageOf(before: Measured, after: Measured, machineBytes: number): Usage {
  const spent = after.stats.cpu_stats.cpu_usage.total_usage - before.stats.cpu_stats.cpu_usage.total_usage
  // The engine's own clock where it tells; else that of this process.
  const told = Date.parse(after.stats.read) - Date.parse(before.stats.read)
  const elapsedMs = told > 0 ? told : after.at - before.at
  const { usage = 0, limit = 0, stats = {} } = after.stats.memory_stats
  // As `docker stats` counts: cgroup 2 has inactive_file, cgroup 1 total_inactive_file.
  const idle = stats['total_inactive_file'] ?? stats['inactive_file'] ?? 0
  return {
    cpus: Math.max(0, Math.round((spent / 1e6 / Math.max(1, elapsedMs)) * 1000) / 1000),
    memoryBytes: Math.max(0, usage - idle),
    memoryLimitBytes: limit > 0 && limit < machineBytes ? limit : undefined,
  }
}
