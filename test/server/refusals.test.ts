import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { brotliCompressSync } from 'node:zlib'
import { encodeFrame } from '../../src/push/packs.ts'
import { type Reply, type TestApi, testApi } from '../support/api.ts'
import { dockerfile, forged, tricks } from '../support/forged.ts'
import { until } from '../support/until.ts'

const sha = (data: Buffer): string => createHash('sha256').update(data).digest('hex')

/** Begins a push of a manifest, and sends its segments if it gets that far. */
async function pushOf(
  api: TestApi,
  { index, texts }: Pick<ReturnType<typeof forged>, 'index' | 'texts'>,
): Promise<Reply> {
  const begun = await api.send(await api.statement({ manifest: sha(index) }), { index: index.toString('latin1') })
  if (begun.status !== 201) return begun
  const { push, token } = JSON.parse(begun.text) as { push: string; token: string }
  const [text = Buffer.alloc(0)] = texts
  const body = Buffer.concat(await encodeFrame({ indexes: [0], data: text }, false))
  return api.ask('POST', `/v1/push/${push}/segments`, body, { authorization: `Bearer ${token}` })
}

for (const [name, trick] of Object.entries(tricks)) {
  test(`a push with ${name} in its manifest is refused, with a line in the audit log`, async (t) => {
    const api = await testApi(t)
    const { status, text } = await pushOf(api, trick)
    assert.ok(status === 400, `${status} ${text}`)
    const { outcome, who, service, detail = '' } = (await api.audit()).at(-1) ?? {}
    // What is larger than any request is not read, so whose it was nobody knows.
    const isKnown = !detail.startsWith('A request of that kind has at most')
    assert.deepEqual([outcome, who, service], ['failed', ...(isKnown ? ['test', 'blog'] : [undefined, undefined])])
    if (isKnown) assert.match(detail, /^The (manifest|pack) can't be accepted/)
    assert.equal(api.jobs.running, 0)
  })
}

test('a pack that is not what was announced is refused, with a line that says whose it was', async (t) => {
  const api = await testApi(t)
  const { index, texts } = forged(dockerfile)
  const begun = await api.send(await api.statement({ manifest: sha(index) }), { index: index.toString('latin1') })
  const { push, token } = JSON.parse(begun.text) as { push: string; token: string }
  const [manifest = Buffer.alloc(0)] = texts
  const frame = async (indexes: number[], data: Buffer): Promise<Buffer> =>
    Buffer.concat(await encodeFrame({ indexes, data }, false))
  const whole = await frame([0], manifest)
  const bomb = Buffer.concat([whole.subarray(0, 16), brotliCompressSync(Buffer.alloc(64 * 1024 ** 2))])
  bomb[1] = 1
  bomb.writeUInt32BE(manifest.length - 1, 8)
  for (const [name, body] of Object.entries({
    'cut off': whole.subarray(0, -1),
    'of another size': await frame([0], manifest.subarray(1)),
    'of another digest': await frame([0], Buffer.alloc(manifest.length)),
    'of a blob that is none': await frame([7], manifest),
    'a bomb': bomb,
  })) {
    const before = (await api.audit()).length
    const auth = { authorization: `Bearer ${token}` }
    assert.equal((await api.ask('POST', `/v1/push/${push}/segments`, body, auth)).status, 400, name)
    const lines = (await api.audit()).slice(before)
    assert.deepEqual(
      lines.map(({ action, outcome, who, service }) => [action, outcome, who, service]),
      [['segments', 'failed', 'test', 'blog']],
      name,
    )
  }
})

test('what never becomes a request leaves a line, too: headers without end, no HTTP, silence', async (t) => {
  const api = await testApi(t)
  const says = async (bytes: string, detail: string): Promise<void> => {
    const socket = net.connect(api.socket).resume()
    socket.on('error', () => {})
    await once(socket, 'connect')
    if (bytes !== '') socket.write(bytes)
    await until(async () => (await api.audit()).at(-1)?.['detail'] === detail, {
      what: `a line: ${detail}`,
      timeoutMs: 15_000,
    })
    assert.deepEqual((await api.audit()).at(-1)?.['outcome'], 'denied')
    socket.destroy()
  }
  await says(
    `POST /v1/challenge HTTP/1.1\r\nHost: x\r\n${`X: ${'y'.repeat(1000)}\r\n`.repeat(10_000)}\r\n`,
    'too large a header',
  )
  await says('SSH-2.0-hello\r\n\r\n', 'no HTTP')
  await says('POST /v1/challenge HTTP/1.1\r\nX-Slow: ', 'no request in time')
  await says('', 'no request in time')
})
