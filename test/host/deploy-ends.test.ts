import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { stopContainer } from '../../src/deploy/stop.ts'
import { type ContainerConfig, Docker } from '../../src/docker/index.ts'
import { compiledProgram } from '../support/compiled.ts'
import { debianImage, nodeImage } from '../support/images.ts'
import { until } from '../support/until.ts'
import { world } from '../support/world.ts'

/** Works in pieces, and when it is asked to end it needs a while to finish the last one. */
const worker = `const name = process.argv[2] ?? 'app'
const asked = (signal) => {
  console.log(name, signal)
  setTimeout(() => { console.log(name, 'has finished'); process.exit() }, 700)
}
for (const signal of ['SIGTERM', 'SIGQUIT']) process.on(signal, asked)
if (process.argv[3] === 'child') {
  const { spawn } = await import('node:child_process')
  spawn('sleep', ['60']).on('exit', () => console.log('its own process was ended by somebody else'))
}
setInterval(() => {}, 1000)
console.log(name, 'is up')
`
/** One piece of work after the other, each of a second; the last is finished. */
const pieces = `import os, signal, time
stop = False
def ask(*_):
    global stop
    stop = True
signal.signal(signal.SIGTERM, ask)
while not stop:
    open('/log/log', 'a').write(f'begin {os.environ["MYPAAS_RELEASE"]} {time.time()}\\n')
    begin = open('/log/log').read().splitlines()[-1]
    for _ in range(10):
        time.sleep(.1)
    open('/log/log', 'a').write(begin.replace('begin', 'end') + '\\n')
`
const scripts = {
  'entry.sh': '#!/bin/sh\necho prepare\nnode /t/worker.mjs\necho goes on\n',
  'bash.sh': '#!/bin/bash\nnode /t/worker.mjs\necho goes on\n',
  'arguments.sh': '#!/bin/sh\n"$@"\n',
  'trap.sh':
    '#!/bin/sh\ntrap \'echo trapped; kill -TERM "$pid"; wait "$pid"; exit 0\' TERM\nnode /t/worker.mjs & pid=$!\nwait "$pid"\n',
} as const

type Case = Readonly<{ what: string; config: ContainerConfig; log: readonly string[]; only?: 'debian' }>

const sh = (command: string): ContainerConfig => ({ Cmd: ['/bin/sh', '-c', command] })
const ended = ['app is up', 'app SIGTERM', 'app has finished']
const cases: readonly Case[] = [
  { what: 'CMD node worker', config: sh('node /t/worker.mjs'), log: ended },
  { what: 'a variable before it', config: sh('X=1 node /t/worker.mjs'), log: ended },
  { what: 'another command before it', config: sh('cd /t && node worker.mjs'), log: ended },
  { what: 'another command behind it', config: sh('node /t/worker.mjs; echo goes on'), log: ended },
  { what: 'a subshell', config: sh('true; (node /t/worker.mjs; true); true'), log: ended },
  { what: 'a loop', config: sh('while :; do node /t/worker.mjs; done'), log: ended },
  { what: 'a pipeline', config: sh('node /t/worker.mjs | cat'), log: ended },
  { what: 'a pipeline that ends in the app', config: sh('sleep 60 | node /t/worker.mjs; true'), log: ended },
  {
    what: 'two in the background',
    config: sh('node /t/worker.mjs a & node /t/worker.mjs b & wait'),
    log: ['a SIGTERM', 'a has finished', 'a is up', 'b SIGTERM', 'b has finished', 'b is up'],
  },
  { what: 'an app with a process of its own', config: sh('node /t/worker.mjs app child; true'), log: ended },
  { what: 'an entry script', config: { Entrypoint: ['/t/entry.sh'] }, log: ['prepare', ...ended] },
  { what: 'an entry script for sh', config: { Cmd: ['sh', '/t/entry.sh'] }, log: ['prepare', ...ended] },
  { what: 'one of bash', config: { Entrypoint: ['/t/bash.sh'] }, log: ended, only: 'debian' },
  {
    what: 'an entry script and CMD',
    config: { Entrypoint: ['/t/arguments.sh'], ...sh('node /t/worker.mjs; true') },
    log: ended,
  },
  {
    what: 'ENTRYPOINT and CMD in shell form',
    config: { Entrypoint: ['/bin/sh', '-c', '/t/entry.sh'], ...sh('never run') },
    log: ['prepare', ...ended],
  },
  {
    what: 'a script that listens itself',
    config: { Cmd: ['/t/trap.sh'] },
    log: ['app is up', 'trapped', 'app SIGTERM', 'app has finished'],
  },
  { what: 'no shell', config: { Cmd: ['node', '/t/worker.mjs'] }, log: ended },
  {
    what: 'another STOPSIGNAL',
    config: { ...sh('node /t/worker.mjs; true'), StopSignal: 'SIGQUIT' },
    log: ['app is up', 'app SIGQUIT', 'app has finished'],
  },
]

test('an app hears that it shall end, and has its grace, however it was started', { concurrency: true }, async (t) => {
  const docker = new Docker()
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  t.after(async () => {
    docker.close()
    await rm(folder, { recursive: true })
  })
  await writeFile(join(folder, 'worker.mjs'), worker)
  for (const [name, text] of Object.entries(scripts)) {
    await writeFile(join(folder, name), text)
    await chmod(join(folder, name), 0o755)
  }
  await chmod(folder, 0o755)
  const images = { debian: await debianImage(docker), busybox: await nodeImage(docker) }
  const host = { docker, graceMs: 10_000, engineTimeoutMs: 30_000 }
  const run = async (t: TestContext, image: string, config: ContainerConfig): Promise<string> => {
    const { Id } = await docker.containers.create({
      Image: image,
      ...config,
      Labels: { 'mypaas.test': '1' },
      HostConfig: { Init: true, NetworkMode: 'none', Binds: [`${folder}:/t:ro`] },
    })
    t.after(() => docker.containers.remove(Id, { force: true }))
    await docker.containers.start(Id)
    return Id
  }
  const linesOf = async (id: string): Promise<string[]> => {
    const chunks: Buffer[] = []
    for await (const { data } of docker.containers.logs(id, { stdout: true })) chunks.push(Buffer.from(data))
    return Buffer.concat(chunks).toString().trim().split('\n')
  }

  const kinds = Object.entries(images).map(([kind, image]) =>
    t.test(kind, { concurrency: 4 }, async (t) => {
      const here = cases.filter(({ only }) => only === undefined || only === kind)
      await Promise.all(
        here.map(({ what, config, log }) =>
          t.test(what, async (t) => {
            const id = await run(t, image, config)
            const up = log.filter((line) => line.endsWith('is up')).length
            await until(async () => (await linesOf(id)).filter((line) => line.endsWith('is up')).length === up, {
              what: 'the app',
            })
            await stopContainer(host, id)
            const lines = await linesOf(id)
            assert.deepEqual(what.startsWith('two') ? lines.sort() : lines, log)
          }),
        ),
      )
    }),
  )
  await Promise.all(kinds)

  await t.test('one that does not end is killed when its grace is over', async (t) => {
    const command = `node -e "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('app is up')"; true`
    const id = await run(t, images.debian, { ...sh(command), StopTimeout: 3 })
    await until(async () => (await linesOf(id)).includes('app is up'), { what: 'the app' })
    const begin = performance.now()
    await stopContainer(host, id)
    const ms = performance.now() - begin
    assert.ok(ms > 2_900 && ms < 6_500, `${ms} ms`)
  })
})

test('nothing that ends a service cuts its work, behind a shell and with a grace of its own', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await w.init()
  await w.set('server', 'grace', '"1s"')
  const base = await debianImage(w.docker)
  const log = join(w.home, 'job', 'log')
  const service = async (command: string): Promise<string> =>
    w.service('job', {
      dockerfile: `# mypaas.service=job\n# mypaas.volume=~/job:/log\n# mypaas.grace=10s\nFROM ${base}\nCOPY work.py ./\nCMD ${command}\n`,
      files: { 'work.py': pieces },
    })
  const ends = [
    ['restart', 'job'],
    ['stop', 'job'],
    ['start', 'job'],
    ['rm', 'job', '--yes'],
  ]
  const assertWhole = async (): Promise<void> => {
    const lines = (await readFile(log, 'utf8')).trim().split('\n')
    const begun = lines.filter((line) => line.startsWith('begin'))
    assert.ok(begun.length >= ends.length, lines.join())
    assert.deepEqual(
      lines,
      begun.flatMap((line) => [line, line.replace('begin', 'end')]),
    )
    await rm(log)
  }
  const directory = await service('true; python work.py; true')
  assert.match((await w.ok(['server', 'deploy', directory, '--plan'])).output, /runs behind a shell/)
  await w.deploy(directory)
  await w.deploy(directory)
  for (const words of ends) await w.ok(['server', ...words])
  await assertWhole()

  // What the engine ends itself it ends as the image says.
  await service('python work.py')
  assert.match((await w.ok(['server', 'deploy', directory, '--plan'])).output, /is run with exec/)
  await w.deploy(directory)
  const [container] = await w.containers('job')
  for (let turn = 0; turn < 3; turn += 1) {
    await w.docker.containers.restart(container?.Id ?? '')
    await until(async () => /begin[^\n]*\n$/.test(await readFile(log, 'utf8')), { what: 'a piece of work' })
  }
  await w.ok(['server', 'down', '--yes'])
  await assertWhole()
})
