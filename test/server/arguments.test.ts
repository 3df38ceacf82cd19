import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { actions } from '../../src/server/actions.ts'
import { type ArgumentName, parseArguments } from '../../src/server/arguments.ts'
import { streams } from '../../src/server/streams.ts'

const all: Record<ArgumentName, { right: string[]; becomes: unknown[]; wrong: string[] }> = {
  service: {
    right: ['blog', 'blog.api', 'a_b-c'],
    becomes: ['blog', 'blog.api', 'a_b-c'],
    wrong: [
      '',
      '.',
      '..',
      '../x',
      'a/b',
      'a\n',
      'A',
      'ａ',
      'a"b',
      "a'b",
      'a b',
      'mypaas',
      'all',
      'a.lock',
      'x'.repeat(41),
    ],
  },
  name: {
    right: ['A', '_a1', 'spring.datasource.password', 'a-b'],
    becomes: ['A', '_a1', 'spring.datasource.password', 'a-b'],
    wrong: ['', '1A', '.a', '-a', 'A B', 'A\n', 'A=1', 'A"', 'x'.repeat(201)],
  },
  release: {
    right: ['1', '42'],
    becomes: [1, 42],
    wrong: ['', '0', '-1', '1.5', '1e3', ' 1', '1 ', '0x1', 'r1', '9999999999'],
  },
  replica: { right: ['1'], becomes: [1], wrong: ['0', '1000', 'x'] },
  replicas: { right: ['0', '7'], becomes: [0, 7], wrong: ['-1', 'two', ''] },
  tail: { right: ['0', '1000000'], becomes: [0, 1_000_000], wrong: ['1000001', 'all', ''] },
  since: {
    right: ['2026-01-31T12:00:00Z'],
    becomes: [new Date('2026-01-31T12:00:00Z')],
    wrong: ['', 'yesterday', '10m\n', '(1)', '9'.repeat(70)],
  },
  follow: { right: ['yes'], becomes: [true], wrong: ['', 'no', 'true', 'YES'] },
  tty: { right: ['yes'], becomes: [true], wrong: ['1'] },
  volumes: { right: ['yes'], becomes: [true], wrong: ['no'] },
  job: {
    right: ['20260131120000-0a1b2c3d'],
    becomes: ['20260131120000-0a1b2c3d'],
    wrong: ['', '../../etc', 'a/b-c-d-e', 'ABCDEFGH'],
  },
  after: { right: ['-1', '0', '12'], becomes: [-1, 0, 12], wrong: ['-2', '', '1.0'] },
}

test('an argument is read as what it means, or refused by its name', () => {
  for (const [name, { right, becomes, wrong }] of Object.entries(all) as [ArgumentName, (typeof all)['service']][]) {
    const parse = (text: string) => parseArguments('it', { takes: [name], needs: [] }, { [name]: text })[name]
    assert.deepEqual(right.map(parse), becomes, name)
    for (const text of wrong) {
      assert.throws(
        () => parse(text),
        (error) => error instanceof MypaasError && error.code === 'usage',
        `${name} ${text}`,
      )
    }
  }
})

test('what is not taken is refused, and what is needed must be there', () => {
  const terms = { takes: ['service', 'release'], needs: ['service'] } as const
  assert.throws(() => parseArguments('it', terms, { service: 'blog', tail: '1' }), /^MypaasError: it takes no tail\.$/)
  assert.throws(() => parseArguments('it', terms, { release: '1' }), /^MypaasError: Which service\?$/)
  assert.throws(() => parseArguments('it', terms, { service: 'blog', constructor: 'x' }), /takes no constructor/)
})

test('every action and stream says what it takes, and takes all that it needs', () => {
  for (const [action, { takes, needs }] of Object.entries({ ...actions, ...streams })) {
    assert.deepEqual(
      needs.filter((name) => !takes.includes(name)),
      [],
      action,
    )
    assert.ok(takes.includes('service') || action === 'status', action)
  }
})
