import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compiledProgram } from '../support/compiled.ts'
import { nodeImage } from '../support/images.ts'
import { type Load, type LoadResult, startLoad } from '../support/load.ts'
import { long } from '../support/prove.ts'
import { request } from '../support/request.ts'
import { until } from '../support/until.ts'
import { openWebSocket } from '../support/websocket.ts'
import { freePort, type ServiceFiles, type World, world } from '../support/world.ts'

const deploys = long ? 25 : 3
/** Requests before a deploy begins, and after it is done. */
const beside = long ? 200 : 50
const drainMs = 22_000
const holdDrainMs = 5_000

type Subject = Readonly<{ name: string; what: string; files: ServiceFiles; streamSeconds: number; drainMs: number }>

/** Each order of a deploy, with an app that makes it hard. Streams end within the time that the old release has to drain. */
const subjects: readonly Subject[] = [
  {
    name: 'late',
    what: 'roll, one replica, which takes 3 s to open its port',
    files: { directives: ['scale=1'], app: { LISTEN_DELAY_MS: 3_000 } },
    streamSeconds: 20,
    drainMs,
  },
  {
    name: 'cold',
    what: 'roll, three replicas, which answer 503 for 2 s after their port is open and need 5 s to shut down',
    files: {
      directives: ['scale=3', 'healthcheck=/ready 1s 1s'],
      app: { UNREADY_MS: 2_000, READY_PATH: '/ready', ON_SIGTERM: 'slow:5000' },
    },
    streamSeconds: 20,
    drainMs,
  },
  {
    name: 'single',
    what: 'no scale, answers 503 for 2 s after its port is open, dies on SIGTERM at once',
    files: {
      app: { UNREADY_MS: 2_000 },
      lines: [
        `HEALTHCHECK --interval=1s --timeout=2s --start-period=5s CMD ["node", "-e", "fetch('http://127.0.0.1/').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]`,
      ],
    },
    streamSeconds: 4,
    drainMs: holdDrainMs,
  },
  {
    name: 'safe',
    what: 'safe, two replicas, which need 5 s to shut down',
    files: { directives: ['scale=2 safe'], app: { ON_SIGTERM: 'slow:5000' } },
    streamSeconds: 4,
    drainMs: holdDrainMs,
  },
]

test('no request fails because of a deploy', { concurrency: true }, async (t) => {
  const program = await compiledProgram(t)
  const w = await world(t, { program })
  await w.init()
  await w.set('server', 'drain', `"${drainMs / 1000}s"`)
  await w.set('server', 'hold_drain', `"${holdDrainMs / 1000}s"`)
  await w.set('server', 'start_timeout', '"15s"')
  const done: LoadResult[] = []

  await Promise.all([
    ...subjects.map((subject) =>
      t.test(subject.what, async (t) => {
        const directory = await serviceOf(w, subject)
        await w.deploy(directory)
        const results: LoadResult[] = []
        for (let turn = 1; turn <= deploys; turn += 1) {
          // What lasts keeps the old release, so it is there once in a while only.
          const lasting = turn % 3 === 2
          results.push(
            ...(lasting
              ? await deployUnderLastingLoad(w, subject, directory)
              : await deployUnderLoad(w, subject, directory)),
          )
        }
        done.push(...results)
        t.diagnostic(`${subject.name}: ${summary(results)}`)
      }),
    ),
    t.test('the control: docker stop and docker run of the same app under the same load fail requests', async (t) => {
      const { failed, requests } = await stopAndRun(w)
      t.diagnostic(`control: ${failed} of ${requests} failed`)
      assert.ok(failed > 0, 'the check can fail')
    }),
  ])

  await t.test(
    'a stop-first deploy that fails: the requests that waited are answered by the old release',
    async (t) => {
      const [subject] = subjects.filter(({ name }) => name === 'single')
      assert.ok(subject)
      const files = { ...subject.files, app: { LISTEN_DELAY_MS: 600_000 } }
      const directory = await serviceOf(w, { ...subject, files })
      const before = `r${(await w.journal('single'))?.current?.release}`
      await using load = await loadOn(w, subject)
      await load.more(beside)
      const { code, stderr } = await w.cli(['server', 'deploy', directory])
      assert.equal(code, 1, stderr)
      await load.more(beside)
      const result = await load.stop()
      assertNoneFailed(result)
      assert.deepEqual(Object.keys(result.byRelease), [before])
      assert.ok(result.longestMs > 8_000, 'requests waited')
      t.diagnostic(`failing deploy: ${summary([result])}`)
    },
  )

  const requests = done.reduce((sum, result) => sum + result.requests, 0)
  t.diagnostic(`${requests} requests over ${deploys * subjects.length} deploys, none failed`)
  if (long) assert.ok(requests >= 100_000, `${requests} requests`)
})

async function deployUnderLoad(w: World, subject: Subject, directory: string): Promise<LoadResult[]> {
  await using load = await loadOn(w, subject)
  await load.more(beside)
  await w.deploy(directory)
  await load.more(beside)
  const result = await load.stop()
  assertNoneFailed(result)
  assert.equal(Object.keys(result.byRelease).length, 2, 'both releases answered')
  assert.equal(result.releasesInOrder, true)
  return [result]
}

/** Also one long answer, and a WebSocket, which lives until the time to drain is over. */
async function deployUnderLastingLoad(w: World, subject: Subject, directory: string): Promise<LoadResult[]> {
  const webSocket = await openWebSocket(w, `https://${subject.name}.test/ws`)
  const { streamSeconds } = subject
  await using load = await loadOn(w, subject)
  await using stream = await startLoad({
    ...target(w, subject),
    clients: { get: 1, stream: 1 },
    requestsPerSecond: 2,
    streamSeconds,
  })
  await load.more(beside)
  const running = w.spawnCli(['server', 'deploy', directory, '--json'], { timeoutMs: 180_000 })
  await running.seen(/"step":"drain".*"state":"started"/, 90_000)
  const begin = performance.now()
  const streamed = stream.stop() // when the answer that has begun is whole
  await webSocket.echo()
  const closedAfterMs = (await webSocket.closed) - begin
  const { code, output } = await running.result
  assert.equal(code, 0, output)
  assert.ok(closedAfterMs >= subject.drainMs - 500, `the WebSocket was closed after ${Math.round(closedAfterMs)} ms`)
  // Then it is told so, and not left hanging until somebody's keep-alive gives up.
  assert.ok(closedAfterMs <= subject.drainMs + 30_000, `the WebSocket was closed after ${Math.round(closedAfterMs)} ms`)
  assert.match(output, /"step":"drain".*"state":"done".*still open, cut after/)
  await load.more(beside)
  const results = [await load.stop(), await streamed]
  for (const result of results) assertNoneFailed(result)
  assert.equal(results[0]?.releasesInOrder, true)
  return results
}

function loadOn(w: World, subject: Subject): Promise<Load> {
  const clients = { get: 2, post: 2, fresh: 1, http2: 2 }
  return startLoad({ ...target(w, subject), clients, requestsPerSecond: long ? 90 : 60, timeoutMs: 60_000 })
}

function target(w: World, { name }: Subject): { url: string; port: number } {
  return { url: `https://${name}.test/`, port: w.ports.https }
}

/** What people do without a platform. */
async function stopAndRun(w: World): Promise<LoadResult> {
  const directory = await w.service('control')
  const port = await freePort()
  const run = async (name: string) => {
    const { Id } = await w.docker.containers.create(
      {
        Image: await nodeImage(w.docker),
        Cmd: ['node', '/server.mjs'],
        Labels: { 'mypaas.test': '1' },
        ExposedPorts: { '80/tcp': {} },
        HostConfig: {
          Init: true,
          Binds: [`${directory}/server.mjs:/server.mjs:ro`],
          PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: `${port}` }] },
        },
      },
      { name: `${w.instance}-${name}` },
    )
    await w.docker.containers.start(Id)
    return Id
  }
  const first = await run('control-1')
  await until(() => request('http://control.test/', { port }), { what: 'an answer of the control' })
  await using load = await startLoad({
    url: 'http://control.test/',
    port,
    clients: { get: 2, post: 2, fresh: 1 },
    requestsPerSecond: 60,
  })
  await load.more(beside)
  await w.docker.containers.stop(first)
  await run('control-2')
  await load.more(beside)
  return await load.stop()
}

function serviceOf(w: World, { name, files }: Subject): Promise<string> {
  return w.service(name, { ...files, directives: [`url=https://${name}.test`, ...(files.directives ?? [])] })
}

function assertNoneFailed({ failures, failed, requests }: LoadResult): void {
  assert.deepEqual(failures, [], `${failed} of ${requests} failed`)
}

function summary(results: readonly LoadResult[]): string {
  const sum = (of: (result: LoadResult) => number) => results.reduce((total, result) => total + of(result), 0)
  const longest = Math.max(...results.map(({ longestMs }) => longestMs))
  const p99 = Math.max(...results.map(({ p99 }) => p99))
  return `${sum(({ requests }) => requests)} requests, ${sum(({ failed }) => failed)} failed, p99 ≤ ${Math.round(p99)} ms, longest ${Math.round(longest)} ms`
}
