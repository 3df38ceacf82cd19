import { readdir, readFile, readlink } from 'node:fs/promises'
import { readIfThere } from '../files.ts'
import { daemonLock } from './daemon-age.ts'

/** Who listens on the daemon's port: the daemon of this home, nobody, or somebody else. */
export type PortHolder = 'daemon' | 'nobody' | 'other'

/**
 * Looks up who listens on an address of this machine, in the kernel's own tables: an answer to a request could be
 * anybody's.
 * @param directory `~/_mypaas` of the daemon
 */
export async function holderOfPort(directory: string, host: string, port: number): Promise<PortHolder> {
  const listeners = await listenersOn(host, port)
  if (listeners.length === 0) return 'nobody'
  const [, pid] = /\(process (\d+), /.exec((await readIfThere(daemonLock(directory))) ?? '') ?? []
  const own = pid === undefined ? new Set<string>() : await socketsOf(pid)
  return listeners.every((inode) => own.has(inode)) ? 'daemon' : 'other'
}

/** The inodes of the sockets that get what is sent to an address. */
async function listenersOn(host: string, port: number): Promise<readonly string[]> {
  const wanted = [hexOf(host), '00000000', '0'.repeat(32)]
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))
  return tables.flatMap((table) =>
    table.split('\n').flatMap((line) => {
      const fields = line.trim().split(/\s+/)
      const [address = '', hexPort = ''] = (fields[1] ?? '').split(':')
      const matches = fields[3] === '0A' && wanted.includes(address) && Number.parseInt(hexPort, 16) === port
      return matches && fields[9] !== undefined ? [fields[9]] : []
    }),
  )
}

/** As the kernel writes an IPv4 address: `172.18.0.1` → `010012AC`. IPv6 gateways are not looked at. */
function hexOf(host: string): string {
  const bytes = host.split('.').map(Number).reverse()
  return Buffer.from(bytes).toString('hex').toUpperCase()
}

async function socketsOf(pid: string): Promise<ReadonlySet<string>> {
  const folder = `/proc/${pid}/fd`
  const links = await Promise.all(
    (await readdir(folder).catch(() => [])).map((name) => readlink(`${folder}/${name}`).catch(() => '')),
  )
  return new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []))
}
