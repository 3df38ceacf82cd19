import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Patience, startTimeOf } from '../../src/deploy/patience.ts'
import { parseSpec } from '../../src/service/parse.ts'

/** What is done at each second at which something else is done than at the second before. */
function verdicts(
  time: { timeoutMs: number; isSet: boolean },
  wrongAt: (second: number) => string | undefined,
): readonly string[] {
  let now = 1_000_000
  const patience = new Patience(time, () => now)
  const found: string[] = []
  for (let second = 0; second <= 600; second += 1, now += 1_000) {
    const verdict = patience.see(wrongAt(second))
    if (verdict !== 'wait') found.push(`${second} ${verdict}`)
    if (verdict === 'end') return found
  }
  return found
}

const usual = { timeoutMs: 60_000, isSet: false }

test('what may just need its time is waited for to the end, without a word', () => {
  assert.deepEqual(
    verdicts(usual, () => undefined),
    ['60 end'],
  )
})

test('what looks wrong is told after a moment, and ends when nothing changed for 20 s', () => {
  assert.deepEqual(
    verdicts(usual, () => 'listens on 3000'),
    ['2 tell', '20 end'],
  )
})

test('each change is told once and gives 20 s more, but no more than there is', () => {
  assert.deepEqual(
    verdicts(usual, (second) => (second < 15 ? 'listens on 9229' : 'listens on 9229, 8080')),
    ['2 tell', '17 tell', '35 end'],
  )
  assert.deepEqual(
    verdicts(usual, (second) => (second % 10 < 5 ? 'answers 404' : 'answers 500')),
    ['2 tell', '7 tell', '60 end'],
  )
})

test('where somebody set the time, all of it is waited', () => {
  assert.deepEqual(
    verdicts({ timeoutMs: 120_000, isSet: true }, () => 'answers 404'),
    ['2 tell', '120 end'],
  )
})

test('a time is set by the Dockerfile, or by a config that says another than usual', () => {
  const spec = (line: string) => parseSpec(`# mypaas.service = x\n${line}\nFROM x`)
  const none = spec('')
  assert.deepEqual(startTimeOf({ startTimeoutMs: 60_000 }, none), { timeoutMs: 60_000, isSet: false })
  assert.deepEqual(startTimeOf({ startTimeoutMs: 90_000 }, none), { timeoutMs: 90_000, isSet: true })
  assert.deepEqual(startTimeOf({ startTimeoutMs: 90_000 }, spec('# mypaas.start_timeout = 60s')), {
    timeoutMs: 60_000,
    isSet: true,
  })
})

test('the hint for more time names one that can be set', () => {
  const longer = (timeoutMs: number): string => new Patience({ timeoutMs, isSet: true }).longer
  assert.match(longer(10_000), /# mypaas\.start_timeout = 2m,/)
  assert.match(longer(10 * 60_000), /= 20m,/)
  assert.match(longer(40 * 60_000), /= 60m,/)
  assert.equal(longer(3_600_000), '')
})
