import { Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'

/** Finds the addresses of a name; `undefined` when that could not be found out. Never rejects. */
export type LookUp = (name: string, signal: AbortSignal) => Promise<readonly string[] | undefined>

/** For one question to one server, which is asked twice. */
const questionMs = 2_000

/**
 * The addresses of a name: of `/etc/hosts` if it is there, else by DNS, with the machine's search domains where a program
 * would use them. Not by the system's own look-up, which has no deadline and a few threads that it shares with all work on
 * files.
 */
export const lookUp: LookUp = (name, signal) => addressesOf(name, { signal })

/** @param options.servers Instead of the machine's: `127.0.0.1:5353`. */
export async function addressesOf(
  name: string,
  options: { signal: AbortSignal; servers?: readonly string[]; hosts?: string; resolvConf?: string },
): Promise<readonly string[] | undefined> {
  const { signal, servers, hosts = '/etc/hosts', resolvConf = '/etc/resolv.conf' } = options
  const plain = name.replace(/\.$/, '').toLowerCase()
  if (signal.aborted) return undefined
  if (plain === 'localhost' || plain.endsWith('.localhost')) return ['127.0.0.1']
  const written = addressesInHosts(await textOf(hosts), plain)
  if (written.length > 0) return written
  const { domains, dots } = searchOf(await textOf(resolvConf))
  const searched = name.endsWith('.') ? [] : domains.map((domain) => `${plain}.${domain}`)
  const turns = plain.split('.').length > dots ? [[plain], searched] : [[...searched, plain]]
  const resolver = new Resolver({ timeout: questionMs, tries: 2 })
  if (servers) resolver.setServers(servers)
  const cancel = (): void => resolver.cancel()
  signal.addEventListener('abort', cancel)
  try {
    for (const names of turns) {
      // Whichever of them a program would take counts.
      const found = await Promise.all(names.map((one) => asked(resolver, one)))
      if (signal.aborted || found.includes(undefined)) return undefined
      const addresses = found.flatMap((one) => one ?? [])
      if (addresses.length > 0) return addresses
    }
    return []
  } finally {
    signal.removeEventListener('abort', cancel)
  }
}

/** By both kinds of addresses; `undefined` when one of them is not told. */
async function asked(resolver: Resolver, name: string): Promise<readonly string[] | undefined> {
  const none = (error: NodeJS.ErrnoException): readonly string[] | undefined =>
    error.code === 'ENOTFOUND' || error.code === 'ENODATA' || error.code === 'EBADNAME' ? [] : undefined
  const [four, six] = await Promise.all([resolver.resolve4(name).catch(none), resolver.resolve6(name).catch(none)])
  return four && six && [...four, ...six]
}

async function textOf(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}

function linesOf(text: string): readonly (readonly string[])[] {
  return text.split('\n').map((line) =>
    line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/),
  )
}

function addressesInHosts(text: string, name: string): readonly string[] {
  return linesOf(text).flatMap(([address = '', ...names]) =>
    isIP(address.split('%')[0] ?? '') > 0 && names.some((one) => one.toLowerCase() === name) ? [address] : [],
  )
}

/** The domains in which names with fewer dots are looked for first. @see `man 5 resolv.conf` */
function searchOf(text: string): { domains: readonly string[]; dots: number } {
  let domains: readonly string[] = []
  let dots = 1
  for (const [key, ...values] of linesOf(text)) {
    if (key === 'search' || key === 'domain') domains = values.filter((value) => value !== '.')
    if (key === 'options') {
      const option = values.find((value) => /^ndots:\d+$/.test(value))
      if (option) dots = Math.min(15, Number(option.slice('ndots:'.length)))
    }
  }
  return { domains, dots }
}
