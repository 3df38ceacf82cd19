import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { sessionProtocol } from '../../src/push/session-frames.ts'
import { Api, type ApiOptions } from '../../src/server/api.ts'
import { httpServer } from '../../src/server/http-server.ts'
import { until } from '../support/until.ts'

test('a peer that was refused and never closes its half of the connection holds nothing open', async (t) => {
  const audit = { write: async () => {}, stranger: async () => {} }
  const api = new Api({
    audit,
    log: () => {},
    pushes: {},
    nonces: { make: () => 'n' },
  } as unknown as ApiOptions)
  const server = httpServer(api, 'router').listen(0, '127.0.0.1')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const upgrade = `GET /v1/sessions/abcdefghijkl HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${sessionProtocol}\r\n\r\n`
  const good = 'POST /v1/challenge HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}'
  for (const said of [upgrade, `${good}no HTTP at all\r\n\r\n`]) {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    t.after(() => socket.destroy())
    socket.on('error', () => {}).resume()
    socket.write(said)
    await once(socket, 'end')
  }
  const held = (): Promise<number> => new Promise((resolve) => server.getConnections((_, count) => resolve(count)))
  assert.equal(await held(), 2)
  await until(async () => (await held()) === 0, { what: 'the server to let go of both', timeoutMs: 20_000 })
})
