import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { MypaasError } from '../../src/errors.ts'
import { follow } from '../../src/push/follow.ts'
import { remoteLogs } from '../../src/push/logs.ts'
import type { Remote } from '../../src/push/remote.ts'
import type { Answer } from '../../src/push/transport.ts'

/** An answer of these lines, which then breaks off. */
function cutOff(lines: readonly string[], betweenMs = 0): Answer {
  const body = async function* () {
    for (const line of lines) {
      yield Buffer.from(`${line}\n`)
      await sleep(betweenMs)
    }
    throw new Error('cut')
  }
  return { status: 200, body: Readable.from(body()) } as unknown as Answer
}

const whole = (lines: readonly string[]): Answer =>
  ({ status: 200, body: Readable.from(lines.map((line) => Buffer.from(`${line}\n`))) }) as unknown as Answer
const lost = () => new MypaasError('The line broke.', { code: 'unreachable', hint: 'Follow it again.' })

test('a line that only says that it is alive is asked for again after a cut, however long nothing else came', async () => {
  const events: unknown[] = []
  const first = cutOff(['{"seq":0,"event":1}', '', '', '', '', '', ''], 50)
  const again = async (after: number): Promise<Answer> =>
    whole([`{"seq":${after + 1},"event":2}`, '{"end":{"ok":true}}'])
  await follow({ first, onEvent: (event) => events.push(event), patienceMs: 150, again, lost })
  assert.deepEqual(events, [1, 2])
})

test('who leaves is told that it goes on over there, and how to follow it again', async () => {
  const controller = new AbortController()
  const following = follow({
    first: cutOff(['{"seq":0,"event":1}']),
    onEvent: () => controller.abort(),
    patienceMs: 1_000,
    signal: controller.signal,
    lost,
  })
  await assert.rejects(following, { code: 'aborted', hint: 'Follow it again.', message: /goes on over there/ })
})

test('who leaves is told what is known by then: that it is live, that it failed, or that nothing came', async () => {
  const leaving = async (events: readonly unknown[]): Promise<string> => {
    const controller = new AbortController()
    if (events.length === 0) controller.abort()
    const lines = events.map((event, seq) => JSON.stringify({ seq, event }))
    const following = follow({
      first: cutOff(lines),
      onEvent: () => {},
      patienceMs: 1_000,
      signal: controller.signal,
      unheard: 'Nothing came.',
      again: async () => {
        controller.abort()
        throw new MypaasError('away', { code: 'unreachable' })
      },
      lost,
    })
    return following.then(
      () => 'done',
      (error: Error) => error.message,
    )
  }
  const of = { service: 'web', release: 7 }
  assert.equal(await leaving([]), 'Nothing came.')
  assert.equal(await leaving([{ type: 'deploy', ...of }]), 'It goes on over there, with nobody here following it.')
  assert.equal(
    await leaving([{ type: 'deploy', ...of }, { type: 'live', ...of }, { type: 'warning' }]),
    'r7 of web is live. What is left of its deploy goes on over there, with nobody here following it.',
  )
  assert.equal(
    await leaving([{ type: 'taking-back', ...of }]),
    'r7 of web failed, and is taken back over there, with nobody here following it.',
  )
})

test('logs that go on after a cut have the line of a replica that was a little behind', async () => {
  const line = (second: number, replica: number) => ({ at: `2026-01-01T00:00:0${second}.0Z`, release: 1, replica })
  const written = [line(1, 1), line(2, 2), line(3, 1)]
  const controller = new AbortController()
  let asked = 0
  const remote = {
    async signed(_path: string, { args }: { args: { since?: string } }): Promise<Answer> {
      asked += 1
      const { since = '' } = args
      // The line of the second replica was on its way when the line broke.
      const sent = asked === 1 ? [line(1, 1), line(3, 1)] : written.filter(({ at }) => at >= since)
      return cutOff(sent.map((event, seq) => JSON.stringify({ seq, event })))
    },
  } as unknown as Remote
  const got: string[] = []
  for await (const { at, replica } of remoteLogs<ReturnType<typeof line>>(
    remote,
    'blog',
    { follow: 'yes' },
    controller.signal,
  )) {
    got.push(`${replica} ${at}`)
    if (got.length === written.length) controller.abort()
  }
  assert.deepEqual(got.sort(), written.map(({ at, replica }) => `${replica} ${at}`).sort())
})
