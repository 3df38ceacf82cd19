import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { withoutRivals } from '../../src/router/rivals.ts'
import { refreshRouterFiles } from '../../src/router/router-files.ts'
import { openServer, routerContainer } from '../../src/server/host.ts'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf } from '../support/daemon.ts'
import { deployAsOfOld, hijacker, whoAnswers } from '../support/hijacker.ts'
import { nodeImage } from '../support/images.ts'
import { userKeyOf } from '../support/keys.ts'
import { gateway } from '../support/secured.ts'
import { until } from '../support/until.ts'
import { freePort, world } from '../support/world.ts'

test("what is the server's own is no service's", async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  const daemonPort = await freePort()
  await initWith(w, { ...quick, domain: 'paas.test' })
  await w.set('server', 'daemon_port', String(daemonPort))
  await w.init()
  const edge = await gateway(w)
  const daemon = w.spawnCli(['server', 'daemon'], { timeoutMs: 600_000 })
  t.after(async () => {
    daemon.kill('SIGTERM')
    await daemon.result
  })
  await daemon.seen(/for the router/)
  const { http, https, admin } = w.ports
  const ci = await mkdtemp(join(tmpdir(), 'mypaas-ci-'))
  t.after(() => rm(ci, { recursive: true, force: true }))
  const mine = await freePort(2)
  const others = await freePort()
  await w.ok(['server', 'key', 'add', '--services', 'x-*', '--publish', `127.0.0.1:${mine}`, await userKeyOf(ci)])
  const push = (directory: string, ...more: string[]) =>
    w.cli(['push', socketOf(w), directory, ...more], { env: { HOME: ci } })
  await w.deploy(await w.service('victim', { directives: ['url=http://victim.test', 'scale=1'] }))

  await t.test('server deploy refuses its ports and its host, each with its line, and so does its plan', async () => {
    const directives = [
      `publish=127.0.0.1:${http}:80`,
      `publish=${https}:80/udp`,
      `publish=127.0.0.1:${admin - 1}-${admin}:80`,
      `publish=${edge}:${daemonPort - 1}-${daemonPort + 1}:80`,
      'url=https://paas.test/x',
      'url=http://fine.test',
    ]
    const directory = await w.service('evil', { directives })
    for (const more of [[], ['--plan']]) {
      const { code, stderr } = await w.cli(['server', 'deploy', directory, ...more])
      assert.equal(code, 2, stderr)
      for (const [line, what] of [
        [2, 'http_port'],
        [3, 'https_port'],
        [4, 'admin_port'],
        [5, 'daemon_port'],
        [6, 'on the host of the server itself'],
      ])
        assert.match(stderr, new RegExp(`Dockerfile:${line}: mypaas\\.(publish|url): .*${what}`))
      assert.doesNotMatch(stderr, /Dockerfile:7/)
    }
    assert.deepEqual(await w.containers('evil'), [])
  })

  await t.test('a limited key publishes what its line allows, and what its service publishes already', async () => {
    const shown = await w.ok(['server', 'key', 'ls'])
    assert.match(shown.stdout, new RegExp(`publishes 127\\.0\\.0\\.1:${mine}\\b`))
    const own = await w.service('x-own', { directives: [`publish=127.0.0.1:${mine}:80`] })
    assert.equal((await push(own)).code, 0)
    for (const entry of [`${mine}:80`, `127.0.0.1:${others}:80`, '80', `127.0.0.1:${mine}-${mine + 1}:80`]) {
      const { code, stderr } = await push(await w.service('x-own', { directives: [`publish=${entry}`] }))
      assert.equal(code, 3, stderr)
      assert.match(stderr, /would have to say publish="/)
    }
    // Somebody with more rights opens another one: that stays, until the key's owner goes without it.
    const wider = await w.service('x-own', { directives: [`publish=127.0.0.1:${others}:80`] })
    await w.deploy(wider)
    assert.equal((await push(wider)).code, 0)
    assert.equal((await push(await w.service('x-own', {}))).code, 0)
    const back = await w.cli(['rollback', socketOf(w), 'x-own', 'r2'], { env: { HOME: ci } })
    assert.equal(back.code, 3, back.stderr)
    assert.match(back.stderr, new RegExp(`may not use:\\n +the host port of 127\\.0\\.0\\.1:${others}:80`))
    assert.equal((await w.cli(['rollback', socketOf(w), 'x-own', 'r1'], { env: { HOME: ci } })).code, 0)
  })

  await t.test(
    "a range with another service's port in it takes another one of it, also at its next start",
    async () => {
      await w.deploy(await w.service('range', { directives: [`publish=127.0.0.1:${mine}-${mine + 1}:80`] }))
      await w.ok(['server', 'restart', 'range'])
      const { stderr, code } = await w.cli([
        'server',
        'deploy',
        await w.service('range', { directives: [`publish=127.0.0.1:${mine}:80`] }),
      ])
      assert.equal(code, 1, stderr)
      assert.match(stderr, new RegExp(`Host port ${mine}/tcp belongs to the service x-own`))
      await w.ok(['server', 'rm', 'range', '--yes'])
    },
  )

  await t.test("a wildcard that covers the daemon's host gets every host but that one", async () => {
    const urls = ['url=https://*.test', 'url=http://*.test/plain', 'url=https://*.test/daemon']
    await w.deploy(await w.service('wild', { directives: urls }))
    const asks = async (url: string): Promise<[number, boolean]> => {
      const { status, headers } = await w.request(url)
      return [status, headers['x-release'] !== undefined]
    }
    for (const url of ['https://other.test/', 'http://other.test/plain', 'https://other.test/daemon/x'])
      assert.deepEqual(await asks(url), [200, true], url)
    for (const path of ['/', '/plain', '/daemon', '/daemonx', '/v1/challenge']) {
      assert.deepEqual(await asks(`https://paas.test${path}`), [404, false], path)
      assert.deepEqual(await asks(`http://paas.test${path}`), [404, false], path)
    }
    const challenge = await w.request('https://paas.test/daemon/v1/challenge', { method: 'POST', body: '{}' })
    assert.equal(challenge.status, 200, challenge.body)
    assert.equal((JSON.parse(challenge.body) as { server: string }).server, await w.serverId())
    await w.ok(['server', 'rm', 'wild', '--yes'])
  })

  await t.test('a range of old runs on, is named by the doctor, is not started anew, and gets nothing', async () => {
    const directory = await hijacker(w, 'x-pub', [`127.0.0.1:${http - 1}-${http}:80`])
    await deployAsOfOld(w, directory)
    assert.match((await w.cli(['server', 'deploy', directory])).stderr, /Dockerfile:3: .*http_port/)
    const found = await w.cli(['server', 'doctor'])
    assert.match(found.stdout, /x-pub runs on, but its next deploy is refused: .*http_port/)
    for (const args of [
      ['restart', 'x-pub'],
      ['rollback', 'x-pub', 'r1'],
    ]) {
      const { code, stderr } = await w.cli(['server', ...args])
      assert.equal(code, 2, stderr)
    }
    await w.ok(['server', 'reconcile'])
    assert.deepEqual(await w.runningNames('x-pub'), ['x-pub-r1-1'])

    const asked = whoAnswers(w, 'http://victim.test/')
    for (let round = 0; round < 3; round += 1) await w.ok(['server', 'restart', 'router'])
    await w.set('router', 'extra_hosts', '["nowhere.test:127.0.0.1"]')
    await w.init()
    const good = asked.good()
    await until(() => asked.good() > good + 5, { what: 'answers of the new router' })
    // A router that has just been started answers 404 until it has read its files.
    assert.deepEqual(
      [...(await asked.end())].filter((answer) => answer !== '404'),
      ['the service'],
    )
    await until(async () => (await w.request('http://x-pub.test/')).body === 'HIJACKED', { what: 'x-pub, unharmed' })
    await w.ok(['server', 'stop', 'x-pub', '--wait', '30s'])
    const start = await w.cli(['server', 'start', 'x-pub'])
    assert.equal(start.code, 2, start.stderr)
    assert.equal((await w.journal('x-pub'))?.stopped, true)
    await w.ok(['server', 'rm', 'x-pub', '--yes', '--wait', '30s'])
  })

  await t.test('those of old are held still while the router is replaced, whoever looks after them', async () => {
    await deployAsOfOld(w, await w.service('x-still', { directives: [`publish=127.0.0.1:${http - 1}-${http}:80`] }))
    const [own] = await w.runningNames('x-own')
    // Whoever says by his labels alone to be of a service is left to whoever started him.
    const labels = { 'mypaas.server': await w.serverId(), 'mypaas.service': 'x-own', 'mypaas.release': '7' }
    const { Id: stranger } = await w.docker.containers.create({
      Image: await nodeImage(w.docker),
      Cmd: ['sleep', '600'],
      Labels: { ...labels, 'mypaas.replica': '1' },
      ExposedPorts: { '80/tcp': {} },
      HostConfig: { PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: `${http - 1}-${http + 1}` }] } },
    })
    await w.docker.containers.start(stranger)
    const states = async (): Promise<readonly string[]> => {
      const ids = [`${w.instance}-x-still-r1-1`, `${w.instance}-${own}`, stranger]
      return Promise.all(ids.map(async (id) => (await w.docker.containers.inspect(id)).State.Status))
    }
    await using server = await openServer(w.home)
    const router = routerContainer(server.host.directory, server.config, server.identity)
    // As if the other one had a port of the router.
    await withoutRivals(w.docker, { ...router, httpsPort: mine }, { serves: true }, async () => {
      assert.deepEqual(await states(), ['paused', 'exited', 'running'])
      assert.match((await w.cli(['server', 'status'])).stdout, /paused: \S+-x-still-r1-1/)
      const { stderr } = await w.cli(['server', 'rollback', 'x-own', 'r1'])
      assert.match(stderr, /Somebody else is at it: a start of the router/)
      // The daemon has seen both, and looks after what it can.
      await sleep(7_000)
      assert.deepEqual(await states(), ['paused', 'exited', 'running'])
      await assert.rejects(
        withoutRivals(w.docker, { ...router, httpsPort: mine }, { serves: true }, async () => assert.fail()),
        { code: 'locked' },
      )
    })
    assert.deepEqual(await states(), ['running', 'running', 'running'])
    // One that has just ended is not brought back in the middle of it either.
    await w.docker.containers.stop(`${w.instance}-x-still-r1-1`, { graceSeconds: 0 })
    await withoutRivals(w.docker, router, { serves: true }, async () => {
      await sleep(7_000)
      assert.equal((await states())[0], 'exited')
    })
    await until(async () => (await states())[0] === 'running', {
      what: 'the daemon to bring it back',
      timeoutMs: 30_000,
    })
    await w.docker.containers.remove(stranger, { force: true })
  })

  await t.test('one of old that is in the place of a router that was down has to leave it', async () => {
    // Stopped by hand: nobody holds the other one still, which gets one port of its range or the other at each start.
    await w.docker.containers.stop(`${w.instance}-traefik`, { graceSeconds: 1 })
    const name = `${w.instance}-x-still-r1-1`
    const takesOver = async (): Promise<boolean> => {
      await w.docker.containers.restart(name, { graceSeconds: 0 })
      const { NetworkSettings } = await w.docker.containers.inspect(name)
      const took = NetworkSettings.Ports?.['80/tcp']?.[0]?.HostPort === String(http)
      return took || daemon.output.includes('the router: it was exited')
    }
    await until(takesOver, { what: 'the takeover' })
    const begin = performance.now()
    const answer = async (): Promise<unknown> => (await w.request('http://victim.test/')).headers['x-release']
    // By the daemon alone.
    await until(async () => (await answer().catch(() => '')) === 'r1', { what: 'the router', timeoutMs: 30_000 })
    t.diagnostic(`the router has its port back after ${Math.round(performance.now() - begin)} ms`)
    await daemon.seen(/the router: it was exited, and runs again/)
    await w.ok(['server', 'reconcile', '--wait', '30s'])
    assert.deepEqual(await w.runningNames('x-still'), ['x-still-r1-1'])
    await w.ok(['server', 'rm', 'x-still', '--yes', '--wait', '30s'])
  })

  await t.test('a change of the config to a port that a service has is refused before the router stops', async () => {
    const config = join(w.home, '_mypaas', 'config.toml')
    const before = await readFile(config, 'utf8')
    const { State } = await w.docker.containers.inspect(`${w.instance}-traefik`)
    const init = await w.cli(['server', 'init', '--yes', '--http-port', String(mine)])
    assert.equal(init.code, 1, init.stderr)
    assert.match(init.stderr, new RegExp(`can't have port ${mine}: ${w.instance}-x-own-r\\d+-1 publishes it`))
    assert.match(init.stderr, /x-own runs on, but its next deploy is refused: .*http_port/)
    assert.match(init.stderr, /mypaas server stop x-own/)
    const after = await w.docker.containers.inspect(`${w.instance}-traefik`)
    assert.equal(after.State.StartedAt, State.StartedAt)
    assert.equal(await readFile(config, 'utf8'), before)
  })

  await t.test(
    "a domain that is set when a service is at home there is told, and the service's route stays",
    async () => {
      await w.deploy(await w.service('early', { directives: ['url=http://early.test'] }))
      const init = await w.init('--domain', 'early.test')
      assert.match(init.stderr, /early runs on, but its next deploy is refused: .*host of the server itself/)
      assert.equal((await w.request('http://early.test/')).status, 200)
      await w.init('--domain', 'paas.test')
      await w.ok(['server', 'rm', 'early', '--yes'])
    },
  )

  await t.test('the daemon mends the way to it, should somebody have seen its port otherwise', async () => {
    await using server = await openServer(w.home)
    const router = routerContainer(server.host.directory, server.config, server.identity)
    await refreshRouterFiles(w.docker, { ...router, isDaemonPortTaken: async () => true })
    const base = (): Promise<string> => readFile(join(w.home, '_mypaas/traefik/dynamic/base.yml'), 'utf8')
    await until(async () => !(await base()).includes('mypaas~away'), { what: 'the way back', timeoutMs: 20_000 })
  })

  await t.test("whoever has the daemon's port is named, and led to by nobody", async () => {
    daemon.kill('SIGKILL')
    await daemon.result
    const stranger = createServer((_, response) => response.end('STRANGER'))
    const asked: string[] = []
    stranger.on('request', ({ url }) => asked.push(url ?? ''))
    await new Promise<void>((resolve) => stranger.listen(daemonPort, edge, resolve))
    t.after(() => {
      stranger.close()
      stranger.closeAllConnections()
    })
    const next = w.spawnCli(['server', 'daemon'], { timeoutMs: 600_000 })
    t.after(async () => {
      next.kill('SIGTERM')
      await next.result
    })
    await next.seen(/NOBODY CAN PUSH BY HTTPS: .*something else on this machine listens/)
    const challenge = () => w.request('https://paas.test/daemon/v1/challenge', { method: 'POST', body: '{}' })
    await until(async () => (await challenge()).status === 503, { what: 'the way to lead nowhere' })
    const before = asked.length
    for (let round = 0; round < 5; round += 1) assert.equal((await challenge()).status, 503)
    // The router's files are written anew by others, too.
    await w.ok(['server', 'reconcile'])
    await w.init()
    assert.equal((await challenge()).status, 503)
    assert.equal(asked.length, before)
    assert.match((await w.cli(['server', 'doctor'])).stdout, /daemon: Where the daemon is to listen for the router/)
    assert.match((await w.ok(['server', 'status'])).stderr, /Somebody else listens on [\d.]+:\d+/)

    stranger.closeAllConnections()
    await new Promise((resolve) => stranger.close(resolve))
    await next.seen(/listens on [\d.]+:\d+ for the router/)
    await until(async () => (await challenge()).status === 200, { what: 'the way to the daemon' })
  })

  await t.test('what the pushes of a service brought goes with it', async () => {
    const store = join(w.home, '_mypaas', 'push', 'blobs', 'x-own')
    assert.notDeepEqual(await readdir(store), [])
    await w.ok(['server', 'rm', 'x-own', '--yes'])
    await assert.rejects(readdir(store), { code: 'ENOENT' })
  })
})
