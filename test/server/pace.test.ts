import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Pace } from '../../src/server/pace.ts'

test('some are refused at once, the others in turn; a process that falls behind makes up for none of it', async (t) => {
  // The timers of a pace hold no process; one of the test's own does.
  const alive = setInterval(() => {}, 1000)
  t.after(() => clearInterval(alive))
  const pace = new Pace({ perSecond: 200, burst: 100 })
  const told = new EventEmitter()
  let refused = 0
  const refuse = async (): Promise<void> => {
    await pace.turn('a', new EventEmitter() as unknown as ServerResponse)
    refused += 1
    told.emit('refused')
  }
  const all = Array.from({ length: 200 }, refuse)
  await turn()
  const atOnce = refused
  assert.ok(atOnce >= 100 && atOnce < 110, `${atOnce} at once`)
  const until = performance.now() + 500
  while (performance.now() < until);
  await once(told, 'refused')
  await turn()
  assert.ok(refused - atOnce < 10, `${refused - atOnce} after half a second in which nothing else was done`)
  pace.end()
  await Promise.all(all)
})
