import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { changeConfig } from '../../src/server/change-config.ts'
import { readConfig } from '../../src/server/config.ts'
import { setKey } from '../../src/server/config-text.ts'

async function config(t: TestContext, bytes: string | Buffer): Promise<{ directory: string; file: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-config-'))
  t.after(() => rm(directory, { recursive: true }))
  const file = join(directory, 'config.toml')
  await writeFile(file, bytes, { mode: 0o600 })
  return { directory, file }
}

const addA = (text: string): string => setKey(text, 'env', 'A', '"x"')

test('changes at the same time all count', async (t) => {
  const { directory, file } = await config(t, '[env]\n')
  const names = Array.from({ length: 20 }, (_, number) => `N${number}`)
  await Promise.all(names.map((name) => changeConfig(directory, (text) => setKey(text, 'env', name, '"x"'))))
  assert.deepEqual(Object.keys((await readConfig(directory)).env).sort(), names.sort())
  assert.equal((await readFile(file, 'utf8')).split('\n').length, 22)
})

test('what would be no config any more is not written', async (t) => {
  const { directory, file } = await config(t, '[env]\n')
  await assert.rejects(
    changeConfig(directory, (text) => setKey(text, 'server', 'keep_releases', '0')),
    (error) => error instanceof MypaasError && error.message.includes('config.toml:4: server.keep_releases must be'),
  )
  assert.equal(await readFile(file, 'utf8'), '[env]\n')
})

test('bytes that are no UTF-8 are named by their line, and stay', async (t) => {
  const bytes = Buffer.from('# Gr\xf6\xdfe\n[env]\n', 'latin1')
  const { directory, file } = await config(t, Buffer.concat([Buffer.from('# é \uFFFD\n'), bytes]))
  await assert.rejects(
    changeConfig(directory, addA),
    (error) =>
      error instanceof MypaasError &&
      error.code === 'usage' &&
      error.message === `${file}:2: some bytes are no UTF-8, and would be others after a change.` &&
      error.hint?.includes(`iconv -f LATIN1 -t UTF-8 ${file}`) === true,
  )
  assert.ok((await readFile(file)).includes(bytes))
  // It is read as before: nobody is shut out by a comment.
  assert.deepEqual((await readConfig(directory)).env, {})
})

test('a config in UTF-16 is said to be that, one with a byte order mark in front is read and keeps it', async (t) => {
  for (const bytes of [
    Buffer.from('\uFEFF[env]\n', 'utf16le'),
    Buffer.from('\uFEFF[env]\n', 'utf16le').swap16(),
    Buffer.from('[env]\n', 'utf16le'),
  ]) {
    const { directory, file } = await config(t, bytes)
    await assert.rejects(
      readConfig(directory),
      (error) =>
        error instanceof MypaasError &&
        error.code === 'usage' &&
        error.message === `${file} is in UTF-16, as some editors and > of PowerShell write it.` &&
        error.hint?.includes('iconv -f UTF-16') === true,
    )
  }
  const { directory, file } = await config(t, '\uFEFF[env]\r\n')
  assert.deepEqual((await changeConfig(directory, addA)).env, { A: 'x' })
  assert.equal(await readFile(file, 'utf8'), '\uFEFF[env]\r\nA = "x"\r\n')
  await chmod(file, 0o600)
  assert.deepEqual((await readConfig(directory)).env, { A: 'x' })
})

test('a byte order mark in the middle, as cat leaves it, is named by its line', async (t) => {
  const { directory, file } = await config(t, '[server]\n\uFEFF[env]\nA = "x"\n')
  await assert.rejects(
    readConfig(directory),
    (error) =>
      error instanceof MypaasError &&
      error.message === `${file}:2: a byte order mark stands here, where two files were put together.` &&
      error.hint === `Remove it: sed -i '2s/\\xEF\\xBB\\xBF//' ${file}`,
  )
})
