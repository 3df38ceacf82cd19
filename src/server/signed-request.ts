import type { IncomingMessage } from 'node:http'
import { OpenError } from './open-error.ts'
import { readAll, readFields } from './request.ts'

/** Statement and signature, and what else a request has of that size. */
const maxUnprovenBytes: number = 16 * 1024
/** An index, or what comes with a call. */
const maxProvenBytes = 1016 * 1024

export type Signed = Readonly<{ statement: string; signature: string }>

/**
 * Reads a request that begins with a statement and its signature. Nobody brings more than these two may have before the
 * signature has shown to be good, so strangers fill no memory; the rest is read after.
 * @param more what else it may have, behind them
 * @param options.hold is told how much of it is kept
 * @param options.whole is told when it has come whole, and is small
 * @param options.prove says who signed; throws when nobody did
 */
export async function readSigned<T, K extends string>(
  request: IncomingMessage,
  more: readonly K[],
  { hold, whole, prove }: { hold: (bytes: number) => void; whole: () => void; prove: (signed: Signed) => Promise<T> },
): Promise<{ proven: T; more: Partial<Record<K, string>> }> {
  let head: Signed | undefined
  let proven: { value: T } | undefined
  let held = 0
  const text = await readAll(request, maxProvenBytes, async (length, begin) => {
    if (proven) return
    hold(length - held)
    held = length
    if (length < maxUnprovenBytes) return
    head = headOf(begin().toString())
    proven = { value: await prove(head) }
  })
  if (!proven) whole()
  const fields: Partial<Record<string, string>> = readFields(text, ['statement', 'signature', ...more])
  const { statement = '', signature = '', ...rest } = fields
  if (head && (head.statement !== statement || head.signature !== signature)) {
    throw new OpenError('This is no request of mypaas: it says twice what it is.')
  }
  proven ??= { value: await prove({ statement, signature }) }
  return { proven: proven.value, more: rest as Partial<Record<K, string>> }
}

const word = '"([^"\\\\]*(?:\\\\.[^"\\\\]*)*)"'
const head = new RegExp(`^\\{"statement":${word},"signature":${word},`)

/** What a large request begins with. @throws {OpenError} */
function headOf(text: string): Signed {
  const [, statement, signature] = head.exec(text) ?? []
  try {
    if (statement !== undefined && signature !== undefined)
      return { statement: JSON.parse(`"${statement}"`) as string, signature: JSON.parse(`"${signature}"`) as string }
  } catch {
    // Said below.
  }
  throw new OpenError(`A request of more than ${maxUnprovenBytes} bytes begins with its statement and signature.`, {
    hint: 'Is mypaas here and there of the same version?',
  })
}
