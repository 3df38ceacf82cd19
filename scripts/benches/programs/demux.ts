/** Takes 200 MB of log lines apart, 93 bytes each, in pieces of 64 KiB. Prints MB/s and peak memory. */
import { PassThrough } from 'node:stream'
import { Demux } from '../../../src/docker/index.ts'

const [reader = ''] = process.argv.slice(2)
const lineLength = 93
const frame = Buffer.alloc(8 + lineLength, 0x61)
frame.writeUInt32BE(1 << 24, 0)
frame.writeUInt32BE(lineLength, 4)
const cycle = Buffer.concat(Array(64 * 1024).fill(frame))
const pieceLength = 64 * 1024

/** Each piece is memory of its own, as it comes from a socket; that copy is not measured. */
function* pieces(total: number): Iterable<Buffer> {
  for (let sent = 0; sent < total; sent += pieceLength) {
    const from = sent % cycle.length
    const first = cycle.subarray(from, from + pieceLength)
    yield first.length === pieceLength
      ? Buffer.from(first)
      : Buffer.concat([first, cycle.subarray(0, pieceLength - first.length)])
  }
}

let seen = 0
const readers: Record<string, () => Promise<(piece: Buffer) => void> | ((piece: Buffer) => void)> = {
  mypaas() {
    const demux = new Demux()
    return (piece) => {
      for (const { data } of demux.feed(piece)) seen += data.length
    }
  },
  /** To memory that is not in the processor's cache, as what was received is not. */
  memcpy() {
    const target = Buffer.alloc(64_000_000, 1)
    let at = 0
    return (piece) => {
      seen += piece.copy(target, at)
      at = (at + pieceLength) % (target.length - pieceLength)
    }
  },
  async dockerode() {
    const name = 'dockerode'
    type Modem = { demuxStream(stream: PassThrough, out: object, err: object): void }
    const { default: Dockerode } = (await import(name)) as { default: new (options: object) => { modem: Modem } }
    const stream = new PassThrough()
    const out = { write: (bytes: Buffer) => (seen += bytes.length) }
    new Dockerode({ socketPath: '/' }).modem.demuxStream(stream, out, out)
    return (piece) => {
      stream.emit('data', piece)
    }
  },
}

const read = await readers[reader]?.()
if (!read) throw new Error(`There is no reader ${reader}`)
const total = Number(process.argv[3] ?? 200) * 1e6
let ms = 0
for (const piece of pieces(total)) {
  const started = performance.now()
  read(piece)
  ms += performance.now() - started
}
console.log(
  JSON.stringify({ mbPerSecond: total / 1e6 / (ms / 1000), seen, rssMb: process.resourceUsage().maxRSS / 1024 }),
)
process.exit()
