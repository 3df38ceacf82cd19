import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConflictError, type EngineEvent, NotFoundError, ProtocolError } from '../../src/docker/index.ts'
import { until } from '../support/until.ts'
import { type Bench, bench, output, text } from './docker.ts'

let b: Bench
before(async () => {
  b = await bench('streams')
})
after(() => b.close())

test('logs tell both streams apart, from their beginning, their end, or between two times', async (t) => {
  const { docker } = b
  const script = 'for i in 1 2 3; do echo out$i; echo err$i >&2; done; sleep 1.2; echo later'
  const id = await b.container(t, { Cmd: ['sh', '-c', script] })
  const { exit } = await docker.containers.wait(id, { condition: 'next-exit' })
  await docker.containers.start(id)
  const followed = await output(docker.containers.logs(id, { follow: true }))
  await exit
  assert.deepEqual(followed, { stdout: 'out1\nout2\nout3\nlater\n', stderr: 'err1\nerr2\nerr3\n' })
  assert.deepEqual(await output(docker.containers.logs(id)), followed)
  assert.deepEqual(await output(docker.containers.logs(id, { stdout: false })), { stdout: '', stderr: followed.stderr })
  assert.deepEqual(await output(docker.containers.logs(id, { tail: 1 })), { stdout: 'later\n', stderr: '' })

  const stamped = (await output(docker.containers.logs(id, { tail: 1, timestamps: true }))).stdout
  const [time = ''] = stamped.split(' ')
  const since = new Date(Date.parse(time) - 500)
  assert.equal((await output(docker.containers.logs(id, { since }))).stdout, 'later\n')
  assert.equal((await output(docker.containers.logs(id, { until: since }))).stdout, 'out1\nout2\nout3\n')
})

test('logs of a terminal are one stream; frames looked for in them are an error that says so', async (t) => {
  const { docker } = b
  const id = await b.container(t, { Tty: true, Cmd: ['sh', '-c', 'echo hello terminal; echo err >&2'] })
  const { exit } = await docker.containers.wait(id, { condition: 'next-exit' })
  await docker.containers.start(id)
  await exit
  assert.deepEqual(await output(docker.containers.logs(id)), { stdout: 'hello terminal\r\nerr\r\n', stderr: '' })
  await assert.rejects(output(docker.containers.logs(id, { tty: false })), ProtocolError)
})

test('a reader of logs may stop, and a signal stops it', async (t) => {
  const { docker } = b
  const id = await b.running(t, { Cmd: ['sh', '-c', 'while :; do echo tick; sleep 0.05; done'] })
  for await (const { data } of docker.containers.logs(id, { follow: true })) {
    assert.match(data.toString(), /^tick/)
    break
  }
  const aborter = new AbortController()
  const reading = output(docker.containers.logs(id, { follow: true, signal: aborter.signal }))
  const failed = assert.rejects(reading, { name: 'AbortError' })
  setTimeout(() => aborter.abort(), 100)
  await failed
  await assert.rejects(output(docker.containers.logs('mypaas-test-docker-none', { tty: false })), NotFoundError)
})

test('20 MB of log lines come whole', async (t) => {
  const { docker } = b
  const id = await b.container(t, {
    Cmd: ['sh', '-c', 'yes 0123456789012345678901234567890123456789 | head -c 20500000'],
  })
  const { exit } = await docker.containers.wait(id, { condition: 'next-exit' })
  await docker.containers.start(id)
  let bytes = 0
  for await (const { data } of docker.containers.logs(id, { follow: true, tty: false })) bytes += data.length
  assert.equal(bytes, 20_500_000)
  assert.equal((await exit).StatusCode, 0)
})

test('attached before its start, a container’s first words are heard, and its input ends when we end it', async (t) => {
  const { docker } = b
  const id = await b.container(t, { Cmd: ['sh', '-c', 'echo first; sort; exit 3'], OpenStdin: true, StdinOnce: true })
  await using stream = await docker.containers.attach(id, { stdin: true })
  const reading = output(stream)
  const { exit } = await docker.containers.wait(id, { condition: 'next-exit' })
  await docker.containers.start(id)
  await stream.write('b\na\n')
  await stream.end()
  assert.deepEqual(await reading, { stdout: 'first\na\nb\n', stderr: '' })
  assert.equal((await exit).StatusCode, 3)
  assert.equal(await stream.exitCode(), 3)
})

test('a terminal can be talked to and resized', async (t) => {
  const { docker } = b
  const id = await b.container(t, { Cmd: ['sh'], Tty: true, OpenStdin: true })
  await using stream = await docker.containers.attach(id, { stdin: true })
  await docker.containers.start(id)
  await stream.resize({ rows: 33, columns: 99 })
  let seen = ''
  const reading = (async () => {
    for await (const { data } of stream) seen += data
  })()
  await stream.write('stty size; exit 5\n')
  await reading
  assert.match(seen, /33 99/)
  assert.equal(await stream.exitCode(), 5)
})

test('a WebSocket carries input and output', async (t) => {
  const { docker } = b
  const id = await b.container(t, { Cmd: ['sh', '-c', 'read x; echo "<$x>"'], OpenStdin: true, StdinOnce: true })
  await using socket = await docker.containers.attachWebSocket(id, { stdin: true })
  const reading = text(socket)
  await docker.containers.start(id)
  await socket.write('hello\n')
  assert.match(await reading, /<hello>/)
  await assert.rejects(docker.containers.attachWebSocket('mypaas-test-docker-none'), NotFoundError)
})

test('exec: `cat | sort` gets its end of file, and its exit code comes back', async (t) => {
  const { docker } = b
  const id = await b.running(t)
  const result = await docker.containers.exec(id, ['sh', '-c', 'cat | sort; echo err >&2; exit 7'], { stdin: 'b\na\n' })
  assert.deepEqual(
    { ...result, stdout: result.stdout.toString(), stderr: result.stderr.toString() },
    { exitCode: 7, stdout: 'a\nb\n', stderr: 'err\n' },
  )
  const where = await docker.containers.exec(id, ['sh', '-c', 'pwd; echo $A; id -u'], {
    workingDir: '/tmp',
    env: ['A=b'],
    user: '12345',
  })
  assert.equal(where.stdout.toString(), '/tmp\nb\n12345\n')
  const large = await docker.containers.exec(id, ['cat'], { stdin: Buffer.alloc(8_000_000, 'x') })
  assert.equal(large.stdout.length, 8_000_000)
})

test('exec: the same in its parts, with a terminal', async (t) => {
  const { docker } = b
  const id = await b.running(t)
  const created = await docker.exec.create(id, {
    Cmd: ['sh'],
    Tty: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  })
  await using stream = await docker.exec.start(created.Id)
  await stream.resize({ rows: 30, columns: 90 })
  await docker.exec.resize(created.Id, { rows: 31, columns: 91 })
  assert.equal((await docker.exec.inspect(created.Id)).Running, true)
  await stream.write('stty size; exit 4\n')
  const { stdout } = await output(stream)
  assert.match(stdout, /31 91/)
  assert.equal(await stream.exitCode(), 4)
  assert.equal((await docker.exec.inspect(created.Id)).ExitCode, 4)
})

test('exec: detached, it runs on by itself', async (t) => {
  const { docker } = b
  const id = await b.running(t)
  const { Id } = await docker.exec.create(id, { Cmd: ['sh', '-c', 'sleep 0.2; touch /tmp/done'] })
  await docker.exec.startDetached(Id)
  await until(async () => (await docker.containers.stat(id, '/tmp/done')) !== undefined, {
    what: 'the file',
    timeoutMs: 10_000,
  })
  assert.equal((await docker.exec.inspect(Id)).ExitCode, 0)
})

test('exec: no container, one that does not run, no such program', async (t) => {
  const { docker } = b
  const stopped = await b.container(t)
  await assert.rejects(docker.containers.exec(stopped, ['true']), ConflictError)
  await assert.rejects(docker.containers.exec('mypaas-test-docker-none', ['true']), NotFoundError)
  await assert.rejects(docker.exec.start('none', { tty: false }), NotFoundError)
  const id = await b.running(t)
  const { exitCode, stdout, stderr } = await docker.containers.exec(id, ['no-such-program'])
  assert.ok(exitCode === 126 || exitCode === 127, `${exitCode} ${stdout} ${stderr}`)
})

test('a run gives output and exit code, and leaves no container', async () => {
  const { docker, image, unique, label } = b
  const [key = '', value = ''] = label.split('=')
  const config = { Labels: { [key]: value, 'mypaas.test': '1' }, HostConfig: { NetworkMode: 'none' } }
  const name = unique('run')
  const result = await docker.run(image, ['sh', '-c', 'cat; echo err >&2; exit 9'], { stdin: 'in', name, config })
  assert.deepEqual(
    { ...result, stdout: result.stdout.toString(), stderr: result.stderr.toString() },
    { exitCode: 9, stdout: 'in', stderr: 'err\n' },
  )
  await assert.rejects(docker.containers.inspect(name), NotFoundError)

  const aborter = new AbortController()
  const long = docker.run(image, ['sleep', '600'], { name, config, signal: aborter.signal })
  const failed = assert.rejects(long, { name: 'AbortError' })
  await until(async () => (await docker.containers.inspect(name)).State.Running, { what: 'the run' })
  aborter.abort()
  await failed
  await assert.rejects(docker.containers.inspect(name), NotFoundError)
})

test('events tell a container’s life in order, live and afterwards', async (t) => {
  const { docker, unique } = b
  const name = unique('events')
  const filters = { type: ['container'], label: [name] }
  const seen: EngineEvent[] = []
  const aborter = new AbortController()
  const startedAt = Math.floor(Date.now() / 1000) - 1
  const watching = (async () => {
    for await (const event of docker.system.events({ filters, signal: aborter.signal, since: startedAt }))
      seen.push(event)
  })()
  const ended = assert.rejects(watching, { name: 'AbortError' })
  const id = await b.container(t, { Cmd: ['true'], Labels: { [name]: '1' } })
  const { exit } = await docker.containers.wait(id, { condition: 'next-exit' })
  await docker.containers.start(id)
  await exit
  await docker.containers.remove(id)
  await until(() => seen.some(({ Action }) => Action === 'destroy'), { what: 'the last event' })
  aborter.abort()
  await ended
  const actions = ['create', 'start', 'die', 'destroy']
  const told = seen.map(({ Action }) => Action).filter((action) => actions.includes(action))
  assert.deepEqual(told, actions)
  assert.ok(seen.every(({ Actor }) => Actor.ID === id))
  assert.equal(seen.find(({ Action }) => Action === 'die')?.Actor.Attributes['exitCode'], '0')

  await sleep(1100)
  const again: string[] = []
  const past = docker.system.events({ filters, since: startedAt, until: new Date() })
  for await (const { Action, at } of past) {
    again.push(Action)
    assert.match(at, /^\d{10}\.\d{9}$/)
  }
  assert.deepEqual(
    again,
    seen.map(({ Action }) => Action),
  )
})

test('nothing of all this is still open', async () => {
  const { docker } = b
  await docker.system.ping()
  assert.ok(docker.connections <= 8, `${docker.connections} connections`)
})
