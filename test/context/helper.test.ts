import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { pipeline } from 'node:stream/promises'
import { after, before, type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { Worker } from 'node:worker_threads'
import { type ContextEntry, packEntries, readContext } from '../../src/context/index.ts'
import { Docker } from '../../src/docker/index.ts'
import { compiledProgram } from '../support/compiled.ts'
import { until } from '../support/until.ts'
import { assertSameFiles, collect, plant, plantMany, unpack } from './tree.ts'

const run = promisify(execFile)

/** The workers that start during the test: what they report, and whether they still live. */
function watchWorkers(t: TestContext): { started: number; alive: number; reports: string[] } {
  const seen = { started: 0, alive: 0, reports: [] as string[] }
  const onWorker = (worker: Worker): void => {
    seen.started += 1
    seen.alive += 1
    worker.on('message', (report: { kind: string }) => seen.reports.push(report.kind))
    worker.on('exit', () => {
      seen.alive -= 1
    })
  }
  process.on('worker', onWorker)
  t.after(() => process.off('worker', onWorker))
  return seen
}

/** A worker that is kept for the next job is gone. */
const settle = (seen: { alive: number }): Promise<unknown> =>
  until(() => seen.alive === 0, { what: 'the workers to end', timeoutMs: 5000 })

/** One tree for all tests that leave it as it is: 50 directories, 5000 files of 0 to 20,000 bytes, 48 MB. */
const world = { root: '' }
before(() => {
  world.root = mkdtempSync(join(tmpdir(), 'mypaas-large-'))
  writeFileSync(join(world.root, 'Dockerfile'), 'FROM scratch')
  plantMany(world.root, 5000, contentOf)
})
after(() => rmSync(world.root, { recursive: true, force: true }))

function contentOf(index: number): Buffer {
  return Buffer.alloc((index * 7919) % 20_000, index)
}

const archiveLength =
  512 +
  512 +
  50 * 512 +
  Array.from({ length: 5000 }, (_, index) => 512 + Math.ceil(contentOf(index).length / 512) * 512).reduce(
    (sum, size) => sum + size,
  ) +
  1024

/** A reader that lets the worker get ready first, however busy the processors are. */
async function* unhurried(seen: { reports: string[] }, parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const part of parts) {
    await until(() => seen.reports.includes('ready'), { what: 'the worker to get ready', everyMs: 1 })
    yield part
  }
}

const large = (t: TestContext, files: number, content?: (index: number) => string | Uint8Array): string => {
  const root = plant(t, { Dockerfile: 'FROM scratch' })
  plantMany(root, files, content)
  return root
}

const digest = async (parts: AsyncIterable<Uint8Array>): Promise<string> => {
  const hash = createHash('sha256')
  for await (const part of parts) hash.update(part)
  return hash.digest('hex')
}

test('a large context is packed and listed with one worker, to the same bytes as without', async (t) => {
  const seen = watchWorkers(t)
  const context = await readContext(world.root)
  const archive = await collect(unhurried(seen, context.tar()))
  assert.deepEqual([seen.started, seen.reports.at(-1)], [1, 'packed'])
  assert.ok(seen.reports.includes('part'))
  // The worker is warm now, and takes its share of the directories.
  seen.reports.length = 0
  const again = await readContext(world.root)
  assert.deepEqual([seen.started, seen.reports], [1, ['walked']])
  assert.deepEqual(again.entries, context.entries)
  await assertSameFiles(world.root, await unpack(t, archive))
  const contents = ({ path }: ContextEntry) =>
    path === 'Dockerfile' ? Buffer.from('FROM scratch') : contentOf(Number(/file-(\d+)/.exec(path)?.[1]))
  assert.ok(archive.equals(await collect(packEntries(context.entries, contents))))
  assert.equal(await digest(again.tar({ reuse: true })), createHash('sha256').update(archive).digest('hex'))
  await settle(seen)
})

test('a small context needs no worker', async (t) => {
  const seen = watchWorkers(t)
  const root = large(t, 500)
  assert.equal((await readContext(root)).entries.length, 506)
  assert.equal(seen.started, 0)
})

test('the event loop is never held up for 50 ms', async (t) => {
  const seen = watchWorkers(t)
  const stalls: number[] = []
  // Another process on the same processor counts as a stall too: the best of some rounds tells what is ours.
  for (let round = 0; round < 10 && !stalls.some((stall) => stall < 50); round++) {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    const context = await readContext(world.root)
    for await (const part of context.tar({ reuse: true })) assert.ok(part.length > 0)
    delay.disable()
    stalls.push(delay.max / 1e6)
  }
  assert.ok(
    stalls.some((stall) => stall < 50),
    `stalls of ${stalls.map(Math.round)} ms`,
  )
  await settle(seen)
})

test('a reader that stops gets no more than a few parts ahead, and all of them when it goes on', async (t) => {
  const seen = watchWorkers(t)
  const parts = unhurried(seen, (await readContext(world.root)).tar())
  let length = 0
  for (let number = 0; number < 10; number++) length += (await parts.next()).value?.length ?? 0
  const count = (): number => seen.reports.filter((kind) => kind === 'part').length
  // The worker rests when nothing has come for a while.
  let last = -1
  const rests = (): boolean => {
    const isSame = last === count()
    last = count()
    return isSame
  }
  await until(rests, { what: 'the worker to rest', everyMs: 200 })
  assert.ok(count() <= 10 + 6, `${count()} parts`)
  for await (const part of parts) length += part.length
  assert.equal(length, archiveLength)
  await settle(seen)
})

test('a reader that leaves ends the worker', async (t) => {
  const seen = watchWorkers(t)
  for await (const part of unhurried(seen, (await readContext(world.root)).tar())) {
    assert.ok(part.length > 0)
    break
  }
  assert.deepEqual([seen.started, seen.alive], [1, 0])
})

test('an abort ends the worker, while it lists and while it packs', async (t) => {
  const seen = watchWorkers(t)
  const reason = new Error('enough')
  const listing = new AbortController()
  process.once('worker', () => listing.abort(reason))
  await assert.rejects(readContext(world.root, { signal: listing.signal }), reason)
  assert.deepEqual([seen.started, seen.alive], [1, 0])

  const packing = new AbortController()
  const context = await readContext(world.root)
  const parts = unhurried(seen, context.tar({ signal: packing.signal }))
  await parts.next()
  packing.abort(reason)
  await assert.rejects(parts.next(), reason)
  assert.deepEqual([seen.started, seen.alive], [2, 0])
})

test('a file that changes under the worker is named, and ends the worker', async (t) => {
  const seen = watchWorkers(t)
  const root = large(t, 3000, () => Buffer.alloc(4096, 1))
  const context = await readContext(root)
  const read = (): Promise<Buffer> => collect(unhurried(seen, context.tar()))
  rmSync(join(root, 'directory-29/file-2999.txt'))
  await assert.rejects(read(), {
    code: 'context',
    message: 'directory-29/file-2999.txt changed while it was packed: it is gone.',
    hint: 'Try again when nothing writes to it, or list it in .dockerignore.',
  })
  assert.equal(seen.alive, 0)
  for (let index = 1000; index < 2999; index++) {
    appendFileSync(join(root, `directory-${Math.floor(index / 100)}/file-${index}.txt`), 'x')
  }
  await assert.rejects(
    read(),
    /^MypaasError: directory-\d+\/file-\d+.txt changed while it was packed: it had 4096 bytes/,
  )
  assert.equal(seen.alive, 0)
})

const program = (module: string, read: string): string => `
  import { createHash } from 'node:crypto'
  import { readContext } from ${JSON.stringify(module)}
  const reports = new Set()
  process.on('worker', (worker) => worker.on('message', (report) => reports.add(report.kind)))
  const context = await readContext(${JSON.stringify(world.root)})
  ${read}
`

test('the compiled files start their worker too, and the process does not wait for it at its end', async (t) => {
  const module = pathToFileURL(join(dirname(await compiledProgram(t)), '../src/context/index.js')).href
  const read = `
    const hash = createHash('sha256')
    for await (const part of context.tar()) {
      while (!reports.has('ready')) await new Promise((resolve) => setTimeout(resolve, 1))
      hash.update(part)
    }
    await readContext(${JSON.stringify(world.root)})
    const done = Date.now()
    process.on('exit', () => console.log(JSON.stringify([hash.digest('hex'), [...reports].sort(), Date.now() - done < 500])))
  `
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program(module, read)], {
    timeout: 30_000,
  })
  const expected = await digest((await readContext(world.root)).tar())
  assert.deepEqual(JSON.parse(stdout), [expected, ['packed', 'part', 'ready', 'walked'], true])
})

test('an archive that nobody reads to its end does not keep the process alive', async (t) => {
  const module = new URL('../../src/context/index.ts', import.meta.url).href
  const read = `
    const parts = context.tar()[Symbol.asyncIterator]()
    await parts.next()
    while (!reports.has('ready')) await new Promise((resolve) => setTimeout(resolve, 1))
    await parts.next()
    console.log('left')
  `
  const file = join(plant(t, {}), 'leave.mts')
  writeFileSync(file, program(module, read))
  const { stdout } = await run(process.execPath, ['--import', 'tsx', file], { timeout: 30_000 })
  assert.equal(stdout, 'left\n')
})

test('memory that goes round reaches a server whole, by fetch, by a pipeline and by the Docker client', async (t) => {
  const context = await readContext(world.root)
  const expected = await digest(context.tar())
  const digests: string[] = []
  const server = createServer((request, response) => {
    const hash = createHash('sha256')
    // A server that reads by fits and starts: the sender's buffers fill up.
    request.on('data', (part: Buffer) => {
      hash.update(part)
      request.pause()
      setImmediate(() => request.resume())
    })
    request.on('end', () => {
      if (request.method === 'POST') digests.push(hash.digest('hex'))
      response.writeHead(200, { 'Api-Version': '1.41', 'Content-Type': 'application/json', 'Builder-Version': '2' })
      response.end('{"id":"moby.image.id","aux":{"ID":"sha256:0"}}\n')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo

  const options = { method: 'POST', body: context.tar({ reuse: true }), duplex: 'half' }
  await (await fetch(`http://127.0.0.1:${port}/`, options as RequestInit)).text()

  const sent = request({ port, host: '127.0.0.1', method: 'POST' })
  const answered = new Promise((resolve, reject) => sent.on('response', resolve).on('error', reject))
  await pipeline(context.tar({ reuse: true }), sent)
  await answered

  await using docker = new Docker({ host: `tcp://127.0.0.1:${port}` })
  for await (const event of docker.images.build(context.tar({ reuse: true }))) assert.equal(event.type, 'image')
  assert.deepEqual(digests, [expected, expected, expected])
})
