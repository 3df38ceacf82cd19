import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import { isPublicAddress } from '../../src/server/public-address.ts'

test('only addresses of the Internet at large are public', () => {
  for (const address of [
    '1.1.1.1',
    '140.82.121.3',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700::1111',
    '::ffff:1.1.1.1',
    '64:ff9b::101:101',
  ])
    assert.equal(isPublicAddress(address), true, address)
  for (const address of [
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.9.9.9',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '198.19.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:0:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:169.254.169.254',
    '64:ff9b::7f00:1',
    '64:ff9b:1::1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    '2002:7f00:1::',
    '2001:0:7f00:1::',
    '2001:db8::1',
    'nonsense',
    '',
  ])
    assert.equal(isPublicAddress(address), false, address)
})

test("this machine's own addresses are not public, whatever they are", () => {
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  assert.ok(own.length > 0)
  for (const { address } of own) assert.equal(isPublicAddress(address), false, address)
})
