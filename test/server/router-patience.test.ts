import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runDelay, wasStarved } from '../../src/router/run-delay.ts'
import { RouterPatience } from '../../src/server/router-patience.ts'

const silent = { kind: 'silent', delayMs: 0 } as const

/** Looks as the daemon does, for so long. @returns when the router was restarted, in ms */
function restarts(isSilentAt: (now: number, lastRestart: number) => boolean, forMs: number): number[] {
  const patience = new RouterPatience()
  const found: number[] = []
  for (let now = 0; now < forMs; now += patience.isTroubled ? 150 : 1_000) {
    const begin = now
    const isSilent = isSilentAt(now, found.at(-1) ?? Number.NEGATIVE_INFINITY)
    now += isSilent ? 1_200 : 10
    if (!patience.see(isSilent ? silent : undefined, { begin, end: now })) continue
    now += 800
    found.push(now)
    patience.mended('silent', now)
  }
  return found
}

test('a router that no restart helps is restarted ever more rarely', () => {
  const found = restarts(() => true, 3_600_000)
  assert.ok(found.length <= 20, `${found.length} restarts in an hour`)
  assert.ok((found[0] ?? Infinity) < 10_000)
  const pauses = found.slice(1).map((at, index) => at - (found[index] as number))
  assert.ok(
    pauses.slice(1).every((pause, index) => pause >= (pauses[index] as number) - 3_000),
    `${pauses}`,
  )
})

test('one that answers for a moment after each restart was not helped by it', () => {
  const found = restarts((now, last) => now - last > 3_000, 3_600_000)
  assert.ok(found.length <= 25, `${found.length} restarts in an hour`)
})

test('one that was helped, and hangs again later, is restarted at once each time', () => {
  const found = restarts((now, last) => now - last > 11_000, 300_000)
  assert.ok(found.length > 10)
  const waits = found.slice(1).map((at, index) => at - (found[index] as number) - 11_000)
  assert.ok(Math.max(...waits) < 8_000, `${waits}`)
})

test('one look, however long it took, restarts nothing', () => {
  const patience = new RouterPatience()
  assert.equal(patience.see(silent, { begin: 0, end: 60_000 }), false)
  assert.equal(patience.see(undefined, { begin: 60_150, end: 60_160 }), false)
  assert.equal(patience.see(silent, { begin: 61_160, end: 90_000 }), false)
})

test('one that waits for a processor is left alone for half a minute', () => {
  const patience = new RouterPatience()
  let restartedAt = Number.NaN
  for (let now = 0; Number.isNaN(restartedAt) && now < 120_000; now += 150) {
    const begin = now
    now += 1_200
    if (patience.see({ kind: 'silent', delayMs: now * 0.6 }, { begin, end: now })) restartedAt = now
  }
  assert.ok(restartedAt > 30_000 && restartedAt < 33_000, `${restartedAt}`)
})

test('for how long a process waited for a processor is seen where it is one of this machine', async () => {
  assert.ok(((await runDelay(process.pid)) ?? -1) >= 0)
  assert.equal(await runDelay(0x7fff_ffff), undefined)
  assert.deepEqual(
    [wasStarved(100, 900, 2_000), wasStarved(100, 150, 2_000), wasStarved(undefined, 900, 2_000)],
    [true, false, false],
  )
})
