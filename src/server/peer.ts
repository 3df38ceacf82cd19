import type { IncomingMessage } from 'node:http'
import { isIPv4, isIPv6 } from 'node:net'
import type { Via } from './request.ts'

/**
 * Who a request comes from, as far as one is to wait for another: an IPv4 address, or the half of an IPv6 address that
 * one party has. The router says it of those who come by it, and what they say of themselves it takes away.
 */
export function peerOf(request: IncomingMessage, via: Via): string {
  if (via === 'socket') return 'socket'
  const said = String(request.headers['x-forwarded-for'] ?? '')
    .split(',')
    .at(-1)
    ?.trim()
  const address = said === undefined || said === '' ? (request.socket?.remoteAddress ?? '?') : said
  if (isIPv4(address)) return address
  return isIPv6(address) ? networkOf(address) : 'unknown'
}

/** The first 64 bits of an IPv6 address; of one that stands for an IPv4 address, that. */
function networkOf(address: string): string {
  const plain = address.replace(/%.*$/, '').toLowerCase()
  const within = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(plain)?.[1]
  if (within !== undefined) return within
  const [head = '', tail] = plain.replace(/\d+\.\d+\.\d+\.\d+$/, '0:0').split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const all = tail === undefined ? before : [...before, ...Array(8 - before.length - after.length).fill('0'), ...after]
  return `${all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}
