// Strangers, in a process of their own: some send signatures that are wrong under a public key of the server's, over and
// over; some connect and say nothing; some begin large requests and dawdle. Who is thrown out comes again
// after some seconds.
// node flood.ts '{"target":{"path":"…"},"garbage":500,"silent":150,"slow":150,"key":"ssh-ed25519 …","host":"unix","addresses":100}'
// Each second it prints what was answered so far.
import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { formatStatement } from '../../../src/push/statement.ts'
import { makeSignature } from '../../../src/ssh/sshsig.ts'
import { string } from '../../../src/ssh/wire.ts'
import { asRouter } from './as-router.ts'

export type FloodOptions = Readonly<{
  target: { path: string } | { host: string; port: number }
  garbage: number
  silent: number
  slow: number
  /** `TYPE BASE64`, of ed25519. */
  key: string
  /** What the server is called on the way to it. */
  host: string
  /** So many addresses the router says that they come from; 0 for none said. */
  addresses: number
}>

const options = JSON.parse(process.argv[2] ?? '{}') as FloodOptions
const counts: Record<string, number> = {}
const count = (what: string): void => {
  counts[what] = (counts[what] ?? 0) + 1
}

const blob = Buffer.from(options.key.split(' ')[1] ?? '', 'base64')
const wrong = (text: string): string =>
  makeSignature(text, 'statement@mypaas', blob, () => Buffer.concat([string('ssh-ed25519'), string(randomBytes(64))]))

function addressOf(number: number): string {
  const { addresses } = options
  if (addresses === 0) return ''
  const at = number % addresses
  const said = asRouter(`10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`)
  return Object.entries(said)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')
}

function post(path: string, body: string, number: number, length = Buffer.byteLength(body)): string {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\n${addressOf(number)}Content-Length: ${length}\r\n\r\n${body}`
}

/** For a challenge that the server signs. */
const asking = JSON.stringify({ nonce: randomBytes(24).toString('base64url'), host: options.host })

/** Connects, and again when the connection is gone. */
function stay(use: (socket: net.Socket) => void): void {
  const socket = net.connect(options.target as net.NetConnectOpts)
  socket.on('error', (error: NodeJS.ErrnoException) => count(error.code ?? 'error'))
  socket.on('connect', () => use(socket))
  socket.on('close', () => setTimeout(() => stay(use), 1000 + Math.random() * 4000))
}

function garbage(number: number): void {
  stay((socket) => {
    let text = ''
    socket.setEncoding('latin1').on('data', (part) => {
      text += part
      const [head, body] = text.split('\r\n\r\n')
      const length = /content-length: (\d+)/i.exec(head ?? '')?.[1]
      if (body === undefined || length === undefined || body.length < Number(length)) return
      text = ''
      const status = head?.slice(9, 12) ?? ''
      count(status)
      const { nonce, server, time } = JSON.parse(body) as { nonce?: string; server: string; time: number }
      if (nonce === undefined) return void socket.write(post('/v1/challenge', asking, number))
      const common = { server, host: options.host, nonce, timeMs: time }
      const statement = formatStatement({ purpose: 'call', ...common, action: 'status', args: {}, body: undefined })
      socket.write(post('/v1/call', JSON.stringify({ statement, signature: wrong(statement) }), number))
    })
    socket.write(post('/v1/challenge', asking, number))
  })
}

function slow(number: number): void {
  stay((socket) => {
    socket.resume()
    // Some stay below what may be brought unsigned, some do not.
    const first = `{"a":"${'x'.repeat(number % 2 === 0 ? 12_000 : 1_000_000)}`
    socket.write(post('/v1/call', first, number, 1024 * 1024 - 1))
    const drip = setInterval(() => socket.write('x'), 1000)
    socket.on('close', () => clearInterval(drip))
  })
}

for (let number = 0; number < options.silent; number += 1) stay(() => {})
for (let number = 0; number < options.slow; number += 1) slow(number)
for (let number = 0; number < options.garbage; number += 1) garbage(number)
setInterval(() => console.log(JSON.stringify(counts)), 1000)
process.stdin.resume().on('end', () => process.exit())
