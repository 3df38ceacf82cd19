import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { lockRouter } from '../../src/router/container.ts'
import type { Finding } from '../../src/server/doctor/finding.ts'
import { nodeImage } from '../support/images.ts'
import { gateway, secured } from '../support/secured.ts'
import { until } from '../support/until.ts'
import { freePort, type World } from '../support/world.ts'

test('the doctor', async (t) => {
  const { w, ca } = await secured(t)
  const daemonPort = await freePort()
  await w.set('server', 'domain', '"paas.test"')
  await w.set('server', 'daemon_port', String(daemonPort))
  await w.init()
  for (const name of ['paas', 'web']) await ca.point(`${name}.test`, '127.0.0.1')
  const daemon = w.spawnCli(['server', 'daemon'])
  await daemon.seen(/for the router/)
  await w.deploy(await w.service('web', { directives: ['url=https://web.test', 'scale=2'] }))
  await w.ok(['server', 'reconcile'])
  const mypaas = join(w.home, '_mypaas')

  await t.test('says of a healthy server that nothing is wrong', async () => {
    const { stdout } = await w.ok(['server', 'doctor'])
    assert.equal(stdout, '✓ Nothing is wrong.\n')
    assert.deepEqual(JSON.parse((await w.ok(['server', 'doctor', '--json'])).stdout), { findings: [], fixed: [] })
  })

  await t.test('finds keys that others can write, and mends that', async () => {
    await writeFile(join(mypaas, 'authorized_keys'), '# nobody\n')
    await chmod(join(mypaas, 'authorized_keys'), 0o666)
    await finds(w, 6, [/^files: Others can write \S+authorized_keys/, /^keys: /])
    await mends(w)
    assert.equal((await stat(join(mypaas, 'authorized_keys'))).mode & 0o777, 0o600)
  })

  await t.test('finds a config that others can read, and mends that', async () => {
    await chmod(join(mypaas, 'config.toml'), 0o644)
    await finds(w, 6, [/^files: Others can read \S+config\.toml/])
    await mends(w)
  })

  await t.test('finds a config with a mistake', async () => {
    const text = await readFile(join(mypaas, 'config.toml'), 'utf8')
    await writeFile(join(mypaas, 'config.toml'), `colour = "red"\n${text}`)
    await finds(w, 6, [/^config: \S+config\.toml:1: There is no setting colour at the top/])
    await writeFile(join(mypaas, 'config.toml'), text)
  })

  await t.test('finds a router that is down, and starts it, unless the daemon was quicker', async () => {
    {
      await using _ = await lockRouter({ directory: join(mypaas, 'traefik') }, 'a test')
      await w.docker.containers.stop(`${w.instance}-traefik`, { graceSeconds: 1 })
      await finds(w, 6, [/^router: The router \(container \S+-traefik\) is exited: nobody is served/])
    }
    await mends(w, /^(mended {2}|✓)/m)
    assert.equal((await w.request('https://web.test/')).status, 200)
  })

  await t.test('finds a file that keeps the router from taking any other', async () => {
    const file = join(mypaas, 'traefik', 'dynamic', 'mine.yml')
    await writeFile(file, 'http: {{ broken\n')
    await finds(w, 6, [/^router: \S+mine\.yml is not of mypaas/])
    await rm(file)
  })

  await t.test('finds a replica that is gone, and brings it back', async () => {
    await w.docker.containers.remove(`${w.instance}-web-r1-2`, { force: true })
    await finds(w, 6, [/^services: web: 1 of 2 replicas do not run/])
    // The daemon runs, too, and brings it back within seconds: whoever comes second finds nothing to mend.
    await mends(w, /^mended {2}|^✓ Nothing is wrong\.$/m)
    assert.equal((await w.runningNames('web')).length, 2)
  })

  await t.test('finds a service that does not stay up', async () => {
    await w.deploy(await w.service('restless', { directives: ['scale=1'] }))
    const container = `${w.instance}-restless-r1-1`
    await until(
      async () => {
        const { State, RestartCount } = await w.docker.containers.inspect(container)
        // Between two runs it has none, and 0 would be this whole group of processes.
        if (State.Pid > 1) process.kill(State.Pid, 'SIGKILL')
        return RestartCount >= 5
      },
      { what: 'the fifth restart', timeoutMs: 60_000, everyMs: 200 },
    )
    await finds(w, 6, [/^restarts: \S+-restless-r1-1 does not stay up: it was started again \d+ times/])
    await w.ok(['server', 'rm', 'restless', '--yes'])
  })

  await t.test('finds names that lead elsewhere', async () => {
    await w.deploy(await w.service('lost', { directives: ['url=https://lost.test'] }))
    await finds(w, 6, [/^dns: https:\/\/lost\.test gets no certificate yet: lost\.test has no DNS record/])
    await w.ok(['server', 'rm', 'lost', '--yes'])
  })

  await t.test('finds what is left of commands and services, and removes what nobody uses', async () => {
    const labels = { 'mypaas.server': await w.serverId(), 'mypaas.role': 'run', 'mypaas.run.service': 'web' }
    const Image = await nodeImage(w.docker)
    const { Id } = await w.docker.containers.create({ Image, Labels: labels }, { name: `${w.instance}-web-run-1` })
    await finds(w, 1, [/^leftovers: The container \S+-web-run-1 \(created\) belongs to no service here/])
    await mends(w)
    await assert.rejects(w.docker.containers.inspect(Id))
  })

  await t.test('finds a firewall between router and daemon', async () => {
    const address = await gateway(w)
    const rule = ['INPUT', '-d', address, '-p', 'tcp', '--dport', String(daemonPort), '-i', 'br+', '-j', 'REJECT']
    const iptables = (action: string) => promisify(execFile)('iptables', [action, ...rule])
    await iptables('-I')
    try {
      await finds(w, 6, [/^firewall: The router does not reach the daemon on [\d.]+:\d+: a firewall/])
    } finally {
      await iptables('-D')
    }
  })

  await t.test('finds that the daemon does not run', async () => {
    daemon.kill('SIGTERM')
    await daemon.result
    await finds(w, 6, [/^daemon: The daemon does not run/])
  })
})

/** The findings, in order, are these and no others, each with what mends it. */
async function finds(w: World, code: number, wanted: readonly RegExp[]): Promise<void> {
  const result = await w.cli(['server', 'doctor', '--json'])
  const { findings } = JSON.parse(result.stdout) as { findings: readonly Finding[] }
  const lines = findings.map(({ check, message }) => `${check}: ${message}`)
  assert.equal(lines.length, wanted.length, lines.join('\n'))
  for (const [index, pattern] of wanted.entries()) assert.match(lines[index] ?? '', pattern)
  for (const { mend } of findings) assert.ok(mend.length > 5)
  assert.equal(result.code, code, result.output)
}

/** What can be mended is, and nothing is found any more. */
async function mends(w: World, said: RegExp = /^mended {2}/m): Promise<void> {
  const { code, stdout } = await w.cli(['server', 'doctor', '--fix'])
  assert.match(stdout, said)
  assert.match(stdout, /✓ Nothing is wrong\.\n$/, stdout)
  assert.equal(code, 0)
}
