import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { ProtocolError, type WebSocketStream } from '../../src/docker/index.ts'
import { until } from '../support/until.ts'
import { fakeEngine } from './fake-engine.ts'

test('frames of all lengths, in pieces and over several frames, come as the bytes that were sent', async (t) => {
  const parts = ['', 'a', 'x'.repeat(125), 'y'.repeat(126), 'z'.repeat(65_535), 'w'.repeat(65_536)]
  const { stream } = await open(t, (socket) => {
    const bytes = Buffer.concat([
      ...parts.map((text) => frame(2, text)),
      frame(1, 'text', false),
      frame(0, 'more'),
      closing,
    ])
    for (let at = 0; at < bytes.length; at += 50_001) socket.write(bytes.subarray(at, at + 50_001))
  })
  assert.equal(await text(stream), `${parts.join('')}textmore`)
})

test('what is written goes out masked, whatever its length', async (t) => {
  const { stream, received } = await open(t, () => {})
  const messages = ['hello', 'm'.repeat(300), 'l'.repeat(70_000)]
  for (const message of messages) await stream.write(message)
  await until(() => unmask(received()).length === 3, { what: 'three frames', everyMs: 5 })
  assert.deepEqual(
    unmask(received()).map(({ opcode, data }) => [opcode, data.toString()]),
    messages.map((message) => [2, message]),
  )
})

test('a ping is answered, and a goodbye ends it', async (t) => {
  const { stream, received, engine } = await open(t, (socket) =>
    socket.write(Buffer.concat([frame(9, 'beat'), frame(2, 'a'), closing])),
  )
  assert.equal(await text(stream), 'a')
  await until(() => unmask(received()).length === 2, { what: 'the answers', everyMs: 5 })
  assert.deepEqual(
    unmask(received()).map(({ opcode, data }) => [opcode, data.toString('hex')]),
    [
      [10, Buffer.from('beat').toString('hex')],
      [8, '03e8'],
    ],
  )
  await until(() => engine.connections() <= 1, { what: 'the end of the connection', everyMs: 5 })
})

test('an end without a goodbye, and frames that are none, are errors', async (t) => {
  const broken: [what: string, bytes: Buffer][] = [
    ['no goodbye', frame(2, 'a')],
    ['half a frame', frame(2, 'abc').subarray(0, 3)],
    ['a masked frame', Buffer.from([0x82, 0x81, 1, 2, 3, 4, 5])],
    ['a frame without end', Buffer.from([0x82, 127, 0, 1, 0, 0, 0, 0, 0, 0])],
  ]
  for (const [what, bytes] of broken) {
    const { stream } = await open(t, (socket) => socket.end(bytes))
    await assert.rejects(text(stream), ProtocolError, what)
  }
})

test('signal and deadlines hold, and closing twice is no harm', async (t) => {
  const aborter = new AbortController()
  const { stream } = await open(t, () => {}, { signal: aborter.signal })
  const failed = assert.rejects(text(stream), { name: 'AbortError' })
  aborter.abort()
  await failed
  const idle = await open(t, () => {}, { idleMs: 60 })
  await assert.rejects(text(idle.stream), { name: 'TimeoutError', kind: 'idle' })
  await idle.stream.close()
  await idle.stream.close()
})

const closing = Buffer.from([0x88, 2, 0x03, 0xe8])

/** Opens a WebSocket to an engine that behaves like this. */
async function open(t: TestContext, behave: (socket: Duplex) => void, options: object = {}) {
  const engine = await fakeEngine(t)
  let bytes = Buffer.alloc(0)
  engine.server.on('upgrade', (incoming, socket) => {
    socket.on('error', () => {})
    socket.on('data', (part: Buffer) => {
      bytes = Buffer.concat([bytes, part])
    })
    const key = `${incoming.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
    const accept = createHash('sha1').update(key).digest('base64')
    socket.write(
      `HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    behave(socket)
  })
  const stream = await engine.docker.containers.attachWebSocket('c', options)
  t.after(() => stream.close())
  return { engine, stream, received: () => bytes }
}

async function text(stream: WebSocketStream): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts).toString()
}

/** A frame as a server sends it. */
function frame(opcode: number, data: string, isLast = true): Buffer {
  const { length } = data
  const first = (isLast ? 0x80 : 0) | opcode
  const header = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10)
  header[0] = first
  if (length < 126) header[1] = length
  else if (length < 65_536) header.writeUInt16BE(length, 2)
  else header.writeBigUInt64BE(BigInt(length), 2)
  if (length >= 126) header[1] = length < 65_536 ? 126 : 127
  return Buffer.concat([header, Buffer.from(data)])
}

/** The frames that a client sent. */
function unmask(bytes: Buffer): { opcode: number; data: Buffer }[] {
  const frames: { opcode: number; data: Buffer }[] = []
  for (let at = 0; at + 2 <= bytes.length; ) {
    assert.equal((bytes[at + 1] ?? 0) & 0x80, 0x80, 'a client masks')
    const short = (bytes[at + 1] ?? 0) & 0x7f
    const length =
      short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2))
    const start = at + (short < 126 ? 2 : short === 126 ? 4 : 10)
    const mask = bytes.subarray(start, start + 4)
    const data = bytes.subarray(start + 4, start + 4 + length)
    if (data.length < length) break
    frames.push({ opcode: (bytes[at] ?? 0) & 15, data: Buffer.from(data.map((byte, i) => byte ^ (mask[i % 4] ?? 0))) })
    at = start + 4 + length
  }
  return frames
}
