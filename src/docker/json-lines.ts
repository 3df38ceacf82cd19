import { ProtocolError } from './errors.ts'

/**
 * Parses the JSON objects of a progress stream, one a line (also with the `0x1E` prefix of json-seq), as they come.
 * @throws {ProtocolError} for a line that is not JSON, and when the stream ends within one
 */
export async function* jsonLines<T>(body: AsyncIterable<Buffer>, what: string): AsyncGenerator<T> {
  let parts: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    let at = 0
    for (let newline = chunk.indexOf(10); newline >= 0; newline = chunk.indexOf(10, at)) {
      const line = chunk.subarray(at, newline)
      at = newline + 1
      const value = parseLine<T>(parts.length === 0 ? line : Buffer.concat([...parts, line]), what)
      parts = []
      bytes = 0
      if (value !== undefined) yield value
    }
    if (at === chunk.length) continue
    parts.push(chunk.subarray(at))
    bytes += chunk.length - at
    if (bytes > maxLineBytes) throw new ProtocolError(`${what}: the engine sent a line without end.`)
  }
  if (parts.length === 0) return
  // The last line may lack its newline, if it is whole.
  const value = parseLine<T>(Buffer.concat(parts), what)
  if (value !== undefined) yield value
}

const maxLineBytes = 64 * 1024 * 1024

function parseLine<T>(line: Buffer, what: string): T | undefined {
  const text = line.toString('utf8', line[0] === 0x1e ? 1 : 0).trim()
  if (text === '') return undefined
  try {
    return JSON.parse(text) as T
  } catch (cause) {
    throw new ProtocolError(
      `${what}: the engine sent something that is not JSON: ${JSON.stringify(text.slice(0, 200))}`,
      { cause },
    )
  }
}
