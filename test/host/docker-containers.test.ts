import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { rootfs } from '../../scripts/rootfs.ts'
import {
  BadRequestError,
  ConflictError,
  type ContainerTop,
  compareVersions,
  NotFoundError,
  readArchive,
  ServerError,
} from '../../src/docker/index.ts'
import { type Bench, bench, text } from './docker.ts'

let b: Bench
before(async () => {
  b = await bench('containers')
})
after(() => b.close())

test('a container is created, listed, inspected, renamed and removed', async (t) => {
  const { docker, label, unique } = b
  const id = await b.container(t, { Cmd: ['true'], Labels: { one: '1' }, HostConfig: { Memory: 64 * 1024 * 1024 } })
  const name = unique('renamed')
  await docker.containers.rename(id, name)

  const list = await docker.containers.list({ all: true, size: true, filters: { label: [label], status: ['created'] } })
  const found = list.find(({ Id }) => Id === id)
  assert.deepEqual(found?.Names, [`/${name}`])
  assert.equal(found?.State, 'created')
  assert.equal(found?.Labels['one'], '1')
  assert.equal(typeof found?.SizeRootFs, 'number')

  const container = await docker.containers.inspect(name, { size: true })
  assert.equal(container.Id, id)
  assert.deepEqual(container.Config.Cmd, ['true'])
  assert.equal(container.HostConfig.Memory, 64 * 1024 * 1024)
  assert.equal(container.State.Running, false)
  assert.equal(typeof container.SizeRootFs, 'number')

  await docker.containers.remove(id)
  await assert.rejects(docker.containers.inspect(id), (error) => {
    assert.ok(error instanceof NotFoundError)
    const podmans = `no container with name or ID "${id}" found: no such container`
    assert.equal(error.message, b.podman ? podmans : `No such container: ${id}`)
    return true
  })
  await assert.rejects(docker.containers.remove(id), NotFoundError)
})

test('a name that is taken, an image that is missing and a config that is wrong are told apart', async (t) => {
  const { docker, image, unique } = b
  const name = unique('taken')
  const { Id } = await docker.containers.create({ Image: image, Labels: { 'mypaas.test': '1' } }, { name })
  t.after(() => docker.containers.remove(Id))
  await assert.rejects(docker.containers.create({ Image: image }, { name }), ConflictError)
  await assert.rejects(docker.containers.create({ Image: 'mypaas-test-docker/none' }), NotFoundError)
  await assert.rejects(docker.containers.create({ Image: image, HostConfig: { Memory: 1 } }), BadRequestError)
  await assert.rejects(docker.containers.remove('mypaas-test-docker-none'), NotFoundError)
})

test('start, pause, restart, kill and stop; what is so already is success', async (t) => {
  const { docker } = b
  const id = await b.running(t)
  await docker.containers.start(id)
  const state = async () => (await docker.containers.inspect(id)).State
  await docker.containers.pause(id)
  assert.equal((await state()).Status, 'paused')
  await docker.containers.unpause(id)
  const pid = (await state()).Pid
  await docker.containers.restart(id, { graceSeconds: 1 })
  assert.notEqual((await state()).Pid, pid)
  await assert.rejects(docker.containers.remove(id), ConflictError)
  await docker.containers.stop(id, { graceSeconds: 5 })
  await docker.containers.stop(id)
  assert.equal((await state()).Running, false)
  await assert.rejects(docker.containers.kill(id), ConflictError)
  await docker.containers.start(id)
  const { exit } = await docker.containers.wait(id)
  await docker.containers.kill(id, { killSignal: 'SIGKILL' })
  assert.equal((await exit).StatusCode, 137)
})

test('a container that ignores the stop signal gets its grace, then SIGKILL', async (t) => {
  const { docker } = b
  const id = await b.container(t, { Cmd: ['sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done'] })
  await docker.containers.start(id)
  const startedAt = performance.now()
  await docker.containers.stop(id, { graceSeconds: 1 })
  const ms = performance.now() - startedAt
  assert.ok(ms > 900 && ms < 8000, `${ms} ms`)
  assert.equal((await docker.containers.inspect(id)).State.ExitCode, 137)
})

test('limits and the restart policy are changed while it runs', async (t) => {
  const { docker } = b
  const id = await b.running(t)
  const { Warnings } = await docker.containers.update(id, { RestartPolicy: { Name: 'always' }, CpuShares: 512 })
  assert.ok(!Warnings?.length)
  const { HostConfig } = await docker.containers.inspect(id)
  assert.equal(HostConfig.RestartPolicy.Name, 'always')
  assert.equal(HostConfig.CpuShares, 512)
  await docker.containers.update(id, { RestartPolicy: { Name: 'no' } })
})

test('its processes are told', async (t) => {
  const { docker } = b
  const id = await b.running(t)
  const top = await docker.containers.top(id, { psArgs: '-o pid,args' }).catch((error: unknown) => error)
  // An engine whose host has no ps says so.
  if (top instanceof ServerError) assert.match(top.message, /^ps: /)
  else {
    const { Titles, Processes } = top as ContainerTop
    assert.deepEqual(Titles, ['PID', 'COMMAND'])
    assert.ok(Processes?.some(([, command]) => command === 'sleep 600'))
  }
})

test('a command that is not there ends with 127, one that is no program with 126, whatever the engine', async (t) => {
  const { docker } = b
  const id = await b.running(t)
  const exitCode = async (...cmd: string[]): Promise<number> => (await docker.containers.exec(id, cmd)).exitCode
  assert.deepEqual(
    [await exitCode('nope'), await exitCode('/nope'), await exitCode('/etc'), await exitCode('sh', '-c', 'exit 126')],
    [127, 127, 126, 126],
  )
})

test('its changed files and measurements are told', async (t) => {
  const { docker } = b
  const id = await b.running(t)
  assert.equal((await docker.containers.exec(id, ['touch', '/tmp/new'])).exitCode, 0)
  const changes = await docker.containers.changes(id)
  assert.deepEqual(
    changes.filter(({ Path }) => Path === '/tmp/new'),
    [{ Path: '/tmp/new', Kind: 1 }],
  )
  const unchanged = await b.container(t)
  assert.deepEqual(await docker.containers.changes(unchanged), [])

  const stats = await docker.containers.stats(id, { oneShot: true })
  assert.ok(stats.cpu_stats.cpu_usage.total_usage > 0)
  assert.ok((stats.pids_stats.current ?? 0) >= 1)
  let measurements = 0
  for await (const { read } of docker.containers.watchStats(id)) {
    assert.ok(Date.parse(read) > 0)
    if (++measurements === 2) break
  }
})

test('waits are taken before the start, so a command of no time is not missed', async (t) => {
  const { docker } = b
  for (let code = 0; code < 5; code++) {
    const id = await b.container(t, { Cmd: ['sh', '-c', `exit ${code}`] })
    const { exit } = await docker.containers.wait(id, { condition: 'next-exit' })
    await docker.containers.start(id)
    assert.equal((await exit).StatusCode, code)
  }
  const gone = await b.container(t, { Cmd: ['true'], HostConfig: { AutoRemove: true } })
  const { exit } = await docker.containers.wait(gone, { condition: 'removed' })
  await docker.containers.start(gone)
  assert.equal((await exit).StatusCode, 0)
  await assert.rejects(docker.containers.inspect(gone), NotFoundError)
  await assert.rejects(docker.containers.wait(gone), NotFoundError)
})

test('files go in and out as archives', async (t) => {
  const { docker } = b
  const id = await b.container(t)
  const files = rootfs([
    { kind: 'text', path: '/data/hello', text: 'hello', mode: 0o640 },
    { kind: 'symlink', path: '/data/link', target: 'hello' },
  ])
  await docker.containers.putArchive(id, '/tmp', files, { noOverwriteDirNonDir: true })

  const stat = await docker.containers.stat(id, '/tmp/data/link')
  assert.equal(stat?.linkTarget, '/tmp/data/hello')
  assert.equal((await docker.containers.stat(id, '/tmp/data/hello'))?.size, 5)
  assert.equal(await docker.containers.stat(id, '/tmp/none'), undefined)
  await assert.rejects(docker.containers.stat('mypaas-test-docker-none', '/tmp'), NotFoundError)

  const { stat: directory, tar } = await docker.containers.getArchive(id, '/tmp/data')
  assert.equal(directory.name, 'data')
  const seen: string[] = []
  for await (const { path, type, size, mode, target } of readArchive(tar)) {
    seen.push(`${type} ${path} ${size} ${type === 'file' ? mode.toString(8) : ''}${target ?? ''}`.trim())
  }
  assert.deepEqual(seen.sort(), ['directory data 0', 'file data/hello 5 640', 'symlink data/link 0 hello'])

  await assert.rejects(docker.containers.getArchive(id, '/none'), NotFoundError)
})

test('files do not go into a directory that is not there', async (t) => {
  const { docker } = b
  const id = await b.container(t)
  const none = rootfs([{ kind: 'text', path: '/a', text: 'a' }])
  await assert.rejects(docker.containers.putArchive(id, '/none', none), NotFoundError)
})

test('a refusal that comes in the middle of a large upload is told', async (t) => {
  const { docker } = b
  const id = await b.container(t)
  let pulled = 0
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (; pulled < 10_000; pulled++) yield Buffer.alloc(1024 * 1024)
  }
  await assert.rejects(docker.containers.putArchive(id, '/none', endless()), NotFoundError)
  assert.ok(pulled < 1000)
})

test('the file system is exported, and becomes an image by commit', async (t) => {
  const { docker, unique } = b
  const id = await b.container(t)
  await docker.containers.putArchive(id, '/tmp', rootfs([{ kind: 'text', path: '/mark', text: 'mark' }]))
  const names: string[] = []
  for await (const { path } of readArchive(docker.containers.export(id), { links: 'any' })) names.push(path)
  assert.ok(names.includes('bin/busybox') && names.includes('tmp/mark'))

  const repo = unique('commit')
  const { Id } = await docker.containers.commit(id, {
    repo,
    tag: '1',
    comment: 'why not',
    author: 'ann',
    changes: ['ENV A=b', 'CMD ["cat", "/tmp/mark"]'],
  })
  t.after(() => docker.images.remove(`${repo}:1`))
  const image = await docker.images.inspect(`${repo}:1`)
  assert.equal(image.Id, Id)
  assert.deepEqual([image.Comment, image.Author, image.Config?.Cmd], ['why not', 'ann', ['cat', '/tmp/mark']])
  assert.equal(
    (await docker.run(`${repo}:1`, undefined, { config: { HostConfig: { NetworkMode: 'none' } } })).stdout.toString(),
    'mark',
  )
})

test('a prune takes what has the label and does not run, nothing else', async (t) => {
  const { docker, unique } = b
  const mine = unique('prune')
  const dead = await b.container(t, { Labels: { [mine]: '1' } })
  const alive = await b.running(t, { Labels: { [mine]: '1' }, Cmd: ['sleep', '600'] })
  const { ContainersDeleted } = await docker.containers.prune({ filters: { label: [mine] } })
  assert.deepEqual(ContainersDeleted, [dead])
  assert.equal((await docker.containers.inspect(alive)).State.Running, true)
})

test('an option that this engine is too old for is refused before it is asked', async (t) => {
  const { docker } = b
  const id = await b.running(t)
  const call = docker.containers.stop(id, { stopSignal: 'SIGINT', graceSeconds: 5 })
  if (compareVersions(await docker.apiVersion(), '1.42') < 0) {
    await assert.rejects(call, { name: 'ApiVersionError', needed: '1.42' })
    assert.equal((await docker.containers.inspect(id)).State.Running, true)
  } else {
    await call
    assert.equal((await docker.containers.inspect(id)).State.Running, false)
  }
})

test('the text of a file that is read out is what was written', async (t) => {
  const { docker } = b
  const id = await b.container(t)
  const large = Buffer.alloc(5_000_000, 'abcdefg')
  await docker.containers.putArchive(id, '/tmp', rootfs([{ kind: 'text', path: '/large', text: large.toString() }]))
  const { tar } = await docker.containers.getArchive(id, '/tmp/large')
  for await (const { body } of readArchive(tar)) assert.equal(await text(body), large.toString())
})
