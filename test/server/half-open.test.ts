import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { sessionProtocol } from '../../src/push/session-frames.ts'
import { Api, type ApiOptions } from '../../src/server/api.ts'
import { httpServer } from '../../src/server/http-server.ts'
import { asRouter, routerWord } from '../support/strangers/as-router.ts'
import { until } from '../support/until.ts'

test('a peer that was refused and never closes its half of the connection holds nothing open', async (t) => {
  const audit = { write: async () => {}, stranger: async () => {} }
  const api = new Api({
    audit,
    log: () => {},
    pushes: {},
    nonces: { make: () => 'n' },
  } as unknown as ApiOptions)
  const server = httpServer(api, 'router', routerWord).listen(0, '127.0.0.1')
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

test('only the router says for others where they come from, however a request comes in', async (t) => {
  const from: string[] = []
  const audit = {
    write: async () => {},
    stranger: async (entry: { from: string }) => void from.push(entry.from),
  }
  const options = { audit, log: () => {}, pushes: {}, nonces: {} } as unknown as ApiOptions
  const server = httpServer(new Api(options), 'router', routerWord).listen(0, '127.0.0.1')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const claimed = '203.0.113.9'
  for (const headers of [
    asRouter(claimed),
    { 'X-Forwarded-For': claimed },
    { ...asRouter(claimed), 'X-Mypaas-Router': 'a guess' },
  ]) {
    for (const [method, more] of [
      ['POST', { 'Content-Length': '0' }],
      ['GET', { Connection: 'Upgrade', Upgrade: sessionProtocol }],
    ] as const) {
      const socket = net.connect({ port, host: '127.0.0.1' })
      t.after(() => socket.destroy())
      const lines = Object.entries({ Host: 'x', ...headers, ...more }).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(`${method} /v1/sessions/abcdefghijkl HTTP/1.1\r\n${lines.join('')}\r\n`)
      await once(socket, 'data')
    }
  }
  const peer = '127.0.0.1'
  const believed = `${claimed} by ${peer}`
  assert.deepEqual(from, [believed, believed, peer, peer, peer, peer])
})
