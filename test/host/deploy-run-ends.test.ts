import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runIdentityLabels } from '../../src/deploy/identity.ts'
import { openServer } from '../../src/server/host.ts'
import { compiledProgram } from '../support/compiled.ts'
import { nodeImage } from '../support/images.ts'
import { until } from '../support/until.ts'
import { world } from '../support/world.ts'

test('a command in a container of its own is gone with whoever runs it', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await w.init()
  const directory = await w.service('job')
  await w.deploy(directory)
  const commands = async (): Promise<string[]> => {
    const label = [`mypaas.server=${await w.serverId()}`, 'mypaas.role=run']
    return (await w.docker.containers.list({ all: true, filters: { label } })).map((found) => w.nameOf(found))
  }
  const begin = async () => {
    const run = w.spawnCli(['server', 'run', 'job', '--', 'sh', '-c', 'echo begun; sleep 100; true'])
    await run.seen(/begun/)
    return run
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    await t.test(`${signal} ends it`, async () => {
      const run = await begin()
      run.kill(signal)
      const { code, output } = await run.result
      assert.equal(code, 130, output)
      assert.deepEqual(await commands(), [])
    })
  }

  for (const [what, mend] of [
    ['a reconcile', () => w.ok(['server', 'reconcile'])],
    ['the next deploy', () => w.deploy(directory)],
  ] as const) {
    await t.test(`one whose mypaas was killed is ended by ${what}; one that somebody is at is left alone`, async () => {
      const [killed, kept] = [await begin(), await begin()]
      killed.kill('SIGKILL')
      await killed.result
      assert.equal((await commands()).length, 2)
      await mend()
      await until(async () => (await commands()).length === 1, { what: 'one command' })
      kept.kill('SIGTERM')
      await kept.result
      assert.deepEqual(await commands(), [])
    })
  }

  await t.test('one that was made and never started goes, too', async () => {
    await using server = await openServer(w.home)
    const name = `${w.instance}-job-run-0123abcd`
    const Labels = runIdentityLabels(server.host, { service: 'job', release: 1, name })
    await w.docker.containers.create({ Image: await nodeImage(w.docker), Labels }, { name })
    await w.ok(['server', 'reconcile'])
    assert.deepEqual(await commands(), [])
  })
})
