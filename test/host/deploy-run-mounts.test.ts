import assert from 'node:assert/strict'
import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { busyboxImage } from '../support/images.ts'
import { until } from '../support/until.ts'
import { type World, world } from '../support/world.ts'

const program = await compiledProgram({ after })

test('a container of run gets no mount that it could lead elsewhere, nor does a deploy beside it', async (t) => {
  const w = await world(t, { program })
  await w.init()
  for (const key of ['grace', 'drain', 'hold_drain']) await w.set('server', key, '"1s"')
  const base = await busyboxImage(w.docker)
  const service = (volume: string, cmd = 'sleep 100000', more = ''): Promise<string> =>
    w.service('x', {
      dockerfile: `# mypaas.service=x\n# mypaas.volume=${volume}\n${more}FROM ${base}\nSTOPSIGNAL SIGKILL\nCMD ${cmd}\n`,
    })

  await t.test('none while a deploy is on: nothing of it would be seen by the other', async () => {
    await w.deploy(await service('~/x:/a'))
    await w.ok(['server', 'stop', 'x'])
    // It gets ready when the test says so.
    const slow = 'until test -e /b/go; do sleep 0.1; done; httpd -f -p 80'
    const coming = w.spawnCli(['server', 'deploy', await service('~/x/sub:/b', slow, '# mypaas.url=http://x.test\n')])
    await until(async () => (await w.runningNames('x')).includes('x-r2-1'), { what: 'r2', timeoutMs: 60_000 })
    const { code, output } = await w.cli(['server', 'run', 'x', '--', 'touch', '/a/sub/go'])
    assert.equal(code, 4, output)
    assert.match(output, /A deploy of x is on: r2 is to come/)
    assert.deepEqual(await commands(w), [])
    await writeFile(join(w.home, 'x', 'sub', 'go'), '')
    assert.equal((await coming.result).code, 0, coming.output)
    assert.match((await w.ok(['server', 'run', 'x', '--', 'ls', '/b'])).stdout, /^go$/m)
  })

  await t.test('of a stopped service it is held against what runs, as a deploy is', async () => {
    await w.ok(['server', 'stop', 'x'])
    assert.match((await w.ok(['server', 'run', 'x', '--', 'ls', '/b'])).stdout, /^go$/m)
    const { Id } = await w.docker.containers.create(
      { Image: base, HostConfig: { Binds: [`${w.home}/x:/host`] } },
      { name: `${w.instance}-made` },
    )
    const refused = await w.cli(['server', 'run', 'x', '--', 'true'])
    assert.equal(refused.code, 2, refused.output)
    assert.match(refused.stderr, /~\/x\/sub lies below ~\/x, which the container \S+-made mounts/)
    await w.docker.containers.remove(Id)
  })

  await t.test('one that runs counts for a deploy, whatever release it is of, and ends with its service', async () => {
    const command = w.spawnCli(['server', 'run', 'x', '--', 'sh', '-c', 'echo up; sleep 100000'])
    await command.seen(/^up/m)
    const [name] = await commands(w)
    await w.set('server', 'trusted_containers', JSON.stringify([name]))
    const refused = await w.cli(['server', 'deploy', await service('~/x:/a')])
    assert.equal(refused.code, 2, refused.output)
    assert.match(
      refused.stderr,
      /~\/x lies above ~\/x\/sub, which the container \S+-x-run-\w+ mounts.*end the command/s,
    )
    await w.deploy(await service('~/elsewhere:/a'))
    assert.equal((await w.cli(['server', 'deploy', await service('~/x/sub/deeper:/a')])).code, 2)

    const { stdout } = await w.ok(['server', 'rm', 'x', '--volumes', '--yes'])
    assert.match(stdout, new RegExp(`container ${name}\n`))
    assert.notEqual((await command.result).code, 0)
    assert.deepEqual(await commands(w), [])
    await assert.rejects(access(join(w.home, 'elsewhere')))
    const gone = await w.cli(['server', 'run', 'x', '--', 'true'])
    assert.match(gone.stderr, /There is no service x here/)
  })
})

async function commands(w: World): Promise<readonly string[]> {
  const all = (await w.containers()).filter(({ Labels }) => Labels['mypaas.role'] === 'run')
  return all.map(({ Names }) => (Names[0] ?? '').slice(1))
}
