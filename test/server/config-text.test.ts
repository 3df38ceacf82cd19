import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MypaasError } from '../../src/errors.ts'
import { setKey, tomlText, unsetKey } from '../../src/server/config-text.ts'
import { parseToml } from '../../src/server/toml.ts'
import { tryEdit } from '../support/toml-edits.ts'

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
  assert.equal(setKey(text, ['services', 'blog.api', 'env'], 'A', '"new"'), text.replace("'2'", '"new"'))
  assert.equal(setKey(text, ['services', 'blog.api', 'env'], 'B', '"new"'), text.replace('"3"', '"new"'))
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

const table = ['services', 'a.b', 'env']

test('a key is set in whatever way its table is written', () => {
  for (const [before, after] of [
    // In quotes, with a comment behind the head, in a text of several lines, with the value's own comment.
    ['[services."a.b".env] # mine\n"K" = 1 # k\n', '[services."a.b".env] # mine\n"K" = "v" # k\n'],
    ['[services.\'a.b\'.env]\nK = """\nA = 1\n""" # k\n', '[services.\'a.b\'.env]\nK = "v" # k\n'],
    // There is a head, and no key.
    ['[services."a.b".env] # mine\nA = 1\n', '[services."a.b".env] # mine\nK = "v"\nA = 1\n'],
    ['[services."a.b".env]', '[services."a.b".env]\nK = "v"\n'],
    ['[ services . "a\\u002eb".env ]\r\nA = 1\r\n', '[ services . "a\\u002eb".env ]\r\nK = "v"\r\nA = 1\r\n'],
    // Inline.
    ['[services."a.b"]\nenv = { A = 1, K = 2 }\n', '[services."a.b"]\nenv = { A = 1, K = "v" }\n'],
    ['[services."a.b"]\nenv = { A = 1 } # e\n', '[services."a.b"]\nenv = { A = 1, K = "v" } # e\n'],
    ['services = { "a.b" = {} }\n', 'services = { "a.b" = { env.K = "v" } }\n'],
    ['services = { "a.b".env.A = 1 }\n', 'services = { "a.b".env.A = 1, "a.b".env.K = "v" }\n'],
    // Dotted.
    ['[services]\n  "a.b" . env.A = 1 # a\n', '[services]\n  "a.b" . env.A = 1 # a\n  "a.b" . env.K = "v"\n'],
    ["[services]\n\"a.b\".env.K = '''\n1'''\n", '[services]\n"a.b".env.K = "v"\n'],
    // Nothing of it yet.
    ['[services]\n"a.b".volumes = []', '[services]\n"a.b".volumes = []\n\n[services."a.b".env]\nK = "v"\n'],
    [
      '[env]\nA = """\n[services."a.b".env]\nK = 1"""\n\n',
      '[env]\nA = """\n[services."a.b".env]\nK = 1"""\n\n[services."a.b".env]\nK = "v"\n',
    ],
    ['', '[services."a.b".env]\nK = "v"\n'],
    ['\uFEFF# mine\n', '\uFEFF# mine\n\n[services."a.b".env]\nK = "v"\n'],
  ] as const) {
    assert.equal(setKey(before, table, 'K', '"v"'), after)
  }
})

test('a key is removed in whatever way its table is written, with its line and no other', () => {
  for (const [before, after] of [
    ['[services."a.b".env] # mine\nA = 1\n"K" = 1 # k\nB = 2\n', '[services."a.b".env] # mine\nA = 1\nB = 2\n'],
    ['[services."a.b".env]\nK = """\nA = 1\n\\"""" # k\nB = 2\n', '[services."a.b".env]\nB = 2\n'],
    ['[services."a.b".env]\n\tK = [ # ]\n"]", ]', '[services."a.b".env]\n'],
    ['[services."a.b"]\nenv = { A = 1, K = 2 , B = 3 }\n', '[services."a.b"]\nenv = { A = 1, B = 3 }\n'],
    ['[services."a.b"]\nenv = { A = 1 , K = 2 } # e\n', '[services."a.b"]\nenv = { A = 1 } # e\n'],
    ['[services."a.b"]\nenv = { K = 2 }\n', '[services."a.b"]\nenv = { }\n'],
    ['[services]\n"a.b".env.A = 1\n"a.b".env.K = 2\n', '[services]\n"a.b".env.A = 1\n'],
    ['[services]\n"a.b" . env.K = 2 # k\n', '[services]\n"a.b" . env = {} # k\n'],
    ['services = { "a.b".env.K = 2 }\n', 'services = { "a.b".env = {} }\n'],
    ['\uFEFFservices."a.b".env.K = 2\nA = 1\n', '\uFEFFservices."a.b".env = {}\nA = 1\n'],
    // It only looks like that.
    ['[services."a.b".env]\nA = """\nK = 1\n"""\n', undefined],
    ['[services.a.b.env]\nK = 1\n', undefined],
  ] as const) {
    assert.equal(unsetKey(before, table, 'K'), after ?? before)
  }
})

test('what can only be changed together with something else is refused by its line', () => {
  for (const [before, line] of [
    ['# mine\n[[services]]\nx = 1\n', 2],
    ['services = [\n{ "a.b" = {} }]\n', 1],
    ['[services."a.b"]\n\nenv = "x"\n', 3],
    ['[services."a.b".env]\n\n[services."a.b".env.K]\nx = 1\n', 3],
    ['[services."a.b".env]\nA = 1\nK.x = 1\n', 3],
  ] as const) {
    assert.throws(
      () => setKey(before, table, 'K', '"v"'),
      (error) =>
        error instanceof MypaasError &&
        error.code === 'usage' &&
        error.message ===
          `config.toml:${line}: K of [services."a.b".env] can't be changed without a change of something else.`,
      before,
    )
  }
})

test('an edit of generated TOML changes one key or nothing', () => {
  const kinds = Array.from({ length: 1_000 }, (_, seed) => tryEdit(seed)?.kind)
  for (const kind of ['replaced', 'added', 'removed']) assert.ok(kinds.filter((one) => one === kind).length > 100, kind)
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
