import { readdir, readFile } from 'node:fs/promises'

/** One TCP socket of a container, from its side. */
export type Socket = Readonly<{
  localAddress: string
  localPort: number
  remoteAddress: string
  state: 'open' | 'listening' | 'other'
}>

/**
 * The TCP sockets in the network of a container, from the kernel's own table.
 * @param pid A process of the container, on this machine.
 * @returns `undefined` where the table cannot be read: another machine's engine, no right to, or the process is gone
 */
export async function readSockets(pid: number): Promise<readonly Socket[] | undefined> {
  if (pid <= 0) return undefined
  try {
    const tables = await Promise.all(['tcp', 'tcp6'].map((table) => readTable(pid, table)))
    return tables.flat()
  } catch {
    return undefined
  }
}

/** Where the processes of a container listen, but for the engine's own DNS server; `undefined` as {@link readSockets}. */
export async function listeningIn(pid: number): Promise<readonly string[] | undefined> {
  const sockets = await readSockets(pid)
  return sockets && listening(sockets).filter((end) => !end.startsWith(engineDns))
}

const engineDns = '127.0.0.11:'

/** Where they listen, as `address:port`, sorted. */
export function listening(sockets: readonly Socket[]): readonly string[] {
  const found = sockets.filter(({ state }) => state === 'listening')
  return [...new Set(found.map(({ localAddress, localPort }) => `${bracket(localAddress)}:${localPort}`))].sort()
}

function bracket(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}

async function readTable(pid: number, table: string): Promise<Socket[]> {
  const text = await readFile(`/proc/${pid}/net/${table}`, 'utf8').catch(async (error: NodeJS.ErrnoException) => {
    // A kernel without IPv6 has no tcp6; a process that is gone has nothing.
    if (error.code === 'ENOENT' && table === 'tcp6') {
      await readdir(`/proc/${pid}/net`)
      return ''
    }
    throw error
  })
  return text
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields.length > 3)
    .map(parseRow)
}

const states: Readonly<Record<string, Socket['state']>> = { '01': 'open', '03': 'open', '0A': 'listening' }

function parseRow(fields: readonly string[]): Socket {
  const [localAddress, localPort] = parseEnd(fields[1] ?? '')
  const [remoteAddress] = parseEnd(fields[2] ?? '')
  return { localAddress, localPort, remoteAddress, state: states[fields[3] ?? ''] ?? 'other' }
}

/** `0100007F:1F90` → 127.0.0.1, 8080. The kernel writes each 32-bit word in the machine's (little-endian) order. */
function parseEnd(text: string): [address: string, port: number] {
  const [hex = '', port = ''] = text.split(':')
  const bytes: number[] = []
  for (let word = 0; word + 8 <= hex.length; word += 8) {
    for (let byte = 6; byte >= 0; byte -= 2) bytes.push(Number.parseInt(hex.slice(word + byte, word + byte + 2), 16))
  }
  const mapped = bytes.length === 16 && bytes.slice(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 255))
  const v4 = bytes.length === 4 ? bytes : mapped ? bytes.slice(12) : undefined
  if (v4) return [v4.join('.'), Number.parseInt(port, 16)]
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  )
  const address = groups.every((group) => group === '0') ? '::' : groups.join(':')
  return [address === '0:0:0:0:0:0:0:1' ? '::1' : address, Number.parseInt(port, 16)]
}
