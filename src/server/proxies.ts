import { BlockList, isIP } from 'node:net'
import { cloudflareRanges } from '../router/cloudflare.ts'

/** The addresses and ranges that `trusted_ips` means, each once. */
export function proxyAddresses(trustedIps: readonly string[]): readonly string[] {
  return [...new Set(trustedIps.flatMap((text) => (text === 'cloudflare' ? cloudflareRanges : [text])))]
}

/** Tells whether an address is one of these proxies'. */
export function proxyList(trustedIps: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of proxyAddresses(trustedIps)) {
    const [address = '', bits] = range.split('/')
    const kind = isIP(address) === 4 ? 'ipv4' : 'ipv6'
    if (bits === undefined) list.addAddress(address, kind)
    else list.addSubnet(address, Number(bits), kind)
  }
  return list
}

/**
 * The client of a request that went by proxies, from the router's `X-Forwarded-For`: from its end, the first address that
 * is none of theirs. What stands before that the client may have made up.
 */
export function clientBehind(proxies: BlockList, forwardedFor: string): string {
  const hops = forwardedFor.split(',').map((text) => text.trim())
  const isProxy = (address: string): boolean => {
    const kind = isIP(address)
    return kind !== 0 && proxies.check(address, kind === 4 ? 'ipv4' : 'ipv6')
  }
  return hops.findLast((address) => !isProxy(address)) ?? hops[0] ?? ''
}
