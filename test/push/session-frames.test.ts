import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MypaasError } from '../../src/errors.ts'
import { type FrameKind, FrameReader, frames } from '../../src/push/session-frames.ts'

const kinds: readonly FrameKind[] = ['input', 'endOfInput', 'size', 'beat', 'stdout', 'stderr', 'end']

/** Feeds bytes in pieces of that size. */
function read(bytes: Buffer, piece: number): { kind: FrameKind; data: Buffer }[] {
  const reader = new FrameReader()
  const found: { kind: FrameKind; data: Buffer }[] = []
  for (let at = 0; at < bytes.length; at += piece) found.push(...reader.feed(bytes.subarray(at, at + piece)))
  return found
}

test('frames come out as they went in, however the line cuts them', () => {
  const frame = fc.record({ kind: fc.constantFrom(...kinds), data: fc.uint8Array({ maxLength: 300 }) })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 20 }), fc.integer({ min: 1, max: 400 }), (sent, piece) => {
      const bytes = Buffer.concat(sent.flatMap(({ kind, data }) => [...frames(kind, data)]))
      assert.deepEqual(
        read(bytes, piece),
        sent.map(({ kind, data }) => ({ kind, data: Buffer.from(data) })),
      )
    }),
  )
})

test('large data goes in parts that are taken', () => {
  const data = Buffer.alloc(1_000_000, 'x')
  const found = read(Buffer.concat([...frames('stdout', data)]), 65_536)
  assert.ok(found.length > 1)
  assert.ok(Buffer.concat(found.map((frame) => frame.data)).equals(data))
})

test('what is no frame is refused, and what says that it is a giant is not waited for', () => {
  for (const bytes of [
    [7, 0, 0, 0, 0],
    [0, 255, 255, 255, 255],
    [255, 0, 0, 0, 1, 0],
  ]) {
    assert.throws(
      () => read(Buffer.from(bytes), 3),
      (error) => error instanceof MypaasError && error.code === 'usage',
    )
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 1, max: 64 }), (bytes, piece) => {
      try {
        read(Buffer.from(bytes), piece)
      } catch (error) {
        assert.ok(error instanceof MypaasError, String(error))
      }
    }),
    { numRuns: 2000 },
  )
})
