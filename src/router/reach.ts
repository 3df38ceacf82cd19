import dgram from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import http from 'node:http'
import https from 'node:https'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'

/** How to find out whether a name leads here. */
export type ReachSettings = Readonly<{
  /** `tls`: by port 443; else by 80. */
  challenge: 'http' | 'tls'
  /** Where the authority would come; 80 or 443 unless another is set. */
  port: number
  /** Path and answer by which this server's router is told from any other. */
  path: string
  header: string
  token: string
  /** Empty: the machine's own. */
  dnsServers: readonly string[]
  /** This server's public address, where the machine does not have it itself. */
  address: string
}>

/** Whether a certificate authority would find this server under a name; if not, why, and which record to set. */
export type Reach = Readonly<{ here: true } | { here: false; problem: string; hint: string }>

const dnsTimeoutMs = 3_000
const connectTimeoutMs = 4_000

/**
 * Asks DNS where a name leads, then asks there, as a certificate authority will, whether it is this server: a try that
 * must fail would count against the authority's limits.
 */
export async function checkReach(host: string, settings: ReachSettings): Promise<Reach> {
  const { addresses, trouble } = await lookUp(host, settings.dnsServers)
  const here = await ownAddress(settings.address)
  const record = `Set the record ${host}. A ${here ?? "(this server's public address)"}`
  const later = 'The certificate comes by itself then.'
  if (trouble) {
    const hint = `Is the DNS of this machine in order? If it is, ${lower(record)}. ${later}`
    return { here: false, problem: `where ${host} leads could not be looked up (${trouble})`, hint }
  }
  if (addresses.length === 0) {
    return { here: false, problem: `${host} has no DNS record`, hint: `${record}. ${later}` }
  }
  for (const address of addresses) {
    const found = await ask(host, address, settings)
    const kind = isIP(address) === 6 ? 'AAAA' : 'A'
    const other = kind === 'AAAA' ? `Remove the AAAA record of ${host}, or set it to this server's` : record
    switch (found.kind) {
      case 'here':
        break
      case 'other':
        return {
          here: false,
          problem: `the ${kind} record of ${host} is ${address}, where another server answers (${found.what})`,
          hint: `${other}. ${later}`,
        }
      case 'silent': {
        // Many routers at home don't lead back in what comes from inside.
        if (address === settings.address) break
        // A machine without IPv6 can't tell.
        if (kind === 'AAAA' && /ENETUNREACH|EADDRNOTAVAIL|EHOSTUNREACH/.test(found.what)) break
        const mine = localAddresses().includes(address)
        return {
          here: false,
          problem: mine
            ? `${host} leads to ${address}, which is this machine, but port ${settings.port} does not answer there (${found.what})`
            : `the ${kind} record of ${host} is ${address}, where port ${settings.port} does not answer (${found.what})`,
          hint: mine
            ? `Open port ${settings.port} in the firewall. ${later}`
            : `${other}; or open port ${settings.port} in the firewall, if that address is this server's (behind NAT, also set address = ${JSON.stringify(address)} in [router] of config.toml). ${later}`,
        }
      }
    }
  }
  return { here: true }
}

/** The address that DNS records of this server should have; `undefined` when the machine only has private ones. */
async function ownAddress(configured: string): Promise<string | undefined> {
  if (configured !== '') return configured
  const address = await outgoingAddress()
  return address !== undefined && !isPrivate(address) ? address : undefined
}

async function lookUp(
  host: string,
  servers: readonly string[],
): Promise<{ addresses: readonly string[]; trouble?: string }> {
  const resolver = new Resolver({ timeout: dnsTimeoutMs, tries: 2 })
  if (servers.length > 0) resolver.setServers([...servers])
  const records = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const addresses = records.flatMap((result) => (result.status === 'fulfilled' ? result.value : []))
  if (addresses.length > 0) return { addresses }
  const codes = records.flatMap((result) =>
    result.status === 'rejected' ? [(result.reason as NodeJS.ErrnoException).code ?? ''] : [],
  )
  const trouble = codes.find((code) => code !== 'ENODATA' && code !== 'ENOTFOUND')
  return { addresses, ...(trouble === undefined ? {} : { trouble }) }
}

type Found = Readonly<{ kind: 'here' } | { kind: 'other'; what: string } | { kind: 'silent'; what: string }>

function ask(host: string, address: string, settings: ReachSettings): Promise<Found> {
  const secure = settings.challenge === 'tls'
  const options: https.RequestOptions = {
    host: address,
    port: settings.port,
    path: settings.path,
    agent: false,
    timeout: connectTimeoutMs,
    headers: { host, 'user-agent': 'mypaas', connection: 'close' },
    ...(secure ? { servername: host, rejectUnauthorized: false } : {}),
  }
  return new Promise((resolve) => {
    const request = (secure ? https : http).get(options, (response) => {
      const token = response.headers[settings.header.toLowerCase()]
      resolve(token === settings.token ? { kind: 'here' } : { kind: 'other', what: `status ${response.statusCode}` })
      response.destroy()
    })
    request.once('timeout', () => request.destroy(new Error(`no answer within ${connectTimeoutMs / 1000} s`)))
    request.once('error', (error: NodeJS.ErrnoException) =>
      resolve({ kind: 'silent', what: error.code ?? error.message }),
    )
  })
}

/** The address that the way into the world begins at. Nothing is sent. */
function outgoingAddress(): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4')
    const end = (address: string | undefined): void => {
      resolve(address)
      socket.close()
    }
    socket.once('error', () => end(undefined))
    socket.connect(9, '192.0.2.1', () => end(socket.address().address))
  })
}

function localAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address))
}

function isPrivate(address: string): boolean {
  return /^(10\.|127\.|169\.254\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(
    address,
  )
}

function lower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
