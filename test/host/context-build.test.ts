import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { linkSync, readFileSync, statSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { readContext, type TarOptions } from '../../src/context/index.ts'
import { Docker } from '../../src/docker/index.ts'
import { collect, plant, unpack } from '../context/tree.ts'

const docker = new Docker()
test.after(() => docker.close())

/** What `COPY . /all` has put into an image: path, type, permissions, modification time. */
async function contents(t: TestContext, image: string): Promise<string[]> {
  const { Id } = await docker.containers.create({ Image: image, Cmd: ['none'], Labels: { 'mypaas.test': '1' } })
  t.after(() => docker.containers.remove(Id, { force: true }))
  const files = await unpack(t, await collect(docker.containers.export(Id)))
  const { stdout } = await promisify(execFile)('find', ['.', '-mindepth', '1', '-printf', '%P %y %m %Ts\n'], {
    cwd: `${files}/all`,
  })
  return stdout.split('\n').filter(Boolean).sort()
}

async function build(t: TestContext, root: string, builder: NonNullable<TarOptions['builder']>): Promise<string[]> {
  const tag = `mypaas-test-context-${process.pid}-${builder}:latest`
  const context = await readContext(root)
  t.after(() => docker.images.remove(tag, { force: true, noprune: false }))
  for await (const event of docker.images.build(context.tar({ builder, reuse: true }), { tags: [tag], builder }))
    void event
  return contents(t, tag)
}

const files = (ignore: string) => ({
  Dockerfile: { content: 'FROM scratch\nCOPY . /all\n', mode: 0o644, mtimeMs: 1_600_000_000_000 },
  '.dockerignore': { content: ignore, mode: 0o640, mtimeMs: 1_600_000_000_000 },
  'docs/keep.md': { content: 'x', mode: 0o4755, mtimeMs: 1_500_000_000_500 },
  'docs/drop.md': 'x',
  'src/app.ts': { content: 'x', mode: 0o600, mtimeMs: 1_400_000_000_000 },
  docs: { directory: true, mode: 0o2750, mtimeMs: 1_300_000_000_000 },
  src: { directory: true, mode: 0o700, mtimeMs: 1_300_000_000_000 },
})

const shared = [
  'docs d 2750 1300000000',
  'docs/keep.md f 4755 1500000000',
  'src d 700 1300000000',
  'src/app.ts f 600 1400000000',
]

/** Whatever it is sent, the classic builder takes the set-uid bit off files. */
const inClassic = shared.map((line) => line.replace('f 4755', 'f 755'))

test('the classic builder takes an ignored Dockerfile and ignore file out of the build, as for docker build', async (t) => {
  const root = plant(t, files('docs\n!docs/keep.md\nDockerfile\n.dockerignore\n'))
  const ours = await build(t, root, 'classic')
  assert.deepEqual(ours, inClassic)
  const tag = `mypaas-test-context-${process.pid}-cli:latest`
  t.after(() => docker.images.remove(tag, { force: true, noprune: false }))
  await promisify(execFile)('docker', ['build', '-q', '-t', tag, root], {
    env: { ...process.env, DOCKER_BUILDKIT: '0' },
  })
  // Its archive leaves an ignored directory to be made up, and what is made up has the time of the build.
  const cli = await contents(t, tag)
  assert.deepEqual(
    cli.map((line) => line.replace(/^docs d .*/, 'docs d')),
    ours.map((line) => line.replace(/^docs d .*/, 'docs d')),
  )
})

test('BuildKit gets no ignored ignore file, and leaves the Dockerfile where it is', async (t) => {
  const root = plant(t, files('docs\n!docs/keep.md\nDockerfile\n.dockerignore\n'))
  assert.deepEqual(await build(t, root, 'buildkit'), ['Dockerfile f 644 1600000000', ...shared])
})

test('hard links stay hard links in the build of either builder, as for docker build', async (t) => {
  const root = plant(t, { Dockerfile: 'FROM scratch\nCOPY . /all\n', 'a/one': 'x'.repeat(1000) })
  linkSync(`${root}/a/one`, `${root}/two`)
  const { entries } = await readContext(root)
  assert.equal(entries.find(({ path }) => path === 'two')?.linkTarget, 'a/one')
  for (const builder of ['classic', 'buildkit'] as const) {
    const tag = `mypaas-test-context-${process.pid}-links-${builder}:latest`
    t.after(() => docker.images.remove(tag, { force: true, noprune: false }))
    const context = await readContext(root)
    for await (const event of docker.images.build(context.tar({ builder }), { tags: [tag], builder })) void event
    const { Id } = await docker.containers.create({ Image: tag, Cmd: ['none'], Labels: { 'mypaas.test': '1' } })
    t.after(() => docker.containers.remove(Id, { force: true }))
    const files = await unpack(t, await collect(docker.containers.export(Id)))
    assert.equal(readFileSync(`${files}/all/two`, 'utf8'), 'x'.repeat(1000))
    assert.equal(statSync(`${files}/all/two`).ino, statSync(`${files}/all/a/one`).ino, builder)
  }
})

test('what is not ignored is in the build of either builder', async (t) => {
  const root = plant(t, files('docs/drop.md\n'))
  const both = ['.dockerignore f 640 1600000000', 'Dockerfile f 644 1600000000']
  assert.deepEqual(await build(t, root, 'buildkit'), [...both, ...shared])
  assert.deepEqual(await build(t, root, 'classic'), [...both, ...inClassic])
})
