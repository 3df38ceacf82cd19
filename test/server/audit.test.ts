import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Audit, type AuditOptions } from '../../src/server/audit.ts'

type Line = { detail: string; notShown?: number; key?: string }

async function auditIn(
  t: TestContext,
  options: AuditOptions,
): Promise<{ folder: string; audit: Audit; lines: (file: string) => Promise<Line[]> }> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-audit-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const lines = async (file: string): Promise<Line[]> => {
    const text = await readFile(join(folder, file), 'utf8')
    assert.ok(text.endsWith('\n'))
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Line)
  }
  return { folder, audit: new Audit(folder, options), lines }
}

const entry = (detail: string) => ({ from: 'socket', action: 'push', outcome: 'done', detail }) as const

test('an audit log that is full is put aside whole, a few of them are kept, all for their user only', async (t) => {
  const { folder, audit, lines } = await auditIn(t, { maxBytes: 1000, kept: 2 })
  await Promise.all(Array.from({ length: 40 }, (_, number) => audit.write(entry(`line ${number}`))))
  const files = (await readdir(folder)).sort()
  assert.deepEqual(files, ['audit.log', 'audit.log.1', 'audit.log.2'])
  const all: string[] = []
  for (const file of files.toReversed()) {
    const { size, mode } = await stat(join(folder, file))
    assert.ok(size > 0 && size <= 1000, `${file}: ${size}`)
    assert.equal(mode & 0o777, 0o600)
    all.push(...(await lines(file)).map(({ detail }) => detail))
  }
  // In order, up to the last one: only the oldest are gone.
  assert.deepEqual(
    all,
    Array.from({ length: all.length }, (_, at) => `line ${40 - all.length + at}`),
  )
})

test('a daemon that is started anew appends, and one line that is larger than a file is written all the same', async (t) => {
  const { folder, audit, lines } = await auditIn(t, { maxBytes: 300 })
  await audit.write(entry('first'))
  await new Audit(folder, { maxBytes: 300 }).write(entry('second'))
  assert.deepEqual(
    (await lines('audit.log')).map(({ detail }) => detail),
    ['first', 'second'],
  )
  await audit.write(entry('x'.repeat(400)))
  assert.equal((await lines('audit.log')).length, 1)
  assert.equal((await lines('audit.log.1')).length, 2)
})

test('what strangers cause is counted beyond some lines a second; what was let in is always written', async (t) => {
  const { audit, lines } = await auditIn(t, { maxPerSecond: 3 })
  const denied = (detail: string) => ({ ...entry(detail), outcome: 'denied' }) as const
  // Within one second, wherever the clock stands.
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 })
  await Promise.all(Array.from({ length: 10 }, (_, number) => audit.write(denied(`no ${number}`))))
  await audit.write(entry('yes'))
  assert.deepEqual(
    (await lines('audit.log')).map(({ detail, notShown }) => [detail, notShown]),
    [
      ['no 0', undefined],
      ['no 1', undefined],
      ['no 2', undefined],
      ['yes', 7],
    ],
  )
})

test('a request that fails counts as a stranger’s unless it came with a key', async (t) => {
  const { audit, lines } = await auditIn(t, { maxPerSecond: 2 })
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 })
  const failed = { ...entry('no statement'), outcome: 'failed' } as const
  for (let number = 0; number < 5; number += 1) await audit.write(failed)
  await audit.write({ ...failed, key: 'SHA256:known' })
  assert.deepEqual(
    (await lines('audit.log')).map(({ key, notShown }) => [key, notShown]),
    [
      [undefined, undefined],
      [undefined, undefined],
      ['SHA256:known', 3],
    ],
  )
})
