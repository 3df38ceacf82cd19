import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { readConfig } from '../../src/server/config.ts'
import { initServer } from '../../src/server/init.ts'
import { compiledProgram } from '../support/compiled.ts'
import { startLoad } from '../support/load.ts'
import { type World, world } from '../support/world.ts'

test('a server from nothing, changed, broken and upgraded', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  const mypaas = join(w.home, '_mypaas')
  const key = await publicKey(w)

  await t.test('init makes config, router and the first key, readable for nobody else', async () => {
    const { stdout } = await w.init('--domain', 'paas.test', '--key', key)
    assert.match(stdout, /^key: SHA256:\S+ may push$/m)
    assert.match(stdout, /^daemon: start it where services are started here, as this user: mypaas server daemon$/m)
    const modes = ['.', 'config.toml', 'server.json', 'authorized_keys', 'traefik/acme']
    const found = await Promise.all(modes.map(async (path) => (await stat(join(mypaas, path))).mode & 0o777))
    assert.deepEqual(found, [0o700, 0o600, 0o600, 0o600, 0o700])
    assert.equal(await readFile(join(mypaas, 'authorized_keys'), 'utf8'), `${key}\n`)
  })

  await t.test('again it does nothing, and keeps what a person wrote', async () => {
    const file = join(mypaas, 'config.toml')
    const text = `${await readFile(file, 'utf8')}\n# mine\n`
    await writeFile(file, text)
    const { stdout } = await w.init('--domain', 'paas.test', '--key', key)
    assert.match(stdout, /config\.toml: unchanged\nrouter: unchanged/)
    assert.equal(await readFile(file, 'utf8'), text)
    assert.equal(await readFile(join(mypaas, 'authorized_keys'), 'utf8'), `${key}\n`)
  })

  await t.test('with other flags it shows what it would change, and without a yes changes nothing', async () => {
    const before = await readFile(join(mypaas, 'config.toml'), 'utf8')
    const { code, stderr } = await w.cli(['server', 'init', '--email', 'ops@example.com'])
    assert.equal(code, 2)
    assert.match(stderr, /config\.toml: - email = ""\n +config\.toml: \+ email = "ops@example\.com"\n/)
    assert.match(stderr, /router \S+: replaced; nobody is served for half a second to three meanwhile/)
    assert.match(stderr, /add --yes/)
    assert.equal(await readFile(join(mypaas, 'config.toml'), 'utf8'), before)
  })

  await t.test('what is no key is refused before anything is touched', async () => {
    const { code, stderr } = await w.cli(['server', 'init', '--yes', '--key', 'ssh-ed25519 nonsense'])
    assert.equal(code, 2)
    assert.match(stderr, /This is no public key/)
  })

  await t.test('an engine elsewhere is refused', async () => {
    const { code, stderr } = await w.cli(['server', 'init', '--yes'], {
      env: { DOCKER_HOST: 'ssh://nobody@127.0.0.1' },
    })
    assert.equal(code, 2)
    assert.match(stderr, /The Docker engine is on another machine/)
  })

  const directory = await w.service('web', { directives: ['url=http://web.test'] })
  await w.deploy(directory)
  assert.equal((await w.request('http://web.test/')).status, 200)

  await t.test('routes return after the files of the router were lost', async () => {
    await rm(join(mypaas, 'traefik'), { recursive: true })
    await w.ok(['server', 'reconcile'])
    assert.equal((await w.request('http://web.test/')).status, 200)
  })

  await t.test('routes return after the router was killed and removed', async () => {
    await w.docker.containers.remove(`${w.instance}-traefik`, { force: true })
    await w.ok(['server', 'reconcile'])
    assert.equal((await w.request('http://web.test/')).status, 200)
  })

  await t.test('a router that does not start is found out before the one that serves is touched', async () => {
    await using load = await startLoad({
      url: 'http://web.test/',
      port: w.ports.http,
      clients: { fresh: 2 },
      requestsPerSecond: 50,
    })
    await w.docker.images.tag('mypaas-test/node', { repo: `${w.instance}-no-router`, tag: 'latest' })
    const before = await w.docker.containers.inspect(`${w.instance}-traefik`)
    await w.set('router', 'image', `"${w.instance}-no-router:latest"`)
    const { code, stderr } = await w.cli(['server', 'init', '--yes'])
    assert.equal(code, 1)
    assert.match(stderr, /The router can't start: .*\n +Is \S+no-router:latest an image of Traefik\?/)
    assert.equal((await w.docker.containers.inspect(`${w.instance}-traefik`)).Id, before.Id)
    const { failed, requests } = await load.stop()
    assert.deepEqual([failed, requests > 20], [0, true], `${failed} of ${requests}`)
    await w.set('router', 'image', '"traefik:v3.7.15"')
    const names = (await w.docker.containers.list({ all: true })).flatMap(({ Names }) => Names)
    assert.deepEqual(
      names.filter((name) => name.startsWith(`/${w.instance}-traefik`)),
      [`/${w.instance}-traefik`],
    )
  })

  await t.test(
    'the router restarts and is upgraded under load; it is said for how long nobody was served',
    async () => {
      await using load = await startLoad({
        url: 'http://web.test/',
        port: w.ports.http,
        clients: { fresh: 4 },
        requestsPerSecond: 100,
      })
      const open = w.request('http://web.test/slow?ms=700')
      const restarted = await w.ok(['server', 'restart', 'router'])
      assert.equal((await open).status, 200)
      const [, ms = ''] = /^router: restarted; nobody was served for (\d+) ms$/m.exec(restarted.stdout) ?? []
      assert.ok(Number(ms) > 0 && Number(ms) < 10_000, restarted.output)
      await w.docker.images.tag('traefik:v3.7.15', { repo: `${w.instance}-traefik-image`, tag: 'v3' })
      const image = `${w.instance}-traefik-image:v3`
      const upgraded = await w.ok(['server', 'upgrade', '--image', image])
      t.diagnostic(`${restarted.stdout}${upgraded.stdout}`)
      assert.match(
        upgraded.stdout,
        /^router: replaced, traefik:v3\.7\.15 \(\w+\) → \S+ \(\w+\); nobody was served for \d+ ms$/m,
      )
      assert.match(await readFile(join(mypaas, 'config.toml'), 'utf8'), new RegExp(`^image = "${image}"$`, 'm'))
      assert.equal((await w.runningNames('web')).length, 1)
      await load.more(50)
      const { records } = await load.stop()
      const failed = records.filter(({ status }) => status !== 200)
      t.diagnostic(`${failed.length} of ${records.length} requests failed`)
      const last = records.slice(-50)
      assert.deepEqual(
        last.filter(({ status }) => status !== 200),
        [],
      )
      assert.match((await w.ok(['server', 'upgrade'])).stdout, /as before$/m)
    },
  )

  await t.test('what others write to the config during the pull or the question stays', async (inner) => {
    const registry = await hungRegistry(inner)
    const image = `${registry.host}/traefik:v3`
    await w.docker.images.tag('traefik:v3.7.15', { repo: `${registry.host}/traefik`, tag: 'v3' })
    inner.after(() => w.docker.images.remove(image))
    const upgrade = w.ok(['server', 'upgrade', '--image', image])
    await registry.asked
    await w.addSecrets({ MEANWHILE: 'x' })
    registry.answer()
    assert.match((await upgrade).stdout, /^router: replaced/m)
    const config = await readConfig(mypaas)
    assert.deepEqual([config.router.image, config.env['MEANWHILE']], [image, 'x'])
    const confirm = async (): Promise<boolean> => {
      await w.addSecrets({ LATER: 'y' })
      return true
    }
    await initServer({ home: w.home, email: 'ops@example.org', confirm })
    const then = await readConfig(mypaas)
    assert.deepEqual([then.router.email, then.env['LATER']], ['ops@example.org', 'y'])
    await w.set('router', 'email', '""')
    await w.ok(['server', 'upgrade', '--image', 'traefik:v3.7.15'])
  })

  await t.test('an image that is not to be had changes nothing', async () => {
    const { code, stderr } = await w.cli(['server', 'upgrade', '--image', 'no-such-router:v9'])
    assert.equal(code, 1)
    assert.match(stderr, /There is no no-such-router:v9 to be had/)
    assert.equal((await w.request('http://web.test/')).status, 200)
  })

  await t.test('a reboot is for the machine to do, at a time that it understands', async () => {
    const shutdown = join(w.home, 'bin', 'shutdown')
    await mkdir(join(w.home, 'bin'))
    await writeFile(
      shutdown,
      '#!/bin/sh\necho "$@" >> "$HOME/shutdowns"\n[ "$1" = -c ] || echo "Reboot scheduled for $2" >&2\n',
      { mode: 0o755 },
    )
    const env = { PATH: `${join(w.home, 'bin')}:${process.env['PATH']}` }
    const { stdout } = await w.ok(['server', 'schedule-reboot', '2h'], { env })
    assert.match(
      stdout,
      /^Reboot scheduled for \+120\nServices come back by themselves\. To take it back: .* cancel\n$/,
    )
    await w.ok(['server', 'schedule_reboot', '03:30'], { env })
    const { stdout: taken } = await w.ok(['server', 'schedule-reboot', 'cancel'], { env })
    assert.equal(taken, 'The machine does not reboot.\n')
    const lines = (await readFile(join(w.home, 'shutdowns'), 'utf8')).trim().split('\n')
    assert.deepEqual(lines, ['-r +120 mypaas server schedule-reboot', '-r 03:30 mypaas server schedule-reboot', '-c'])
    assert.equal((await w.cli(['server', 'schedule-reboot', 'tomorrow'], { env })).code, 2)
  })
})

async function publicKey(w: World): Promise<string> {
  const file = join(w.home, 'key')
  await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'anna@laptop', '-f', file])
  return (await readFile(`${file}.pub`, 'utf8')).trim()
}

/** A registry that does not answer the engine until it is told to, and then has nothing. */
async function hungRegistry(t: TestContext): Promise<{ host: string; asked: Promise<unknown>; answer: () => void }> {
  const waiting: (() => void)[] = []
  let isOpen = false
  const server = http.createServer((_, response) => {
    const refuse = (): unknown => response.writeHead(404).end('{}')
    if (isOpen) refuse()
    else waiting.push(refuse)
  })
  server.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: once(server, 'request'),
    answer() {
      isOpen = true
      for (const refuse of waiting) refuse()
    },
  }
}
