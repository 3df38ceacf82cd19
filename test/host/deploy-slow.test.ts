import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { type CliResult, type ServiceFiles, type World, world } from '../support/world.ts'

const program = await compiledProgram({ after })

type Start = Readonly<{ directives?: readonly string[]; app?: ServiceFiles['app']; lines?: readonly string[] }>

async function deployAll(w: World, starts: Readonly<Record<string, Start>>): Promise<ReadonlyMap<string, CliResult>> {
  const results = Object.entries(starts).map(async ([name, { directives = [], app, lines }]) => {
    const files = {
      directives: [`url=http://${name}.test`, ...directives],
      ...(app && { app }),
      ...(lines && { lines }),
    }
    return [name, await w.cli(['server', 'deploy', await w.service(name, files)])] as const
  })
  return new Map(await Promise.all(results))
}

const health = 'healthcheck=/up 1s 1s'

test('slow and odd starts go live without a setting', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const starts: Readonly<Record<string, Start>> = {
    'first-answer': { directives: ['scale=1'], app: { SILENT_MS: 14_000 } },
    'first-answer-alone': { app: { SILENT_MS: 14_000 } },
    'by-router': { directives: ['scale=1'], app: { SLOW_BY_ROUTER_MS: 14_000 } },
    debugger: { app: { ALSO_PORT: 9229, LISTEN_DELAY_MS: 15_000 } },
    'missing-first': { directives: [health], app: { READY_PATH: '/up', MISSING_MS: 15_000 } },
    'not-yet': { directives: [health, 'scale=1'], app: { READY_PATH: '/up', UNREADY_MS: 25_000 } },
  }
  const results = await deployAll(w, starts)
  for (const [name, { code, output }] of results) {
    assert.equal(code, 0, `${name}: ${output}`)
    assert.equal((await w.request(`http://${name}.test/`)).status, 200, name)
  }
  assert.match(
    results.get('debugger')?.output ?? '',
    /! .*debugger-r1-1 has not opened port 80 yet; waiting until 60 s, or 20 s without a change\. It listens on 9229/,
  )
  assert.match(
    results.get('missing-first')?.output ?? '',
    /! .*missing-first-r1-1 answers 404 on \/up \(healthcheck\); waiting .*There is no \/up: is the path of # mypaas\.healthcheck right\?/,
  )
})

test('what looks wrong is said at once, and ends the deploy after 20 s in which nothing changed', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const starts: Readonly<Record<string, Start>> = {
    elsewhere: { app: { PORT: 3000 } },
    'no-path': { directives: ['healthcheck=/healthz 1s 1s'], lines: ['ENV MISSING_MS=600000'] },
    errors: { directives: ['scale=1'], app: { STATUS: 500 } },
  }
  const results = await deployAll(w, starts)
  const says: Readonly<Record<string, RegExp>> = {
    elsewhere:
      /✗ .*elsewhere-r1-1 did not open port 80 within 2\d s, and nothing changed for 20 s\..*It listens on 3000: set # mypaas\.port=3000.*# mypaas\.start_timeout = 2m/s,
    'no-path':
      /✗ .*no-path-r1-1 answers 404 on \/healthz \(healthcheck\) after 2\d s, and nothing changed for 20 s\..*There is no \/healthz/s,
    errors: /✗ .*errors-r1-1 answers 500 on http:\/\/errors\.test after 2\d s\..*a status below 500/s,
  }
  for (const [name, pattern] of Object.entries(says)) {
    const result = results.get(name)
    assert.equal(result?.code, 1, result?.output)
    assert.match(result?.output ?? '', pattern)
    assert.match(result?.output ?? '', /^ {2}! .*waiting until 60 s, or 20 s without a change/m)
    assert.ok((result?.ms ?? 0) < 45_000, `${name} took ${result?.ms} ms`)
  }
})

test("start_timeout of the Dockerfile stands above the server's, for readiness and for the first answer", async (t) => {
  const w = await world(t, { program })
  await w.init()
  await w.set('server', 'start_timeout', '"2s"')
  const longer = 'start_timeout=40s'
  const live = await deployAll(w, {
    port: { directives: [longer], app: { LISTEN_DELAY_MS: 6_000 } },
    answer: { directives: [longer, 'scale=1'], app: { SILENT_MS: 12_000 } },
    still: { directives: [longer], app: { ALSO_PORT: 3000, LISTEN_DELAY_MS: 24_000 } },
  })
  for (const [name, { code, output }] of live) assert.equal(code, 0, `${name}: ${output}`)
  const late = await deployAll(w, {
    'port-late': { app: { LISTEN_DELAY_MS: 60_000 } },
    'answer-late': { directives: ['start_timeout=4s'], app: { SILENT_MS: 60_000 } },
  })
  assert.match(late.get('port-late')?.output ?? '', /port-late-r1-1 did not open port 80 within 2 s\./)
  assert.match(
    late.get('answer-late')?.output ?? '',
    /answer-late-r1-1 does not answer \(.*\) on http:\/\/answer-late\.test after 4 s\./,
  )
  for (const { code } of late.values()) assert.equal(code, 1)
})

test('a container that dies while it is asked is told as that, at once', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const dies = { SILENT_MS: 60_000, EXIT_AFTER_MS: 3_000, EXIT_CODE: 7 }
  const starts: Readonly<Record<string, Start>> = {
    alone: { app: dies },
    scaled: { directives: ['scale=2'], app: { ...dies, EXIT_AFTER_MS: 4_000 } },
    probed: { directives: [health], app: { ...dies, READY_PATH: '/up' } },
  }
  const before = Object.keys(starts).map((name) => [name, {}] as const)
  await deployAll(w, Object.fromEntries(before))
  const results = await deployAll(w, starts)
  for (const [name, { code, output, ms }] of results) {
    assert.equal(code, 1, `${name}: ${output}`)
    assert.match(output, new RegExp(`✗ .*${name}-r2-\\d exited with code 7 [34]\\.\\d s after its start\\.`))
    assert.match(output, /│ exits after \d000 ms as told/)
    assert.match(output, /r1 serves as before/)
    assert.ok(ms < 20_000, `${name} took ${ms} ms`)
  }
})

test('one writer that dies at its first request by the router is taken back, and the one before serves again', async (t) => {
  const w = await world(t, { program })
  await w.init()
  await deployAll(w, { fragile: {} })
  const results = await deployAll(w, { fragile: { app: { EXIT_BY_ROUTER: 1 } } })
  const { code, output } = results.get('fragile') as CliResult
  assert.equal(code, 5, output)
  assert.match(output, /fragile-r2-1 (exited with code 1|went down and was started again) .*It had just taken over\./)
  assert.match(output, /│ exits at a request as told/)
  assert.match(output, /r1 of fragile serves again\./)
  assert.equal((await w.request('http://fragile.test/')).json()['release'], 'r1')
})
