import { createInterface } from 'node:readline/promises'
import { MypaasError } from '../src/errors.ts'
import { progress } from './render.ts'

/**
 * How to ask whether a server that is new to this machine is the one that is meant, as ssh does; `undefined` where nobody
 * is there to ask.
 * @param signal ends the question
 */
export function firstContact(
  signal: AbortSignal,
): ((name: string, fingerprint: string) => Promise<boolean>) | undefined {
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) return undefined
  return async (name, fingerprint) => {
    progress(`${name} is not known on this machine. Its key is ${fingerprint}`)
    progress('The same is shown on the server itself by: mypaas server identity show')
    const reader = createInterface({ input: process.stdin, output: process.stderr })
    const left = new AbortController()
    reader.on('SIGINT', () => left.abort(new MypaasError('Stopped on request.', { code: 'aborted' })))
    reader.on('close', () => left.abort(new MypaasError('Stopped on request.', { code: 'aborted' })))
    try {
      for (;;) {
        const asked = reader.question('Is that it? (yes, no, or the fingerprint) ', {
          signal: AbortSignal.any([signal, left.signal]),
        })
        const answer = (await asked).trim()
        if (/^y(es)?$/i.test(answer) || answer === fingerprint) return true
        if (/^n(o)?$/i.test(answer) || answer.startsWith('SHA256:')) return false
      }
    } catch (error) {
      throw left.signal.aborted ? left.signal.reason : error
    } finally {
      reader.close()
    }
  }
}
