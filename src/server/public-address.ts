import { BlockList, isIP, isIPv4 } from 'node:net'
import { networkInterfaces } from 'node:os'

/**
 * Whether an IP address is one of the Internet at large: neither this machine's own nor one of a network that only some
 * can reach (loopback, private, link-local with the clouds' metadata services, carriers', multicast, reserved).
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry · iana-ipv6-special-registry
 */
export function isPublicAddress(address: string): boolean {
  const plain = address.split('%')[0] ?? ''
  if (isIPv4(plain)) return !special.check(plain, 'ipv4') && !isOwn(plain)
  if (isIP(plain) !== 6) return false
  const embedded = embeddedIPv4(plain)
  if (embedded !== undefined) return isPublicAddress(embedded)
  return global.check(plain, 'ipv6') && !special.check(plain, 'ipv6') && !isOwn(plain)
}

const global = new BlockList()
global.addSubnet('2000::', 3, 'ipv6')

const special = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const)
  special.addSubnet(net, bits, 'ipv4')
for (const [net, bits] of [
  // Teredo and others, 6to4, documentation.
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  special.addSubnet(net, bits, 'ipv6')

/** The IPv4 address in `::ffff:a.b.c.d`, `::a.b.c.d` and `64:ff9b::a.b.c.d`, which leads there. */
function embeddedIPv4(address: string): string | undefined {
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const match = /^(?:::ffff:|64:ff9b::|::)(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})$/.exec(canonical)
  if (!match || (match[1] === undefined && canonical.startsWith('::') && !canonical.startsWith('::ffff:')))
    return undefined
  const [high, low] = [Number.parseInt(match[1] ?? '0', 16), Number.parseInt(match[2] ?? '0', 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

/** This machine answers itself behind its own firewall. */
function isOwn(address: string): boolean {
  const family = isIPv4(address) ? 'ipv4' : 'ipv6'
  const own = new BlockList()
  for (const all of Object.values(networkInterfaces()))
    for (const { address: mine } of all ?? []) own.addAddress(mine.split('%')[0] ?? '', isIPv4(mine) ? 'ipv4' : 'ipv6')
  return own.check(address, family)
}
