import assert from 'node:assert/strict'
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick } from '../support/daemon.ts'
import { busyboxImage } from '../support/images.ts'
import { long } from '../support/prove.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

const crashes = long ? 30 : 3
const stops = long ? 200 : 3

/**
 * Whatever it can write, it makes a link to what it wants to see: its mounts, what is in them, their parents and names that
 * might be looked for there. Before that it says what it finds at each mount; each start is a line of `seen`.
 */
const swapper = `
for at in /a /deep /v /ro; do
  [ -e "$at/treasure" ] && echo "TREASURE $at" >> /a/seen
  [ -e "$at@HOME@/victim/treasure" ] && echo "HOST $at" >> /a/seen
  [ -e "$at/own" ] || echo "LOST $at" >> /a/seen
done
echo start >> /a/seen
# What it sees of the machine it leaves alone: this is a proof, no attack.
grep -q -v start /a/seen && exec sleep 100000
for at in /a /deep /v /ro; do
  for to in / /etc ../victim ../../victim @HOME@/victim @HOME@/_mypaas; do
    for name in sub deep deeper _data data x reach r victim .. .; do
      rm -rf "$at/$name" "$at.old"
      ln -sfn "$to" "$at/$name"
    done
    mv "$at" "$at.old"; ln -sfn "$to" "$at"
    rmdir "$at"; ln -sfn "$to" "$at"
  done
done 2>/dev/null
touch /a/swapped
exec sleep 100000
`

test('the engine does follow a link that a container puts below what it has mounted, so it is not for nothing', async (t) => {
  const w = await world(t)
  for (const path of ['nest/sub', 'victim']) await mkdir(join(w.home, path), { recursive: true })
  await writeFile(join(w.home, 'victim', 'treasure'), 'gold')
  const swap = 'cat /b/treasure >> /a/seen; mv /a/sub /a/old; ln -sfn ../victim /a/sub; sleep 100000'
  const { Id } = await w.docker.containers.create(
    {
      Image: await busyboxImage(w.docker),
      Cmd: ['sh', '-c', swap],
      HostConfig: {
        NetworkMode: 'none',
        RestartPolicy: { Name: 'always' },
        Binds: [`${w.home}/nest:/a`, `${w.home}/nest/sub:/b`],
      },
    },
    { name: `${w.instance}-nest` },
  )
  await w.docker.containers.start(Id)
  await until(() => isDone(w, `/${w.instance}-nest`), { what: 'the link' })
  process.kill((await w.docker.containers.inspect(Id)).State.Pid, 'SIGKILL')
  const seen = (): Promise<string> => readFile(join(w.home, 'nest', 'seen'), 'utf8').catch(() => '')
  await until(async () => (await seen()) === 'gold', { what: 'what the link leads to' })
})

test('a container that makes links of all that it can write sees only its own, however often it is started', async (t) => {
  const w = await world(t, { program: await compiledProgram({ after }) })
  await initWith(w, quick)
  await mkdir(join(w.home, 'victim'))
  await writeFile(join(w.home, 'victim', 'treasure'), 'gold')
  const places = { '/a': 'reach/a', '/deep': 'reach/some/where/deep', '/ro': 'reach/ro' }
  for (const path of Object.values(places)) {
    await mkdir(join(w.home, path), { recursive: true })
    await writeFile(join(w.home, path, 'own'), '')
  }
  const base = await busyboxImage(w.docker)
  const service = await w.service('reach', {
    dockerfile: [
      '# mypaas.service=reach',
      '# mypaas.volume=~/reach/a:/a',
      '# mypaas.volume=~/reach/some/where/deep:/deep',
      '# mypaas.volume=~/reach/ro:/ro:ro',
      `# mypaas.volume=${w.instance}-reach:/v`,
      `FROM ${base}`,
      'RUN mkdir /v && touch /v/own',
      'COPY swap /swap',
      'STOPSIGNAL SIGKILL',
      'CMD ["sh", "/swap"]',
      '',
    ].join('\n'),
    files: { swap: swapper.replaceAll('@HOME@', w.home) },
  })
  await w.deploy(service)
  let starts = await swapped(w, 1)

  await t.test(`${crashes} times by the engine`, async () => {
    for (let crash = 0; crash < crashes; crash += 1) {
      // As if it had crashed: the engine has no hand in that, and starts it again.
      const { State } = await w.docker.containers.inspect(`${w.instance}-reach-r1-1`)
      // The engine waits twice as long each time for one that was up for less than 10 s.
      if (long) await sleep(Math.max(0, Date.parse(State.StartedAt) + 10_500 - Date.now()))
      process.kill(State.Pid, 'SIGKILL')
      starts = await swapped(w, starts + 1)
    }
    await assertOnlyItsOwn(w, starts)
  })

  await t.test(`${stops} times by stop and start`, async () => {
    for (let stop = 0; stop < stops; stop += 1) {
      await w.ok(['server', 'stop', 'reach'])
      await w.ok(['server', 'start', 'reach'])
      starts = await swapped(w, starts + 1)
    }
    await assertOnlyItsOwn(w, starts)
  })

  await t.test('and by restart, deploy, run and a rollback', async () => {
    await w.ok(['server', 'restart', 'reach'])
    starts = await swapped(w, starts + 1)
    // Another build, so that there is one to go back to.
    await appendFile(join(service, 'Dockerfile'), 'LABEL turn=2\n')
    await w.deploy(service)
    starts = await swapped(w, starts + 1)
    const found = await w.cli(['server', 'run', 'reach', '--', 'sh', '-c', 'cat /*/own && cat /*/treasure'])
    assert.equal(found.code, 1, found.output)
    assert.match(found.output, /can't open '\/\*\/treasure'/)
    await w.ok(['server', 'rollback', 'reach'])
    starts = await swapped(w, starts + 1)
    await assertOnlyItsOwn(w, starts)
  })
})

/** Waits until it has started so many times, and done its worst. */
async function swapped(w: World, starts: number): Promise<number> {
  const folder = join(w.home, 'reach', 'a')
  const seen = (): Promise<string> => readFile(join(folder, 'seen'), 'utf8').catch(() => '')
  await until(
    async () => {
      const { Names, State } = (await w.containers('reach')).find(({ State }) => State === 'running') ?? {}
      if (!Names || State !== 'running') return false
      return (await seen()).split('\n').filter((line) => line === 'start').length >= starts && isDone(w, Names[0] ?? '')
    },
    { what: `start ${starts} of the container`, timeoutMs: 120_000, everyMs: 50 },
  )
  return starts
}

/** When it sleeps, all links are made. */
async function isDone(w: World, name: string): Promise<boolean> {
  const { Processes } = await w.docker.containers.top(name.slice(1))
  return Processes?.some((row) => row.some((field) => /sleep 100000/.test(field))) === true
}

async function assertOnlyItsOwn(w: World, starts: number): Promise<void> {
  const lines = (await readFile(join(w.home, 'reach', 'a', 'seen'), 'utf8')).trim().split('\n')
  assert.deepEqual(
    lines.filter((line) => line !== 'start'),
    [],
  )
  assert.equal(lines.length, starts)
  assert.equal(await readFile(join(w.home, 'victim', 'treasure'), 'utf8'), 'gold')
  const [container] = await w.containers('reach')
  const { Mounts, State } = await w.docker.containers.inspect(container?.Id ?? '')
  const root = (await w.docker.volumes.inspect(`${w.instance}-reach`)).Mountpoint
  // What the kernel has mounted, not what the engine believes.
  const mounted = (await readFile(`/proc/${State.Pid}/mountinfo`, 'utf8')).split('\n').map((line) => line.split(' '))
  const sources = Object.fromEntries(
    mounted
      .filter(([, , , , at = '']) => Mounts.some(({ Destination }) => Destination === at))
      .map(([, , , from, at]) => [at, from]),
  )
  const endsWith = { '/a': 'reach/a', '/deep': 'reach/some/where/deep', '/ro': 'reach/ro', '/v': root }
  for (const [at, end] of Object.entries(endsWith)) assert.ok(sources[at]?.endsWith(end), `${at} is ${sources[at]}`)
}
