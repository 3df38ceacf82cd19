import { ProtocolError } from './errors.ts'

/**
 * Parses the JSON objects of a progress stream, one a line (also with the `0x1E` prefix of json-seq), as they come.
 * @param what the call, for errors
 * @throws {ProtocolError} for a line that is not JSON, and when the stream ends within one
 */
export async function* jsonLines<T>(body: AsyncIterable<Buffer>, what: string): AsyncGenerator<T> {
  for await (const line of lines(body, what)) {
    const value = parseLine<T>(line, what)
    if (value !== undefined) yield value
  }
}

/** Cuts bytes into lines, without their line ends. The last one may lack its own. */
export async function* lines(body: AsyncIterable<Buffer>, what: string): AsyncGenerator<Buffer> {
  let parts: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    let at = 0
    for (let newline = chunk.indexOf(10); newline >= 0; newline = chunk.indexOf(10, at)) {
      const line = chunk.subarray(at, newline)
      at = newline + 1
      yield parts.length === 0 ? line : Buffer.concat([...parts, line])
      parts = []
      bytes = 0
    }
    if (at === chunk.length) continue
    parts.push(at === 0 ? chunk : chunk.subarray(at))
    bytes += chunk.length - at
    if (bytes > maxLineBytes) throw new ProtocolError(`${what}: the engine sent a line without end.`)
  }
  if (parts.length > 0) yield Buffer.concat(parts)
}

/** @returns `undefined` for a line that is empty */
export function parseLine<T>(line: Buffer, what: string): T | undefined {
  const text = line.toString('utf8', line[0] === recordSeparator ? 1 : 0).trim()
  if (text === '') return undefined
  try {
    return JSON.parse(text) as T
  } catch (cause) {
    const start = JSON.stringify(text.slice(0, 200))
    throw new ProtocolError(`${what}: the engine sent something that is not JSON: ${start}`, { cause })
  }
}

const maxLineBytes = 64 * 1024 * 1024
const recordSeparator = 0x1e
