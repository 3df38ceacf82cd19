// What the tests say about the engines. `engine-table.ts files NAME` lists the test files for an engine;
// `engine-table.ts judge NAME=TAP…` prints a table of what passed and why what did not, and fails when a test
// fails that is not listed in test/support/engines.ts, or passes although it is. Run by scripts/test --engines.
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { type Difference, engines } from '../test/support/engines.ts'

type Result = Readonly<{ file: string; test: string; passed: boolean; details: string }>
type Verdict = Readonly<{ name: string; passed: number; expected: Map<Difference, number>; wrong: string[] }>

const [command, ...rest] = process.argv.slice(2)
if (command === 'files') {
  for (const file of engines[rest[0] ?? '']?.files ?? []) console.log(`test/host/${file}.test.ts`)
} else if (command === 'judge') {
  const verdicts = await Promise.all(rest.map((argument) => judge(argument)))
  print(verdicts)
  if (verdicts.some(({ wrong }) => wrong.length > 0)) process.exitCode = 1
} else throw new Error('engine-table.ts files NAME | judge NAME=TAP…')

async function judge(argument: string): Promise<Verdict> {
  const [name = '', tap = ''] = argument.split('=')
  const results = parseTap(await readFile(tap, 'utf8'))
  const differences = engines[name]?.differences ?? []
  const expected = new Map<Difference, number>()
  const wrong: string[] = results.length === 0 ? ['no test ran'] : []
  for (const { file, test, passed, details } of results) {
    const difference = differences.find((one) => matches(one, test))
    if (!passed && difference) expected.set(difference, (expected.get(difference) ?? 0) + 1)
    else if (!passed) wrong.push(`${file}: ${test}: failed, and is not listed\n${details.slice(0, 2000)}`)
    else if (difference && !difference.sometimes) wrong.push(`${file}: ${test}: passed, although it is listed`)
  }
  const ran = new Set(results.map(({ file }) => file))
  if (engines[name]?.files.every((file) => ran.has(file))) {
    const unknown = differences.filter((one) => !results.some(({ test }) => matches(one, test)))
    wrong.push(...unknown.map(({ test }) => `${test}: is listed, but there is no such test`))
  }
  return { name, passed: results.filter(({ passed }) => passed).length, expected, wrong }
}

function matches({ test }: Difference, name: string): boolean {
  return typeof test === 'string' ? test === name : test.test(name)
}

/** The tests of the first level; node:test writes where each is, except for a file that ended badly as a whole. */
function parseTap(tap: string): Result[] {
  const results: Result[] = []
  for (const [, not, escaped = '', details = ''] of tap.matchAll(/^(not )?ok \d+ - (.*)\n((?: {2}.*\n)*)/gm)) {
    // A name ends where TAP's own remarks begin.
    const test = escaped
      .replace(/ # (?:time|SKIP|TODO).*$/, '')
      .replaceAll('\\#', '#')
      .replaceAll('\\\\', '\\')
    const location = /^ {2}location: '?(.*?)'?$/m.exec(details)?.[1] ?? test
    results.push({ file: basename(location.replace(/(?::\d+)+$/, ''), '.test.ts'), test, passed: !not, details })
  }
  return results
}

function print(verdicts: readonly Verdict[]): void {
  const row = (cells: readonly (string | number)[]) =>
    cells.map((cell, i) => String(cell)[i ? 'padStart' : 'padEnd'](i ? 12 : 10)).join('')
  console.log(row(['engine', 'passed', 'differences', 'wrong']))
  for (const { name, passed, expected, wrong } of verdicts) {
    const differences = [...expected.values()].reduce((sum, count) => sum + count, 0)
    console.log(row([name, passed, differences, wrong.length]))
  }
  for (const { name, expected, wrong } of verdicts) {
    for (const [{ test, why }, count] of expected) console.log(`${name}: ${count} × ${why} (${test})`)
    for (const what of wrong) console.log(`${name}: WRONG: ${what}`)
  }
}
