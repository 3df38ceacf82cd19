import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startLoad } from '../support/load.ts'
import { world } from '../support/world.ts'

test('what is live by its health check stays in the router by it', async (t) => {
  const w = await world(t)
  await w.init()
  const directives = ['scale=2', 'healthcheck=/up 1s 1s']
  const cases = [
    {
      name: 'picky',
      what: 'an app that answers to its own hosts only',
      url: 'http://picky.test/',
      files: { directives: [...directives, 'url=http://picky.test'], app: { HOSTS: 'picky.test' } },
    },
    {
      name: 'forced',
      what: 'an app that sends everybody to https, behind https',
      url: 'https://forced.test/',
      files: {
        directives: [...directives, 'url=https://forced.test'],
        app: { HOSTS: 'forced.test', FORCE_HTTPS: 1, READY_PATH: '/up' },
      },
    },
    {
      name: 'wild',
      what: 'an app of every host of a domain',
      url: 'http://any.wild.test/',
      files: {
        directives: [...directives, 'url=http://*.wild.test'],
        app: { HOSTS: 'any.wild.test,mypaas-probe.wild.test' },
      },
    },
  ]
  for (const { name, files } of cases) await w.deploy(await w.service(name, files))
  // Traefik asks for the first time after one interval, and takes out who fails.
  await sleep(3_500)
  for (const { what, url } of cases) {
    const answers = await Promise.all(Array.from({ length: 8 }, () => w.request(url)))
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]), what)
  }
  await using load = await startLoad({ url: 'http://picky.test/', port: w.ports.http, clients: { get: 2 } })
  await w.deploy(await w.service('picky', cases[0]?.files))
  await sleep(2_500)
  assert.deepEqual((await load.stop()).failures, [])
})
