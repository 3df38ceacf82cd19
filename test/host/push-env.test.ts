import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { world } from '../support/world.ts'

test('secrets of every name, in a config written in every way', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, quick)
  const laptop = await mkdtemp(join(tmpdir(), 'mypaas-laptop-'))
  t.after(() => rm(laptop, { recursive: true, force: true }))
  await w.ok(['server', 'key', 'add', await userKeyOf(laptop)])
  await startDaemon(t, w)
  const server = socketOf(w)
  const env = { HOME: laptop }
  const file = join(w.home, '_mypaas', 'config.toml')
  const names = async (...more: string[]) =>
    (await w.ok(['env', 'ls', server, ...more], { env })).stdout.split('\n').filter(Boolean)
  const variables = async (service: string): Promise<readonly string[]> => {
    const [container] = await w.containers(service)
    return (await w.docker.containers.inspect(container?.Id ?? '')).Config.Env ?? []
  }

  await t.test('a name with dots is set, listed, given to the container and removed', async () => {
    const name = 'spring.datasource.password'
    const directory = await w.service('dot', { directives: [`env=${name}`] })
    const missing = await w.cli(['push', server, directory], { env })
    assert.match(missing.stderr, new RegExp(`"${name}" = "…"`))
    assert.match(missing.stderr, new RegExp(`mypaas env set \\S+ ${name}`))
    await w.ok(['env', 'set', server, name], { env, input: 'of all' })
    await w.ok(['env', 'set', server, name, '--service', 'dot'], { env, input: 'its own' })
    assert.deepEqual([await names(), await names('--service', 'dot')], [[name], [name]])
    await w.ok(['push', server, directory], { env })
    assert.ok((await variables('dot')).includes(`${name}=its own`))
    assert.match(
      (await w.ok(['exec', server, 'dot', '--', 'env'], { env })).stdout,
      new RegExp(`^${name}=its own$`, 'm'),
    )
    await w.ok(['env', 'rm', server, name, '--service', 'dot'], { env })
    await w.ok(['restart', server, 'dot'], { env })
    assert.ok((await variables('dot')).includes(`${name}=of all`))
  })

  await t.test('a secret of several lines is not taken for others', async () => {
    const text = `[env]\nDOTENV = """\nAPP_ENV = production\nDB_PASS = old\n""" # whole\n`
    const before = (await readFile(file, 'utf8')).replace(/^\[env\]\n/m, text)
    await writeFile(file, before)
    const refused = await w.cli(['env', 'rm', server, 'APP_ENV'], { env })
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /There is no APP_ENV for all services, so nothing was removed/)
    await w.ok(['env', 'set', server, 'DB_PASS'], { env, input: 'new' })
    assert.equal(await readFile(file, 'utf8'), before.replace('[env]\n', '[env]\nDB_PASS = "new"\n'))
    assert.ok((await names()).includes('DB_PASS'))
    await w.ok(['env', 'set', server, 'DOTENV'], { env, input: 'A=1\nB=2\n' })
    assert.match(await readFile(file, 'utf8'), /^DOTENV = "A=1\\nB=2" # whole$/m)
  })

  await t.test('a config with dotted keys and inline tables is changed as it is written', async () => {
    const before = `${await readFile(file, 'utf8')}\n[services]\nblog.env."a.b" = "1"\nshop = { env = { A = "1" } } # mine\n`
    await writeFile(file, before)
    await w.ok(['env', 'set', server, 'B', '--service', 'blog'], { env, input: '2' })
    await w.ok(['env', 'set', server, 'B', '--service', 'shop'], { env, input: '2' })
    assert.deepEqual(
      [await names('--service', 'blog'), await names('--service', 'shop')],
      [
        ['B', 'a.b'],
        ['A', 'B'],
      ],
    )
    await w.ok(['env', 'rm', server, 'B', '--service', 'blog'], { env })
    await w.ok(['env', 'rm', server, 'B', '--service', 'shop'], { env })
    assert.equal(await readFile(file, 'utf8'), before)
  })

  await t.test('a value of bytes that are no text is refused, and nothing is kept', async () => {
    const before = await readFile(file, 'utf8')
    const refused = await w.cli(['env', 'set', server, 'KEYSTORE'], {
      env,
      input: Buffer.from('line\n\xfe\xed\xfe\xed', 'latin1'),
    })
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /The value is not text: line 2 has bytes that are no UTF-8/)
    assert.match(refused.stderr, /base64 -w0 FILE \| mypaas env set \S+ KEYSTORE/)
    assert.equal(await readFile(file, 'utf8'), before)
  })
})
