import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MypaasError } from '../../src/errors.ts'
import { formatStatement, parseStatement, type Statement } from '../../src/push/statement.ts'

const push: Statement = {
  purpose: 'push',
  server: '0123456789abcdef',
  host: 'paas.example.com',
  nonce: 'n'.repeat(75),
  timeMs: Date.parse('2026-11-23T14:00:00.000Z'),
  service: 'blog',
  manifest: 'a'.repeat(64),
  expect: 7,
}
const call: Statement = {
  purpose: 'call',
  server: '0123456789abcdef',
  host: 'ssh',
  nonce: 'n'.repeat(75),
  timeMs: 0,
  action: 'env-set',
  args: { name: 'A_B', service: 'blog & co\n' },
  body: 'b'.repeat(64),
}

test('a statement is lines that a person can read, and comes back as it was', () => {
  assert.equal(
    formatStatement(push),
    `mypaas statement 1\npurpose push\nserver 0123456789abcdef\nhost paas.example.com\nnonce ${'n'.repeat(75)}\ntime 2026-11-23T14:00:00.000Z\nservice blog\nmanifest sha256:${'a'.repeat(64)}\nexpect r7\n`,
  )
  for (const statement of [
    push,
    call,
    { ...push, expect: undefined },
    { ...push, expect: 0 },
    { ...push, commit: { id: 'c'.repeat(40), changed: false } },
    { ...push, commit: { id: 'c'.repeat(64), changed: true } },
    { ...call, args: {}, body: undefined },
    { ...call, sealed: true },
  ]) {
    assert.deepEqual(parseStatement(formatStatement(statement as Statement)), statement)
  }
})

test('what is not written exactly so is no statement', () => {
  const text = formatStatement(push)
  const wrong = [
    '',
    text.slice(0, -1),
    `${text}\n`,
    ` ${text}`,
    `${text}service shop\n`,
    text.replace('\nhost', '\n\nhost'),
    text.replaceAll('\n', '\r\n'),
    text.replace('statement 1', 'statement 2'),
    text.replace('purpose push', 'purpose call'),
    text.replace('service blog', 'service Blog'),
    text.replace('service blog', 'service ../blog'),
    text.replace('expect r7', 'expect r07'),
    ...[
      `commit ${'c'.repeat(39)}`,
      `commit ${'C'.repeat(40)}`,
      `commit ${'c'.repeat(40)} new`,
      'commit main',
      'commit',
    ].map((line) => `${text}${line}\n`),
    `${text}${`commit ${'c'.repeat(40)}\n`.repeat(2)}`,
    text.replace('expect r7', 'expect 7'),
    text.replace('.000Z', 'Z'),
    text.replace('2026-11-23', '2026-11-31'),
    text.replace('sha256:', 'md5:'),
    formatStatement(call).replace('arg name A_B\n', 'arg name A_B\narg name A_C\n'),
    formatStatement(call).replace('%20', ' '),
    formatStatement(call).replace('%0A', '%0a'),
    formatStatement(call).replace('A_B', '%41_B'),
  ]
  for (const text of wrong) {
    assert.throws(
      () => parseStatement(text),
      (error) => error instanceof MypaasError && error.code === 'usage',
      text,
    )
  }
})

test('no text that is changed in one place reads as the same statement', () => {
  const text = formatStatement(push)
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.string({ minLength: 1, maxLength: 3 }), (at, other) => {
      const changed = text.slice(0, at) + other + text.slice(at + 1)
      if (changed === text) return
      try {
        assert.notDeepEqual(parseStatement(changed), push)
      } catch (error) {
        assert.ok(error instanceof MypaasError, String(error))
      }
    }),
    { numRuns: 3000 },
  )
})
