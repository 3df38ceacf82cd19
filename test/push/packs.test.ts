import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { brotliCompressSync, constants } from 'node:zlib'
import fc from 'fast-check'
import { MypaasError } from '../../src/errors.ts'
import { type Blob, chunkSize } from '../../src/push/manifest.ts'
import { formatMissing, parseMissing } from '../../src/push/missing.ts'
import { encodeFrame, type Frame, groupBlobs, readFrames } from '../../src/push/packs.ts'

const contents = ['', 'a', 'x'.repeat(100_000), randomBytes(50_000).toString('latin1')].map((text) =>
  Buffer.from(text, 'latin1'),
)
const blobs: Blob[] = contents.map((data) => ({
  digest: createHash('sha256').update(data).digest('hex'),
  size: data.length,
}))

async function* inParts(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function readAll(bytes: Buffer, size = 1000, list = blobs): Promise<Frame[]> {
  const frames: Frame[] = []
  for await (const frame of readFrames(inParts(bytes, size), list)) frames.push(frame)
  return frames
}

async function encode(indexes: number[], squeeze: boolean): Promise<Buffer> {
  return Buffer.concat(
    await encodeFrame({ indexes, data: Buffer.concat(indexes.map((at) => contents[at] as Buffer)) }, squeeze),
  )
}

const isRefusal = (error: unknown): boolean => error instanceof MypaasError && error.code === 'context'

test('frames come back as they were, compressed or not, in parts of any size', async () => {
  const bytes = Buffer.concat([await encode([2, 1], true), await encode([3], true), await encode([1, 2, 3], false)])
  for (const size of [1, 7, 12, 100_000, 1_000_000]) {
    const frames = await readAll(bytes, size)
    assert.deepEqual(
      frames.map(({ indexes }) => indexes),
      [[2, 1], [3], [1, 2, 3]],
    )
    for (const { indexes, data } of frames) {
      assert.deepEqual(data, Buffer.concat(indexes.map((at) => contents[at] as Buffer)))
    }
  }
})

test('compressing is given up where it gains nothing', async () => {
  const [head] = await encodeFrame({ indexes: [0], data: randomBytes(50_000) }, true)
  assert.equal(head?.readUInt8(1), 0)
})

test('a frame that is cut off anywhere is refused', async () => {
  const bytes = await encode([1, 2], true)
  for (const length of [1, 11, 12, 15, 19, 20, bytes.length - 1]) {
    await assert.rejects(readAll(bytes.subarray(0, length)), isRefusal, `${length}`)
  }
})

test('a frame that becomes more than it says is refused before it does', async () => {
  const bomb = brotliCompressSync(Buffer.alloc(200 * 1024 ** 2), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })
  const head = Buffer.alloc(16)
  head.writeUInt8(0x4d, 0)
  head.writeUInt8(1, 1)
  head.writeUInt16BE(1, 2)
  head.writeUInt32BE(100_000, 4)
  head.writeUInt32BE(bomb.length, 8)
  head.writeUInt32BE(2, 12)
  const before = process.memoryUsage().rss
  await assert.rejects(readAll(Buffer.concat([head, bomb])), isRefusal)
  assert.ok(process.memoryUsage().rss - before < 64 * 1024 ** 2)
})

test('wrong numbers in a frame are refused', async () => {
  const good = await encode([1, 2], false)
  const wrong: [string, (frame: Buffer) => void][] = [
    ['no magic', (frame) => frame.writeUInt8(0, 0)],
    ['a codec that is none', (frame) => frame.writeUInt8(9, 1)],
    ['no blobs', (frame) => frame.writeUInt16BE(0, 2)],
    ['more blobs', (frame) => frame.writeUInt16BE(65_535, 2)],
    ['more bytes', (frame) => frame.writeUInt32BE(0xffff_ffff, 4)],
    ['fewer bytes', (frame) => frame.writeUInt32BE(10, 4)],
    ['more bytes on the line', (frame) => frame.writeUInt32BE(0xffff_ffff, 8)],
    ['compressed, but not', (frame) => frame.writeUInt8(1, 1)],
    ['a blob that nobody asked for', (frame) => frame.writeUInt32BE(99, 12)],
    ['another blob of another size', (frame) => frame.writeUInt32BE(3, 12)],
  ]
  for (const [name, change] of wrong) {
    const frame = Buffer.from(good)
    change(frame)
    await assert.rejects(readAll(frame), isRefusal, name)
  }
})

test('any bytes end in frames that fit the list, or in a refusal', async () => {
  const good = await encode([1, 2], true)
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.uint8Array({ minLength: 1, maxLength: 8 }), async (at, other) => {
      const frame = Buffer.from(good)
      frame.set(other.subarray(0, frame.length - at), at)
      try {
        for (const { indexes, data } of await readAll(frame)) {
          assert.equal(
            data.length,
            indexes.reduce((sum, index) => sum + (blobs[index]?.size ?? Number.NaN), 0),
          )
        }
      } catch (error) {
        assert.ok(isRefusal(error), String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

test('blobs are grouped in order, none lost, none above a frame', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(chunkSize), { maxLength: 60 }), (sizes) => {
      const list = sizes.map((size) => ({ digest: '', size }))
      const groups = [
        ...groupBlobs(
          list.map((_, at) => at),
          list,
        ),
      ]
      assert.deepEqual(
        groups.flat(),
        list.map((_, at) => at),
      )
      for (const group of groups) {
        const bytes = group.reduce((sum, at) => sum + (sizes[at] as number), 0)
        assert.ok(group.length === 1 || bytes <= chunkSize)
      }
    }),
  )
})

test('what is missing survives its way as bits', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 100 }), (missing) => {
      const text = formatMissing(missing.length, (at) => missing[at] === true)
      assert.deepEqual(
        parseMissing(text, missing.length),
        missing.flatMap((is, at) => (is ? [at] : [])),
      )
    }),
  )
})
