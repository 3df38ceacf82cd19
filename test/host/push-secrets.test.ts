import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { world } from '../support/world.ts'

test('a release that a limited key deployed gets no secret of all, whoever makes its containers anew', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, quick)
  const ci = await mkdtemp(join(tmpdir(), 'mypaas-ci-'))
  t.after(() => rm(ci, { recursive: true, force: true }))
  await w.ok(['server', 'key', 'add', '--services', 'x-*', await userKeyOf(ci)])
  await w.addSecrets({ GLOBAL_SECRET: 'global-s3cr3t' })
  await startDaemon(t, w)
  const server = socketOf(w)
  const env = { HOME: ci }
  const name = 'x-gs'
  const directory = await w.service(name, { directives: ['env=GLOBAL_SECRET'] })
  const journal = () => readFile(join(w.home, '_mypaas', 'services', `${name}.json`), 'utf8')
  const secretIn = async (container: string): Promise<string | undefined> => {
    const { Config } = await w.docker.containers.inspect(container)
    return Config.Env?.find((variable) => variable.startsWith('GLOBAL_SECRET='))
  }
  const current = async () => `${w.instance}-${(await w.runningNames(name)).at(-1)}`

  await w.ok(['env', 'set', server, 'GLOBAL_SECRET', '--service', name], { env, input: 'dummy-value' })
  await w.ok(['push', server, directory], { env })
  assert.match(await journal(), /"secretsFrom": "service"/)
  assert.equal(await secretIn(await current()), 'GLOBAL_SECRET=dummy-value')
  const removed = await w.ok(['env', 'rm', server, 'GLOBAL_SECRET', '--service', name], { env })
  assert.match(
    removed.stderr,
    /x-gs runs on with it until a deploy or restart, and can't be started again without it\./,
  )

  await t.test('not by a start, which changes nothing', async () => {
    await w.ok(['stop', server, name], { env })
    const before = await journal()
    for (const args of [
      ['start', server, name],
      ['run', server, name, '--', 'env'],
    ]) {
      const { code, stdout, stderr } = await w.cli(args, { env })
      assert.equal(code, 2, stderr)
      assert.match(stderr, /x-gs has no GLOBAL_SECRET of its own/)
      assert.doesNotMatch(stdout + stderr, /global-s3cr3t/)
    }
    const local = await w.cli(['server', 'start', name])
    assert.equal(local.code, 2, 'nor by a start of the server itself')
    assert.equal(await journal(), before)
    await w.ok(['server', 'reconcile', name])
    assert.deepEqual(await w.runningNames(name), [])
  })

  await t.test('not by the daemon, which finds its container gone', async () => {
    await w.ok(['env', 'set', server, 'GLOBAL_SECRET', '--service', name], { env, input: 'dummy-value' })
    await w.ok(['start', server, name], { env })
    await w.ok(['env', 'rm', server, 'GLOBAL_SECRET', '--service', name], { env })
    await w.docker.containers.remove(await current(), { force: true })
    const failed = await w.cli(['server', 'reconcile', name, '--wait', '30s'])
    assert.equal(failed.code, 6, failed.stderr)
    assert.match(failed.stderr, /its current release, does not run: x-gs has no GLOBAL_SECRET of its own/)
    assert.deepEqual(await w.runningNames(name), [])
  })

  await t.test('not by a restart or a rollback of somebody who may give it', async () => {
    await w.ok(['env', 'set', server, 'GLOBAL_SECRET', '--service', name], { env, input: 'dummy-value' })
    await w.ok(['server', 'reconcile', name, '--wait', '30s'])
    await w.ok(['server', 'restart', name, '--wait', '30s'])
    assert.match(await journal(), /"secretsFrom": "service"/)
    await w.ok(['env', 'rm', server, 'GLOBAL_SECRET', '--service', name], { env })
    for (const args of [
      ['restart', name],
      ['rollback', name, 'r1'],
    ]) {
      const { code, stderr } = await w.cli(['server', ...args, '--wait', '30s'])
      assert.equal(code, 2, stderr)
      assert.match(stderr, /x-gs has no GLOBAL_SECRET of its own/)
    }
    assert.equal(await secretIn(await current()), 'GLOBAL_SECRET=dummy-value', 'what runs runs on')
  })

  await t.test('but by a deploy of theirs', async () => {
    await w.deploy(directory, '--wait', '30s')
    assert.match(await journal(), /"secretsFrom": "server"/)
    assert.equal(await secretIn(await current()), 'GLOBAL_SECRET=global-s3cr3t')
    const image = await w.docker.images.inspect(`${w.instance}-${name}:r3`)
    assert.equal(image.Config?.Labels?.['mypaas.image.secrets'], 'server')
  })

  await t.test('and what a limited key has made anew of that has no more than its own again', async () => {
    const before = await journal()
    const { code, stderr } = await w.cli(['restart', server, name], { env })
    assert.equal(code, 2, stderr)
    assert.equal(await journal(), before)
    await w.docker.containers.remove(await current(), { force: true })
    await w.ok(['server', 'reconcile', name, '--wait', '30s'])
    assert.equal(await secretIn(await current()), 'GLOBAL_SECRET=global-s3cr3t', 'it gets what the release may have')
  })
})
