import assert from 'node:assert/strict'
import { mkdir, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, suite, type TestContext, test } from 'node:test'
import type { Journal } from '../../src/deploy/journal.ts'
import { mountProblems } from '../../src/deploy/mounts.ts'
import { openServer } from '../../src/server/host.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { compiledProgram } from '../support/compiled.ts'
import { busyboxImage } from '../support/images.ts'
import { inventory } from '../support/inventory.ts'
import { type World, world } from '../support/world.ts'

const program = await compiledProgram({ after })

suite('mounts', { concurrency: 2 }, () => {
  test('no service gets a mount that a container could lead elsewhere', async (t) => {
    const w = await initialised(t)
    const base = await busyboxImage(w.docker)
    await w.deploy(await holding(w, 'one', ['~/one:/a', '~/read:/r:ro', `${w.instance}-one:/v`]))
    const stranger = await strangerWith(w, 'stranger', [`${w.home}/shared:/s`, `${w.home}/shown:/t:ro`])
    const reader = await strangerWith(w, 'reader', ['/:/host:ro'])
    // As an image could bring them.
    const labels = { 'mypaas.server': await w.serverId(), 'mypaas.service': 'two', 'mypaas.release': '1' }
    await strangerWith(w, 'claiming', [`${w.home}/claimed:/c`], { labels: { ...labels, 'mypaas.replica': '1' } })
    await strangerWith(w, 'gone', [`${w.home}/past:/p`], { isStopped: true })
    await strangerWith(w, 'sleeping', [`${w.home}/asleep:/p`], { isStopped: true, policy: 'always' })
    await w.docker.volumes.create({
      Name: `${w.instance}-bound`,
      DriverOpts: { type: 'none', o: 'bind', device: join(w.home, 'shared') },
      Labels: { 'mypaas.server': await w.serverId(), 'mypaas.volume.service': 'two' },
    })
    await mkdir(join(w.home, 'shared', 'x'), { recursive: true })
    await writeFile(join(w.home, 'file'), '')
    await symlink('shared', join(w.home, 'link'))

    await t.test('below or above another one that a container can write, whoever has that', async () => {
      const refused: [volumes: string[], words: RegExp][] = [
        [['~/two:/a', '~/two/sub:/b'], /~\/two\/sub lies below ~\/two, which is mounted at \/a/],
        [['~/two/sub:/b', '~/two:/a:ro'], /~\/two\/sub lies below ~\/two.*: what a container writes in the lower one/],
        [['~/two:/a', '~/two/sub:/b:ro'], /: a container that can write the upper one could lead/],
        // What no config allows does not name the config.
        [['/run/docker.sock:/b'], /^(?!.*volume_roots).*, which no service may mount/s],
        [['/run:/b'], /^(?!.*volume_roots).*lies above .*, which no service may mount/s],
        [['/proc/1:/b'], /^(?!.*volume_roots).*which no service may mount/s],
        [['/srv/x/y:/b'], /volume_roots = \["\/srv\/x"\]/],
        [['~/two:/a', '~/two/deep/er:/b:ro'], /Mount ~\/two alone, it has the other as \/a\/deep\/er\./],
        [['~/one/sub:/b'], /~\/one\/sub lies below ~\/one, which the service one mounts/],
        [['~/one/sub:/b:ro'], /which the service one mounts/],
        [['~/read/sub:/b'], /~\/read\/sub lies below ~\/read, which the service one mounts/],
        [
          ['~/shared/x:/b'],
          /lies below ~\/shared, which the container \S+-stranger mounts.*trusted_containers = \["\S+-stranger"\]/s,
        ],
        [['~/shown/x:/b', '~/shown:/c'], /~\/shown\/x lies below ~\/shown, which is mounted/],
        [['~/claimed/x:/b'], /which the container \S+-claiming mounts.*trusted_containers/s],
        [['~/asleep/x:/b'], /which the container \S+-sleeping mounts/],
        [['~/two:/a', `${w.home}/two/sub:/b`], /~\/two\/sub lies below ~\/two/],
        [['~/shared/x:/b', `${w.instance}-bound:/c`], /lies below/],
        [['~/file/x:/b'], /file is a file/],
        [['~/link:/b'], /~\/link leads to ~\/shared, because ~\/link is a link/],
        [['~/link/new:/b'], /~\/link\/new leads to ~\/shared\/new, because ~\/link is a link/],
        [[`${w.home}/_mypaas/services:/b`], /_mypaas is not mounted/],
      ]
      for (const [volumes, words] of refused) assert.match(await problems(w, volumes), words, volumes.join())
      const allowed = [
        ['~/two:/a', '~/twofold:/b', '~/three/x:/c', '~/three/y:/d'],
        ['~/two:/a', '~/two:/b:ro'],
        ['~/two:/a:ro', '~/two/sub:/b:ro'],
        ['~/one:/a'], // the very same place
        ['~/read/sub:/b:ro'],
        ['~/shown/x:/b:ro'],
        ['~/past/x:/b'], // nothing of that can start again
        ['~/file:/b'],
        [`${w.instance}-two:/v`],
      ]
      for (const volumes of allowed) assert.equal(await problems(w, volumes), '', volumes.join())
    })

    await t.test('nor of what is the engine’s, the kernel’s or ours, even if the config allows all of it', async () => {
      const { DockerRootDir } = await w.docker.system.info()
      const home = await realpath(w.home)
      await w.set('server', 'volume_roots', JSON.stringify(['/run', '/var', '/proc', '/dev', '/tmp']))
      for (const place of [
        '/run',
        '/run/docker.sock',
        '/proc/1',
        '/dev/shm',
        DockerRootDir,
        `${DockerRootDir}/volumes`,
      ]) {
        assert.match(await problems(w, [`${place}:/x`]), /which no service may mount/, place)
      }
      if (home.startsWith('/tmp/')) assert.match(await problems(w, ['/tmp:/x']), /which no service may mount/)
    })

    await t.test('a deploy and its plan name the lines of all that they refuse, and touch nothing', async () => {
      const directory = await w.service('two', {
        dockerfile: `# mypaas.service=two\n# mypaas.volume=~/fine:/f\n# mypaas.volume=~/one/x:/a\n\n# mypaas.volume=~/link:/b\nFROM ${base}\n`,
      })
      const before = await inventory(w)
      for (const more of [[], ['--plan']]) {
        const { code, stderr } = await w.cli(['server', 'deploy', directory, ...more])
        assert.equal(code, 2, stderr)
        assert.match(
          stderr,
          /Dockerfile:3: mypaas\.volume: ~\/one\/x lies below ~\/one.*\n.*Dockerfile:5: mypaas\.volume: ~\/link leads to/,
        )
      }
      assert.deepEqual(await inventory(w), before)
    })

    await t.test('a container of somebody else counts no more when the config trusts it, or it is gone', async () => {
      await w.set('server', 'trusted_containers', JSON.stringify([`${w.instance}-stranger`]))
      assert.equal(await problems(w, ['~/shared/x:/b']), '')
      await w.set('server', 'trusted_containers', '[]')
      await w.docker.containers.remove(stranger, { force: true })
      assert.equal(await problems(w, ['~/shared/x:/b']), '')
      await w.docker.containers.remove(reader, { force: true })
    })

    await t.test(
      'what the release that runs has mounted counts for the next one’s new mounts, not for those that stay',
      async () => {
        const run = ['~/run:/a', '~/run-b/sub:/b']
        await w.deploy(await holding(w, 'own', run))
        assert.equal(await problems(w, run, 'own'), '')
        assert.match(
          await problems(w, ['~/run/sub:/a'], 'own'),
          /which the container \S+own-r1-1 mounts.*server stop own/s,
        )
        assert.match(await problems(w, ['~/run-b:/b'], 'own'), /~\/run-b lies above ~\/run-b\/sub/)
        await w.ok(['server', 'stop', 'own'])
        assert.equal(await problems(w, ['~/run/sub:/a'], 'own'), '')
        assert.match(await problems(w, ['~/run/sub:/a'], 'other'), /which the service own mounts/)
        await w.deploy(await holding(w, 'own', ['~/run/sub:/a']))
      },
    )

    await t.test('a kept release is looked at when it is to come back', async () => {
      await w.deploy(await holding(w, 'kept', ['~/kept:/a']))
      await w.deploy(await holding(w, 'kept', []))
      await w.deploy(await holding(w, 'new', ['~/kept/sub:/a']))
      const { code, stderr } = await w.cli(['server', 'rollback', 'kept'])
      assert.equal(code, 2, stderr)
      assert.match(stderr, /~\/kept lies above ~\/kept\/sub, which the service new mounts/)
      assert.deepEqual(await w.runningNames('kept'), ['kept-r2-1'])
    })
  })

  test('a release that runs in a way that is refused by now runs on, and is told of', async (t) => {
    const w = await initialised(t)
    await w.deploy(await holding(w, 'old', ['~/old:/a']))
    await mkdir(join(w.home, 'old', 'sub'))
    await mkdir(join(w.home, 'treasure'))
    await writeFile(join(w.home, 'treasure', 'gold'), 'gold')
    // As the version before would have deployed it.
    await mendJournal(w, 'old', '~/old/sub:/b', '~/.cache/old:/c')
    await w.docker.containers.remove(`${w.instance}-old-r1-1`, { force: true })
    await w.ok(['server', 'reconcile', 'old'])
    assert.deepEqual(await w.runningNames('old'), ['old-r1-1'])

    const { stdout } = await w.cli(['server', 'doctor', '--json'])
    const findings = (JSON.parse(stdout) as { findings: { check: string; message: string; mend: string }[] }).findings
    assert.deepEqual(
      findings.filter(({ check }) => check === 'mounts').map(({ message }) => / = (\S+), which/.exec(message)?.[1]),
      ['~/old/sub:/b', '~/.cache/old:/c'],
      stdout,
    )
    assert.match(
      stdout,
      /old runs on with # mypaas\.volume = ~\/old\/sub:\/b, which its next deploy, start or rollback may not have/,
    )

    await w.ok(['server', 'restart', 'old'])
    assert.deepEqual(await w.runningNames('old'), ['old-r2-1'])
    const refused = await w.cli(['server', 'deploy', await holding(w, 'old', ['~/old:/a', '~/old/sub:/b'])])
    assert.equal(refused.code, 2, refused.stderr)
    assert.match(
      refused.stderr,
      /Dockerfile:3: .*Mount ~\/old alone, it has the other as \/a\/sub\. Or give each a place of its own: ~\/old\/a and ~\/old\/b/,
    )

    await t.test('and no start of ours follows a link that it made', async () => {
      const swap = 'cd /a && mv sub sub.old && ln -s ../treasure sub'
      await w.ok(['server', 'exec', 'old', '--', 'sh', '-c', swap])
      for (const args of [
        ['restart', 'old'],
        ['run', 'old', '--', 'cat', '/b/gold'],
      ]) {
        const { code, output } = await w.cli(['server', ...args])
        assert.notEqual(code, 0, output)
        assert.match(output, /~\/old\/sub leads to ~\/treasure, because ~\/old\/sub is a link/)
        assert.doesNotMatch(output, /^gold/m)
      }
      assert.deepEqual(await w.runningNames('old'), ['old-r2-1'], 'it runs on')
      await w.docker.containers.remove(`${w.instance}-old-r2-1`, { force: true })
      const { code, stderr } = await w.cli(['server', 'reconcile', 'old'])
      assert.equal(code, 6, stderr)
      assert.deepEqual(await w.runningNames('old'), [])
    })

    await t.test('and a deploy without it is taken', async () => {
      await w.deploy(await holding(w, 'old', ['~/old:/a']))
      assert.deepEqual(await w.runningNames('old'), ['old-r3-1'])
    })

    await t.test(
      'a link that a person made, and no container could change, is followed for what runs already',
      async () => {
        await w.deploy(await holding(w, 'linked', ['~/linked/data:/d']))
        await rename(join(w.home, 'linked', 'data'), join(w.home, 'bigger'))
        await symlink('../bigger', join(w.home, 'linked', 'data'))
        await w.ok(['server', 'restart', 'linked'])
        await w.docker.containers.remove(`${w.instance}-linked-r2-1`, { force: true })
        await w.ok(['server', 'reconcile', 'linked'])
        await writeFile(join(w.home, 'bigger', 'here'), '')
        assert.match((await w.ok(['server', 'exec', 'linked', '--', 'ls', '/d'])).stdout, /here/)
        const { code, stderr } = await w.cli(['server', 'deploy', join(w.home, 'services', 'linked')])
        assert.equal(code, 2, stderr)
        assert.match(stderr, /~\/linked\/data leads to ~\/bigger/)
        const stopped = await w.ok(['server', 'stop', 'linked'])
        assert.match(stopped.stderr, /linked can't be started again before this is mended: .*~\/linked\/data leads to/s)
        assert.match(
          (await w.cli(['server', 'doctor'])).stdout,
          /linked is stopped and has # mypaas\.volume = ~\/linked/,
        )
        const started = await w.cli(['server', 'start', 'linked'])
        assert.equal(started.code, 2, started.stderr)
        assert.equal((await w.journal('linked'))?.stopped, true)
      },
    )
  })

  test('a volume that mypaas did not make for a service is mounted only on the config’s word, and never removed', async (t) => {
    const w = await initialised(t)
    const server = await w.serverId()
    const name = (of: string): string => `${w.instance}-${of}`
    await w.docker.volumes.create({ Name: name('foreign'), Labels: { owner: 'another-project' } })
    for (const [of, labels] of [
      ['theirs', { 'mypaas.server': server, 'mypaas.volume.service': 'shop' }],
      ['elsewhere', { 'mypaas.server': '0123456789abcdef', 'mypaas.volume.service': 'blog' }],
    ] as const)
      await w.docker.volumes.create({ Name: name(of), Labels: labels })
    const all = ['foreign', 'theirs', 'elsewhere', 'own']
    const blog = await holding(
      w,
      'blog',
      all.map((of) => `${name(of)}:/${of}`),
    )
    const before = await inventory(w)
    const { code, stderr } = await w.cli(['server', 'deploy', blog])
    assert.equal(code, 2, stderr)
    assert.match(stderr, /Dockerfile:2: .*-foreign was not made by mypaas/)
    assert.match(stderr, /Dockerfile:3: .*-theirs is one of the service shop/)
    assert.match(stderr, /Dockerfile:4: .*-elsewhere is one of another mypaas server/)
    assert.match(stderr, /set in \[services\.blog\] of \S+config\.toml: volumes = \["\S+-foreign"\]/)
    assert.doesNotMatch(stderr, /-own/)
    assert.deepEqual(await inventory(w), before)

    await w.set(['services', 'blog'], 'volumes', JSON.stringify(all.slice(0, 3).map(name)))
    await w.deploy(blog)
    await w.ok(['server', 'exec', 'blog', '--', 'sh', '-c', 'echo precious > /foreign/db'])
    const dropped = { 'mypaas.server': server, 'mypaas.volume.service': 'blog' }
    await w.docker.volumes.create({ Name: name('dropped'), Labels: dropped })
    const { stdout } = await w.ok(['server', 'rm', 'blog', '--volumes', '--yes'])
    for (const of of ['own', 'dropped']) assert.match(stdout, new RegExp(`^volume ${name(of)}$`, 'm'))
    for (const of of all.slice(0, 3)) {
      assert.match(stdout, new RegExp(`left the volume ${name(of)}: .*; to remove it: docker volume rm`), stdout)
      assert.equal((await w.docker.volumes.inspect(name(of))).Name, name(of))
    }
    await assert.rejects(w.docker.volumes.inspect(name('own')))

    await t.test('nor what somebody else has mounted, or what a link leads to', async () => {
      await w.deploy(
        await holding(w, 'shared', ['~/shared/a:/a', '~/shared/b:/b', '~/shared/c:/c', '~/shared/d:/d:ro']),
      )
      await strangerWith(w, 'beside', [`${w.home}/shared/a:/a`])
      await mkdir(join(w.home, 'precious'))
      await writeFile(join(w.home, 'precious', 'file'), '')
      await rm(join(w.home, 'shared', 'b'), { recursive: true })
      await symlink('../precious', join(w.home, 'shared', 'b'))
      const removed = (await w.ok(['server', 'rm', 'shared', '--volumes', '--yes'])).stdout
      assert.match(removed, /left ~\/shared\/a: the container \S+-beside mounts it, too/)
      assert.match(removed, /left ~\/shared\/b: it leads to \S+precious by a link/)
      assert.match(removed, /directory ~\/shared\/c/)
      assert.match(removed, /left ~\/shared\/d: the service could only read it; to remove it: rm -r \S+\/shared\/d$/m)
      await readFile(join(w.home, 'precious', 'file'))
    })
  })

  test('a home that is reached by a link is one home', async (t) => {
    const w = await initialised(t)
    const alias = `${w.home}-alias`
    await symlink(w.home, alias)
    t.after(() => rm(alias))
    await writeFile(join(w.home, 'page'), 'by a file\n')
    const directory = await holding(w, 'web', [`${alias}/web/data:/d`, '~/page:/page:ro'])
    await w.ok(['server', 'deploy', directory], { env: { HOME: alias } })
    const { Mounts } = await w.docker.containers.inspect(`${w.instance}-web-r1-1`)
    assert.deepEqual(Mounts.map(({ Source }) => Source).sort(), [join(w.home, 'page'), join(w.home, 'web', 'data')])
    assert.equal((await w.ok(['server', 'exec', 'web', '--', 'cat', '/page'])).stdout, 'by a file\n')
    assert.deepEqual(
      (await w.journal('web'))?.current?.spec.volumes.map(({ kind }) => kind),
      ['home', 'home'],
    )
    await w.deploy(await holding(w, 'web', ['~/web/data:/d', '~/page:/page:ro']))
  })
})

async function initialised(t: TestContext): Promise<World> {
  const w = await world(t, { program })
  await w.init()
  for (const key of ['grace', 'drain', 'hold_drain']) await w.set('server', key, '"1s"')
  return w
}

/** The directory of a service that only sleeps, with these volumes. */
async function holding(w: World, service: string, volumes: readonly string[]): Promise<string> {
  const lines = volumes.map((volume) => `# mypaas.volume=${volume}\n`).join('')
  const base = await busyboxImage(w.docker)
  return w.service(service, {
    dockerfile: `# mypaas.service=${service}\n${lines}FROM ${base}\nSTOPSIGNAL SIGKILL\nCMD ["sleep", "100000"]\n`,
  })
}

/** What would be refused of a service with these volumes, a line each. */
async function problems(w: World, volumes: readonly string[], service = 'two'): Promise<string> {
  await using server = await openServer(w.home)
  const lines = volumes.map((volume) => `# mypaas.volume=${volume}\n`).join('')
  try {
    const spec = parseSpec(`# mypaas.service=${service}\n${lines}FROM x\n`, { home: server.host.homeRules })
    const found = await mountProblems(server.host, spec)
    return found.map(({ message, hint }) => `${message}. ${hint}.`).join('\n')
  } catch (error) {
    return String(error)
  }
}

/** A container that mypaas did not make. */
async function strangerWith(
  w: World,
  name: string,
  binds: readonly string[],
  options: { isStopped?: boolean; policy?: 'always'; labels?: Record<string, string> } = {},
): Promise<string> {
  const { Id } = await w.docker.containers.create(
    {
      Image: await busyboxImage(w.docker),
      Cmd: ['sleep', '100000'],
      StopSignal: 'SIGKILL',
      ...(options.labels && { Labels: options.labels }),
      HostConfig: { NetworkMode: 'none', Binds: [...binds], RestartPolicy: { Name: options.policy ?? 'no' } },
    },
    { name: `${w.instance}-${name}` },
  )
  await w.docker.containers.start(Id)
  if (options.isStopped) await w.docker.containers.stop(Id, { graceSeconds: 0 })
  return Id
}

/** Gives the current release of a service more mounts than it was deployed with. */
async function mendJournal(w: World, service: string, ...volumes: string[]): Promise<void> {
  const file = join(w.home, '_mypaas', 'services', `${service}.json`)
  const journal = JSON.parse(await readFile(file, 'utf8')) as Journal
  const { current } = journal
  assert.ok(current)
  const more = volumes.map((volume) => {
    const [source = '', target = ''] = volume.split(':')
    return { kind: 'home', path: source.slice(2), target, readOnly: false } as const
  })
  const mended = { ...current, spec: { ...current.spec, volumes: [...current.spec.volumes, ...more] } }
  await writeFile(file, JSON.stringify({ ...journal, current: mended }))
}
