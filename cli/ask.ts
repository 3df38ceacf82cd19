import { createInterface } from 'node:readline/promises'

/** Asks on the terminal until the answer will do. @returns it, trimmed; empty when the person just went on */
export async function ask(question: string, isRight: (answer: string) => string | undefined): Promise<string> {
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  try {
    for (;;) {
      const answer = (await reader.question(`${question} `)).trim()
      const problem = answer === '' ? undefined : isRight(answer)
      if (problem === undefined) return answer
      process.stderr.write(`  ${problem}\n`)
    }
  } finally {
    reader.close()
  }
}
