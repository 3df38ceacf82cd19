import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Docker } from '../../src/docker/index.ts'
import { busyboxImage } from '../support/images.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

/** A service whose image has two volumes that nothing mounts, and one that is mounted. */
async function withVolumes(w: World, name: string, scale: string, cmd = 'exec sleep 1000'): Promise<string> {
  const base = await busyboxImage(w.docker)
  const dockerfile = [
    `# mypaas.service = ${name}`,
    ...(scale === '' ? [] : [`# mypaas.scale = ${scale}`]),
    `# mypaas.volume = ${w.instance}-${name}:/kept`,
    `FROM ${base}`,
    'VOLUME /data /cache /kept',
    `CMD ["sh", "-c", ${JSON.stringify(`echo x > /data/x; ${cmd}`)}]`,
    `# ${Math.random()}`,
    '',
  ]
  return w.service(name, { dockerfile: dockerfile.join('\n') })
}

/** Notes every anonymous volume that a container of this world has. @returns which of them are there now */
function watchVolumes(t: TestContext, w: World): () => Promise<readonly string[]> {
  const docker = new Docker()
  const seen = new Set<string>()
  const note = async (id: string): Promise<void> => {
    const found = await docker.containers.inspect(id).catch(() => undefined)
    if (!found?.Name.startsWith(`/${w.instance}-`)) return
    for (const { Name = '' } of found.Mounts) if (/^[0-9a-f]{64}$/.test(Name)) seen.add(Name)
  }
  const left = async (): Promise<string[]> => {
    await Promise.all((await docker.containers.list({ all: true })).map(({ Id }) => note(Id)))
    const { Volumes } = await docker.volumes.list()
    const there = new Set((Volumes ?? []).map(({ Name }) => Name))
    return [...seen].filter((name) => there.has(name)).sort()
  }
  const stop = new AbortController()
  const filters = { type: ['container'], event: ['create'] }
  const events = docker.system.events({ filters, signal: stop.signal })
  const watching = (async () => {
    for await (const { Actor } of events) await note(Actor.ID)
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error
  })
  t.after(async () => {
    stop.abort()
    await watching
    // Only where the test failed.
    for (const name of await left()) await docker.volumes.remove(name, { force: true }).catch(() => {})
    docker.close()
  })
  return left
}

test('anonymous volumes go with their container, and named ones stay', async (t) => {
  const w = await world(t)
  await w.init()
  const left = watchVolumes(t, w)

  await t.test('with a deploy that replaces it', async () => {
    for (const scale of ['', '2']) {
      const name = `web${scale}`
      await w.deploy(await withVolumes(w, name, scale))
      await w.deploy(await withVolumes(w, name, scale))
      const replicas = Math.max(1, Number(scale))
      await leaves(left, 2 * replicas)
      await w.ok(['server', 'rm', name, '--yes'])
      await leaves(left, 0)
      await w.docker.volumes.inspect(`${w.instance}-${name}`)
    }
  })

  await t.test('with restart, scale, rollback, run and stop', async () => {
    await w.deploy(await withVolumes(w, 'web', '1'))
    await w.deploy(await withVolumes(w, 'web', '1'))
    const commands: [count: number, ...command: string[]][] = [
      [2, 'restart', 'web'],
      [4, 'scale', 'web=2'],
      [2, 'scale', 'web=1'],
      [2, 'rollback', 'web', 'r2'],
      [2, 'run', 'web', '--', 'true'],
    ]
    for (const [count, ...command] of commands) {
      await w.ok(['server', ...command])
      await leaves(left, count)
    }
    await w.ok(['server', 'stop', 'web'])
    await leaves(left, 0)
    await w.ok(['server', 'start', 'web'])
    await leaves(left, 2)
  })

  await t.test('with a deploy that fails, and the one before keeps its own', async () => {
    const before = await left()
    const failed = await w.cli(['server', 'deploy', await withVolumes(w, 'web', '1', 'exit 3')])
    assert.equal(failed.code, 1, failed.output)
    assert.deepEqual(await left(), before)
  })

  await t.test('with a deploy that is killed, when what it left is cleared', async () => {
    const directory = await withVolumes(w, 'web', '1')
    const deploy = w.spawnCli(['server', 'deploy', directory])
    await until(async () => (await w.containers('web')).length > 1, { what: 'the new container', everyMs: 20 })
    deploy.kill('SIGKILL')
    await deploy.result
    await w.ok(['server', 'reconcile', 'web'])
    await leaves(left, 2)
  })

  await t.test('with a command whose client was killed, by the doctor', async () => {
    const run = w.spawnCli(['server', 'run', 'web', '--', 'sh', '-c', 'echo up; sleep 2'])
    await run.seen(/up/)
    run.kill('SIGKILL')
    await run.result
    const isOver = async () => {
      const found = await w.docker.containers.list({ all: true, filters: { label: ['mypaas.role=run'] } })
      return found.some(({ Names, State }) => Names[0]?.startsWith(`/${w.instance}-`) && State === 'exited')
    }
    await until(isOver, { what: 'the end of the command' })
    await w.cli(['server', 'doctor', '--fix'])
    await leaves(left, 2)
  })

  await t.test('with the whole server', async () => {
    await w.ok(['server', 'down', '--yes'])
    await leaves(left, 0)
    await w.docker.volumes.inspect(`${w.instance}-web`)
  })
})

async function leaves(left: () => Promise<readonly string[]>, count: number): Promise<void> {
  assert.equal((await left()).length, count)
}

test('the deploy and its plan warn of a volume of the image that nothing mounts', async (t) => {
  const w = await world(t)
  await w.init()
  const base = await busyboxImage(w.docker)
  const warning = (path: string) =>
    `${path} is a VOLUME of the image, and no mypaas.volume is mounted there: what is written there is lost with each release.`
  const directory = await w.service('db', {
    dockerfile: [
      '# mypaas.service = db',
      '# mypaas.volume = ~/db:/kept',
      `FROM ${base} AS other`,
      'VOLUME /elsewhere',
      `FROM ${base} AS first`,
      'VOLUME ["/kept/", "/data"]',
      'FROM first',
      'ENV AT=/cache',
      'VOLUME $AT/x',
      'CMD ["sleep", "1000"]',
      '',
    ].join('\n'),
  })
  const planned = await w.ok(['server', 'deploy', directory, '--plan'])
  const deployed = await w.deploy(directory)
  for (const path of ['/data', '/cache/x']) assert.ok(deployed.output.includes(warning(path)), deployed.output)
  assert.ok(planned.output.includes(warning('/data')), planned.output)
  for (const path of ['/kept', '/elsewhere'])
    for (const { output } of [planned, deployed]) assert.ok(!output.includes(`${path} is a VOLUME`), output)

  // What the image that it builds on has, as far as that is here.
  const from = await w.service('db2', {
    dockerfile: `# mypaas.service = db2\nFROM ${w.instance}-db:r1\nCMD ["sleep", "1000"]\n`,
  })
  const { output } = await w.ok(['server', 'deploy', from, '--plan'])
  for (const path of ['/data', '/cache/x', '/kept']) assert.ok(output.includes(warning(path)), output)
})

test('the doctor lists the anonymous volumes that no container has, and removes none of them', async (t) => {
  const w = await world(t)
  await w.init()
  const base = await busyboxImage(w.docker)
  const docker = new Docker()
  t.after(() => docker.close())
  const make = async (): Promise<{ container: string; volume: string }> => {
    const config = { Image: base, Cmd: ['sh', '-c', 'head -c 3000000 /dev/zero > /d/f'], Volumes: { '/d': {} } }
    const { Id } = await docker.containers.create(config)
    await docker.containers.start(Id)
    await (await docker.containers.wait(Id)).exit
    return { container: Id, volume: (await docker.containers.inspect(Id)).Mounts[0]?.Name ?? '' }
  }
  const used = await make()
  const left = await make()
  try {
    await docker.containers.remove(left.container)
    const { stdout } = await w.cli(['server', 'doctor', '--fix'])
    const day = new Date().toISOString().slice(0, 10)
    const message = `The anonymous volume ${left.volume.slice(0, 12)} (2.9 MiB, of ${day}) is of no container any more.`
    assert.ok(stdout.includes(message) && stdout.includes(`docker volume rm ${left.volume}`), stdout)
    assert.ok(!stdout.includes(used.volume.slice(0, 12)), stdout)
    await docker.volumes.inspect(left.volume)
  } finally {
    await docker.containers.remove(used.container, { volumes: true })
    await docker.volumes.remove(left.volume)
  }
})
