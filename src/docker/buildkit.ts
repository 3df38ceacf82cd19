/** What BuildKit reports, with the fields that its progress is made of. */
export type Trace = {
  vertexes: {
    digest: string
    /** The digests of the vertexes that it builds on; none for a source. */
    inputs: string[]
    name: string
    cached: boolean
    started: boolean
    completed: boolean
    error: string
  }[]
  statuses: { id: string; vertex: string; name: string; current: number; total: number; completed: boolean }[]
  logs: { vertex: string; stream: number; message: Buffer }[]
  warnings: { text: string }[]
}

/**
 * Decodes one `moby.buildkit.trace` message (protobuf `StatusResponse`).
 * @throws {RangeError} when the bytes are cut off
 * @see https://github.com/moby/buildkit/blob/master/api/services/control/control.proto
 */
export function decodeTrace(bytes: Buffer): Trace {
  const trace: Trace = { vertexes: [], statuses: [], logs: [], warnings: [] }
  for (const { field, bytes: part } of fields(bytes)) {
    if (field === 1) trace.vertexes.push(decodeVertex(part))
    else if (field === 2) trace.statuses.push(decodeStatus(part))
    else if (field === 3) trace.logs.push(decodeLog(part))
    else if (field === 4) trace.warnings.push(decodeWarning(part))
  }
  return trace
}

function decodeVertex(bytes: Buffer): Trace['vertexes'][number] {
  const vertex: Trace['vertexes'][number] = {
    digest: '',
    inputs: [],
    name: '',
    cached: false,
    started: false,
    completed: false,
    error: '',
  }
  for (const { field, bytes: part, number } of fields(bytes)) {
    if (field === 1) vertex.digest = part.toString()
    else if (field === 2) vertex.inputs.push(part.toString())
    else if (field === 3) vertex.name = part.toString()
    else if (field === 4) vertex.cached = number !== 0
    else if (field === 5) vertex.started = true
    else if (field === 6) vertex.completed = true
    else if (field === 7) vertex.error = part.toString()
  }
  return vertex
}

function decodeStatus(bytes: Buffer): Trace['statuses'][number] {
  const status = { id: '', vertex: '', name: '', current: 0, total: 0, completed: false }
  for (const { field, bytes: part, number } of fields(bytes)) {
    if (field === 1) status.id = part.toString()
    else if (field === 2) status.vertex = part.toString()
    else if (field === 3) status.name = part.toString()
    else if (field === 4) status.current = number
    else if (field === 5) status.total = number
    else if (field === 8) status.completed = true
  }
  return status
}

function decodeLog(bytes: Buffer): Trace['logs'][number] {
  const log = { vertex: '', stream: 1, message: empty }
  for (const { field, bytes: part, number } of fields(bytes)) {
    if (field === 1) log.vertex = part.toString()
    else if (field === 3) log.stream = number
    else if (field === 4) log.message = part
  }
  return log
}

function decodeWarning(bytes: Buffer): Trace['warnings'][number] {
  const lines: string[] = []
  for (const { field, bytes: part } of fields(bytes)) if (field === 3 || field === 4) lines.push(part.toString())
  return { text: lines.join('\n') }
}

type Field = { field: number; number: number; bytes: Buffer }

const empty: Buffer = Buffer.alloc(0)

/** The fields of one protobuf message, in the order in which they stand. */
function* fields(bytes: Buffer): Generator<Field> {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]
      if (byte === undefined || scale > 2 ** 63) throw new RangeError('A protobuf message is cut off.')
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const key = varint()
    const field = Math.floor(key / 8)
    const type = key % 8
    if (type === 0) {
      yield { field, number: varint(), bytes: empty }
      continue
    }
    const length = type === 2 ? varint() : type === 1 ? 8 : type === 5 ? 4 : Number.NaN
    if (!(at + length <= bytes.length)) throw new RangeError('A protobuf message is cut off.')
    yield { field, number: 0, bytes: bytes.subarray(at, at + length) }
    at += length
  }
}
