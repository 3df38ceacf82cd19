import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { type RootfsEntry, rootfs } from '../../scripts/rootfs.ts'
import {
  BuildError,
  type BuildEvent,
  type BuildOptions,
  ConflictError,
  compareVersions,
  NotFoundError,
} from '../../src/docker/index.ts'
import { until } from '../support/until.ts'
import { type Bench, bench } from './docker.ts'

let b: Bench
before(async () => {
  b = await bench('images')
})
/** Images that got no name: they go when the tests end. */
const unnamed = new Set<string>()
after(async () => {
  await removeAll(...unnamed)
  await b.close()
})

test('an imported image is listed, inspected, has a history, and other names', async (t) => {
  const { docker, image, listed, unique } = b
  const list = await docker.images.list({ filters: { reference: [image] }, digests: true })
  assert.deepEqual(list[0]?.RepoTags, [listed(image)])
  const inspected = await docker.images.inspect(image)
  assert.equal(inspected.Id, list[0]?.Id)
  assert.deepEqual(inspected.Config?.Cmd, ['sh'])
  assert.deepEqual(inspected.Config?.Env, ['PATH=/bin'])
  const [layer] = await docker.images.history(image)
  assert.match(layer?.Comment ?? '', b.podman ? /imported from tarball/ : /Imported/)

  const repo = unique('tag')
  await docker.images.tag(image, { repo, tag: 'two' })
  t.after(() => docker.images.remove(`${repo}:two`).catch(ignoreMissing))
  assert.equal((await docker.images.inspect(`${repo}:two`)).Id, inspected.Id)
  assert.deepEqual(await docker.images.remove(`${repo}:two`), [{ Untagged: listed(`${repo}:two`) }])
  await assert.rejects(docker.images.inspect(`${repo}:two`), NotFoundError)
  await assert.rejects(docker.images.tag('mypaas-test-docker/none', { repo }), NotFoundError)
})

test('an image that a container runs from is not removed', async (t) => {
  const { docker, image } = b
  await b.running(t)
  const { Id } = await docker.images.inspect(image)
  await assert.rejects(docker.images.remove(Id), ConflictError)
})

test('saved images are loaded again, one and several', async (t) => {
  const { docker, image, listed, unique } = b
  const repo = unique('saved')
  for (const tag of ['1', '2']) {
    await collect(docker.images.build(context(`FROM ${image}\nLABEL l=${tag}\n`), { tags: [`${repo}:${tag}`] }))
  }
  const both = [`${repo}:1`, `${repo}:2`]
  t.after(() => removeAll(...both))
  const one = await docker.images.inspect(`${repo}:1`)
  const archives = [await bytes(docker.images.save(`${repo}:1`)), await bytes(docker.images.save(both))]
  for (const name of both) await docker.images.remove(name)

  assert.deepEqual(await docker.images.load(from(archives[0])), [listed(`${repo}:1`)])
  assert.equal((await docker.images.inspect(`${repo}:1`)).Id, one.Id)
  const seen: unknown[] = []
  const loaded = await docker.images.load(from(archives[1]), { onProgress: (event) => void seen.push(event) })
  assert.deepEqual(loaded.sort(), both.map(listed))
  await assert.rejects(docker.images.load(from(Buffer.from('not a tar archive'.repeat(100)))), {
    name: /DockerError|ServerError/,
  })
})

test('an import of rubbish is an error', async () => {
  const { docker, unique } = b
  const rubbish = from(Buffer.from('not a tar archive'.repeat(100)))
  await assert.rejects(docker.images.import(rubbish, { repo: unique('rubbish') }), { name: /Error$/ })
})

for (const builder of ['buildkit', 'classic'] as const) {
  test(`${builder}: steps, logs, arguments, labels, target, tags`, async (t) => {
    const { docker, image, unique } = b
    const repo = unique('build')
    const dockerfile = `FROM ${image} AS first
ARG GREETING=none
COPY hello /hello
RUN cat /hello; echo "$GREETING"; echo oops >&2
FROM first AS second
RUN exit 1
`
    const { events, error } = await build(context(dockerfile, { hello: 'hello\n' }, 'sub/Other'), {
      builder,
      dockerfile: 'sub/Other',
      target: 'first',
      tags: [`${repo}:1`, `${repo}:2`],
      labels: { 'mypaas.test': '1', l: 'v' },
      buildArgs: { GREETING: 'secret-greeting' },
      noCache: true,
    })
    t.after(() => removeAll(`${repo}:1`, `${repo}:2`))
    assert.equal(error, undefined)
    const last = events.at(-1)
    assert.ok(last?.type === 'image')
    const inspected = await docker.images.inspect(`${repo}:2`)
    assert.equal(inspected.Id, last.imageId)
    assert.equal(inspected.Config?.Labels?.['l'], 'v')
    assert.deepEqual(logs(events), { stdout: 'hello\n•••\n', stderr: 'oops\n' })
    assert.ok(!JSON.stringify(events).includes('secret-greeting'))
    const run = events.filter((event) => event.type === 'step' && /RUN cat/.test(event.name))
    assert.deepEqual(
      run.map((event) => event.type === 'step' && event.status),
      ['started', 'done'],
    )

    const again = await build(context(dockerfile, { hello: 'hello\n' }, 'sub/Other'), {
      builder,
      dockerfile: 'sub/Other',
      target: 'first',
      buildArgs: { GREETING: 'secret-greeting' },
      labels: { 'mypaas.test': '1', l: 'v' },
    })
    const cached = again.events.filter((event) => event.type === 'step' && event.status === 'cached')
    assert.ok(cached.length >= 1, JSON.stringify(again.events))
  })

  test(`${builder}: a step that fails is told with its instruction, exit code and last lines`, async () => {
    const { image } = b
    const dockerfile = `FROM ${image}\nRUN for i in $(seq 30); do echo line $i; done; exit 42\n`
    const { events, error } = await build(context(dockerfile), { builder })
    assert.ok(error instanceof BuildError, String(error))
    assert.match(error.step ?? '', /RUN for i/)
    assert.match(error.instruction ?? '', /^RUN for i/)
    assert.equal(error.exitCode, 42)
    assert.deepEqual(
      error.lastLines,
      Array.from({ length: 20 }, (_, i) => `line ${i + 11}`),
    )
    assert.ok(events.some((event) => event.type === 'step' && event.status === 'failed'))
    assert.ok(!events.some(({ type }) => type === 'image'))
  })

  test(`${builder}: a Dockerfile that is missing, wrong, or on a base that does not exist is a BuildError`, async () => {
    const { image } = b
    for (const [files, options] of [
      [context(`FROM ${image}\n`), { dockerfile: 'None' }],
      [context('FRO x\n'), {}],
      [context(`FROM ${image}\nCOPY none /\n`), {}],
      [context('FROM localhost:1/none\n'), {}],
    ] as const) {
      const { error } = await build(files, { builder, ...options })
      assert.ok(error instanceof BuildError, String(error))
      assert.ok(error.message.length > 10)
    }
  })

  test(`${builder}: a build that is aborted, or no longer read, stops on the engine`, async () => {
    const { docker, image } = b
    for (const how of ['signal', 'break'] as const) {
      const seconds = String(100_000 + Math.floor(Math.random() * 900_000))
      const aborter = new AbortController()
      const dockerfile = `FROM ${image}\nRUN sleep ${seconds}\n`
      const events = docker.images.build(context(dockerfile), {
        builder,
        signal: aborter.signal,
        noCache: true,
        networkMode: 'none',
      })
      const building = (async () => {
        for await (const event of events) {
          if (how === 'break' && event.type === 'step' && /RUN sleep/.test(event.name)) break
        }
      })()
      if (how === 'signal') {
        const failed = assert.rejects(building, { name: 'AbortError' })
        await until(() => isRunning(seconds), { what: 'the step' })
        aborter.abort()
        await failed
      } else await building
      await until(async () => !(await isRunning(seconds)), {
        what: 'the end of the step on the engine',
        timeoutMs: 20_000,
      })
    }
  })
}

test('a build is cancelled by its id', async () => {
  const { docker, image, unique } = b
  const buildId = unique('id')
  const seconds = String(100_000 + Math.floor(Math.random() * 900_000))
  const building = build(context(`FROM ${image}\nRUN sleep ${seconds}\n`), {
    builder: 'buildkit',
    buildId,
    noCache: true,
  })
  await until(() => isRunning(seconds), { what: 'the step' })
  await docker.images.cancelBuild(buildId)
  const { error } = await building
  assert.ok(error instanceof BuildError, String(error))
  assert.ok(!(await isRunning(seconds)))
})

test('what needs a build session, or a newer engine, says so; all else works', async () => {
  const { docker, image } = b
  const secret = await build(context(`FROM ${image}\nRUN --mount=type=secret,id=s cat /run/secrets/s\n`), {})
  assert.ok(secret.error instanceof BuildError)
  assert.match(secret.error.hint ?? '', /need a build session/)

  const document = await build(context(`FROM ${image}\nCOPY <<EOF /x\nhi\nEOF\n`), {})
  if (compareVersions(await docker.apiVersion(), '1.42') < 0) {
    assert.ok(document.error instanceof BuildError)
    assert.match(document.error.hint ?? '', /here-documents/)
  } else assert.equal(document.error, undefined)

  const cache = await build(context(`FROM ${image}\nRUN --mount=type=cache,target=/cache echo cached > /cache/x\n`), {})
  assert.equal(cache.error, undefined)
})

test('base images that are there are not pulled; one that is nowhere is named', async () => {
  const { image } = b
  const there = await build(context(`FROM ${image}\n`), { baseImages: [image] })
  assert.equal(there.error, undefined)
  const nowhere = await build(context('FROM localhost:1/none:1\n'), { baseImages: ['localhost:1/none:1'] })
  assert.ok(nowhere.error instanceof BuildError)
  assert.equal(nowhere.error.instruction, 'FROM localhost:1/none:1')
})

test('prunes take only what the filter says', async (t) => {
  const { docker, image, unique } = b
  const mine = unique('prune')
  const first = await build(context(`FROM ${image}\nLABEL ${mine}=1\nLABEL n=1\n`), { tags: [`${mine}:1`] })
  await build(context(`FROM ${image}\nLABEL ${mine}=1\nLABEL n=2\n`), { tags: [`${mine}:1`] })
  t.after(() => docker.images.remove(`${mine}:1`, { force: true }))
  const { ImagesDeleted } = await docker.images.prune({ filters: { label: [mine], dangling: ['true'] } })
  const nameless = first.events.at(-1)
  assert.ok(nameless?.type === 'image')
  assert.ok(ImagesDeleted?.some(({ Deleted }) => Deleted === nameless.imageId))
  await docker.images.inspect(`${mine}:1`)
  const { SpaceReclaimed } = await docker.images.pruneBuildCache({ filters: { id: ['mypaas-test-none'] } })
  assert.equal(SpaceReclaimed, 0)
})

/** A build context with this Dockerfile and these files. */
function context(
  dockerfile: string,
  files: Record<string, string> = {},
  name = 'Dockerfile',
): AsyncIterable<Uint8Array> {
  const entries = Object.entries({ ...files, [name]: dockerfile })
  return rootfs(entries.map(([path, text]): RootfsEntry => ({ kind: 'text', path: `/${path}`, text })))
}

async function build(tar: AsyncIterable<Uint8Array>, options: BuildOptions) {
  const events: BuildEvent[] = []
  let error: unknown
  try {
    for await (const event of b.docker.images.build(tar, { networkMode: 'none', ...options })) events.push(event)
  } catch (thrown) {
    error = thrown
  }
  const image = events.at(-1)
  if (image?.type === 'image' && !options.tags) unnamed.add(image.imageId)
  return { events, error }
}

function logs(events: BuildEvent[]): { stdout: string; stderr: string } {
  const texts = { stdout: '', stderr: '' }
  for (const event of events) if (event.type === 'log') texts[event.stream] += event.text
  return texts
}

/** One after the other: the engine fails when two names of one image go at once. */
async function removeAll(...names: string[]): Promise<void> {
  for (const name of names) await b.docker.images.remove(name, { force: true }).catch(ignoreMissing)
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof NotFoundError)) throw error
}

/** Whether a `sleep` of that length runs on this machine (containers are processes of it). */
async function isRunning(seconds: string): Promise<boolean> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const commands = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')))
  return commands.includes(`sleep\0${seconds}\0`)
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

async function bytes(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await collect(parts))
}

async function* from(buffer: Buffer | undefined): AsyncGenerator<Uint8Array> {
  if (buffer) yield buffer
}
