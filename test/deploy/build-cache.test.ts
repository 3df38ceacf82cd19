import assert from 'node:assert/strict'
import { test } from 'node:test'
import { removeBuildCaches } from '../../src/deploy/build-cache.ts'
import { fakeEngine } from '../docker/fake-engine.ts'

const entry = (ID: string, Description: string, Type = 'exec.cachemount') => ({ ID, Type, Description })

test("a service's build caches are removed, one by one, and no others", async (t) => {
  const { docker, requests } = await fakeEngine(t, ({ path }) => ({
    json: path.endsWith('/system/df')
      ? {
          BuildCache: [
            entry('a', 'cached mount /c from exec /bin/sh -c npm i with id "s1-web/npm"'),
            entry('b', 'cached mount /c from exec /bin/sh -c npm i with id "s1-web//root/.npm"'),
            entry('c', 'cached mount /c from exec /bin/sh -c npm i with id "s1-web2/npm"'),
            entry('d', 'cached mount /c from exec echo " with id "s1-web/npm" with id "s1-other/npm"'),
            entry('e', 'cached mount /c from exec /bin/sh -c npm i'),
            entry('f', 'mount / from exec x with id "s1-web/npm"', 'regular'),
          ],
        }
      : { CachesDeleted: [], SpaceReclaimed: 0 },
  }))
  const removed = await removeBuildCaches({ server: 's1', docker }, 'web')
  const pruned = requests.filter(({ path }) => path.endsWith('/build/prune')).map(({ query }) => query['filters'])
  assert.deepEqual(removed, ['build cache npm', 'build cache /root/.npm'])
  assert.deepEqual(
    pruned.map((filters) => JSON.parse(String(filters)) as unknown),
    [{ id: ['a'] }, { id: ['b'] }],
  )
})

test('an engine that does not say whose caches are whose keeps them', async (t) => {
  const { docker } = await fakeEngine(t, () => ({ status: 500, json: { message: 'no' } }))
  assert.deepEqual(await removeBuildCaches({ server: 's1', docker }, 'web'), [])
  const old = await fakeEngine(t, () => ({ json: {} }), { apiVersion: '1.41' })
  assert.deepEqual(await removeBuildCaches({ server: 's1', docker: old.docker }, 'web'), [])
})
