import { createInterface } from 'node:readline/promises'
import { visibleLine } from '../src/visible.ts'
import { progress } from './output.ts'

/** Asks on the terminal until the answer will do. @returns it, trimmed; empty when the person just went on */
export async function ask(question: string, isRight: (answer: string) => string | undefined): Promise<string> {
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  try {
    for (;;) {
      const answer = (await reader.question(`${visibleLine(question)} `)).trim()
      const problem = answer === '' ? undefined : isRight(answer)
      if (problem === undefined) return answer
      progress(`  ${problem}`)
    }
  } finally {
    reader.close()
  }
}
