import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import test from 'node:test'
import { listening, readSockets } from '../../src/deploy/sockets.ts'

test("a process's sockets are read from the kernel's table: who listens where, who talks to whom", async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const client = net.connect(port, '127.0.0.1')
  t.after(() => client.destroy())
  const [accepted] = (await once(server, 'connection')) as [net.Socket]
  t.after(() => accepted.destroy())

  const sockets = await readSockets(process.pid)
  assert.ok(sockets)
  const open = sockets.filter((socket) => socket.state === 'open' && socket.localPort === port)
  assert.deepEqual(open, [{ localAddress: '127.0.0.1', localPort: port, remoteAddress: '127.0.0.1', state: 'open' }])
  assert.ok(listening(sockets).includes(`127.0.0.1:${port}`))
})

test('IPv6 listeners are shown in brackets, and those for all addresses as such', async (t) => {
  const server = net.createServer().listen(0, '::')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  assert.ok(listening((await readSockets(process.pid)) ?? []).includes(`[::]:${port}`))
})

test('where the table cannot be read nothing is claimed', async () => {
  assert.equal(await readSockets(0), undefined)
  assert.equal(await readSockets(2 ** 22 + 1), undefined)
})
