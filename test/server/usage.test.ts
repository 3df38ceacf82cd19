import assert from 'node:assert/strict'
import test from 'node:test'
import type { ContainerStats } from '../../src/docker/index.ts'
import { usageOf } from '../../src/server/usage.ts'

const gib = 1024 ** 3

test('CPUs are what was spent over what went by, memory is without what the kernel could take back', () => {
  const before = measured({ read: '2026-01-01T00:00:00.000Z', spentNs: 1e9 })
  const after = measured({ read: '2026-01-01T00:00:00.500Z', spentNs: 1.75e9, usage: 100, idle: 30, limit: gib })
  assert.deepEqual(usageOf(before, after, 4 * gib), { cpus: 1.5, memoryBytes: 70, memoryLimitBytes: gib })
})

test('a limit of all that the machine has is none; an engine without a clock is measured by ours', () => {
  const never = '0001-01-01T00:00:00Z'
  const before = { ...measured({ read: never, spentNs: 0 }), at: 1_000 }
  const after = { ...measured({ read: never, spentNs: 1e8, limit: 4 * gib }), at: 2_000 }
  const usage = usageOf(before, after, 4 * gib)
  assert.deepEqual([usage.cpus, usage.memoryLimitBytes], [0.1, undefined])
})

function measured(of: { read: string; spentNs: number; usage?: number; idle?: number; limit?: number }) {
  const stats = {
    read: of.read,
    cpu_stats: { cpu_usage: { total_usage: of.spentNs } },
    memory_stats: { usage: of.usage ?? 0, limit: of.limit ?? 0, stats: { inactive_file: of.idle ?? 0 } },
  }
  return { stats: stats as unknown as ContainerStats, at: 0 }
}
