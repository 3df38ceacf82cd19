import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseSpec } from '../../src/service/parse.ts'
import { DirectiveError } from '../../src/service/problems.ts'
import { formatPublish, parsePublish, portsClash } from '../../src/service/publish.ts'
import { portProblem, type Reserved } from '../../src/service/reserved.ts'
import type { PublishedPort } from '../../src/service/spec.ts'

const reserved: Reserved = {
  ports: [
    { port: 80, what: "the router's http_port" },
    { port: 443, what: "the router's https_port" },
    { port: 8081, what: "the router's admin_port" },
    { port: 8083, what: "the daemon's daemon_port" },
  ],
  enginePorts: { from: 32_768, to: 65_535 },
  domain: 'paas.example.com',
}
const highRouter: Reserved = { ...reserved, ports: [{ port: 40_000, what: "the router's http_port" }] }

function problems(lines: readonly string[], own: Reserved = reserved): readonly string[] {
  const text = ['# mypaas.service=blog', ...lines.map((line) => `# mypaas.${line}`), 'FROM scratch', ''].join('\n')
  try {
    parseSpec(text, { reserved: own })
    return []
  } catch (error) {
    assert.ok(error instanceof DirectiveError)
    return error.problems.map(({ line, message }) => `${line}: ${message}`)
  }
}

test('what meets a port of the router or the daemon is refused with its line, on any address and by any protocol', () => {
  for (const text of [
    '80:80',
    '443:443/udp',
    '80:80/udp',
    '80:80/sctp',
    '127.0.0.1:443:8443',
    '0.0.0.0:80:80',
    '[::]:80:80',
    '[::1]:8081:80',
    '172.18.0.1:8083:80',
    '80-81:80',
    '79-80:80',
    '1-65535:80',
    '127.0.0.1:8082-8084:80/udp',
    '8080-8085:8080-8085',
    '442-443:442-443/udp',
  ]) {
    const [problem, ...more] = problems([`publish=${text}`])
    assert.match(problem ?? '', /^2: mypaas\.publish: .* which is the (router|daemon)'s \w+_port$/, text)
    assert.deepEqual(more, [], text)
  }
  for (const text of [
    '8080',
    '127.0.0.1::80',
    '0:80',
    '79:80',
    '81:443',
    '8084-9000:80',
    '1024-8080:80',
    '5353:53/udp',
  ])
    assert.deepEqual(problems([`publish=${text}`]), [], text)
})

test("a port of the engine's choice is refused where one of ours lies among those that it chooses from", () => {
  for (const text of ['80', '127.0.0.1::80/udp', '0:80'])
    assert.match(
      problems([`publish=${text}`], highRouter)[0] ?? '',
      /the engine would choose a port, which may be 40000/,
    )
  assert.deepEqual(problems(['publish=9000:80', 'publish=50000-50010:80'], highRouter), [])
})

test('no text that passes can ever become one of our ports', () => {
  const port = fc.integer({ min: 1, max: 65_535 })
  const near = fc.constantFrom(79, 80, 81, 442, 443, 444, 8080, 8081, 8082, 8083, 8084, 32_767, 32_768)
  const text = fc
    .record({
      ip: fc.constantFrom('', '127.0.0.1:', '0.0.0.0:', '[::]:', '10.0.0.5:'),
      from: fc.oneof(port, near),
      more: fc.integer({ min: 0, max: 400 }),
      container: port,
      spread: fc.boolean(),
      protocol: fc.constantFrom('', '/tcp', '/udp', '/sctp'),
    })
    .map(({ ip, from, more, container, spread, protocol }) => {
      const to = Math.min(65_535, from + more)
      const inside = spread ? `${from}${to > from ? `-${to}` : ''}` : `${container}`
      return `${ip}${from}${to > from ? `-${to}` : ''}:${inside}${protocol}`
    })
  fc.assert(
    fc.property(text, (written) => {
      const ports = parsePublish(written, () => {}) ?? []
      if (ports.some((one) => portProblem(one, reserved))) return
      for (const { hostPort = 0, hostPortEnd = hostPort } of ports)
        for (const own of reserved.ports) assert.ok(own.port < hostPort || own.port > hostPortEnd, written)
    }),
    { numRuns: 2_000 },
  )
})

test("no service gets a URL on the daemon's host; a wildcard that covers it may be, and never gets that one", () => {
  for (const url of ['https://paas.example.com', 'http://paas.example.com', 'https://PAAS.example.com/x'])
    assert.match(problems([`url=${url}`])[0] ?? '', /^2: mypaas\.url: .* is on the host of the server itself/, url)
  for (const url of ['https://*.example.com', 'https://example.com', 'https://a.paas.example.com'])
    assert.deepEqual(problems([`url=${url}`]), [], url)
  assert.deepEqual(problems(['url=https://paas.example.com'], { ...reserved, domain: '' }), [])
})

test('two fixed ports of two services clash; a range, which takes what is free, clashes with nobody', () => {
  const read = (text: string): PublishedPort => parsePublish(text, () => {})?.[0] as PublishedPort
  const table: [string, string, boolean][] = [
    ['8000-8010:80', '8005:80', false],
    ['8000-8010:80', '127.0.0.1:8005:80', false],
    ['8000-8010:80', '8005-8020:80', false],
    ['8000-8010:80', '80', false],
    ['8005:80', '8005:81', true],
    ['8005:80', '127.0.0.1:8005:81', true],
    ['127.0.0.1:8005:80', '127.0.0.2:8005:80', false],
    ['8005:80', '8005:80/udp', false],
  ]
  for (const [a, b, clash] of table) {
    assert.equal(portsClash(read(a), read(b)), clash, `${a} ${b}`)
    assert.equal(portsClash(read(b), read(a)), clash, `${b} ${a}`)
    assert.equal(formatPublish(read(a)), a)
  }
})
