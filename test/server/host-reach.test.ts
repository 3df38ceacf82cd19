import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { HostReach } from '../../src/server/host-reach.ts'
import { addressesOf } from '../../src/server/look-up.ts'

test('a host is judged by what its name leads to, however it is spelt', async () => {
  const reach = new HostReach()
  for (const host of [
    '127.0.0.1',
    '127.1',
    '0x7f000001',
    '2130706433',
    '0177.0.0.1',
    '::1',
    '[::1]',
    'localhost',
    '[::ffff:127.0.0.1]',
    'LOCALHOST',
    'a b',
    '',
  ])
    assert.equal(await reach.of(host), 'private', host)
  for (const host of ['1.1.1.1', '[2606:4700::1111]']) assert.equal(await reach.of(host), 'public', host)
  assert.equal(await reach.of('no-such-host.invalid'), 'unknown')
})

test('names that nobody answers for hold up nothing and end in time, many or few', async (t) => {
  const { servers, asked } = await nameServer(t, () => undefined)
  const files = await systemFiles(t, '', '')
  const reach = new HostReach({
    lookUp: (name, signal) => addressesOf(name, { signal, servers, ...files }),
    longestMs: 1_000,
  })
  const names = Array.from({ length: 300 }, (_, n) => `slow${n}.example`)
  const found = Promise.all([...names, ...names].map((name) => reach.of(name)))
  // The threads that read files are free meanwhile: the system's own look-up would have them all.
  for (let n = 0; n < 16; n += 1) await readFile('/etc/hosts')
  assert.deepEqual(new Set(await found), new Set(['unknown']))
  assert.equal(new Set(asked).size, 32, 'names that were asked for')
  assert.deepEqual(await addressesOf('late.example', { signal: AbortSignal.abort(), servers, ...files }), undefined)
})

test('whoever has left waits for no answer', async (t) => {
  const { servers } = await nameServer(t, () => undefined)
  const files = await systemFiles(t, '', '')
  const controller = new AbortController()
  const reach = new HostReach({
    signal: controller.signal,
    lookUp: (name, signal) => addressesOf(name, { signal, servers, ...files }),
    longestMs: 600_000,
  })
  const found = reach.of('slow.example')
  setImmediate(() => controller.abort())
  assert.equal(await found, 'unknown')
})

test('a name is what programs of this machine take it for', async (t) => {
  const answers: Readonly<Record<string, string>> = {
    'public.example': '1.1.1.1',
    'registry.corp.example': '10.0.0.7',
    'odd.sub.corp.example': '10.0.0.8',
    'half.example': 'FAIL',
  }
  const { servers } = await nameServer(t, (name) => answers[name] ?? 'NONE')
  const files = await systemFiles(
    t,
    '10.9.9.9 Mine.example other # not.example\n::1 six.example\n',
    'nameserver 9.9.9.9\nsearch corp.example\n',
  )
  const look = (name: string, more: object = {}) =>
    addressesOf(name, { signal: AbortSignal.timeout(20_000), servers, ...files, ...more })
  assert.deepEqual(await look('public.example'), ['1.1.1.1'])
  assert.deepEqual(await look('mine.example'), ['10.9.9.9'])
  assert.deepEqual(await look('six.example'), ['::1'])
  assert.deepEqual(await look('localhost'), ['127.0.0.1'])
  assert.deepEqual(await look('not.example'), [])
  assert.deepEqual(await look('registry'), ['10.0.0.7'], 'by a search domain')
  assert.deepEqual(await look('odd.sub'), ['10.0.0.8'], 'by a search domain, where it is no name by itself')
  assert.deepEqual(await look('registry.'), [], 'whole as it is')
  assert.equal(await look('half.example'), undefined, 'no answer is no answer')
})

/** A name server on this machine: an address, `NONE`, `FAIL`, or nothing said at all. */
async function nameServer(t: TestContext, answer: (name: string) => string | undefined) {
  const asked: string[] = []
  const socket = createSocket('udp4')
  socket.on('message', (query, peer) => {
    const labels: string[] = []
    let at = 12
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length))
      at += length + 1
    }
    const name = labels.join('.').toLowerCase()
    asked.push(name)
    const found = answer(name)
    if (found === undefined) return
    const isA = query.readUInt16BE(at + 1) === 1
    const has = isA && /^\d/.test(found)
    const reply = Buffer.from(query.subarray(0, at + 5))
    const code = found === 'FAIL' ? 2 : found === 'NONE' ? 3 : 0
    reply.writeUInt16BE(0x8180 | code, 2)
    reply.writeUInt16BE(has ? 1 : 0, 6)
    reply.writeUInt32BE(0, 8)
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...found.split('.').map(Number)])
    socket.send(has ? Buffer.concat([reply, record]) : reply, peer.port, peer.address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  t.after(() => socket.close())
  return { servers: [`127.0.0.1:${socket.address().port}`], asked }
}

async function systemFiles(t: TestContext, hosts: string, resolvConf: string) {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-names-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const files = { hosts: join(folder, 'hosts'), resolvConf: join(folder, 'resolv.conf') }
  await writeFile(files.hosts, hosts)
  await writeFile(files.resolvConf, resolvConf)
  return files
}
