import assert from 'node:assert/strict'
import test from 'node:test'
import type { DeployEvent } from '../../src/deploy/events.ts'
import type { Step } from '../../src/deploy/plan.ts'
import { Stopwatch } from '../../src/deploy/receipt.ts'

test('a receipt says how long image, start, switch, drain and the wait of requests took', () => {
  let now = 0
  const watch = new Stopwatch(() => now)
  const at = (time: number, event: unknown): void => {
    now = time
    watch.see(event as DeployEvent)
  }
  const done = (step: Step['kind'], ms: number): unknown => ({ type: 'step', step, title: '', state: 'done', ms })
  at(2_000, { type: 'planned' })
  at(2_100, done('create', 100))
  at(2_100, { type: 'step', step: 'route', title: '', state: 'started', holds: true })
  at(2_600, done('drain', 400))
  at(3_000, done('start', 300))
  at(3_500, done('ready', 500))
  at(3_700, { type: 'live', service: 's', release: 2, urls: [], ms: 3_700 })
  at(4_000, done('remove', 100))
  assert.deepEqual(watch.receipt(), {
    imageMs: 2_000,
    readyMs: 900,
    liveMs: 3_700,
    drainMs: 400,
    heldMs: 1_600,
    totalMs: 4_000,
  })
})
