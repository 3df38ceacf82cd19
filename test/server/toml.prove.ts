import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Edited, tryEdit } from '../support/toml-edits.ts'

const edits = 20_000

test('an edit of any TOML changes one key or nothing, as two parsers read it', async (t) => {
  const seed = Number(process.env['PROVE_SEED'] ?? 1) * 1_000_000
  const counts = { replaced: 0, added: 0, removed: 0, refused: 0 }
  const made: Edited[] = []
  for (let next = seed; made.length < edits; next += 1) {
    const edit = tryEdit(next)
    if (edit) counts[edit.kind] += 1
    if (edit && edit.kind !== 'refused') made.push(edit)
  }
  const judged = await judge(made)
  const wrong = made.filter((_, index) => judged[index]?.startsWith('wrong'))
  assert.deepEqual(wrong.slice(0, 3), [], `seed ${seed}: ${wrong.length} edits are wrong to Python`)
  const right = judged.filter((answer) => answer === 'right').length
  t.diagnostic(JSON.stringify({ ...counts, rightToPython: right }))
  assert.ok(right >= edits * 0.99 && Math.min(counts.replaced, counts.added, counts.removed) >= edits / 10)
})

/** What Python's own parser says to each edit. */
async function judge(made: readonly Edited[]): Promise<readonly string[]> {
  const program = fileURLToPath(new URL('../oracles/toml/judge.py', import.meta.url))
  const child = spawn('python3', [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const answers: string[] = []
  const reading = (async () => {
    for await (const line of createInterface({ input: child.stdout })) answers.push(JSON.parse(line) as string)
  })()
  for (const edit of made) {
    if (!child.stdin.write(`${JSON.stringify(edit)}\n`))
      await new Promise((resolve) => child.stdin.once('drain', resolve))
  }
  child.stdin.end()
  await reading
  assert.equal(answers.length, made.length)
  return answers
}
