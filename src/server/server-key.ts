import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { join } from 'node:path'
import { MypaasError } from '../errors.ts'
import { readIfThere, writeDurably } from '../files.ts'
import { takeLock } from '../lock.ts'
import { type EarlierKey, isSignedBy, keyFingerprint, keyLine, maxEarlierKeys, succession } from '../push/server-key.ts'
import { FileLook } from './file-look.ts'

/** By what a client tells this server from another: an ed25519 key of its own. */
export type ServerKey = Readonly<{
  /** `ssh-ed25519 BASE64`. */
  public: string
  /** `SHA256:…`. */
  fingerprint: string
  /** Those that it had before, the oldest first. Each has signed the next; their private halves are gone. */
  earlier: readonly EarlierKey[]
  /** @returns a signature in base64 */
  sign: (text: string) => string
}>

/** `~/_mypaas/server-key.json`. One file, so that there is no moment at which a new key is there and nobody vouches for it. */
type KeyFile = Readonly<{ version: 1; private: string; earlier: readonly EarlierKey[] }>

/** The server's key. @throws {MypaasError} `degraded` when the file is not one that mypaas wrote */
export async function findServerKey(directory: string): Promise<ServerKey | undefined> {
  const file = fileOf(directory)
  const text = await readIfThere(file)
  if (text === undefined) return undefined
  const found = parse(text)
  if (found) return found
  throw new MypaasError(`${file} is not one that mypaas wrote: it has the key by which clients know this server.`, {
    code: 'degraded',
    hint: 'Put it back from a backup. If it is lost: remove it, and run mypaas server init; each client has to forget this server then: mypaas remote forget NAME',
  })
}

/** The server's key, made where there is none yet. */
export async function ensureServerKey(directory: string): Promise<ServerKey & { made: boolean }> {
  const found = await findServerKey(directory)
  if (found) return { ...found, made: false }
  await using _ = await lock(directory)
  const meanwhile = await findServerKey(directory)
  if (meanwhile) return { ...meanwhile, made: false }
  return { ...(await write(directory, generateKeyPairSync('ed25519').privateKey, [])), made: true }
}

/**
 * Gives the server a new key. The old one signs it, so that clients that know the old one take the new one by themselves,
 * and is gone then.
 * @param options.dropOld nobody vouches for the new one: clients that know an older one have to forget this server
 */
export async function rotateServerKey(
  directory: string,
  options: { dropOld: boolean },
): Promise<{ before: ServerKey; now: ServerKey }> {
  await using _ = await lock(directory)
  const before = await present(directory)
  const { privateKey } = generateKeyPairSync('ed25519')
  const signature = before.sign(succession(before.public, keyLine(privateKey)))
  const earlier = options.dropOld ? [] : [...before.earlier, { key: before.public, signature }]
  return { before, now: await write(directory, privateKey, earlier.slice(-maxEarlierKeys)) }
}

/** Lets no older key vouch for the present one any more. */
export async function dropEarlierKeys(directory: string): Promise<{ now: ServerKey; dropped: number }> {
  await using _ = await lock(directory)
  const before = await present(directory)
  const { private: pem } = JSON.parse((await readIfThere(fileOf(directory))) ?? '') as KeyFile
  return { now: await write(directory, createPrivateKey(pem), []), dropped: before.earlier.length }
}

/** The key of a server that runs: read anew whenever its file changes, the one before while that can't be read. */
export class LiveServerKey {
  readonly #directory: string
  readonly #log: (line: string) => void
  readonly #look: FileLook
  #stamp = ''
  #reading: Promise<ServerKey>

  private constructor(directory: string, key: ServerKey, log: (line: string) => void) {
    this.#directory = directory
    this.#log = log
    this.#look = new FileLook(fileOf(directory))
    this.#reading = Promise.resolve(key)
  }

  /** Opens it, and makes it where there is none yet: on a server of an earlier version. */
  static async open(directory: string, log: (line: string) => void): Promise<LiveServerKey> {
    const key = await ensureServerKey(directory)
    if (key.made) log(`made this server's key: ${key.fingerprint}`)
    return new LiveServerKey(directory, key, log)
  }

  /** Read once for all who ask meanwhile. */
  current(): Promise<ServerKey> {
    const { stamp } = this.#look.now()
    if (stamp !== this.#stamp) {
      this.#stamp = stamp
      this.#reading = this.#read(this.#reading)
    }
    return this.#reading
  }

  async #read(reading: Promise<ServerKey>): Promise<ServerKey> {
    const before = await reading
    try {
      const found = await findServerKey(this.#directory)
      if (!found) this.#log(`${fileOf(this.#directory)} is gone; its key counts until the daemon ends`)
      else if (found.public !== before.public) this.#log(`has the key ${found.fingerprint} now`)
      return found ?? before
    } catch (error) {
      this.#log(`goes on with the key that it had: ${error instanceof Error ? error.message : String(error)}`)
      return before
    }
  }
}

function fileOf(directory: string): string {
  return join(directory, 'server-key.json')
}

function lock(directory: string): ReturnType<typeof takeLock> {
  return takeLock(join(directory, 'server-key.lock'), { what: "the server's key", waitMs: 10_000 })
}

async function present(directory: string): Promise<ServerKey> {
  const found = await findServerKey(directory)
  if (found) return found
  throw new MypaasError('This server has no key of its own yet.', {
    code: 'usage',
    hint: 'Make it: mypaas server init',
  })
}

async function write(directory: string, key: KeyObject, earlier: readonly EarlierKey[]): Promise<ServerKey> {
  const file: KeyFile = { version: 1, private: String(key.export({ type: 'pkcs8', format: 'pem' })), earlier }
  await writeDurably(fileOf(directory), `${JSON.stringify(file, undefined, 1)}\n`)
  return keyOf(key, earlier)
}

/** `undefined` unless it is a key, for which each of those before vouches. */
function parse(text: string): ServerKey | undefined {
  try {
    const { version, private: pem, earlier } = JSON.parse(text) as KeyFile
    const key = createPrivateKey(pem)
    if (version !== 1 || key.asymmetricKeyType !== 'ed25519') return undefined
    const lines = [...earlier.map((one) => one.key), keyLine(key)]
    const isWhole = earlier.every((one, at) =>
      isSignedBy(one.key, succession(one.key, lines[at + 1] ?? ''), one.signature),
    )
    return isWhole ? keyOf(key, earlier) : undefined
  } catch {
    return undefined
  }
}

function keyOf(key: KeyObject, earlier: readonly EarlierKey[]): ServerKey {
  const line = keyLine(key)
  return {
    public: line,
    fingerprint: keyFingerprint(line),
    earlier,
    sign: (text) => sign(null, Buffer.from(text), key).toString('base64'),
  }
}
