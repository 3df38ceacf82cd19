import { homedir } from 'node:os'
import { join } from 'node:path'
import { MypaasError } from '../errors.ts'
import { readIfThere, writeDurably } from '../files.ts'
import type { KnownServers } from './remote.ts'
import { formatAddress, parseAddress } from './transport.ts'

/** A server that has a name on this machine. */
export type NamedRemote = Readonly<{
  address: string
  /** A file with certificates to trust for it. */
  ca?: string
  /** A private key to sign with. */
  key?: string
}>

type Known = Record<string, Readonly<{ server: string; key?: string }>>

/** What this user's machine knows of servers: names for them, and who they were the last time. */
export class Remotes implements KnownServers {
  readonly #folder: string
  #named: Record<string, NamedRemote> = {}
  #known: Known = {}

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async open(folder: string = configFolder()): Promise<Remotes> {
    const remotes = new Remotes(folder)
    remotes.#named = await readJson<NamedRemote>(join(folder, 'remotes.json'))
    remotes.#known = await readJson(join(folder, 'known-servers.json'))
    return remotes
  }

  get names(): readonly string[] {
    return Object.keys(this.#named).sort()
  }

  named(name: string): NamedRemote | undefined {
    return Object.hasOwn(this.#named, name) ? this.#named[name] : undefined
  }

  /** @throws {MypaasError} `usage` when the name or the address can't be one */
  async add(name: string, remote: NamedRemote): Promise<void> {
    if (!/^[a-z0-9][a-z0-9_-]{0,39}$/.test(name) || name === 'localhost') {
      throw new MypaasError(`${JSON.stringify(name)} can't be the name of a server: a-z, 0-9, - and _ may be in it.`, {
        code: 'usage',
      })
    }
    parseAddress(remote.address)
    this.#named = { ...this.#named, [name]: remote }
    await this.#write('remotes.json', this.#named)
  }

  /** @throws {MypaasError} `usage` when there is none of that name */
  async remove(name: string): Promise<void> {
    if (!this.named(name))
      throw new MypaasError(`There is no server called ${name}.`, {
        code: 'usage',
        hint: 'List them: mypaas remote ls',
      })
    const { [name]: _, ...others } = this.#named
    this.#named = others
    await this.#write('remotes.json', others)
  }

  get(address: string): Known[string] | undefined {
    return Object.hasOwn(this.#known, address) ? this.#known[address] : undefined
  }

  async set(address: string, known: Known[string]): Promise<void> {
    this.#known = { ...this.#known, [address]: known }
    await this.#write('known-servers.json', this.#known)
  }

  /** Forgets who a server was; the next push takes it as it is then. */
  async forget(server: string): Promise<void> {
    const address = formatAddress(parseAddress(this.named(server)?.address ?? server, this.names))
    const { [address]: known, ...others } = this.#known
    if (!known) throw new MypaasError(`Nothing is known of ${address}.`, { code: 'usage' })
    this.#known = others
    await this.#write('known-servers.json', others)
  }

  #write(file: string, value: unknown): Promise<void> {
    return writeDurably(join(this.#folder, file), `${JSON.stringify(value, undefined, 1)}\n`)
  }
}

function configFolder(): string {
  return join(process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'mypaas')
}

async function readJson<T>(file: string): Promise<Record<string, T>> {
  const text = await readIfThere(file)
  if (text === undefined) return {}
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, T>
  } catch {
    // Falls through to the same answer.
  }
  throw new MypaasError(`${file} is not one that mypaas wrote.`, {
    code: 'usage',
    hint: 'Move it away; name your servers anew: mypaas remote add',
  })
}
