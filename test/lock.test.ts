import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

async function lockFile(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-lock-'))
  t.after(() => rm(directory, { recursive: true }))
  return join(directory, 'services', 'blog.lock')
}
