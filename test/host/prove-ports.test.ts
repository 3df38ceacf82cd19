import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf } from '../support/daemon.ts'
import { hijacker, whoAnswers } from '../support/hijacker.ts'
import { userKeyOf } from '../support/keys.ts'
import { backwards, privateEngine } from '../support/private-engine.ts'
import { long } from '../support/prove.ts'
import { gateway } from '../support/secured.ts'
import { until } from '../support/until.ts'
import { freePort, type RunningCli, world } from '../support/world.ts'

const rounds = long ? 10 : 1

test('no container gets a port of router or daemon, over restarts of router, daemon and engine', async (t) => {
  const scope = backwards(t)
  const engine = await privateEngine(scope, { images: ['traefik:v3.7.15'] })
  const w = await world(scope, { program: await compiledProgram(scope), engine: engine.host })
  scope.after(() => engine.start())
  const daemonPort = await freePort()
  await initWith(w, { ...quick, domain: 'paas.test' })
  await w.set('server', 'daemon_port', String(daemonPort))
  await w.init()
  await engine.openNetworks()
  const edge = await gateway(w)
  const own = [w.ports.http, w.ports.https, w.ports.admin, daemonPort]
  const { http } = w.ports
  let daemon: RunningCli
  const startDaemon = async (): Promise<void> => {
    daemon = w.spawnCli(['server', 'daemon'], { timeoutMs: 3_600_000 })
    await daemon.seen(/for the router/)
  }
  await startDaemon()
  scope.after(async () => {
    daemon.kill('SIGKILL')
    await daemon.result
  })
  await w.deploy(await w.service('victim', { directives: ['url=http://victim.test', 'scale=1'] }))

  const ci = await mkdtemp(join(tmpdir(), 'mypaas-ci-'))
  scope.after(() => rm(ci, { recursive: true, force: true }))
  const all = '1-65535,1-65535/udp,0,0/udp'
  await w.ok(['server', 'key', 'add', '--services', 'x-*', '--publish', all, await userKeyOf(ci)])
  const push = (directory: string) => w.cli(['push', socketOf(w), directory], { env: { HOME: ci } })

  await t.test('a key that may publish everything publishes none of them', async () => {
    for (const port of own) {
      for (const entry of [
        `${port}:80`,
        `127.0.0.1:${port - 1}-${port}:80`,
        `${edge}:${port}-${port + 1}:80`,
        `${port}:80/udp`,
      ]) {
        const { code, stderr } = await push(await hijacker(w, 'x-no', [entry]))
        assert.equal(code, 2, `${entry}: ${stderr}`)
      }
    }
  })

  // What is allowed: beside the router's port, of the engine's choice, and on the daemon's address.
  const beside = await push(await hijacker(w, 'x-beside', [`127.0.0.1:${http - 1}:80`]))
  assert.equal(beside.code, 0, beside.stderr)
  const any = await push(await hijacker(w, 'x-any', ['127.0.0.1::80', `${edge}::80`, '80', '80/udp']))
  assert.equal(any.code, 0, any.stderr)

  const published = async (): Promise<number[]> => {
    const found = await w.containers()
    return found.flatMap(({ Labels, Ports }) =>
      Labels['mypaas.service'] === undefined ? [] : Ports.flatMap(({ PublicPort }) => PublicPort ?? []),
    )
  }
  const daemonAnswers = async (): Promise<boolean> => {
    const { status, body } = await w.request('https://paas.test/daemon/v1/challenge', { method: 'POST', body: '{}' })
    assert.ok(!body.includes('HIJACKED'))
    return status === 200 && (JSON.parse(body) as { server: string }).server === (await w.serverId())
  }
  const isWhole = async (): Promise<boolean> => {
    const victim = await w.request('http://victim.test/')
    return victim.headers['x-release'] === 'r1' && (await daemonAnswers()) && (await published()).length >= 5
  }
  // Each time that one ends, the engine waits twice as long before it starts it again, up to a minute.
  const freshHijackers = async (): Promise<void> => {
    for (const name of ['x-beside', 'x-any']) {
      const release = (await w.journal(name))?.current?.release
      await w.docker.containers.restart(`${w.instance}-${name}-r${release}-1`, { graceSeconds: 0 })
    }
    await until(isWhole, { what: 'everybody to be there', timeoutMs: 60_000 })
  }
  const ways: Readonly<Record<string, () => Promise<unknown>>> = {
    'the router restarted': () => w.ok(['server', 'restart', 'router']),
    'the router killed and brought back': async () => {
      await w.docker.containers.kill(`${w.instance}-traefik`)
      await w.ok(['server', 'reconcile', '--wait', '30s'])
    },
    'the router replaced': async () => {
      await w.set('router', 'extra_hosts', `["n${Math.random().toString(36).slice(2)}.test:127.0.0.1"]`)
      await w.init()
    },
    'the daemon killed and started': async () => {
      daemon.kill('SIGKILL')
      await daemon.result
      await startDaemon()
    },
    'the engine killed and started': async () => {
      await engine.kill()
      await engine.start()
    },
    'the engine stopped and started': async () => {
      await engine.stop()
      await engine.start()
    },
    'the power cut': async () => {
      await engine.cutPower()
      await engine.start()
    },
  }
  for (const [name, act] of Object.entries(ways)) {
    await t.test(name, async () => {
      const asked = [whoAnswers(w, 'http://victim.test/'), whoAnswers(w, 'https://paas.test/daemon/')]
      for (let round = 0; round < rounds; round += 1) {
        if (round > 0) await freshHijackers()
        await act()
        await until(isWhole, { what: 'everybody back', timeoutMs: 60_000 })
        assert.deepEqual(
          (await published()).filter((port) => own.includes(port)),
          [],
        )
      }
      for (const { end } of asked) assert.equal((await end()).has('HIJACKED'), false)
    })
  }
})
