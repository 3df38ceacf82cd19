import { homedir } from 'node:os'
import { join } from 'node:path'
import { MypaasError } from '../errors.ts'
import { readIfThere, writeDurably } from '../files.ts'
import type { KnownServer, KnownServers } from './pins.ts'
import { formatAddress, parseAddress } from './transport.ts'

/** A server that has a name on this machine. */
export type NamedRemote = Readonly<{
  address: string
  /** A file with certificates to trust for it. */
  ca?: string
  /** A private key to sign with. */
  key?: string
}>

/** What comes after a server was forgotten. */
export const nextContact =
  'the next contact shows its key and asks, on a terminal; elsewhere it fails, unless the key is written behind the address or in MYPAAS_SERVER_KEY.'

type Known = Record<string, KnownServer>

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
    remotes.#named = await readJson<NamedRemote>(remotes.#file('remotes.json'))
    remotes.#known = await readJson(remotes.#file('known-servers.json'))
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

  get(address: string): KnownServer | undefined {
    return Object.hasOwn(this.#known, address) ? this.#known[address] : undefined
  }

  async set(address: string, known: KnownServer): Promise<void> {
    // As it is now: another process may have learned of another server meanwhile.
    this.#known = { ...(await readJson<KnownServer>(this.#file('known-servers.json'))), [address]: known }
    await this.#write('known-servers.json', this.#known)
  }

  identities(): ReadonlyMap<string, string> {
    const found = Object.entries(this.#known).flatMap(([address, { identity }]): [string, string][] =>
      identity === undefined ? [] : [[address, identity]],
    )
    return new Map(found)
  }

  /**
   * Has the server at an address have a key of that fingerprint, whoever it was before.
   * @returns the fingerprint that was expected there before, if it was another one; and what else is called by that address
   */
  async expect(address: string, identity: string): Promise<{ before?: string; names: readonly string[] }> {
    const { [address]: before, ...others } = this.#known
    const names = this.names.filter((name) => formatAddress(parseAddress(this.named(name)?.address ?? '')) === address)
    if (before?.identity === identity) return { names }
    this.#known = { ...others, [address]: { identity, added: true } }
    await this.#write('known-servers.json', this.#known)
    return { names, ...(before?.identity === undefined ? {} : { before: before.identity }) }
  }

  /**
   * Forgets who a server was, by whatever addresses it was known; the next contact is a first one.
   * @returns the addresses
   */
  async forget(server: string): Promise<readonly string[]> {
    const address = formatAddress(parseAddress(this.named(server)?.address ?? server, this.names))
    const known = this.get(address)
    if (!known) {
      throw new MypaasError(`Nothing is known of ${address}.`, {
        code: 'usage',
        hint: `There is nothing to forget: ${nextContact}`,
      })
    }
    const { identity } = known
    const isIt = ([other, { identity: its }]: [string, KnownServer]): boolean =>
      other === address || (identity !== undefined && its === identity)
    const all = Object.entries(this.#known)
    this.#known = Object.fromEntries(all.filter((entry) => !isIt(entry)))
    await this.#write('known-servers.json', this.#known)
    return all.filter(isIt).map(([other]) => other)
  }

  #file(name: string): string {
    return join(this.#folder, name)
  }

  #write(file: string, value: unknown): Promise<void> {
    return writeDurably(this.#file(file), `${JSON.stringify(value, undefined, 1)}\n`)
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
