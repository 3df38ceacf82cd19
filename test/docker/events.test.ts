import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { type EngineEvent, ProtocolError, TimeoutError } from '../../src/docker/index.ts'
import { until } from '../support/until.ts'
import { fakeEngine, type Received } from './fake-engine.ts'

/** An engine that remembers events and tells them as dockerd does: those since a time (that one included), then new ones. */
class History {
  readonly #events: { nanos: bigint; text: string }[] = []
  readonly #listeners = new Set<ServerResponse>()

  add(nanos: bigint, id: string): void {
    const event = {
      Type: 'container',
      Action: 'start',
      Actor: { ID: id, Attributes: { x: '"timeNano":7' } },
      scope: 'local',
    }
    const times = `"time":${nanos / 1_000_000_000n},"timeNano":${nanos}`
    const text = `${JSON.stringify(event).slice(0, -1)},${times}}\n`
    this.#events.push({ nanos, text })
    for (const listener of this.#listeners) listener.write(text)
  }

  listen = ({ query }: Received, response: ServerResponse): undefined => {
    const since = nanosOf(query['since'])
    const until = nanosOf(query['until'])
    response.writeHead(200, { Date: new Date(1000_000).toUTCString() })
    response.flushHeaders()
    for (const { nanos, text } of this.#events) {
      if (since !== undefined && nanos >= since && (until === undefined || nanos <= until)) response.write(text)
    }
    if (until !== undefined) response.end()
    this.#listeners.add(response)
    response.on('close', () => this.#listeners.delete(response))
  }

  /** Ends all streams as an engine does that is stopped in good order. */
  end(): void {
    for (const listener of this.#listeners) listener.end()
    this.#listeners.clear()
  }

  get listening(): number {
    return this.#listeners.size
  }
}

function nanosOf(text: string | string[] | undefined): bigint | undefined {
  if (typeof text !== 'string') return undefined
  const [seconds = '0', fraction = ''] = text.split('.')
  return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'))
}

const second = 1_000_000_000n
const ids = (events: EngineEvent[]) => events.map(({ Actor }) => Actor.ID)

test('events come with their exact time, which goes on from there as `since`', async (t) => {
  const history = new History()
  const { docker, requests } = await fakeEngine(t, history.listen)
  history.add(1_700_000_000n * second + 123_456_789n, 'c1')
  for await (const event of docker.system.events({ since: 1_600_000_000, filters: { type: ['container'] } })) {
    assert.equal(event.at, '1700000000.123456789')
    assert.equal(event.time, 1_700_000_000)
    assert.equal(event.Actor.Attributes['x'], '"timeNano":7')
    break
  }
  assert.deepEqual(requests[0]?.query, { since: '1600000000', filters: '{"type":["container"]}' })
})

test('over breaks of every kind, no event is lost and none comes twice', async (t) => {
  const history = new History()
  const engine = await fakeEngine(t, history.listen)
  const seen: EngineEvent[] = []
  const breaks: Error[] = []
  const aborter = new AbortController()
  const reading = (async () => {
    const options = { signal: aborter.signal, onReconnect: (error: Error) => void breaks.push(error) }
    for await (const event of engine.docker.system.events(options)) seen.push(event)
  })()
  const start = 2_000n * second
  const expected: string[] = []
  const add = (nanos: bigint, id: string) => {
    history.add(nanos, id)
    expected.push(id)
  }
  const caughtUp = () => until(() => seen.length === expected.length, { what: 'all events', everyMs: 5 })

  await until(() => history.listening === 1, { what: 'the first connection', everyMs: 5 })
  add(start, 'a')
  add(start, 'b')
  await caughtUp()
  // One is told late, with a time before others: the engine does not sort them.
  engine.cut()
  add(start - 5n, 'late')
  add(start, 'c')
  add(start + 1n, 'd')
  await caughtUp()
  await until(() => history.listening === 1, { what: 'a connection again', everyMs: 5 })
  history.end()
  add(start + 2n, 'e')
  await caughtUp()
  await engine.stop()
  add(start + 3n, 'f')
  await engine.start()
  await caughtUp()
  await until(() => history.listening === 1, { what: 'a connection again', everyMs: 5 })
  add(start + second * 60n, 'g')
  await caughtUp()

  aborter.abort()
  await assert.rejects(reading, { name: 'AbortError' })
  assert.deepEqual(ids(seen), expected)
  assert.ok(breaks.length >= 3)
  for (const error of breaks) assert.match(error.name, /^(ProtocolError|DockerUnavailableError)$/)
})

test('a break before the first event asks for what came since the first connection', async (t) => {
  const history = new History()
  const engine = await fakeEngine(t, history.listen)
  const seen: EngineEvent[] = []
  const aborter = new AbortController()
  const reading = (async () => {
    for await (const event of engine.docker.system.events({ signal: aborter.signal })) seen.push(event)
  })()
  await until(() => history.listening === 1, { what: 'the first connection', everyMs: 5 })
  engine.cut()
  await until(() => engine.requests.length === 2, { what: 'the second connection', everyMs: 5 })
  aborter.abort()
  await assert.rejects(reading, { name: 'AbortError' })
  assert.deepEqual(
    engine.requests.map(({ query }) => query),
    [{}, { since: '1000' }],
  )
})

test('until a time that has come, events end; a break before that does not end them', async (t) => {
  const history = new History()
  const { docker, requests } = await fakeEngine(t, history.listen)
  history.add(500n * second, 'a')
  const seen: EngineEvent[] = []
  for await (const event of docker.system.events({ since: new Date(400_000), until: new Date(600_000) }))
    seen.push(event)
  assert.deepEqual(ids(seen), ['a'])
  assert.deepEqual(requests[0]?.query, { since: '400.000', until: '600.000' })

  // The engine's clock stands at 1000 s: 5000 s is far off, and still it ended the stream.
  const breaks: Error[] = []
  const later = docker.system.events({
    until: 5000,
    onReconnect: (error) => {
      breaks.push(error)
    },
    timeoutMs: 300,
  })
  await assert.rejects(later.next(), (error) => error instanceof TimeoutError && error.kind === 'total')
  assert.ok(breaks.length >= 1)
})

test('`once` throws where the connection breaks', async (t) => {
  const history = new History()
  const engine = await fakeEngine(t, history.listen)
  const next = engine.docker.system.events({ once: true }).next()
  const failed = assert.rejects(next, ProtocolError)
  await until(() => history.listening === 1, { what: 'the connection', everyMs: 5 })
  engine.cut()
  await failed
})

test('an engine that is not there at first is an error at once', async (t) => {
  const engine = await fakeEngine(t)
  await engine.stop()
  await assert.rejects(engine.docker.system.events().next(), { name: 'DockerUnavailableError' })
})

test('an answer that is no break (a filter that the engine does not know) is thrown', async (t) => {
  const { docker } = await fakeEngine(t, () => ({ status: 400, json: { message: "invalid filter 'a'" } }))
  await assert.rejects(docker.system.events({ filters: { a: ['b'] } }).next(), { name: 'BadRequestError' })
})

test('a reader that stops, or gives up while the engine is away, ends it all', async (t) => {
  const history = new History()
  const engine = await fakeEngine(t, history.listen)
  history.add(1n, 'a')
  for await (const _ of engine.docker.system.events({ since: 0 })) break
  await until(() => engine.connections() === 0, { what: 'the end of the connection', everyMs: 5 })

  const aborter = new AbortController()
  const waiting = (async () => {
    for await (const _ of engine.docker.system.events({ signal: aborter.signal }));
  })()
  const failed = assert.rejects(waiting, { name: 'AbortError' })
  await until(() => history.listening === 1, { what: 'the connection', everyMs: 5 })
  await engine.stop()
  aborter.abort()
  await failed
})
