import { createInterface } from 'node:readline/promises'
import { MypaasError } from '../src/errors.ts'
import { visibleLine } from '../src/visible.ts'

/** Asks on the terminal; only `y` or `yes` goes on. @throws {MypaasError} `usage` when nobody is there to ask, or says no */
export async function confirm(question: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new MypaasError(question, {
      code: 'usage',
      hint: 'There is no terminal to ask on. If that is what you want, add --yes',
    })
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await reader.question(`${visibleLine(question)} [y/N] `)
    if (/^y(es)?$/i.test(answer.trim())) return
  } finally {
    reader.close()
  }
  throw new MypaasError('Nothing was changed.', { code: 'usage' })
}
