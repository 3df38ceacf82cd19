import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Docker, DockerUnavailableError, type EngineEvent, ProtocolError } from '../../src/docker/index.ts'
import { backwards, privateEngine } from '../support/private-engine.ts'
import { until } from '../support/until.ts'
import { type Bench, bench } from './docker.ts'

let b: Bench
before(async () => {
  b = await bench('restart')
})
after(() => b.close())

test('over a kill and a restart of the engine, events go on and calls under way are errors', async (t) => {
  const inOrder = backwards(t)
  const engine = await privateEngine(inOrder, { images: [b.image] })
  const docker = new Docker({ host: engine.host })
  inOrder.after(() => docker.close())
  const config = { Image: b.image, HostConfig: { NetworkMode: 'none', Init: true } }
  const create = async (cmd: string) => (await docker.containers.create({ ...config, Cmd: ['sh', '-c', cmd] })).Id

  const seen: EngineEvent[] = []
  const breaks: Error[] = []
  const aborter = new AbortController()
  const watching = (async () => {
    const filters = { type: ['container'], event: ['create', 'destroy'] }
    const onReconnect = (error: Error) => void breaks.push(error)
    for await (const event of docker.system.events({ filters, signal: aborter.signal, onReconnect })) seen.push(event)
  })()
  const watched = assert.rejects(watching, { name: 'AbortError' })
  await until(() => docker.connections > 0, { what: 'the events' })
  await docker.apiVersion()

  const ids: string[] = []
  const create2 = async () => {
    for (let i = 0; i < 2; i++) ids.push(await create('true'))
  }
  const allSeen = () => {
    const created = () => seen.filter(({ Action }) => Action === 'create').map(({ Actor }) => Actor.ID)
    return until(() => created().length >= ids.length, { what: 'all events' }).then(() =>
      assert.deepEqual(created(), ids),
    )
  }
  await until(
    async () => {
      await create2()
      return seen.length > 0
    },
    { what: 'the first event' },
  )
  // The first ones may have been made before the engine took the request for events.
  ids.splice(0, ids.indexOf(seen[0]?.Actor.ID ?? ''))
  await allSeen()

  const long = await create('while :; do echo tick; sleep 0.1; done')
  ids.push(long)
  await docker.containers.start(long)
  const { exit } = await docker.containers.wait(long)
  const exec = docker.containers.exec(long, ['sleep', '600'])
  const logs = (async () => {
    for await (const _ of docker.containers.logs(long, { follow: true, tty: false }));
  })()
  const stats = (async () => {
    for await (const _ of docker.containers.watchStats(long));
  })()
  const broken = [exit, exec, logs, stats].map((call) =>
    assert.rejects(call, (error) => error instanceof ProtocolError || error instanceof DockerUnavailableError),
  )
  const inspected = async () => (await docker.containers.inspect(long)).ExecIDs?.length === 1
  await until(inspected, { what: 'the command' })
  await engine.kill()
  await Promise.all(broken)
  await assert.rejects(docker.containers.list(), DockerUnavailableError)
  await engine.start()
  await create2()
  await allSeen()
  await engine.stop()
  await engine.start()
  await create2()
  await allSeen()
  assert.ok(breaks.length >= 2)
  aborter.abort()
  await watched
  assert.equal(new Set(seen.map(({ at, Actor, Action }) => `${at} ${Actor.ID} ${Action}`)).size, seen.length)
})
