import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { directiveKeys } from '../../src/service/keys.ts'
import { parseServiceName } from '../../src/service/names.ts'
import { parseSpec } from '../../src/service/parse.ts'

const page = readFileSync(new URL('../../docs/directives.md', import.meta.url), 'utf8')
const blocks = [...page.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({
  language,
  text,
}))

test('the page has a section and a row for each directive, in their order', () => {
  const sections = [...page.matchAll(/^## ([a-z_, ]+)$/gm)].flatMap(([, title = '']) => title.split(', '))
  assert.deepEqual(sections, directiveKeys)
  const rows = [...page.matchAll(/^\| `([a-z_]+)`/gm)].map(([, key]) => key)
  assert.deepEqual(rows, directiveKeys)
})

test('every example of the page can be deployed as it stands', () => {
  const examples = blocks.filter(({ language }) => language === 'dockerfile')
  assert.equal(examples.length, directiveKeys.length)
  for (const { text } of examples) {
    assert.ok(parseSpec(text.includes('mypaas.service') ? text : `# mypaas.service = x\n${text}`), text)
  }
})

test('the errors that the page shows are the ones that come', () => {
  const [shown] = blocks.filter(({ language }) => language === '')
  assert.throws(
    () => parseSpec('# mypaas.service = x\n# mypaas.prot = 8000\n# mypaas.maxmem = 500\nFROM x'),
    (error) => error instanceof Error && `${error.message}\n` === shown?.text,
  )
})

test('every name and ending that the page calls impossible is refused', () => {
  const [, sentence = ''] = /^.*Not possible are (.*)$/m.exec(page) ?? []
  const words = [...sentence.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word)
  assert.ok(words.length > 10)
  for (const word of words)
    assert.equal(
      parseServiceName(/^[a-z]/.test(word) ? word : `x${word}`, () => {}),
      undefined,
      word,
    )
})

test('every place of the home that the page calls private is refused, and no other', () => {
  const [, sentence = ''] = /Not mounted are (.*?)\. /.exec(page) ?? []
  const paths = [...sentence.matchAll(/`(~\/[^`]+)`/g)].map(([, path]) => path)
  assert.ok(paths.length >= 4, sentence)
  for (const path of paths) {
    assert.throws(() => parseSpec(`# mypaas.service=x\n# mypaas.volume=${path}:/x`), /is not mounted/, path)
  }
})
