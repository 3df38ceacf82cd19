import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { actions } from '../../src/server/actions.ts'
import { parseConfig } from '../../src/server/config.ts'
import { dropEmptyTable } from '../../src/server/config-text.ts'
import { parseToml } from '../../src/server/toml.ts'

type Secrets = Readonly<{
  set: (name: string, value: string, service?: string, services?: readonly string[]) => Promise<string>
  unset: (name: string, service?: string) => Promise<string>
  text: () => Promise<string>
  deployed: (service: string) => Promise<void>
}>

/** The config of a server, changed as a client does; what was refused comes back as a message. */
async function config(t: TestContext, text = '[env]\n'): Promise<Secrets> {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-limits-'))
  t.after(() => rm(directory, { recursive: true }))
  await mkdir(join(directory, 'services'))
  const file = join(directory, 'config.toml')
  await writeFile(file, text)
  const host = { directory, server: 's', docker: { containers: { list: async () => [] } } }
  const run = async (action: string, args: object, services: readonly string[] | undefined, body?: string) => {
    const server = { host, config: parseConfig(await readFile(file, 'utf8')) }
    try {
      await actions[action]?.run({ server, key: { services }, args, body } as never)
      return ''
    } catch (error) {
      if (error instanceof MypaasError) return error.message
      throw error
    }
  }
  return {
    set: (name, value, service, services) => run('env-set', { name, service }, services, value),
    unset: (name, service) => run('env-rm', { name, service }, undefined),
    text: () => readFile(file, 'utf8'),
    deployed: (service) =>
      writeFile(
        join(directory, 'services', `${service}.json`),
        JSON.stringify({ version: 1, service, server: 's', lastRelease: 1 }),
      ),
  }
}

const kib = (count: number): string => 'x'.repeat(count * 1024)

test('a value has at most 64 KiB, those of a service 256 KiB, whoever sets them', async (t) => {
  const { set, unset } = await config(t)
  assert.equal(await set('A', `${kib(64)}x`), 'The value has 65 KiB, at most 64 KiB are kept.')
  for (const service of [undefined, 'blog']) {
    for (const name of ['A', 'B', 'C']) assert.equal(await set(name, kib(64), service), '')
    assert.match(await set('D', kib(64), service), /^The secrets of .* have then 257 KiB, at most 256 KiB are kept\.$/)
    assert.equal(await set('D', kib(63), service), '')
    assert.equal(await unset('A', service), '')
    assert.equal(await set('E', kib(63), service), '')
  }
})

test('what is larger already can be made smaller', async (t) => {
  const { set } = await config(t, `[env]\nA = "${kib(300)}"\nB = "x"\n`)
  assert.match(await set('B', 'xx'), /^The secrets of all services have then 301 KiB/)
  assert.equal(await set('A', kib(60)), '')
})

test('values that are written in fewer letters than before count by their bytes all the same', async (t) => {
  const wide = await config(t)
  for (let n = 0; n < 80; n += 1) assert.equal(await wide.set(`A${n}`, kib(3), 'x-1', ['x-*']), '')
  let last = ''
  for (let n = 0; n < 80; n += 1) last ||= await wide.set(`A${n}`, '漢'.repeat(3 * 1024), 'x-1', ['x-*'])
  assert.match(last, /^The secrets of x-1 have then 2\d\d KiB, at most 256 KiB are kept\.$/)
  // Control characters are escapes in the file, six letters each, and count as such.
  const escaped = await config(t)
  for (let n = 0; n < 10; n += 1) assert.equal(await escaped.set(`A${n}`, '\u0001'.repeat(4 * 1024), 'x-1'), '')
  assert.match(await escaped.set('B', '\u0001'.repeat(4 * 1024), 'x-1'), /^The secrets of x-1 have then 265 KiB/)
  last = ''
  for (let n = 0; n < 10; n += 1) last ||= await escaped.set(`A${n}`, kib(27), 'x-1')
  assert.match(last, /^The secrets of x-1 have then 2\d\d KiB/)
})

test('a limited key makes sections for 20 services that are not here, and no more', async (t) => {
  const { set, deployed, unset, text } = await config(t, '[env]\n\n[services.other.env]\nA = "x"\n')
  const mine = ['x-*']
  for (let n = 0; n < 20; n += 1) assert.equal(await set('A', 'x', `x-${n}`, mine), '')
  assert.match(
    await set('A', 'x', 'x-20', mine),
    /^There are secrets of 20 services of the key that are not here: x-0, /,
  )
  assert.equal(await set('B', 'x', 'x-7', mine), '')
  assert.equal(await set('A', 'x', 'x-20'), '', 'by an unlimited key')
  await deployed('x-21')
  assert.equal(await set('A', 'x', 'x-21', mine), '')
  // What is removed leaves nothing behind.
  const before = await text()
  for (const n of [0, 1]) assert.equal(await unset('A', `x-${n}`), '')
  assert.doesNotMatch(await text(), /x-[01]\./)
  assert.ok((await text()).length < before.length)
  assert.equal(await set('A', 'x', 'x-1', mine), '')
})

test('a limited key fills at most a quarter of the config, and nobody more than all of it', async (t) => {
  const { set, deployed } = await config(t)
  let last = ''
  for (let n = 0; n < 5 && last === ''; n += 1) {
    await deployed(`x-${n}`)
    for (const name of ['A', 'B', 'C']) last ||= await set(name, kib(64), `x-${n}`, ['x-*'])
    last ||= await set('D', kib(63), `x-${n}`, ['x-*'])
  }
  assert.match(last, /^The secrets of the key's services have then 1,0\d\d KiB, at most 1,024 KiB are kept\.$/)
  assert.equal(await set('A', 'x', 'blog'), '')
  const full = await config(t, `[env]\n${`# ${'x'.repeat(1000)}\n`.repeat(4180)}`)
  assert.match(await full.set('A', kib(20)), /config.toml has then 4,\d+ KiB, at most 4,096 KiB are kept/)
})

test('only a table with nothing in it is taken out, not what a person wrote there', () => {
  const path = ['services', 'a.b', 'env']
  for (const [before, after] of [
    ['[env]\nA = "x"\n\n[services."a.b".env]\n', '[env]\nA = "x"\n'],
    ['[services."a.b".env]\n\n[services.c.env]\nA = "x"\n', '\n[services.c.env]\nA = "x"\n'],
    ['[services."a.b"]\nvolumes = []\n\n[services."a.b".env]\n', '[services."a.b"]\nvolumes = []\n'],
    ['[services."a.b".env] # mine\n', undefined],
    ['[services."a.b".env]\n# B = "…"\n', undefined],
    ['[services."a.b".env]\nA = "x"\n', undefined],
    ['[services]\n"a.b" = { env = {} }\n', undefined],
    ['A = """\n\n[services."a.b".env]\n"""\n[services."a.b"]\nenv = {}\n', undefined],
  ] as const) {
    assert.ok(parseToml(before))
    assert.equal(dropEmptyTable(before, path), after ?? before)
  }
})
