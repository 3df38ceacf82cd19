import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { inventory } from '../support/inventory.ts'
import { startLoad } from '../support/load.ts'
import { type ServiceFiles, world } from '../support/world.ts'

const program = await compiledProgram({ after })

const url = 'url=http://one.test'

test('a release that the router can not reach is not committed: exit code 1, where it listens, what to set, nothing lost', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const orders: Readonly<Record<string, readonly string[]>> = {
    'one writer': [],
    'all at once': ['scale=2 safe'],
    'side by side': ['scale=1'],
  }
  const ownAddress = [
    /one-r\d+-1 does not answer on http:\/\/one\.test by the router's network \S+-mypaas-gate: it listens on [\d.]+:80 only\./,
    /0\.0\.0\.0:80/,
    /# mypaas\.env = HOSTNAME=0\.0\.0\.0/,
  ]
  const habits: Readonly<Record<string, { app: ServiceFiles['app']; says: readonly RegExp[] }>> = {
    'listens on what $HOSTNAME says': { app: { BIND: 'hostname' }, says: ownAddress },
    'listens on each address that it had at its start': {
      app: { BIND: 'each' },
      says: [/it listens on 127\.0\.0\.1:80, [\d.]+:80 only\./, /0\.0\.0\.0:80/],
    },
    'hangs up on whoever comes by another network': {
      app: { ONE_NETWORK: 1 },
      says: [
        /one-r\d+-1 does not answer .* by the router's network \S+-mypaas-gate/,
        /docker network inspect \S+-mypaas-gate/,
      ],
    },
  }
  for (const [order, directives] of Object.entries(orders)) {
    const good = await w.service('one', { directives: [url, ...directives] })
    await w.deploy(good)
    const before = await inventory(w)
    const { release } = (await w.request('http://one.test/')).json()
    for (const [habit, { app, says }] of Object.entries(habits)) {
      await t.test(`${order}: ${habit}`, async () => {
        const directory = await w.service('one', { directives: [url, ...directives], ...(app ? { app } : {}) })
        await using load = await startLoad({ url: 'http://one.test/', port: w.ports.http, clients: { get: 2 } })
        const result = await w.cli(['server', 'deploy', directory])
        assert.deepEqual((await load.stop()).failures, [])
        assert.equal(result.code, 1, result.output)
        for (const pattern of says) assert.match(result.stderr, pattern)
        assert.match(result.stderr, new RegExp(`^ {2}${release} serves as before\\.$`, 'm'))
        assert.deepEqual(await inventory(w), before)
        assert.equal((await w.request('http://one.test/')).json()['release'], release)
      })
    }
  }
  await t.test('the line that the report names helps', async () => {
    const directives = [url, 'env = HOSTNAME=0.0.0.0']
    await w.deploy(await w.service('one', { directives, app: { BIND: 'hostname' } }))
    assert.equal((await w.request('http://one.test/')).status, 200)
  })
  await t.test('a first release is told the same, and leaves nothing', async () => {
    const directory = await w.service('new', { directives: ['url=http://new.test'], app: { BIND: 'hostname' } })
    const result = await w.cli(['server', 'deploy', directory])
    assert.equal(result.code, 1, result.output)
    assert.match(result.stderr, /new-r1-1 does not answer on .* it listens on [\d.]+:80 only\./)
    assert.match(result.stderr, /# mypaas\.env = HOSTNAME=0\.0\.0\.0/)
    assert.deepEqual(await w.containers('new'), [])
  })
})
