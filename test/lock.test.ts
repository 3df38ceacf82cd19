import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { MypaasError } from '../src/errors.ts'
import { takeLock } from '../src/lock.ts'

test('a taken lock is refused, naming the holder, and is free when its holder lets go', async (t) => {
  const file = await lockFile(t)
  const first = await takeLock(file, { what: 'a deploy of blog' })
  await assert.rejects(
    takeLock(file, { what: 'another' }),
    (error) =>
      error instanceof MypaasError &&
      error.code === 'locked' &&
      error.message.startsWith(`Somebody else is at it: a deploy of blog (process ${process.pid}, since `),
  )
  await first[Symbol.asyncDispose]()
  await using _ = await takeLock(file, { what: 'another' })
})

test('a lock is free at once when its holder is killed', async (t) => {
  const file = await lockFile(t)
  const script = `
    import { takeLock } from ${JSON.stringify(new URL('../src/lock.ts', import.meta.url).href)}
    await takeLock(${JSON.stringify(file)}, { what: 'a deploy that is killed' })
    console.log('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  await assert.rejects(takeLock(file, { what: 'too early' }), /a deploy that is killed/)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await using _ = await takeLock(file, { what: 'the next' })
})

test('whoever waits gets the lock when it is free, and stops waiting when told to', async (t) => {
  const file = await lockFile(t)
  const first = await takeLock(file, { what: 'first' })
  const second = takeLock(file, { what: 'second', waitMs: 10_000 })
  const aborted = takeLock(file, { what: 'third', waitMs: 10_000, signal: AbortSignal.timeout(50) })
  await assert.rejects(aborted, { name: 'AbortError' })
  await first[Symbol.asyncDispose]()
  await using _ = await second
})

test('the lock file stays, so that all lock the same one', async (t) => {
  const file = await lockFile(t)
  const { ino } = await (async () => {
    await using _ = await takeLock(file, { what: 'first' })
    return stat(file)
  })()
  await using _ = await takeLock(file, { what: 'second' })
  assert.equal((await stat(file)).ino, ino)
})

test('a file that is no lock is left as it is', async (t) => {
  const file = await lockFile(t)
  await mkdir(dirname(file), { recursive: true })
  const contents = [
    '# yarn lockfile v1\n',
    '{}',
    'a\nb (process 1, since 2026-01-01T00:00:00.000Z)',
    'x'.repeat(100_000),
  ]
  for (const content of contents) {
    await writeFile(file, content)
    await assert.rejects(
      takeLock(file, { what: 'it' }),
      (error) => error instanceof MypaasError && error.code === 'degraded',
    )
    assert.equal(await readFile(file, 'utf8'), content)
  }
  await rm(file)
  const target = `${file}.target`
  await writeFile(target, '')
  await symlink(target, file)
  await assert.rejects(takeLock(file, { what: 'it' }), /is there already and is no lock of mypaas/)
  await rm(file)
  await mkdir(file)
  await assert.rejects(takeLock(file, { what: 'it' }), /is there already and is no lock of mypaas/)
  await rm(file, { recursive: true })
  execFileSync('mkfifo', [file])
  await assert.rejects(takeLock(file, { what: 'it' }), /is there already and is no lock of mypaas/)
})

test('what a killed holder or a power cut left in the file keeps nobody out', async (t) => {
  const file = await lockFile(t)
  await mkdir(dirname(file), { recursive: true })
  for (const left of ['', 'a deploy of blog (process 1, since 2026-01-31T12:00:00.000Z)', '\0'.repeat(60)]) {
    await writeFile(file, left)
    await using _ = await takeLock(file, { what: 'the next' })
    assert.match(await readFile(file, 'utf8'), /^the next \(process /)
  }
})

async function lockFile(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-lock-'))
  t.after(() => rm(directory, { recursive: true }))
  return join(directory, 'services', 'blog.lock')
}

test('those of one process who wait for a lock get it in the order in which they came, past who gives up', async (t) => {
  const file = await lockFile(t)
  const held = await takeLock(file, { what: 'the first' })
  const order: number[] = []
  const told: number[] = []
  const impatient = takeLock(file, { what: 'impatient', waitMs: 150 })
  const stopped = new AbortController()
  const gone = takeLock(file, { what: 'gone', waitMs: 10_000, signal: stopped.signal })
  const waiting = Array.from({ length: 12 }, async (_, number) => {
    await using _lock = await takeLock(file, { what: `${number}`, waitMs: 20_000, onWait: () => told.push(number) })
    order.push(number)
  })
  await assert.rejects(impatient, (error) => error instanceof MypaasError && error.code === 'locked')
  stopped.abort()
  await assert.rejects(gone, { name: 'AbortError' })
  await assert.rejects(takeLock(file, { what: 'at once' }), /Somebody else is at it: the first/)
  await held[Symbol.asyncDispose]()
  await Promise.all(waiting)
  const all = Array.from({ length: 12 }, (_, number) => number)
  assert.deepEqual(order, all)
  assert.deepEqual(
    told.sort((a, b) => a - b),
    all,
  )
})
