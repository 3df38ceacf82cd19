import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ServiceStatus } from '../../src/server/status.ts'
import { compiledProgram } from '../support/compiled.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

test('status', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await w.init()
  await w.deploy(await w.service('web', { directives: ['url=https://web.test', 'scale=2', 'maxmem=200m'] }))

  await t.test('tells releases, replicas, routes, certificates, and what they take at the moment', async () => {
    const web = await statusOf(w, 'web')
    assert.deepEqual(
      {
        ...web,
        deployedAt: '',
        replicas: web.replicas.map(({ name, state, restarts }) => ({ name, state, restarts })),
      },
      {
        service: 'web',
        release: 1,
        running: 2,
        wanted: 2,
        stopped: false,
        urls: [`https://web.test:${w.ports.https}/`],
        routed: true,
        certificates: { 'web.test': 'none' },
        deployedAt: '',
        changedSecrets: [],
        replicas: [1, 2].map((n) => ({ name: `${w.instance}-web-r1-${n}`, state: 'running', restarts: 0 })),
      },
    )
    for (const { usage } of web.replicas) {
      assert.ok(usage && usage.memoryBytes > 1_000_000 && usage.memoryBytes < 200 * 1024 ** 2, JSON.stringify(usage))
      assert.equal(usage.memoryLimitBytes, 200 * 1024 ** 2)
      assert.ok(usage.cpus >= 0 && usage.cpus < 8)
    }
    const { stdout } = await w.ok(['server', 'status'])
    assert.match(stdout, /^service +release +running +cpu +memory +restarts +deployed +urls/)
    assert.match(
      stdout,
      /^web +r1 +2\/2 +\d+ % +[\d.]+ MiB +0 +\d{4}-\d\d-\d\d \d\d:\d\dZ +https:\/\/web\.test:\d+\/ +no certificate: web\.test$/m,
    )
  })

  await t.test('names what is not as it should be', async () => {
    await w.docker.containers.stop(`${w.instance}-web-r1-2`, { graceSeconds: 0 })
    assert.equal((await statusOf(w, 'web')).problem, '1 of 2 replicas do not run')
    await w.ok(['server', 'reconcile'])
    assert.equal((await statusOf(w, 'web')).problem, undefined)
    const directory = await w.service('sick', {
      directives: ['scale=1'],
      lines: ['HEALTHCHECK --interval=300ms --retries=1 CMD test ! -e /tmp/sick'],
    })
    await w.deploy(directory)
    await w.ok(['server', 'exec', 'sick', '--', 'touch', '/tmp/sick'])
    await until(async () => /^unhealthy: \S+-sick-r1-1$/.test((await statusOf(w, 'sick')).problem ?? ''), {
      what: 'the service to be sick',
    })
    await w.ok(['server', 'stop', 'sick'])
    assert.deepEqual([(await statusOf(w, 'sick')).stopped, (await statusOf(w, 'sick')).problem], [true, undefined])
  })

  await t.test('names secrets that were changed since, until a restart; so does init', async () => {
    await w.addSecrets({ TOKEN: 'one', OTHER: 'same' })
    await w.deploy(await w.service('wary', { directives: ['env=TOKEN', 'env=OTHER', 'env=PLAIN=x'] }))
    const file = join(w.home, '_mypaas', 'config.toml')
    await writeFile(file, (await readFile(file, 'utf8')).replace('TOKEN = "one"', 'TOKEN = "two"'))
    assert.deepEqual((await statusOf(w, 'wary')).changedSecrets, ['TOKEN'])
    assert.match((await w.ok(['server', 'status'])).stdout, /^wary .* older secrets: TOKEN \(until a restart\)$/m)
    const init = await w.init()
    assert.match(init.stderr, /^! wary runs with an older value of TOKEN: mypaas server restart wary$/m)
    assert.doesNotMatch(init.output, /two|OTHER/)
    await w.ok(['server', 'restart', 'wary'])
    assert.deepEqual((await statusOf(w, 'wary')).changedSecrets, [])
  })

  await t.test('all are restarted but the one that can not be, which is named', async () => {
    const before = (await statusOf(w, 'web')).release ?? 0
    const file = join(w.home, '_mypaas', 'config.toml')
    await writeFile(file, (await readFile(file, 'utf8')).replace('TOKEN = "two"\n', ''))
    const { code, stdout, stderr } = await w.cli(['server', 'restart', 'all'])
    assert.equal(code, 1)
    assert.match(stdout, /^router: restarted; nobody was served for \d+ ms$/m)
    assert.match(stderr, /^! The daemon is not run by systemd here/m)
    assert.match(stderr, /^✗ The server has no value for TOKEN, which wary wants/m)
    assert.equal((await statusOf(w, 'web')).release, before + 1)
  })

  await t.test('is shown again and again until Ctrl-C', async () => {
    const watching = w.spawnCli(['server', 'status', '--watch', '--json'])
    await watching.seen(/\n\[.*\n/)
    watching.kill('SIGINT')
    assert.equal((await watching.result).code, 0)
  })
})

async function statusOf(w: World, service: string): Promise<ServiceStatus> {
  const all = JSON.parse((await w.ok(['server', 'status', '--json'])).stdout) as ServiceStatus[]
  const found = all.find((status) => status.service === service)
  assert.ok(found, service)
  return found
}
