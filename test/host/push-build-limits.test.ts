import assert from 'node:assert/strict'
import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { NotFoundError } from '../../src/docker/index.ts'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { busyboxImage, scratchImage } from '../support/images.ts'
import { userKeyOf } from '../support/keys.ts'
import { type CliResult, freePort, type RunningCli, world } from '../support/world.ts'
import { registry } from './registry.ts'

test('what a build of one key may take, and what it leaves for others', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, { ...quick, builds_per_key: 2 })
  const base = await busyboxImage(w.docker)
  const homes = new Map<string, string>()
  for (const [who, ...options] of [
    ['admin'],
    ['x', '--services', 'x-*'],
    ['own', '--services', 'own-*', '--own-layers'],
    ['ro', '--services', 'x-*', '--read-only'],
  ] as const) {
    const home = await mkdtemp(join(tmpdir(), 'mypaas-ci-'))
    t.after(() => rm(home, { recursive: true, force: true }))
    homes.set(who, home)
    await w.ok(['server', 'key', 'add', ...options, await userKeyOf(home)])
  }
  await startDaemon(t, w)
  const envOf = (who: string) => ({ env: { HOME: homes.get(who) ?? '' } })
  const directoryOf = (service: string, lines: readonly string[], from = base): Promise<string> =>
    w.service(service, { dockerfile: [`# mypaas.service=${service}`, `FROM ${from}`, ...lines, ''].join('\n') })
  // What it builds fails in the end, so nothing is started.
  const build = async (who: string, service: string, lines: readonly string[]): Promise<CliResult> => {
    const directory = await directoryOf(service, [...lines, 'RUN false'])
    const result = await w.cli(['push', socketOf(w), directory, '--verbose'], envOf(who))
    assert.equal(result.code, 1, result.output)
    return result
  }

  await t.test('build caches are of one service: neither the same id nor the same place leads to another', async () => {
    const mount = (options: string): string => `RUN --mount=type=cache,${options}`
    await build('admin', 'victim', [
      `${mount('id=victim-npm,target=/c')} echo CACHE-TOKEN > /c/token`,
      `${mount('target=/root/.cache')} echo CACHE-TOKEN > /root/.cache/token`,
    ])
    for (const [n, options] of ['id=victim-npm,target=/c', 'target=/root/.cache'].entries()) {
      const at = options.replace(/.*target=/, '')
      const read = [`${mount(options)} cat ${at}/token || echo none-there-${n}`]
      assert.match((await build('admin', 'victim', read)).output, /^ *CACHE-TOKEN/m)
      for (const [who, service] of [
        ['admin', 'other'],
        ['x', 'x-c'],
        ['own', 'own-c'],
      ] as const) {
        const { output } = await build(who, service, read)
        assert.match(output, new RegExp(`^ *none-there-${n}`, 'm'))
        assert.doesNotMatch(output, /CACHE-TOKEN/)
      }
    }
  })

  await t.test('a service finds its own layers again; those of another key with own layers it does not', async () => {
    const lines = ['RUN head -c 16 /dev/urandom | md5sum > /key', 'RUN echo "key $(cat /key)"']
    const keyOf = async (who: string, service: string): Promise<string> => {
      const { output } = await build(who, service, [...lines, `RUN echo "now $(cat /key) ${service} ${Math.random()}"`])
      return /^ *now ([0-9a-f]{32})/m.exec(output)?.[1] ?? assert.fail(output)
    }
    const victim = await keyOf('admin', 'victim')
    const own = await keyOf('own', 'own-a')
    const other = await keyOf('own', 'own-b')
    assert.equal(new Set([victim, own, other]).size, 3)
    assert.equal(await keyOf('own', 'own-a'), own, 'its own are found again')
    assert.equal(await keyOf('x', 'x-k'), victim, 'the layers of others are those of the engine')
  })

  await t.test('one key has no more builds on at once than it may; the others wait and say so', async () => {
    const token = `${process.pid}.${Math.floor(Math.random() * 1e9)}`
    const pushes: RunningCli[] = []
    for (let n = 1; n <= 5; n += 1) {
      const directory = await directoryOf(`x-mb${n}`, [
        `RUN echo ${n}; exec sleep 1.${token.replace('.', '')}${n}`,
        'RUN false',
      ])
      pushes.push(w.spawnCli(['push', socketOf(w), directory], envOf('x')))
    }
    let most = 0
    const ended = Promise.all(pushes.map(({ result }) => result))
    let isOver = false
    void ended.then(() => (isOver = true))
    while (!isOver) {
      const found = (await processesWith(`sleep\0${'1.'}${token.replace('.', '')}`)).length
      most = Math.max(most, found)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.equal(most, 2)
    const waited = (await ended).filter(({ output }) => /waits +for a place to build/.test(output))
    assert.ok(waited.length >= 1, (await ended).map(({ output }) => output).join('\n'))
    for (const { code, output } of await ended) assert.equal(code, 1, output)
  })

  await t.test('a build that takes too long, or leaves too little room, is stopped and says why', async () => {
    const directory = await directoryOf('x-long', ['RUN sleep 1000'])
    await w.set('server', 'build_timeout', '"2s"')
    const late = await w.cli(['push', socketOf(w), directory], envOf('x'))
    assert.equal(late.code, 1, late.output)
    assert.match(late.output, /The build was stopped after 2s, the longest that one may take\./)
    assert.match(late.output, /Nothing of x-long runs/)
    await w.set('server', 'build_timeout', '"1h"')
    await w.set('server', 'build_disk', '"1m"')
    const wide = await directoryOf('x-wide', ['RUN head -c 8000000 /dev/urandom > /big && sync && sleep 1000'])
    const large = await w.cli(['push', socketOf(w), wide], envOf('x'))
    assert.equal(large.code, 1, large.output)
    assert.match(
      large.output,
      /The build was stopped: since it began, more than \S+ ?\S* were written to the engine's disk\./,
    )
    await w.set('server', 'build_disk', '"20g"')
    await w.set('server', 'disk_reserve', '"100000g"')
    const full = await w.cli(['push', socketOf(w), directory], envOf('admin'))
    assert.equal(full.code, 1, full.output)
    assert.match(full.output, /The build was stopped: the engine's disk has .* left/)
    await w.set('server', 'disk_reserve', '"512m"')
  })

  await t.test('nothing is fetched from where only the server can reach, and nobody there is asked', async () => {
    let asked = 0
    const loopback = createServer((_, response) => {
      asked += 1
      response.end('LOOPBACK-ONLY-SECRET')
    })
    await new Promise<void>((resolve) => loopback.listen(0, '127.0.0.1', resolve))
    t.after(() => loopback.close())
    const { port } = loopback.address() as AddressInfo
    for (const lines of [
      [`ADD http://127.0.0.1:${port}/secret /stolen`],
      [`ADD http://localhost:${port}/secret /stolen`],
      [`ARG AT=http://127.0.0.1:${port}`, 'ADD $AT/secret /stolen'],
    ]) {
      const directory = await directoryOf('x-ssrf', [...lines, 'RUN cat /stolen'])
      const { code, output } = await w.cli(['push', socketOf(w), directory, '--verbose'], envOf('x'))
      assert.equal(code, 3, output)
      assert.match(output, /is not on the Internet|It can't be told whether ADD takes/)
    }
    assert.equal(asked, 0)
  })

  await t.test('a plan pulls nothing, and tells nothing of what listens on the server', async (t) => {
    const { host } = await registry(t, { username: 'anna', password: 'secret' })
    const image = `${host}/${w.instance}-pullme`
    const [closed] = [await freePort()]
    const plan = async (who: string, from: string): Promise<CliResult> =>
      w.cli(['plan', socketOf(w), await directoryOf('x-plan', [], from)], envOf(who))
    const answers: string[] = []
    for (const place of [host, `127.0.0.1:${closed}`, `localhost:${w.ports.http}`, '127.1:22']) {
      for (const args of [
        ['plan', 'ro'],
        ['push', 'x'],
      ] as const) {
        const from = `${place}/x:1`
        const { code, stderr } =
          args[0] === 'plan'
            ? await plan(args[1], from)
            : await w.cli(['push', socketOf(w), await directoryOf('x-plan', [], from)], envOf(args[1]))
        assert.equal(code, 3, stderr)
        answers.push(/the image .*$/m.exec(stderr)?.[0].replaceAll(place, 'PLACE') ?? stderr)
      }
    }
    assert.equal(new Set(answers).size, 1, answers.join('\n'))
    assert.match(answers[0] ?? '', /its registry PLACE is not on the Internet/)

    // One that the server's owner knows is one that may be used.
    await w.docker.images.tag(await scratchImage(w.docker), { repo: image, tag: '1' })
    for await (const _ of w.docker.images.push(`${image}:1`, {
      registryAuth: { username: 'anna', password: 'secret', serveraddress: host },
    })) {
      // That it ends is what counts.
    }
    await w.docker.images.remove(`${image}:1`)
    const config = join(w.home, '_mypaas', 'config.toml')
    await appendFile(config, `\n[registries.${JSON.stringify(host)}]\nusername = "anna"\npassword = "secret"\n`)
    const planned = await plan('ro', `${image}:1`)
    assert.equal(planned.code, 0, planned.output)
    assert.match(planned.output, new RegExp(`The image ${image}:1 is not here`))
    assert.equal((await w.docker.images.list({ filters: { reference: [image] } })).length, 0)
    const push = async (tag: string): Promise<CliResult> =>
      w.cli(['push', socketOf(w), await directoryOf('x-plan', ['COPY none /'], `${image}:${tag}`)], envOf('x'))
    const line = `if x-plan may use the server's credentials for ${host}, set in [services.x-plan] of ${config}: registries = ["${host}"]`

    await t.test('a limited key gets nothing by the credentials of the server, unless its service may', async () => {
      const refused = await push('1')
      assert.equal(refused.code, 3, refused.output)
      assert.match(refused.stderr, /:1: it can't be pulled from \S+ without credentials; /)
      assert.ok(refused.stderr.includes(line), refused.stderr)
      assert.equal((await w.docker.images.list({ filters: { reference: [image] } })).length, 0)

      // Pulled by somebody who may.
      const registryAuth = { username: 'anna', password: 'secret', serveraddress: host }
      for await (const _ of w.docker.images.pull(`${image}:1`, { registryAuth })) {
        // That it ends is what counts.
      }
      const here = await push('1')
      assert.equal(here.code, 3, here.output)
      assert.match(here.stderr, /:1: it may be one that \S+ gives to the server alone; /)
      assert.ok(here.stderr.includes(line), here.stderr)
      await w.docker.images.remove(`${image}:1`)
    })

    await w.set(['services', 'x-plan'], 'registries', JSON.stringify([host]))
    const allowed = await push('1')
    assert.equal(allowed.code, 1, allowed.output)
    assert.match(allowed.output, /none/, 'it came to the build')
    const absent = await push('2')
    assert.equal(absent.code, 1)
    assert.match(absent.stderr, /Dockerfile:\d: The image \S+:2 can't be pulled from \S+: not found there, not open to/)
    assert.doesNotMatch(absent.stderr, /The key/)

    await t.test('an image that is pulled for a push which is refused then does not stay', async () => {
      const { Id } = await w.docker.containers.create({ Image: `${image}:1`, Cmd: ['x'] })
      await w.docker.containers.commit(Id, { repo: image, tag: '3', changes: ['LABEL mypaas.image.service=victim'] })
      await w.docker.containers.remove(Id)
      for await (const _ of w.docker.images.push(`${image}:3`, {
        registryAuth: { username: 'anna', password: 'secret', serveraddress: host },
      })) {
        // That it ends is what counts.
      }
      await w.docker.images.remove(`${image}:3`)
      const refused = await push('3')
      assert.equal(refused.code, 3, refused.output)
      assert.match(refused.stderr, /it is made from one of victim/)
      await assert.rejects(w.docker.images.inspect(`${image}:3`), NotFoundError)
      await w.docker.images.inspect(`${image}:1`)
    })
    for (const { Id } of await w.docker.images.list({ filters: { reference: [image] } }))
      await w.docker.images.remove(Id, { force: true })
  })

  await t.test('what a build pulls is part of it: a registry that never ends is left after its time', async () => {
    const mute = createServer((request, response) => {
      if (request.url === '/v2/') response.end('{}')
    })
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    t.after(() => {
      mute.closeAllConnections()
      mute.close()
    })
    const host = `127.0.0.1:${(mute.address() as AddressInfo).port}`
    await appendFile(join(w.home, '_mypaas', 'config.toml'), `\n[registries.${JSON.stringify(host)}]\n`)
    await w.set('server', 'build_timeout', '"2s"')
    const directory = await directoryOf('x-mute', [], `${host}/x:1`)
    const { code, output } = await w.cli(['push', socketOf(w), directory], envOf('x'))
    assert.equal(code, 1, output)
    assert.match(output, /The build was stopped after 2s, the longest that one may take\./)
    await w.set('server', 'build_timeout', '"1h"')
  })
})

/** The processes of this machine whose command line has that in it. */
async function processesWith(text: string): Promise<string[]> {
  const found: string[] = []
  for (const id of await readdir('/proc')) {
    if (!/^\d+$/.test(id)) continue
    const line = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')
    if (line.startsWith(text)) found.push(id)
  }
  return found
}
