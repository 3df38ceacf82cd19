import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MypaasError } from '../../src/errors.ts'
import { setKey, tomlText, unsetKey } from '../../src/server/config-text.ts'
import { parseToml } from '../../src/server/toml.ts'

const text = `# mine
[server]
keep_releases = 3 # few

[env]
A = "1" # of all

[ services . "blog.api" . env ] # spaces and quotes
A = '2'
"B" = "3"

[services.shop.env]
A = "4"
`

test('a table is found however its name is written, and only the one line changes', () => {
  assert.equal(setKey(text, ['services', 'blog.api', 'env'], 'A', '"new"'), text.replace("A = '2'", 'A = "new"'))
  assert.equal(setKey(text, ['services', 'blog.api', 'env'], 'B', '"new"'), text.replace('"B" = "3"', 'B = "new"'))
  assert.equal(setKey(text, ['services', 'shop', 'env'], 'A', '"new"'), text.replace('A = "4"', 'A = "new"'))
  assert.equal(unsetKey(text, ['services', 'blog.api', 'env'], 'B'), text.replace('"B" = "3"\n', ''))
  assert.equal(unsetKey(text, ['services', 'blog', 'env'], 'B'), text, 'there is none')
  assert.equal(unsetKey(text, ['services', 'shop', 'env'], 'B'), text, 'there is none')
})

test('a name is one name, whatever is in it', () => {
  const name = 'vpn".env]\n[services.vpn]\ncapabilities = ["SYS_ADMIN"]\n[services."vpn2'
  const after = setKey(text, ['services', name, 'env'], 'A', '"v"')
  assert.ok(after.startsWith(text.trimEnd()))
  const { services } = parseToml(after) as { services: Record<string, unknown> }
  assert.deepEqual(Object.keys(services), ['blog.api', 'shop', name])
  assert.equal(unsetKey(after, ['services', name, 'env'], 'A').includes('A = "v"'), false)
})

test('what lines only look like is not changed, and what only a person can change is refused', () => {
  const tricky = [
    '[services.blog]\nenv = { A = "1" }\n',
    '[services]\nblog.env.A = "1"\n',
    '[services.blog.env]\nA = """\nof several\nlines"""\n',
  ]
  const refused = (error: unknown): boolean => error instanceof MypaasError && error.code === 'usage'
  const table = ['services', 'blog', 'env']
  for (const before of tricky) {
    assert.throws(() => setKey(before, table, 'A', '"new"'), refused)
    assert.throws(() => unsetKey(before, table, 'A'), refused)
  }
  for (const before of [
    '[server]\nnote = """\n[services.blog.env]\nA = "0"\n"""\n',
    "[services.blog.env]\nB = '''\nA = 1\n'''\n",
  ]) {
    assert.throws(() => setKey(before, table, 'A', '"new"'), refused)
    assert.equal(unsetKey(before, table, 'A'), before, 'there is none')
  }
})

test('whatever the names and values are, exactly that key has exactly that value after it', () => {
  const word = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 30 }),
    fc.constantFrom(
      '"',
      "'",
      '\\',
      '\n',
      ']',
      '[x]',
      'a.b',
      '__proto__',
      'constructor',
      '"]\n[x]\ny = 1\n["',
      '\u007f',
      '\u0000',
    ),
  )
  fc.assert(
    fc.property(word, word, word, (service, key, value) => {
      const table = ['services', service, 'env']
      const after = setKey(text, table, key, tomlText(value))
      const read = (toml: string): unknown =>
        ['services', service, 'env', key].reduce<unknown>(
          (found, name) => (found as Record<string, unknown> | undefined)?.[name],
          parseToml(toml),
        )
      assert.equal(read(after), value)
      assert.equal(read(unsetKey(after, table, key)), undefined)
      const without = (toml: string) =>
        toml.split('\n').filter((line) => text.split('\n').includes(line) && line !== '')
      assert.ok(without(after).length >= without(text).length - 1)
    }),
    { numRuns: 2000 },
  )
})
