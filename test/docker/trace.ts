/** Encodes `StatusResponse` messages of BuildKit, for a fake engine. */
export function trace(status: {
  vertexes?: {
    digest: string
    /** Default: one that nothing else is called. */
    inputs?: string[]
    name?: string
    cached?: boolean
    started?: boolean
    completed?: boolean
    error?: string
  }[]
  statuses?: { id: string; vertex: string; name?: string; current?: number; total?: number }[]
  logs?: { vertex: string; stream: 1 | 2; message: string | Buffer }[]
  warnings?: { short: string; detail?: string[] }[]
}): string {
  const { vertexes = [], statuses = [], logs = [], warnings = [] } = status
  const message = Buffer.concat([
    ...vertexes.map((v) =>
      bytes(
        1,
        Buffer.concat([
          text(1, v.digest),
          ...(v.inputs ?? ['sha256:input']).map((input) => text(2, input)),
          text(3, v.name ?? ''),
          number(4, v.cached ? 1 : 0),
          v.started ? bytes(5, number(1, 1_700_000_000)) : none,
          v.completed ? bytes(6, number(1, 1_700_000_001)) : none,
          text(7, v.error ?? ''),
        ]),
      ),
    ),
    ...statuses.map((s) =>
      bytes(
        2,
        Buffer.concat([
          text(1, s.id),
          text(2, s.vertex),
          text(3, s.name ?? ''),
          number(4, s.current ?? 0),
          number(5, s.total ?? 0),
          // Fields that the client does not know are skipped: a fixed64 and a fixed32.
          Buffer.from([(14 << 3) | 1, 1, 2, 3, 4, 5, 6, 7, 8, (15 << 3) | 5, 1, 2, 3, 4]),
        ]),
      ),
    ),
    ...logs.map((l) =>
      bytes(3, Buffer.concat([text(1, l.vertex), number(3, l.stream), bytes(4, Buffer.from(l.message))])),
    ),
    ...warnings.map((w) =>
      bytes(4, Buffer.concat([text(3, w.short), ...(w.detail ?? []).map((line) => text(4, line))])),
    ),
  ])
  return `${JSON.stringify({ id: 'moby.buildkit.trace', aux: message.toString('base64') })}\n`
}

const none = Buffer.alloc(0)

function varint(value: number): Buffer {
  const out: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...out, rest])
    out.push((rest % 128) + 128)
  }
}

function number(field: number, value: number): Buffer {
  return value === 0 ? none : Buffer.concat([varint(field * 8), varint(value)])
}

function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(value.length), value])
}

function text(field: number, value: string): Buffer {
  return value === '' ? none : bytes(field, Buffer.from(value))
}
