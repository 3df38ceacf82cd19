import { readdir, readFile, readlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { daemonLock } from './daemon-age.ts'
import { daemonSocket } from './daemon-socket.ts'

/**
 * Who listens on the daemon's port: the daemon of this home, nobody, or somebody else; `unknown` where that can't be seen
 * and the daemon runs: then most likely it is that one, who would tell if it were not.
 */
export type PortHolder = 'daemon' | 'nobody' | 'other' | 'unknown'

/**
 * Looks up who listens on an address of this machine, in the kernel's own tables: an answer to a request could be
 * anybody's.
 * @param directory `~/_mypaas` of the daemon
 */
export async function holderOfPort(directory: string, host: string, port: number): Promise<PortHolder> {
  const listeners = await listenersOn(host, port)
  if (listeners?.length === 0) return 'nobody'
  const lock = await readFile(daemonLock(directory), 'utf8').catch(() => '')
  const [, pid] = /\(process (\d+), /.exec(lock) ?? []
  const own = pid === undefined ? undefined : await socketsOf(pid)
  if (!listeners || !own) return (await mayRun(directory)) ? 'unknown' : 'other'
  return listeners.every((inode) => own.has(inode)) ? 'daemon' : 'other'
}

/** Whether somebody takes connections on the daemon's socket, which only who runs it can make; or this user can't tell. */
function mayRun(directory: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(daemonSocket(directory))
    socket.setTimeout(askTimeoutMs, () => end(true))
    socket.on('connect', () => end(true))
    socket.on('error', ({ code }: NodeJS.ErrnoException) => end(code !== 'ECONNREFUSED' && code !== 'ENOENT'))
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
  })
}

const askTimeoutMs = 2_000

/** The inodes of the sockets that get what is sent to an address; `undefined` where no table can be read. */
async function listenersOn(host: string, port: number): Promise<readonly string[] | undefined> {
  const wanted = [hexOf(host), '00000000', '0'.repeat(32)]
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))
  if (tables.every((table) => table === '')) return undefined
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

/** `undefined` for a process that is not there, or that this user may not look at. */
async function socketsOf(pid: string): Promise<ReadonlySet<string> | undefined> {
  const folder = `/proc/${pid}/fd`
  const names = await readdir(folder).catch(() => undefined)
  if (!names) return undefined
  const links = await Promise.all(names.map((name) => readlink(`${folder}/${name}`).catch(() => '')))
  return new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []))
}
