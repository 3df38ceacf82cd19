import assert from 'node:assert/strict'
import { after, type TestContext, test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { type LoadResult, startLoad } from '../support/load.ts'
import { until } from '../support/until.ts'
import type { ContainerEvent } from '../support/watch.ts'
import { type World, world } from '../support/world.ts'

const program = await compiledProgram({ after })

test('30 s of requests through three redeploys of a scaled and of a single service: none fails', async (t) => {
  const w = await initialised(t)
  const scaled = { directives: ['url=http://many.test', 'scale=3'] }
  const single = { directives: ['url=http://one.test'] }
  const [many, one] = [await w.service('many', scaled), await w.service('one', single)]
  await w.deploy(many)
  await w.deploy(one)

  await t.test('all three replicas answer', async () => {
    const replies = await Promise.all(Array.from({ length: 12 }, () => w.request('http://many.test/')))
    const names = replies.map((reply) => reply.json<{ container: string }>().container.replace(`${w.instance}-`, ''))
    assert.deepEqual([...new Set(names)].sort(), ['many-r1-1', 'many-r1-2', 'many-r1-3'])
  })

  const begin = performance.now()
  await using watch = await w.watch('one')
  await using onMany = await load(w, 'http://many.test/')
  await using onOne = await load(w, 'http://one.test/')
  for (const directory of [many, one, many, one, many, one]) {
    await onMany.more(100)
    await onOne.more(100)
    await w.deploy(directory)
  }
  await until(() => performance.now() - begin > 31_000, { what: '30 s of load', timeoutMs: 31_000, everyMs: 200 })
  const { most, events } = await watch.stop()

  await t.test('with scale=3 no request failed, and each release answered in its turn', async () => {
    const result = await onMany.stop()
    assertNoneFailed(result, ['r1', 'r2', 'r3', 'r4'])
    assert.ok(secondsOf(result) >= 30, `${secondsOf(result)} s`)
    t.diagnostic(`scale=3: ${summary(result)}`)
  })

  await t.test('without scale no request failed: they waited, and each release answered in its turn', async () => {
    const result = await onOne.stop()
    assertNoneFailed(result, ['r1', 'r2', 'r3', 'r4'])
    assert.ok(secondsOf(result) >= 30, `${secondsOf(result)} s`)
    t.diagnostic(`no scale: ${summary(result)}`)
  })

  await t.test('without scale there were never two containers at the same time', () => {
    assert.equal(most, 1)
    assert.deepEqual(shown(w, events), [
      'die one-r1-1',
      'start one-r2-1',
      'die one-r2-1',
      'start one-r3-1',
      'die one-r3-1',
      'start one-r4-1',
    ])
  })
})

test('scale=2 safe: all old replicas are gone before a new one starts, and no request fails', async (t) => {
  const w = await initialised(t)
  const directory = await w.service('web', { directives: ['url=http://web.test', 'scale=2 safe'] })
  await w.deploy(directory)
  await using watch = await w.watch('web')
  await using requests = await load(w, 'http://web.test/')
  await requests.more(100)
  await w.deploy(directory)
  await requests.more(100)
  const result = await requests.stop()
  assertNoneFailed(result, ['r1', 'r2'])
  const { most, events } = await watch.stop()
  assert.equal(most, 2)
  assert.deepEqual(
    events.map(({ action }) => action),
    ['die', 'die', 'start', 'start'],
  )
  // No mix of old and new assets: what was asked for after a new answer came is new.
  assert.equal(result.releasesInOrder, true)
})

test('an app that opens its port 2 s after its start loses no request', async (t) => {
  const w = await initialised(t)
  await w.deploy(await w.service('late', { directives: ['url=http://late.test'], app: { LISTEN_DELAY_MS: 2000 } }))
  const underLoad = async (scale: readonly string[]): Promise<LoadResult> => {
    const files = { directives: ['url=http://late.test', ...scale], app: { LISTEN_DELAY_MS: 2000 } }
    await using requests = await load(w, 'http://late.test/')
    await requests.more(50)
    await w.deploy(await w.service('late', files))
    await requests.more(50)
    // Awaited here: leaving the scope ends the load.
    return await requests.stop()
  }
  const waiting = await underLoad([])
  assertNoneFailed(waiting, ['r1', 'r2'])
  assert.ok(waiting.longestMs > 2000 && waiting.longestMs < 15_000, `requests wait: ${waiting.longestMs} ms`)
  const beside = await underLoad(['scale=1'])
  assertNoneFailed(beside, ['r2', 'r3'])
  assert.ok(beside.longestMs < 2000, `nobody waits for a start: ${beside.longestMs} ms`)
})

test('a new release that fails where the old one had to stop first: the waiting requests get the old one', async (t) => {
  const w = await initialised(t)
  await w.set('server', 'start_timeout', '"3s"')
  const directives = ['url=http://web.test']
  const failures = {
    'exits at once': { EXIT_AFTER_MS: 1 },
    'exits after it was ready': { EXIT_AFTER_MS: 1500, STATUS: 503 },
    'never opens its port': { LISTEN_DELAY_MS: 600_000 },
  }
  await w.deploy(await w.service('web', { directives }))
  for (const [how, app] of Object.entries(failures)) {
    await t.test(how, async () => {
      const directory = await w.service('web', { directives, app })
      const [old] = await w.containers('web')
      await using watch = await w.watch('web')
      await using requests = await load(w, 'http://web.test/')
      await requests.more(50)
      const { code, stderr } = await w.cli(['server', 'deploy', directory])
      assert.equal(code, 1, stderr)
      assert.match(stderr, /r1 serves as before\./)
      await requests.more(100)
      const result = await requests.stop()
      assertNoneFailed(result, ['r1'])
      t.diagnostic(`${how}: ${summary(result)}`)
      assert.equal((await watch.stop()).most, 1, 'never two writers')
      const [now, ...more] = await w.containers('web')
      assert.deepEqual({ id: now?.Id, state: now?.State, more }, { id: old?.Id, state: 'running', more: [] })
    })
  }
  await t.test('and the next release that works takes over as if nothing had been', async () => {
    await using requests = await load(w, 'http://web.test/')
    await requests.more(50)
    await w.deploy(await w.service('web', { directives }))
    await requests.more(50)
    assertNoneFailed(await requests.stop(), ['r1', 'r5'])
  })
})

async function initialised(t: TestContext): Promise<World> {
  const w = await world(t, { program })
  await w.init()
  return w
}

function load(w: World, url: string): ReturnType<typeof startLoad> {
  return startLoad({
    url,
    port: w.ports.http,
    clients: { get: 3, post: 2, fresh: 2, stream: 1 },
    requestsPerSecond: 100,
    streamSeconds: 1,
  })
}

/** No socket error, no timeout, no status but 2xx, no damaged body; and these releases answered, one after the other. */
function assertNoneFailed(result: LoadResult, releases: readonly string[]): void {
  assert.deepEqual(result.failures, [], `${result.failed} of ${result.requests} failed`)
  assert.deepEqual(Object.keys(result.byKind).sort(), ['fresh', 'get', 'post', 'stream'])
  assert.deepEqual(Object.keys(result.byRelease).sort(), releases)
  assert.equal(result.releasesInOrder, true)
}

function secondsOf({ records }: LoadResult): number {
  return ((records.at(-1)?.at ?? 0) - (records[0]?.at ?? 0)) / 1000
}

function summary(result: LoadResult): string {
  const { requests, failed, p50, p99, longestMs } = result
  return `${requests} requests, ${failed} failed, p50 ${Math.round(p50)} ms, p99 ${Math.round(p99)} ms, longest ${Math.round(longestMs)} ms`
}

function shown(w: World, events: readonly ContainerEvent[]): string[] {
  return events.map(({ action, name }) => `${action} ${name.replace(`${w.instance}-`, '')}`)
}
