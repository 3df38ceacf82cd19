import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeForeign, foreignPorts, formatAllowedPort, parseAllowedPort } from '../../src/service/allowed-ports.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { formatPublish } from '../../src/service/publish.ts'
import type { PublishedPort, ServiceSpec } from '../../src/service/spec.ts'

const spec = (...publish: string[]): ServiceSpec =>
  parseSpec(['# mypaas.service=x', ...publish.map((port) => `# mypaas.publish=${port}`), 'FROM scratch'].join('\n'))
const entries = (...texts: string[]): PublishedPort[] =>
  texts.map((text) => {
    const entry = parseAllowedPort(text)
    assert.ok(typeof entry !== 'string', text)
    return entry
  })

test('an entry allows its port on its address and by its protocol, and a range all within it', () => {
  const table: [entry: string, port: string, allowed: boolean][] = [
    ['5432', '5432:5432', true],
    ['5432', '127.0.0.1:5432:80', true],
    ['5432', '[::1]:5432:80', true],
    ['5432', '5432:80/udp', false],
    ['5432', '5433:80', false],
    ['5432', '5432-5433:80', false],
    ['5432', '80', false],
    ['127.0.0.1:5432', '127.0.0.1:5432:80', true],
    ['127.0.0.1:5432', '5432:80', false],
    ['127.0.0.1:5432', '0.0.0.0:5432:80', false],
    ['127.0.0.1:5432', '127.0.0.2:5432:80', false],
    ['0.0.0.0:5432', '10.0.0.1:5432:80', true],
    ['0.0.0.0:5432', '[::1]:5432:80', false],
    ['0.0.0.0:5432', '5432:80', false],
    ['[::]:5432', '[::1]:5432:80', true],
    ['[::]:5432', '127.0.0.1:5432:80', false],
    ['7000-7010', '7000-7010:80', true],
    ['7000-7010', '7003:80', true],
    ['7000-7010', '7003-7005:80-82', true],
    ['7000-7010', '7009-7011:80', false],
    ['7000-7010', '7009-7011:80-82', false],
    ['7000-7010/udp', '7003:80/UDP', true],
    ['0', '80', true],
    ['0', '127.0.0.1::80', true],
    ['0', '80/udp', false],
    ['0', '8080:80', false],
    ['127.0.0.1:0', '127.0.0.1::80', true],
    ['127.0.0.1:0', '80', false],
    ['0/udp', '53/udp', true],
  ]
  for (const [entry, port, allowed] of table)
    assert.equal(foreignPorts(spec(port), entries(entry), undefined).length === 0, allowed, `${entry} ${port}`)
})

test('one entry or another has to allow it, and what the service has already stays', () => {
  const wanted = spec('127.0.0.1:5432:5432', '8000:80', '9000')
  assert.deepEqual(foreignPorts(wanted, entries('5432', '0'), undefined).map(formatPublish), ['8000:80'])
  assert.deepEqual(foreignPorts(wanted, entries('5432', '0'), spec('8000:8080')), [])
  assert.deepEqual(foreignPorts(wanted, [], wanted), [])
  assert.equal(foreignPorts(spec('127.0.0.1:8000:80'), [], spec('8000:80')).length, 1)
  assert.equal(foreignPorts(spec('8000-8010:80'), [], spec('8000:80')).length, 1)
  assert.equal(foreignPorts(spec('0:80'), [], undefined).length, 1)
})

test('what is no entry is refused, and what is one is shown as it is written', () => {
  for (const text of [
    '',
    '*',
    'any',
    'http',
    '80:80',
    '127.0.0.1',
    '127.0.0.1:',
    '70000',
    '9-8',
    '80/tls',
    '80/',
    '1.2.3:80',
    'localhost:80',
    '80 81',
    '80/tcp/udp',
  ])
    assert.equal(typeof parseAllowedPort(text), 'string', text)
  for (const text of ['80', '80-81', '0', '0/udp', '127.0.0.1:0', '127.0.0.1:80/udp', '[::1]:80-90', '[::1]:0/sctp'])
    assert.equal(formatAllowedPort(entries(text)[0] as PublishedPort), text)
})

test('what a line would have to say allows all of it, ranges as ranges', () => {
  const table: [ports: string[], option: string][] = [
    [['8080-8090:80-90'], '8080-8090'],
    [['8000-8010:80'], '8000-8010'],
    [['8080:80', '8081:81', '8083:83'], '8080-8081,8083'],
    [['127.0.0.1:8080:80', '8081:81', '8082:82/udp'], '127.0.0.1:8080,8081,8082/udp'],
    [['80', '81', '53/udp'], '0,0/udp'],
    [['[::1]:7000-7002:7000-7002'], '[::1]:7000-7002'],
    [['1:1', '3:3', '5:5', '7:7', '9:9'], '1,3,5,7,9'],
  ]
  for (const [ports, option] of table) {
    const wanted = spec(...ports)
    assert.equal(describeForeign(foreignPorts(wanted, [], undefined))?.option, `publish="${option}"`)
    assert.deepEqual(foreignPorts(wanted, entries(...option.split(',')), undefined), [], option)
  }
})

test('a long list is told in short', () => {
  const all = foreignPorts(spec('5000-5010:5000-5010/udp'), [], undefined)
  assert.deepEqual(describeForeign(all), {
    ports: '5000:5000/udp, 5001:5001/udp, 5002:5002/udp … (11)',
    option: 'publish="5000-5010/udp"',
  })
  assert.equal(describeForeign([]), undefined)
})
