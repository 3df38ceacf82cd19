import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { type TestContext, test } from 'node:test'
import { ask } from '../../src/router/ask.ts'

/** A server that answers whoever connects in that way. */
async function serving(t: TestContext, answer: (socket: net.Socket) => void): Promise<number> {
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => answer(socket))
  })
  t.after(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as net.AddressInfo).port
}

function again(socket: net.Socket, text: string): void {
  const timer = setInterval(() => socket.write(text), 50)
  socket.on('close', () => clearInterval(timer))
}

const answers: Record<string, { answer: (socket: net.Socket) => void; is: RegExp }> = {
  'changes the protocol': {
    answer: (socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
    is: /without an answer|no answer within/,
  },
  'announces one again and again': {
    answer: (socket) => again(socket, 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'),
    is: /no answer within 0\.5 s/,
  },
  'writes byte by byte': { answer: (socket) => again(socket, 'H'), is: /no answer within 0\.5 s|Parse Error/ },
  'says nothing': { answer: () => {}, is: /no answer within 0\.5 s/ },
  'hangs up': { answer: (socket) => socket.destroy(), is: /./ },
}

for (const [what, { answer, is }] of Object.entries(answers)) {
  test(`who ${what} keeps nobody waiting for longer than was said`, async (t) => {
    const port = await serving(t, answer)
    const url = { scheme: 'http', host: 'web.test', path: '/' } as const
    const begin = performance.now()
    const got = await ask({
      address: '127.0.0.1',
      port,
      secure: false,
      url,
      headers: {},
      signal: undefined,
      timeoutMs: 500,
    })
    assert.ok('error' in got && is.test(got.error), JSON.stringify(got))
    assert.ok(performance.now() - begin < 5_000)
  })
}
