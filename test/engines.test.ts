import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { engines } from './support/engines.ts'

test('docs/engines.md tells every difference that is expected of an engine, and no other', async () => {
  const page = await readFile(new URL('../docs/engines.md', import.meta.url), 'utf8')
  const told = [...page.matchAll(/^\| (?!What|---)([^|]+) \| [^|]+ \|$/gm)].map(([, why]) => why)
  assert.deepEqual(
    told,
    engines['podman']?.differences.map(({ why }) => why),
  )
  assert.deepEqual(engines['sid']?.differences, [])
})

test('the test files for the engines are there', () => {
  for (const { files } of Object.values(engines)) {
    for (const file of files) assert.ok(existsSync(new URL(`host/${file}.test.ts`, import.meta.url)), file)
  }
})
