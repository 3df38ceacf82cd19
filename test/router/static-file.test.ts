import assert from 'node:assert/strict'
import { isIP } from 'node:net'
import test from 'node:test'
import { cloudflareRanges } from '../../src/router/cloudflare.ts'
import { entryFile } from '../../src/router/entry-file.ts'
import { staticFile } from '../../src/router/static-file.ts'
import { whyReplaced } from '../../src/router/why-replaced.ts'

const settings = { httpsPort: 443, adminPasswordHash: '{SHA}x', reachToken: 'abc' }

test('paths are passed on as they were asked where users come in, and are tidied where mypaas does', () => {
  const { entryPoints } = JSON.parse(staticFile(settings))
  assert.deepEqual(
    Object.entries<{ http: { sanitizePath?: boolean; middlewares?: string[] } }>(entryPoints).map(
      ([name, { http }]) => [name, http.sanitizePath, http.middlewares],
    ),
    [
      ['web', false, ['mypaas~web@file']],
      ['websecure', false, ['mypaas~websecure@file']],
      ['admin', undefined, undefined],
    ],
  )
})

test('ports for tcp have entry points of their own, by their order, whatever the config says first', () => {
  const { entryPoints } = JSON.parse(staticFile({ ...settings, tcpPorts: [8080, 5432] }))
  assert.deepEqual(Object.keys(entryPoints), ['web', 'websecure', 'admin', 'tcp-5432', 'tcp-8080'])
  assert.deepEqual([entryPoints['tcp-5432'].address, entryPoints['tcp-8080'].address], [':9001', ':9002'])
})

test('who is trusted is trusted where users come in only', () => {
  const trusted = { addresses: ['10.0.0.0/8'], cloudflare: false }
  const { entryPoints } = JSON.parse(staticFile({ ...settings, trusted, tcpPorts: [5432] }))
  for (const name of ['web', 'websecure'])
    assert.deepEqual(entryPoints[name].forwardedHeaders, { trustedIPs: ['10.0.0.0/8'] })
  for (const name of ['admin', 'tcp-5432']) assert.equal(entryPoints[name].forwardedHeaders, undefined)
})

test('the ranges of Cloudflare are ranges, each once', () => {
  assert.equal(new Set(cloudflareRanges).size, 22)
  for (const range of cloudflareRanges) {
    const [address = '', bits] = range.split('/')
    assert.ok(isIP(address) > 0 && Number(bits) >= 12 && Number(bits) <= (isIP(address) === 4 ? 22 : 32), range)
  }
})

test('with names that have underscores every alias of what the router says is taken from clients', () => {
  const dropped = (more: object): readonly string[] => {
    const file = JSON.parse(entryFile({ ...settings, ...more }))
    const headers: Record<string, string> = file.http.middlewares['mypaas~web'].headers.customRequestHeaders
    return Object.keys(headers).filter((name) => headers[name] === '')
  }
  const aliases = [
    'X_Forwarded_For',
    'X-Forwarded_For',
    'X.Forwarded.Proto',
    'X_Real-Ip',
    'Client_Ip',
    'X!Forwarded!Host',
  ]
  const without = dropped({})
  for (const name of aliases) assert.ok(!without.includes(name), name)
  const all = dropped({ underscoreHeaders: true })
  for (const name of [...without, ...aliases]) assert.ok(all.includes(name), name)
  for (const name of ['X-Forwarded-For', 'X-Forwarded-Proto', 'X-Real-Ip', 'Host']) assert.ok(!all.includes(name), name)
})

test('why a router is replaced is said in words of the config, each reason once', () => {
  const made = (image: string, more: object, ports: readonly number[]) => {
    const PortBindings = Object.fromEntries(ports.map((port) => [`${port}/tcp`, [{ HostIp: '', HostPort: `${port}` }]]))
    const container = { Config: { Image: image }, Image: image, HostConfig: { PortBindings } }
    return { container, staticFile: staticFile({ ...settings, ...more }) } as never
  }
  const before = made('traefik:v1', {}, [80, 443])
  assert.deepEqual(whyReplaced(before, before), ['another version of mypaas made it'])
  const trusted = { addresses: ['10.0.0.0/8'], cloudflare: false }
  const after = made('traefik:v2', { trusted, underscoreHeaders: true, tcpPorts: [5432], httpsPort: 8443 }, [80, 5432])
  assert.deepEqual(whyReplaced(before, after), [
    'another image: traefik:v1 → traefik:v2',
    'underscore_headers: which names of headers reach services',
    'trusted_ips: whose word about a client is taken',
    'traefik.yml: entryPoints.websecure.http3.advertisedPort',
    'tcp: ports for services that speak no http',
    'port 5432/tcp is opened',
    'port 443/tcp is closed',
  ])
})
