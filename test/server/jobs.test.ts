import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Jobs } from '../../src/server/jobs.ts'

test('of jobs that are over the last hundred are kept, and half a gigabyte at most, while the daemon runs', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-jobs-'))
  t.after(() => rm(folder, { recursive: true }))
  const mib = 1024 ** 2
  const old = (n: number): string => `20250101000000-${String(n).padStart(8, '0')}`
  const make = (n: number, bytes: number): Promise<void> =>
    writeFile(join(folder, `${old(n)}.ndjson`), `{"end":{"ok":true}}\n${' '.repeat(bytes)}`, { mode: 0o600 })
  const jobs = await Jobs.open(folder, async () => '')
  let finish = (): void => {}
  const long = jobs.start(
    { what: 'push', who: 'anna' },
    () =>
      new Promise<void>((resolve) => {
        finish = resolve
      }),
  )
  for (let n = 0; n < 150; n += 1) await make(n, 10)
  const last = jobs.start({ what: 'push', who: 'anna' }, async () => 'done')
  await last.done
  const after = (await readdir(folder)).sort()
  assert.equal(after.length, 101, 'and the one that is on')
  assert.equal(after[0], `${old(51)}.ndjson`)
  for (let n = 140; n < 150; n += 1) await make(n, 64 * mib)
  await jobs.start({ what: 'push', who: 'anna' }, async () => 'done').done
  assert.equal(
    (await readdir(folder)).filter((name) => name.startsWith('2025')).length,
    7,
    'of 64 MiB each, and the rest',
  )
  finish()
  await long.done
  assert.equal((await jobs.info(long.info.job)).who, 'anna')
})
