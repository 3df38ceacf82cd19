import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { readHistory, recordRelease } from '../../src/deploy/history.ts'
import { type Journal, journalledServices, readJournal, writeJournal } from '../../src/deploy/journal.ts'
import { refuseUnlessCurrent } from '../../src/deploy/operate.ts'
import { MypaasError } from '../../src/errors.ts'
import { parseSpec } from '../../src/service/parse.ts'

const journal: Journal = { version: 1, service: 'blog', server: 'abc', lastRelease: 3 }

test('a journal is read as it was written, and nothing but it is left in the directory', async (t) => {
  const directory = await folder(t)
  assert.equal(await readJournal(directory, 'blog'), undefined)
  await writeJournal(directory, journal)
  await writeJournal(directory, { ...journal, lastRelease: 4 })
  assert.deepEqual(await readJournal(directory, 'blog'), { ...journal, lastRelease: 4 })
  assert.deepEqual((await readdir(join(directory, 'services'), { recursive: true })).sort(), ['blog', 'blog.json'])
  assert.deepEqual(await journalledServices(directory), ['blog'])
})

test('a journal that mypaas did not write asks for a person, and is named', async (t) => {
  const directory = await folder(t)
  const spec = parseSpec('# mypaas.service=blog\n# mypaas.url=http://a.test\n# mypaas.volume=~/x:/x\nFROM scratch')
  const current = { release: 3, image: 'i', spec, deployedAt: '' }
  const whole = { ...journal, current, previous: [{ ...current, release: 2 }] }
  await writeJournal(directory, whole)
  assert.deepEqual(await readJournal(directory, 'blog'), JSON.parse(JSON.stringify(whole)))
  const file = join(directory, 'services', 'blog.json')
  const refused = async (what: string): Promise<void> =>
    assert.rejects(readJournal(directory, 'blog'), (error) => {
      assert.ok(error instanceof MypaasError, what)
      assert.equal(error.code, 'degraded', what)
      assert.ok(error.message.includes(file), what)
      return true
    })
  const texts = [
    '',
    '\0\0\0',
    '{"version":1',
    '{"version":1,"service":"shop","lastRelease":1}',
    'null',
    '7',
    '{}',
    '[]',
  ]
  const withSpec = (change: object): object => ({ ...whole, current: { ...current, spec: { ...spec, ...change } } })
  const values = [
    { ...whole, lastRelease: -5 },
    { ...whole, lastRelease: 'three' },
    { ...whole, current: null },
    { ...whole, current: { ...current, spec: undefined } },
    { ...whole, current: { ...current, release: '3' } },
    { ...whole, next: 7 },
    { ...whole, previous: 7 },
    { ...whole, previous: [7] },
    withSpec({ service: 'shop' }),
    withSpec({ urls: 'http://a.test' }),
    withSpec({ urls: [null] }),
    withSpec({ volumes: [{}] }),
    withSpec({ env: {} }),
    withSpec({ publish: undefined }),
    withSpec({ port: '80' }),
    withSpec({ scale: -1 }),
    withSpec({ rollout: 'all' }),
    withSpec({ healthcheck: '/up' }),
  ]
  for (const text of [...texts, ...values.map((value) => JSON.stringify(value))]) {
    await writeFile(file, text)
    await refused(text)
  }
  await rm(file)
  await mkdir(file)
  await refused('a directory')
})

test('a line of the history that is no entry is passed over, and a history that is no file is named', async (t) => {
  const directory = await folder(t)
  const entry = { release: 1, action: 'deploy', from: '.', who: 'ann', at: '2026-01-01', outcome: 'live' } as const
  await recordRelease(directory, 'blog', entry)
  const file = join(directory, 'services', 'blog', 'history.jsonl')
  const lines = ['{', 'null', '7', '{"release":2}', JSON.stringify({ ...entry, receipt: {} })]
  await appendFile(file, `\0\n${lines.join('\n')}\n`)
  assert.deepEqual(await readHistory(directory, 'blog'), [entry])
  await rm(file)
  await mkdir(file)
  await assert.rejects(readHistory(directory, 'blog'), { code: 'degraded', message: /history\.jsonl, can't be read/ })
})

test('a server without services has none', async (t) => {
  assert.deepEqual(await journalledServices(await folder(t)), [])
})

test('who expects another release to be current is refused, naming both', async (t) => {
  const directory = await folder(t)
  await refuseUnlessCurrent(directory, 'blog', undefined)
  await refuseUnlessCurrent(directory, 'blog', 0)
  await assert.rejects(refuseUnlessCurrent(directory, 'blog', 3), { code: 'locked', message: /is none, not r3\.$/ })
  const spec = parseSpec('# mypaas.service=blog\nFROM scratch')
  await writeJournal(directory, { ...journal, current: { release: 3, image: 'i', spec, deployedAt: '' } })
  await refuseUnlessCurrent(directory, 'blog', 3)
  await assert.rejects(refuseUnlessCurrent(directory, 'blog', 2), { code: 'locked', message: /is r3, not r2\.$/ })
})

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-journal-'))
  t.after(() => rm(directory, { recursive: true }))
  return directory
}
