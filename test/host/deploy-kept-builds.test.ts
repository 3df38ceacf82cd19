import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ReleaseInfo } from '../../src/deploy/releases.ts'
import { nodeImage } from '../support/images.ts'
import { type World, world } from '../support/world.ts'

test('what is kept to go back to are different builds, whatever else makes releases', async (t) => {
  const w = await world(t)
  await w.init()
  await w.set('server', 'keep_releases', '3')
  // The base image of tests is made anew now and then, by tests beside this one.
  const base = `${w.instance}-base`
  await w.docker.images.tag(await nodeImage(w.docker), { repo: base, tag: 'latest' })
  // As long as a container has it, nobody removes it.
  await w.docker.containers.create({ Image: base }, { name: `${w.instance}-holder` })
  const app = await readFile(new URL('../support/app/server.mjs', import.meta.url))
  const directory = (name: string, ...lines: string[]): Promise<string> => {
    const text = [`# mypaas.service=${name}`, ...lines, 'COPY server.mjs ./', 'CMD ["node", "server.mjs"]', '']
    return w.service(name, { dockerfile: text.join('\n'), files: { 'server.mjs': app } })
  }
  const build = async (version: string): Promise<void> => {
    const directives = ['# mypaas.url=http://web.test', '# mypaas.scale=1']
    await w.deploy(await directory('web', ...directives, `FROM ${base}`, `ENV VERSION=${version}`))
  }
  const again = async (...commands: string[]): Promise<void> => {
    for (const command of commands) await w.ok(['server', ...command.split(' ')])
  }

  await t.test('restart and scale use up none of them', async () => {
    await build('one')
    await build('two')
    await again('restart web', 'scale web=2', 'restart web', 'scale web=1', 'restart web')
    await again('rollback web')
    assert.equal(await version(w), 'one')
  })

  await t.test('nor does a build that comes out the same', async () => {
    for (let i = 0; i < 4; i += 1) await build('two')
    await again('rollback web')
    assert.equal(await version(w), 'one')
    await again('rollback web')
    assert.equal(await version(w), 'two')
  })

  await t.test('of more builds the last are kept, each under the fewest names', async () => {
    await build('three')
    await again('restart web', 'restart web', 'restart web')
    await build('four')
    assert.deepEqual(await versionsKept(w), ['four', 'three', 'two'])
    assert.ok((await kept(w)).length <= 6, JSON.stringify(await kept(w)))
  })

  await t.test('one may be named by the number that it was built as', async () => {
    const three = (await kept(w)).find(({ release }) => release === 15)
    assert.ok(three, JSON.stringify(await kept(w)))
    await again('rollback web r15')
    assert.equal(await version(w), 'three')
  })

  await t.test('also after an upgrade from a journal that did not tell builds apart', async () => {
    const file = join(w.home, '_mypaas', 'services', 'web.json')
    const journal = JSON.parse(await readFile(file, 'utf8'))
    // As versions before left it: the last releases, which were all the same.
    const { build: _, ...current } = journal.current
    const previous = [1, 2].map((back) => ({ ...current, release: current.release - back }))
    await writeFile(file, JSON.stringify({ ...journal, current, previous }))
    await again('restart web', 'rollback web')
    assert.equal(await version(w), 'four')
  })

  await t.test('where all are one build, it is said that there is none to go back to', async () => {
    const one = await directory('one', `FROM ${base}`)
    await w.deploy(one)
    await w.deploy(one)
    await w.ok(['server', 'restart', 'one'])
    const { code, stderr } = await w.cli(['server', 'rollback', 'one'])
    assert.equal(code, 2)
    assert.equal(
      stderr,
      '✗ one has no release to go back to: all that are kept are the same build.\n  To start it anew: mypaas server restart one\n',
    )
    assert.equal((await w.journal('one'))?.lastRelease, 3)
  })
})

async function version(w: World): Promise<string> {
  return (await w.request('http://web.test/env?key=VERSION')).json<{ value: string }>().value
}

async function kept(w: World): Promise<readonly ReleaseInfo[]> {
  const { stdout } = await w.ok(['server', 'releases', 'web', '--json'])
  const { releases } = JSON.parse(stdout) as { releases: readonly ReleaseInfo[] }
  return releases.filter(({ kept }) => kept)
}

async function versionsKept(w: World): Promise<readonly string[]> {
  const found = new Set<string>()
  for (const { kept: image } of await kept(w)) {
    const { Config } = await w.docker.images.inspect(image?.image ?? '')
    found.add((Config?.Env ?? []).find((text) => text.startsWith('VERSION='))?.slice(8) ?? '')
  }
  return [...found]
}
