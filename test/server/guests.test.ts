import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { Connections } from '../../src/server/connections.ts'
import { Guests } from '../../src/server/guests.ts'
import { Lanes } from '../../src/server/lanes.ts'
import { LiveSettings } from '../../src/server/live-settings.ts'
import { peerOf } from '../../src/server/peer.ts'
import { testApi } from '../support/api.ts'
import { until } from '../support/until.ts'

class FakeSocket extends EventEmitter {
  destroyed = false
  destroy(): void {
    this.destroyed = true
    this.emit('close')
  }
}

const socket = (): net.Socket => new FakeSocket() as unknown as net.Socket

test('of too many guests the peer that has most loses the one that waited longest', () => {
  const guests = new Guests({ max: 4 })
  const [few, old, young, late, last] = [socket(), socket(), socket(), socket(), socket()]
  guests.wait(few, 'a')
  for (const of of [old, young, late]) guests.wait(of, 'b')
  guests.wait(last, 'c')
  assert.deepEqual(
    [few, old, young, late, last].map(({ destroyed }) => destroyed),
    [false, true, false, false, false],
  )
})

test('a connection of the router is of whoever has a request on it: the rest of the time it is the router’s', () => {
  const connections = new Connections({ strangers: 2, members: 1, between: 3 })
  const all: net.Socket[] = []
  const connect = (): net.Socket => {
    const one = Object.assign(socket(), { remoteAddress: '172.18.0.2' })
    one.once('close', () => connections.leave(one))
    connections.wait(one, 'router')
    all.push(one)
    return one
  }
  const ask = (one: net.Socket, from: string): void =>
    connections.begin({ headers: { 'x-forwarded-for': from }, socket: one } as unknown as IncomingMessage, 'router')
  const open = (): number[] => all.flatMap(({ destroyed }, at) => (destroyed ? [] : [at]))
  const [first, second, third] = [connect(), connect(), connect()]
  // A stranger's request over each, answered: none of that sticks to the connection.
  for (const one of [first, second, third]) {
    ask(one, '6.6.6.6')
    connections.wait(one, 'router')
  }
  assert.deepEqual(open(), [0, 1, 2])
  // Two requests of the stranger's and one of somebody else, over the connection that has waited longest.
  ask(second, '6.6.6.6')
  ask(first, '192.0.2.7')
  ask(third, '6.6.6.6')
  assert.deepEqual(open(), [0, 2], 'the stranger loses the older one')
  // Who signs is none of them, as long as the request goes on.
  connections.prove(first, 'key')
  ask(connect(), '6.6.6.6')
  assert.deepEqual(open(), [0, 2, 3])
  connections.prove(third, 'other')
  assert.deepEqual(open(), [2, 3], 'of those who have signed there are so many, too')
})

test('connections without a request are so many where the router comes in, too', () => {
  const connections = new Connections({ strangers: 1, members: 1, between: 2 })
  const from = (remoteAddress: string): net.Socket => {
    const one = Object.assign(socket(), { remoteAddress })
    connections.wait(one, 'router')
    return one
  }
  const all = [from('172.18.0.2'), from('172.18.0.9'), from('172.18.0.9'), from('172.18.0.9')]
  assert.deepEqual(
    all.map(({ destroyed }) => destroyed),
    [false, true, true, false],
  )
})

test('guests hold so many bytes in all; what has come whole counts no more', () => {
  const guests = new Guests({ max: 9, maxBytes: 1000 })
  const [whole, slow, other] = [socket(), socket(), socket()]
  for (const of of [whole, slow, other]) guests.wait(of, 'a')
  guests.hold(whole, 900)
  guests.whole(whole)
  guests.hold(slow, 600)
  guests.hold(other, 600)
  assert.deepEqual(
    [whole, slow, other].map(({ destroyed }) => destroyed),
    [false, true, false],
  )
})

test('lanes take turns, the newest of each first', () => {
  const lanes = new Lanes<string>()
  for (const [lane, item] of ['a1', 'a2', 'a3', 'b1', 'c1'].map((item) => [item.charAt(0), item] as const)) {
    lanes.push(lane, item)
  }
  lanes.remove('a', 'a2')
  const order = Array.from({ length: 5 }, () => lanes.next())
  assert.deepEqual(order, ['a3', 'b1', 'c1', 'a1', undefined])
  assert.equal(lanes.size, 0)
})

test('a peer is an address, of IPv6 the half that one party has, and the router says it', () => {
  const peer = (said: string | undefined, via: 'socket' | 'router' = 'router'): string =>
    peerOf(
      { headers: { 'x-forwarded-for': said }, socket: { remoteAddress: '172.18.0.2' } } as unknown as IncomingMessage,
      via,
    )
  assert.equal(peer('192.0.2.7'), '192.0.2.7')
  assert.equal(peer('6.6.6.6, 192.0.2.7'), '192.0.2.7')
  assert.equal(peer('2001:db8::1'), '2001:db8:0:0::/64')
  assert.equal(peer('2001:db8:0:0:ffff::2'), '2001:db8:0:0::/64')
  assert.equal(peer('2001:DB8:1:2:3:4:5:6'), '2001:db8:1:2::/64')
  assert.equal(peer('::ffff:192.0.2.7'), '192.0.2.7')
  assert.equal(peer('::1'), '0:0:0:0::/64')
  assert.equal(peer(undefined), '172.18.0.2')
  assert.equal(peer('nonsense'), 'unknown')
  assert.equal(peer('192.0.2.7', 'socket'), 'socket')
})

test('a config that is broken says nothing to strangers, lets in who signs, and tells them', async (t) => {
  const api = await testApi(t)
  await writeFile(join(api.home, '_mypaas', 'config.toml'), 'this is [no TOML\n', { mode: 0o600 })
  const denied = { status: 401, text: '{"error":{"code":"unauthorised","message":"Access denied."}}' }
  assert.deepEqual(
    await api.ask('POST', '/v1/call', JSON.stringify({ statement: await api.statement(), signature: 'x' })),
    denied,
  )
  const call = await api.send(await api.statement({ purpose: 'call', action: 'env-ls', args: {} }))
  assert.equal(call.status, 200)
  assert.match(call.text, /this is not TOML/)
})

test('nobody brings more than a statement and a signature before the signature is good', async (t) => {
  const api = await testApi(t)
  const head = 'POST /v1/call HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n'
  const stranger = net.connect(api.socket).on('error', () => {})
  let isOpen = true
  stranger.on('close', () => {
    isOpen = false
  })
  stranger.resume().write(`${head}{"statement":"x","body":"${'x'.repeat(20_000)}`)
  await until(() => !isOpen, { what: 'the stranger to be thrown out', timeoutMs: 10_000 })
  // With a signature ahead there may be much more, and not one of something else behind it.
  const body = 'y'.repeat(500_000)
  const { createHash } = await import('node:crypto')
  const digest = createHash('sha256').update(body).digest('hex')
  const text = await api.statement({ purpose: 'call', action: 'nothing', body: digest })
  assert.match((await api.send(text, { body })).text, /knows no nothing/)
  const other = await api.statement({ purpose: 'call', action: 'nothing', body: digest })
  assert.match((await api.send(other, { body, statement: text })).text, /Access denied|says twice/)
})

test('who asks again before the answer is there is cut off', async (t) => {
  const api = await testApi(t)
  const socket = net.connect(api.socket).on('error', () => {})
  let text = ''
  socket.setEncoding('latin1').on('data', (part) => {
    text += part
  })
  const closed = new Promise((resolve) => socket.on('close', resolve))
  const ask = 'POST /v1/challenge HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}'
  socket.write(ask.repeat(200))
  await closed
  assert.ok(text.split('HTTP/1.1 200').length < 10, text)
})

test('what the config lets pushes bring is what the next client is told, without a restart', async (t) => {
  const api = await testApi(t)
  const most = async (): Promise<number> => JSON.parse((await api.ask('POST', '/v1/challenge', '{}')).text).limits.bytes
  assert.equal(await most(), 8 * 1024 ** 3)
  await writeFile(join(api.home, '_mypaas', 'config.toml'), '[server]\npush_size = "9g"\n', { mode: 0o600 })
  assert.equal(await most(), 9 * 1024 ** 3)
})

test('settings stay what they were while the config can’t be read, and follow it when it can', async (t) => {
  const api = await testApi(t)
  const directory = join(api.home, '_mypaas')
  const said: string[] = []
  const settings = new LiveSettings(directory, (line) => said.push(line))
  const domain = async () => (await settings.now()).domain
  assert.equal(await domain(), 'paas.test')
  const write = (text: string): Promise<void> => writeFile(join(directory, 'config.toml'), text, { mode: 0o600 })
  await write('this is [no TOML\n')
  assert.deepEqual([await domain(), await domain(), said.length], ['paas.test', 'paas.test', 1])
  await write('[server]\ndomain = "other.example.com"\n')
  assert.equal(await domain(), 'other.example.com')
})
