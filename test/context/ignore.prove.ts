import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseIgnore } from '../../src/context/ignore.ts'
import { MypaasError } from '../../src/errors.ts'
import { oracle } from '../support/go.ts'

const files = 30_000

type Question = Readonly<{ text: string; paths: readonly string[] }>
type Answer = Readonly<{ error?: string; ignored: readonly boolean[]; sent: readonly boolean[] }>

test('what an ignore file leaves out is what docker leaves out, with moby/patternmatcher and with BuildKit', async (t) => {
  const seed = Number(process.env['PROVE_SEED'] ?? 1)
  const questions = fc.sample(question, { seed, numRuns: files })
  const answers = await ask(await oracle(t, 'ignore'), questions)
  const counts = { files: 0, paths: 0, left: 0, bothRefuse: 0, onlyWeRefuse: 0 }
  const reasons = new Map<string, number>()
  for (const [index, { text, paths }] of questions.entries()) {
    const { error, ignored, sent } = answers[index] as Answer
    const ours = judge(text, paths)
    if (typeof ours === 'string') {
      if (error !== undefined) counts.bothRefuse += 1
      else {
        counts.onlyWeRefuse += 1
        for (const line of ours.split('\n')) {
          const reason = line.replace(/^.*": /, '').replace(/\\./g, '\\…')
          reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
        }
      }
      continue
    }
    assert.equal(error, undefined, `seed ${seed}: docker refuses ${JSON.stringify(text)}`)
    const shown = `seed ${seed}: ${JSON.stringify(text)} on ${JSON.stringify(paths)}`
    assert.deepEqual(ours, ignored, shown)
    assert.deepEqual(
      ours,
      sent.map((one) => !one),
      `BuildKit, ${shown}`,
    )
    counts.files += 1
    counts.paths += paths.length
    counts.left += ours.filter(Boolean).length
  }
  t.diagnostic(JSON.stringify(counts))
  for (const [reason, count] of reasons) t.diagnostic(`refused here only, ${count} times: ${reason}`)
  assert.ok(counts.files >= 20_000 && counts.left > counts.paths / 10 && counts.left < (counts.paths * 9) / 10)
})

function judge(text: string, paths: readonly string[]): boolean[] | string {
  try {
    const rules = parseIgnore(text)
    return paths.map((path) => rules.ignores(path))
  } catch (error) {
    if (error instanceof MypaasError) return error.message
    throw error
  }
}

async function ask(program: string, questions: readonly Question[]): Promise<readonly Answer[]> {
  const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] })
  const answers: Answer[] = []
  const reading = (async () => {
    for await (const line of createInterface({ input: child.stdout })) answers.push(JSON.parse(line) as Answer)
  })()
  for (const one of questions) {
    if (!child.stdin.write(`${JSON.stringify(one)}\n`))
      await new Promise((resolve) => child.stdin.once('drain', resolve))
  }
  child.stdin.end()
  await reading
  assert.equal(answers.length, questions.length)
  return answers
}

const name = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('a', 'b', 'src', '.env') },
  { weight: 1, arbitrary: fc.constantFrom('ab', 'x.env', 'a.b', 'A', 'é', 'a b', '[x]', '!x', 'c*') },
)
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
/** Files only: none is a directory of another. */
const tree = fc
  .uniqueArray(path, { minLength: 1, maxLength: 10 })
  .map((paths) => paths.filter((one) => !paths.some((other) => other.startsWith(`${one}/`))))

const piece = fc.oneof(
  { weight: 6, arbitrary: name },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...[
        '*',
        '?',
        '**',
        '*.env',
        'a*',
        '*b*',
        '[ab]',
        '[^a]',
        '[a-c]*',
        'a?',
        '**a',
        'b**',
        '\\a',
        '\\*',
        '.',
        '..',
        '',
      ],
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom(...'ab*?[]^\\-!./é+$(){}|'), maxLength: 5 }) },
)
const pattern = fc
  .tuple(
    fc.constantFrom('', '', '', '!', '!', '! ', '/', '!/', ' ', './'),
    fc.array(piece, { minLength: 1, maxLength: 3 }),
    fc.constantFrom('', '', '', '/', ' ', '\r'),
  )
  .map(([before, parts, after]) => `${before}${parts.join('/')}${after}`)
const question: fc.Arbitrary<Question> = fc.record({
  text: fc
    .array(fc.oneof({ weight: 12, arbitrary: pattern }, fc.constantFrom('# a', '', '  ', '#', ' #a')), { maxLength: 8 })
    .map((lines) => lines.join('\n')),
  paths: tree,
})
