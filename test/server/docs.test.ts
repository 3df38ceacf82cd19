import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { parseConfig } from '../../src/server/config.ts'
import { configTemplate } from '../../src/server/config-text.ts'

const page = await readFile(new URL('../../docs/server.md', import.meta.url), 'utf8')

for (const section of ['server', 'router'] as const) {
  const rows = rowsOf(section)

  test(`docs/server.md has every key of [${section}], and no other`, () => {
    assert.deepEqual(rows.map(({ key }) => key).sort(), keysOf(section).sort())
  })

  test(`docs/server.md has the default of every key of [${section}]`, () => {
    const lines = rows.flatMap(({ key, value }) => (value === '' ? [] : [`${key} = ${value}`]))
    assert.deepEqual(parseConfig([`[${section}]`, ...lines].join('\n'))[section], parseConfig('')[section])
  })
}

test('a new config.toml says of every key what is the default anyway', () => {
  const usual = { instance: '', bind: '', httpPort: 80, httpsPort: 443, adminPort: 8081, email: '', domain: '' }
  assert.deepEqual(parseConfig(configTemplate(usual)), parseConfig(''))
})

function rowsOf(section: string): readonly { key: string; value: string }[] {
  const text = page.split(`### \`[${section}]\`\n`)[1]?.split('\n### ')[0] ?? ''
  return [...text.matchAll(/^\| `(\w+)` \| (?:`(.*?)`)? ?\|/gm)].map(([, key = '', value = '']) => ({ key, value }))
}

/** As the config itself names them when one is wrong. */
function keysOf(section: string): string[] {
  try {
    parseConfig(`[${section}]\nno_such_key = 1\n`)
  } catch (error) {
    assert.ok(error instanceof MypaasError)
    return /; there are (.*)$/.exec(error.message)?.[1]?.split(', ') ?? []
  }
  throw new Error('an unknown key is taken')
}
