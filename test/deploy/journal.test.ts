import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
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

test('a journal that mypaas did not write asks for a person', async (t) => {
  const directory = await folder(t)
  await writeJournal(directory, journal)
  for (const text of ['', '{"version":1', '{"version":1,"service":"shop","lastRelease":1}', 'null']) {
    await writeFile(join(directory, 'services', 'blog.json'), text)
    await assert.rejects(
      readJournal(directory, 'blog'),
      (error) => error instanceof MypaasError && error.code === 'degraded',
    )
  }
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
