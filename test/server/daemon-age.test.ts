import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { takeLock } from '../../src/lock.ts'
import { daemonLock, isDaemonOutdated } from '../../src/server/daemon-age.ts'
import { until } from '../support/until.ts'

test('a daemon is outdated from the moment that its files were replaced, whatever date they bear', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-age-'))
  t.after(() => rm(folder, { recursive: true }))
  const program = join(folder, 'main.js')
  await writeFile(program, '')
  assert.equal(await isDaemonOutdated(folder, program), false)
  const begun = Date.now()
  await until(() => Date.now() > begun + 20, { what: 'another moment' })
  const lock = await takeLock(daemonLock(folder), { what: 'the daemon' })
  assert.equal(await isDaemonOutdated(folder, program), false)
  const installed = async (): Promise<boolean> => {
    await utimes(program, 0, 0)
    await chmod(program, 0o755)
    return isDaemonOutdated(folder, program)
  }
  await until(installed, { what: 'it to be outdated' })
  await lock[Symbol.asyncDispose]()
  assert.equal(await isDaemonOutdated(folder, program), false)
})
