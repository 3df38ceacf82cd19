import { open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** How long a machine took for next to nothing, beside what a test measures. */
export type Standstill = Readonly<{
  /** Milliseconds since `begin` (of `performance.now()`) in which not even one small file could be synced. */
  since(begin: number): number
}>

const pauseMs = 200
/** A file of one byte is synced in no time. Where that takes longer than this, the machine itself stood still. */
const noticeMs = 1_000

/**
 * A control for limits on time: on some virtual machines disk or processors do nothing for half a minute at times, and
 * nothing that keeps a journal can be quick then. Writes and syncs one byte, over and over, until the test ends.
 */
export function watchStandstill(t: { after: (work: () => Promise<void>) => void }): Standstill {
  const file = join(tmpdir(), `mypaas-test-standstill-${process.pid}`)
  const stalls: { from: number; to: number }[] = []
  let pending = performance.now()
  const stop = new AbortController()
  const watch = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await syncOneByte(file)
      await sleep(pauseMs, undefined, { ref: false, signal: stop.signal }).catch(() => {})
      const now = performance.now()
      if (now - pending > noticeMs) stalls.push({ from: pending, to: now })
      pending = now
    }
    await rm(file, { force: true })
  }
  const done = watch()
  t.after(() => {
    stop.abort()
    return done
  })
  return {
    since(begin) {
      const now = performance.now()
      const all = now - pending > noticeMs ? [...stalls, { from: pending, to: now }] : stalls
      return all.reduce((sum, { from, to }) => sum + Math.max(0, to - Math.max(from, begin)), 0)
    },
  }
}

async function syncOneByte(file: string): Promise<void> {
  await using handle = await open(file, 'w')
  await handle.write('1')
  await handle.sync()
}
