import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { busyboxImage } from '../support/images.ts'
import { world } from '../support/world.ts'

test("docker's options of a volume are passed on", async (t) => {
  const w = await world(t)
  await w.init()
  const base = await busyboxImage(w.docker)
  const lines = [
    'RUN mkdir -p /copied /empty && touch /copied/of-the-image /empty/of-the-image',
    'CMD ["sleep", "1000"]',
  ]
  const service = (name: string, volumes: readonly string[]) =>
    w.service(name, {
      dockerfile: [
        `# mypaas.service = ${name}`,
        ...volumes.map((volume) => `# mypaas.volume = ${volume}`),
        `FROM ${base}`,
        ...lines,
        '',
      ].join('\n'),
    })
  const volume = `${w.instance}-own`

  await t.test('all that the engine takes, as they are written', async () => {
    await w.deploy(
      await service('web', [
        '~/web/a:/a:z',
        '~/web/b:/b:ro,Z',
        '~/web/c:/c:cached',
        '~/web/d:/d:delegated,rprivate',
        '~/web/e:/e:private,consistent,z',
        `${volume}:/empty:nocopy,z`,
        `${volume}-2:/copied:rw`,
      ]),
    )
    const { HostConfig, Mounts } = await w.docker.containers.inspect(`${w.instance}-web-r1-1`)
    assert.deepEqual(
      HostConfig.Binds?.map((bind) => bind.replace(`${w.home}/`, '~/')),
      [
        '~/web/a:/a:z',
        '~/web/b:/b:ro,Z',
        '~/web/c:/c:cached',
        '~/web/d:/d:delegated,rprivate',
        '~/web/e:/e:private,consistent,z',
        `${volume}:/empty:nocopy,z`,
        `${volume}-2:/copied`,
      ],
    )
    const of = (target: string) => Mounts.find(({ Destination }) => Destination === target)
    assert.deepEqual(
      [of('/b')?.RW, of('/d')?.Propagation, of('/e')?.Propagation, of('/a')?.RW],
      [false, 'rprivate', 'private', true],
    )
    const { stdout } = await w.ok(['server', 'exec', 'web', '--', 'ls', '/empty', '/copied'])
    assert.equal(stdout.replaceAll('\r', ''), '/copied:\nof-the-image\n\n/empty:\n')
  })

  await t.test('also by a rollback, whose image says how', async () => {
    await w.deploy(await service('web', ['~/web/a:/a']))
    await w.ok(['server', 'rollback', 'web'])
    const { HostConfig } = await w.docker.containers.inspect(`${w.instance}-web-r3-1`)
    assert.equal(HostConfig.Binds?.length, 7)
    assert.ok(HostConfig.Binds?.includes(`${w.home}/web/b:/b:ro,Z`))
  })

  await t.test('a command beside the replica does not take its places from it', async () => {
    const run = w.spawnCli(['server', 'run', 'web', '--', 'sh', '-c', 'echo up; sleep 5'])
    await run.seen(/up/)
    const found = await w.docker.containers.list({ filters: { name: [`${w.instance}-web-run-`] } })
    const { HostConfig } = await w.docker.containers.inspect(found[0]?.Id ?? '')
    assert.ok(HostConfig.Binds?.includes(`${w.home}/web/b:/b:ro,z`), `${HostConfig.Binds}`)
    await run.result
  })

  await t.test('but Z not on what another one mounts, and shared only where the config says so', async () => {
    const refused = await w.cli([
      'server',
      'deploy',
      await service('other', ['~/o:/o', '~/web/a:/a:Z', '~/s:/s:rshared']),
    ])
    assert.equal(refused.code, 2, refused.output)
    assert.match(
      refused.stderr,
      /Dockerfile:3: mypaas\.volume: with Z, ~\/web\/a is for one .*the service web mounts it, too/,
    )
    assert.match(
      refused.stderr,
      /Dockerfile:4: mypaas\.volume: with rshared, what other mounts below ~\/s is mounted on/,
    )
    assert.match(refused.stderr, /Nothing was changed\. Correct these lines/)
    // The engine wants a place for that which is a mount itself, and shared.
    await mkdir(join(w.home, 's'))
    await promisify(execFile)('mount', ['-t', 'tmpfs', 'none', join(w.home, 's')])
    t.after(() => promisify(execFile)('umount', [join(w.home, 's')]).catch(() => {}))
    await promisify(execFile)('mount', ['--make-rshared', join(w.home, 's')])
    await w.set(['services', 'other'], 'shared_mounts', 'true')
    for (const [release, option] of ['rshared', 'rslave'].entries()) {
      await w.deploy(await service('other', [`~/s:/s:${option}`]))
      const { Mounts } = await w.docker.containers.inspect(`${w.instance}-other-r${release + 1}-1`)
      assert.equal(Mounts[0]?.Propagation, option)
    }
    const alone = await w.cli(['server', 'deploy', await service('other', ['~/s:/s', '~/t:/t:rslave'])])
    assert.equal(alone.code, 1, alone.output)
    assert.match(alone.stderr, /can't start: \S+\/t lies on a mount of this machine \(\/\S*\) that is not shared/)
    await w.ok(['server', 'rm', 'other', '--yes'])
    await promisify(execFile)('umount', [join(w.home, 's')])
  })

  await t.test('a refusal of a path names its line, wherever it is found out', async () => {
    await writeFile(join(w.home, 'file'), '')
    const { code, stderr } = await w.cli(['server', 'deploy', await service('below', ['~/b:/b', '~/file/x:/x'])])
    assert.equal(code, 2, stderr)
    assert.match(stderr, /Dockerfile:3: mypaas\.volume: /)
  })
})
