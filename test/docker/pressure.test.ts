import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { fakeEngine, frames } from './fake-engine.ts'

test('a list of 10,000 containers is read whole', async (t) => {
  const one = {
    Id: 'f'.repeat(64),
    Names: ['/web-r1-1'],
    Image: 'web:r1',
    Labels: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`mypaas.label-${i}`, 'x'.repeat(40)])),
    State: 'running',
  }
  const list = Array.from({ length: 10_000 }, (_, i) => ({ ...one, Created: i }))
  const body = JSON.stringify(list)
  const { docker } = await fakeEngine(t, () => ({ body }))
  const startedAt = performance.now()
  const given = await docker.containers.list({ all: true })
  assert.deepEqual(given, list)
  assert.ok(body.length > 10_000_000)
  assert.ok(performance.now() - startedAt < 10_000)
})

test('1,000 pings at once go over a few dozen connections, and all are answered', async (t) => {
  const { docker, opened, pings } = await fakeEngine(t)
  const answers = await Promise.all(Array.from({ length: 1000 }, () => docker.system.ping()))
  assert.equal(answers.filter(({ apiVersion }) => apiVersion === '1.56').length, 1000)
  assert.equal(pings.length, 1000)
  assert.ok(opened() <= 64, `${opened()} connections`)
})

test('200 logs followed at once come whole and apart, and leave room for short calls', async (t) => {
  const responses = new Set<ServerResponse>()
  const { docker, connections } = await fakeEngine(t, ({ path }, response) => {
    if (!path.endsWith('/logs')) return { json: [] }
    response.writeHead(200)
    const id = path.split('/')[3]
    for (let i = 0; i < 50; i++) response.write(frames(['stdout', `${id}:${i}\n`]))
    responses.add(response)
    return undefined
  })
  const reading = Array.from({ length: 200 }, async (_, i) => {
    let text = ''
    for await (const { data } of docker.containers.logs(`c${i}`, { follow: true, tty: false })) text += data
    return text
  })
  await until(() => responses.size === 200, { what: '200 followers', everyMs: 5 })
  assert.equal(connections(), 200)
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: 20 }, () => docker.containers.list()))
  assert.ok(performance.now() - startedAt < 4000)
  for (const response of responses) response.end()
  const texts = await Promise.all(reading)
  for (const [i, text] of texts.entries()) {
    assert.equal(text, Array.from({ length: 50 }, (_, line) => `c${i}:${line}\n`).join(''))
  }
})

test('many calls may share one signal, and one abort stops them all', async (t) => {
  const warnings: string[] = []
  const onWarning = ({ message }: Error) => void warnings.push(message)
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  const { docker, requests, connections } = await fakeEngine(t, () => undefined)
  const aborter = new AbortController()
  const calls = Array.from({ length: 50 }, () => docker.containers.list({ signal: aborter.signal }))
  const failed = Promise.all(calls.map((call) => assert.rejects(call, { name: 'AbortError' })))
  await until(() => requests.length === 50, { what: 'all requests', everyMs: 5 })
  aborter.abort()
  await failed
  await until(() => connections() <= 1, { what: 'the end of the connections', everyMs: 5 })
  assert.deepEqual(warnings, [])
})

test('a reader that stops reading stops the engine’s writing; nothing is lost, memory stays flat', async (t) => {
  const line = 'x'.repeat(91)
  const total = 400_000
  let sent = 0
  const { docker } = await fakeEngine(t, (_, response) => {
    response.writeHead(200)
    const write = () => {
      while (sent < total) {
        const lines = Array.from({ length: 500 }, (_, i): ['stdout', string] => ['stdout', `${sent + i} ${line}\n`])
        const part = frames(...lines)
        sent += 500
        if (!response.write(part)) {
          response.once('drain', write)
          return
        }
      }
      response.end()
    }
    write()
    return undefined
  })
  const logs = docker.containers.logs('c', { follow: true, tty: false })
  let bytes = 0
  let text = ''
  let lines = 0
  const check = (data: Buffer) => {
    bytes += data.length
    text += data.toString('latin1')
    const whole = text.lastIndexOf('\n') + 1
    for (const one of text.slice(0, whole).split('\n').slice(0, -1)) assert.equal(one, `${lines++} ${line}`)
    text = text.slice(whole)
  }
  const first = await logs.next()
  if (first.value) check(first.value.data)
  // Wait until the engine can write no more, then see that it stays so.
  let before = -1
  await until(
    async () => {
      const stopped = sent === before
      before = sent
      return stopped
    },
    { what: 'the engine to stop', everyMs: 100 },
  )
  assert.ok(sent * 100 < 5_000_000, `${sent} lines were sent to a reader that does not read`)
  await sleep(Number(process.env['MYPAAS_TEST_PAUSE_MS'] ?? 500)) // a minute says the same, and takes a minute
  assert.equal(sent, before)

  const atMost = memory() + 80_000_000
  let peak = 0
  for await (const { data } of logs) {
    check(data)
    peak = Math.max(peak, memory())
  }
  assert.equal(lines, total)
  assert.ok(bytes > 38_000_000)
  assert.ok(peak < atMost, `${peak} bytes in use`)
})

test('an upload goes at the pace of the engine, one buffer at a time', async (t) => {
  let pulled = 0
  let read = () => {}
  const { docker } = await fakeEngine(
    t,
    (_, response) => {
      read = () => {
        response.req.resume()
        response.req.on('end', () => response.end())
      }
      return undefined
    },
    { early: true },
  )
  const buffer = Buffer.alloc(256 * 1024)
  async function* source(): AsyncGenerator<Uint8Array> {
    while (pulled < 400) {
      pulled++
      // One buffer for all: the client has sent it when it asks for the next.
      buffer.fill(pulled)
      yield buffer
    }
  }
  const upload = docker.containers.putArchive('c', '/', source())
  let before = -1
  await until(
    () => {
      const stopped = pulled === before && pulled > 0
      before = pulled
      return stopped
    },
    { what: 'the upload to stop', everyMs: 100 },
  )
  assert.ok(pulled < 10, `${pulled} buffers were pulled for an engine that does not read`)
  read()
  await upload
  assert.equal(pulled, 400)
})

function memory(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
