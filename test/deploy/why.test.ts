import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { explainExit, report } from '../../src/deploy/why.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { fakeEngine } from '../docker/fake-engine.ts'

const spec = parseSpec('# mypaas.service=web\n# mypaas.maxmem=60m\nFROM x\n')
const started = '2026-01-01T00:00:00Z'

test('a kill that the engine did not mark as out of memory is looked up in its events', async (t) => {
  const found = await reportOf(t, { exitCode: 137, events: ['oom'] })
  assert.equal(found.outOfMemory, true)
  assert.deepEqual(explainExit(found, spec, 0.4), {
    message: 'web-r2-1 ran out of memory 0.4 s after its start.',
    hint: 'Give it more with # mypaas.maxmem=…, or let it use less.',
  })
})

test('a kill without such an event is only called a kill', async (t) => {
  const found = await reportOf(t, { exitCode: 137, events: [] })
  assert.equal(found.outOfMemory, undefined)
  assert.match(explainExit(found, spec, 0.4).message, /^web-r2-1 was ended by SIGKILL 0\.4 s after its start\.$/)
})

test('no other exit waits for events', async (t) => {
  const { asked, ...found } = await reportOf(t, { exitCode: 1, events: ['oom'] })
  assert.deepEqual(
    { asked, exitCode: found.exitCode, oom: found.outOfMemory },
    { asked: 0, exitCode: 1, oom: undefined },
  )
})

/** The report about a container that has exited, from an engine that tells these events of it. */
async function reportOf(
  t: TestContext,
  container: { exitCode: number; events: readonly string[] },
): Promise<Awaited<ReturnType<typeof report>> & { asked: number }> {
  let asked = 0
  const { docker } = await fakeEngine(t, ({ path, query }) => {
    if (path.endsWith('/logs')) return { body: '' }
    if (!path.endsWith('/events')) return { status: 500, json: { message: `not asked for: ${path}` } }
    asked += 1
    assert.deepEqual(JSON.parse(`${query['filters']}`), { container: ['abc'], event: ['oom'] })
    const time = Date.parse(started) / 1000 + 1
    const body = container.events.map((Action) => {
      const event = { Type: 'container', Action, Actor: { ID: 'abc', Attributes: {} }, time, timeNano: time * 1e9 }
      return `${JSON.stringify(event)}\n`
    })
    return { headers: { Date: new Date(Date.now() + 5_000).toUTCString() }, body: body.join('') }
  })
  const State = {
    Running: false,
    Restarting: false,
    OOMKilled: false,
    ExitCode: container.exitCode,
    StartedAt: started,
  }
  const inspected = { Id: 'abc', Name: '/web-r2-1', RestartCount: 0, State, Config: { Env: [], Labels: {} } }
  return { ...(await report(docker, inspected as never)), asked }
}
