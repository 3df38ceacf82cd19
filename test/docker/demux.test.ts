import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Demux, ProtocolError } from '../../src/docker/index.ts'
import { frames } from './fake-engine.ts'

/** What comes out, neighbours of one stream joined. */
function demux(...chunks: Buffer[]): string[] {
  const reader = new Demux()
  const told: string[] = []
  for (const chunk of chunks) {
    for (const { stream, data } of reader.feed(Buffer.from(chunk))) {
      const last = told.at(-1)
      if (last?.startsWith(`${stream}:`)) told[told.length - 1] = last + data.toString('latin1')
      else told.push(`${stream}:${data.toString('latin1')}`)
    }
  }
  reader.end()
  return told
}

test('frames of both streams come in the order in which they were written', () => {
  const bytes = frames(['stdout', 'a'], ['stderr', 'b'], ['stdout', 'c'], ['stdout', 'd'])
  assert.deepEqual(demux(bytes), ['stdout:a', 'stderr:b', 'stdout:cd'])
})

test('frames that are cut at any two places give the same', () => {
  const bytes = frames(['stdout', 'hello\n'], ['stderr', ''], ['stderr', 'oops'], ['stdout', '\n'])
  const whole = demux(bytes)
  for (let a = 0; a <= bytes.length; a++) {
    for (let b = a; b <= bytes.length; b++) {
      assert.deepEqual(demux(bytes.subarray(0, a), bytes.subarray(a, b), bytes.subarray(b)), whole)
    }
  }
})

test('any frames, cut anywhere, give what was written to each stream, in order', () => {
  const frame = fc.tuple(fc.constantFrom('stdout' as const, 'stderr' as const), fc.string({ maxLength: 30 }))
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 40 }), fc.array(fc.integer({ min: 1, max: 60 })), (list, sizes) => {
      const bytes = frames(...list)
      const chunks: Buffer[] = []
      let at = 0
      for (const size of sizes) {
        chunks.push(bytes.subarray(at, at + size))
        at += size
      }
      const told = demux(...chunks, bytes.subarray(at))
      const expected: string[] = []
      for (const [stream, text] of list) {
        const latin = Buffer.from(text).toString('latin1')
        if (latin === '') continue
        if (expected.at(-1)?.startsWith(`${stream}:`)) expected[expected.length - 1] += latin
        else expected.push(`${stream}:${latin}`)
      }
      assert.deepEqual(told, expected)
    }),
  )
})

test('frames of no length are nothing', () => {
  assert.deepEqual(demux(frames(['stdout', ''], ['stderr', ''])), [])
})

test('frames within a chunk are not copied out of it, and neighbours of one stream come as one', () => {
  const chunk = frames(['stdout', 'ab'], ['stdout', 'cd'], ['stderr', 'ef'], ['stdout', 'x'.repeat(5000)])
  const out = new Demux().feed(chunk)
  assert.deepEqual(
    out.map(({ stream, data }) => [stream, data.length]),
    [
      ['stdout', 4],
      ['stderr', 2],
      ['stdout', 5000],
    ],
  )
  for (const { data } of out) assert.equal(data.buffer, chunk.buffer)
})

test('a frame larger than 2 GiB is read to its end', () => {
  const reader = new Demux()
  reader.feed(Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]))
  const out = reader.feed(Buffer.from('rest'))
  assert.deepEqual(out, [{ stream: 'stdout', data: Buffer.from('rest') }])
  assert.throws(() => reader.end(), ProtocolError)
})

test('output of a terminal taken for frames says so', () => {
  for (const bytes of ['hello world', '\x01\x01\0\0\0\0\0\x01a', '\x07\0\0\0\0\0\0\x01a']) {
    assert.throws(
      () => new Demux().feed(Buffer.from(bytes, 'latin1')),
      (error: ProtocolError) => /has a terminal/.test(error.message) && error.hint === 'Say so: { tty: true }.',
    )
  }
})

test('an error that the engine puts into the stream is thrown with its words', () => {
  const text = 'Error grabbing logs: unexpected EOF'
  const frame = frames(['stdout', text])
  frame[0] = 3
  assert.throws(() => demux(frame), { name: 'ProtocolError', message: `The engine broke off the output: ${text}` })
  const [first, second] = [frame.subarray(0, 20), frame.subarray(20)]
  assert.throws(() => demux(first, second), { message: `The engine broke off the output: ${text}` })
})

test('an end within a header or a frame is an error', () => {
  const bytes = frames(['stdout', 'hello'])
  for (let end = 1; end < bytes.length; end++) assert.throws(() => demux(bytes.subarray(0, end)), ProtocolError)
})
