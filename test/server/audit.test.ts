import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Audit, type AuditOptions } from '../../src/server/audit.ts'

type Line = { detail: string; times?: number }

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

const denied = (detail: string, from = '192.0.2.7') => ({ ...entry(detail), from, outcome: 'denied' }) as const

test('refusals of strangers that are alike are one line at once and one with their count in the end', async (t) => {
  const { folder, audit, lines } = await auditIn(t, {})
  for (let number = 0; number < 1000; number += 1) {
    await audit.stranger(denied('no'))
    if (number % 10 === 0) await audit.stranger(denied('nor this'))
  }
  const shown = async () => (await lines('refused.log')).map(({ detail, times }) => [detail, times])
  assert.deepEqual(await shown(), [
    ['no', undefined],
    ['nor this', undefined],
  ])
  await audit.close()
  assert.deepEqual((await shown()).slice(2), [
    ['no', 999],
    ['nor this', 99],
  ])
  assert.deepEqual(await readdir(folder), ['refused.log'])
})

test('whatever strangers do, what keys did stays, and what is written of strangers is little', async (t) => {
  const { folder, audit, lines } = await auditIn(t, { maxBytes: 20_000, kept: 2, mergeMs: 1 })
  await audit.write(entry('the one line that counts'))
  for (let number = 0; number < 50_000; number += 1) {
    await audit.stranger(denied(`no ${number} ${'x'.repeat(300)}`, `192.0.2.${number % 250}`))
    if (number % 5_000 === 0) await audit.close()
  }
  await audit.close()
  assert.deepEqual(
    (await lines('audit.log')).map(({ detail }) => detail),
    ['the one line that counts'],
  )
  const sizes = (await readdir(folder)).map(async (file) => (await stat(join(folder, file))).size)
  const all = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
  assert.ok(all < 20_000, `${all} bytes`)
  assert.match((await lines('refused.log')).at(-1)?.detail ?? '', /^more, of many kinds|^no /)
})

test('who varies what is said of them is counted with the others', async (t) => {
  const { audit, lines } = await auditIn(t, {})
  for (let number = 0; number < 5_000; number += 1) await audit.stranger(denied(`no ${number}`))
  await audit.close()
  const all = await lines('refused.log')
  assert.equal(all.length, 61)
  assert.deepEqual([all.at(-1)?.detail, all.at(-1)?.times], ['more, of many kinds', 4_940])
})
