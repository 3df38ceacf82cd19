import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientBehind, proxyAddresses, proxyList } from '../../src/server/proxies.ts'

test('the client is who stands before the last of the proxies, whatever stands before that', () => {
  const proxies = proxyList(['cloudflare', '10.0.0.5', '2001:db8::/48'])
  for (const [said, client] of [
    ['192.0.2.9', '192.0.2.9'],
    ['192.0.2.9, 104.16.0.1', '192.0.2.9'],
    ['10.0.0.5, 192.0.2.9, 10.0.0.5, 104.16.0.1', '192.0.2.9'],
    ['made up, 2001:db9::1, 2001:db8::7', '2001:db9::1'],
    ['192.0.2.9, 10.0.0.6', '10.0.0.6'],
    ['104.16.0.1', '104.16.0.1'],
    ['nonsense, 104.16.0.1', 'nonsense'],
  ] as const)
    assert.equal(clientBehind(proxies, said), client, said)
  assert.equal(clientBehind(proxyList([]), '192.0.2.9, 104.16.0.1'), '104.16.0.1')
})

test('each range is there once', () => {
  assert.deepEqual(proxyAddresses(['10.0.0.1', 'cloudflare', '10.0.0.1']).length, 23)
})
