import { chmod, lstat, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { homedir, hostname, tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { MypaasError } from '../errors.ts'
import { readIfThere } from '../files.ts'
import { generatePrivateKey, parsePrivateKey } from '../ssh/private-key.ts'
import { makeSignature } from '../ssh/sshsig.ts'
import { MalformedError } from '../ssh/wire.ts'
import { fingerprint, lastLine, otherFormat, run, sign, sshKeygen } from './signature.ts'
import { namespace } from './statement.ts'

/** A key that can sign: `TYPE BASE64`, and where it comes from in words. */
export type UserKey = Readonly<{
  /** `TYPE BASE64`. */
  public: string
  fingerprint: string
  source: string
  sign: (text: string) => Promise<string>
}>

/** The source of a key that a machine was given. */
export const environmentSource = 'MYPAAS_PRIVATE_KEY'

/**
 * The user's keys, the likeliest first: the file that was named, else `MYPAAS_PRIVATE_KEY`, else what the agent holds,
 * then the files in `~/.ssh`, then the one that `mypaas key init` made.
 * The variable is taken out of the environment, so that no child process inherits it.
 * @throws {MypaasError} `unauthorised` when there is none; `usage` when the named one can't be read
 */
export async function findKeys(options: { keyFile?: string | undefined; home?: string } = {}): Promise<UserKey[]> {
  const home = options.home ?? homedir()
  const given = process.env['MYPAAS_PRIVATE_KEY']
  delete process.env['MYPAAS_PRIVATE_KEY']
  await removeLeftovers()
  if (options.keyFile !== undefined) return [await fileKey(options.keyFile)]
  if (given !== undefined && given.trim() !== '') return [environmentKey(given)]
  const keys = await agentKeys()
  for (const file of keyFiles(home)) {
    const key = await fileKey(file).catch(() => undefined)
    if (key && !keys.some((other) => other.public === key.public)) keys.push(key)
  }
  if (keys.length > 0) return keys
  throw new MypaasError('There is no key to sign with: none in the agent, none in ~/.ssh.', {
    code: 'unauthorised',
    hint: 'Make one: mypaas key init. Then give its public line to the server: mypaas key get',
  })
}

/** Where the key is that mypaas makes for itself. */
function ownKeyFile(home: string = homedir()): string {
  return join(home, '.config', 'mypaas', 'id_ed25519')
}

function keyFiles(home: string): string[] {
  return [...['id_ed25519', 'id_ecdsa', 'id_rsa'].map((name) => join(home, '.ssh', name)), ownKeyFile(home)]
}

/** Finds the key that pushes would be signed with first, or makes one without passphrase at {@link ownKeyFile}. */
export async function initKey(home: string = homedir()): Promise<{ key: UserKey; made: boolean }> {
  const found = await findKeys({ home }).catch((error: unknown) => {
    if (error instanceof MypaasError && error.code === 'unauthorised') return []
    throw error
  })
  if (found[0]) return { key: found[0], made: false }
  const file = ownKeyFile(home)
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await generate(file, `${userInfo().username}@${hostname()}`)
  return { key: await fileKey(file), made: true }
}

/** A new key for a machine: the private half in one line for `MYPAAS_PRIVATE_KEY`, and the public line. No file has it. */
export function generateKey(comment: string): { private: string; public: string } {
  const made = generatePrivateKey(comment)
  return { private: Buffer.from(made.text).toString('base64'), public: `${made.public} ${comment}` }
}

async function generate(file: string, comment: string): Promise<void> {
  const made = await sshKeygen(['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file], {
    mayAsk: false,
    timeoutMs: 30_000,
  })
  if (made.code !== 0) throw new MypaasError(`ssh-keygen made no key: ${lastLine(made.stderr)}.`, { code: 'failed' })
}

async function agentKeys(): Promise<UserKey[]> {
  if (!process.env['SSH_AUTH_SOCK']) return []
  const { code, stdout } = await run('ssh-add', ['-L'], { mayAsk: false, timeoutMs: 5_000 }).catch(() => ({
    code: 1,
    stdout: '',
  }))
  if (code !== 0) return []
  return stdout.split('\n').flatMap((line) => {
    const [type, base64, ...comment] = line.trim().split(' ')
    // A certificate is signed with by its plain key, which is listed too.
    if (!type || !base64 || type.includes('-cert-')) return []
    const key = `${type} ${base64}`
    const signWithAgent = (text: string): Promise<string> =>
      inPrivateFolder(async (folder) => {
        await writeFile(join(folder, 'key.pub'), `${key}\n`, { mode: 0o600 })
        return sign(text, join(folder, 'key.pub'))
      })
    return [userKey(key, `the agent${comment.length > 0 ? ` (${comment.join(' ')})` : ''}`, signWithAgent)]
  })
}

/** @throws {MypaasError} `usage` when there is no key in the file */
async function fileKey(file: string): Promise<UserKey> {
  const found = await stat(file).catch(() => undefined)
  if (!found?.isFile()) {
    throw new MypaasError(`There is no key ${file}.`, {
      code: 'usage',
      hint: 'Name a private key: --key ~/.ssh/id_ed25519',
    })
  }
  return userKey(await publicHalf(file), file, (text) => sign(text, file))
}

/** The key of a file: from `FILE.pub`, else by ssh-keygen, which may ask for the passphrase. */
async function publicHalf(file: string): Promise<string> {
  const beside = publicLine(await readIfThere(`${file}.pub`).catch(() => undefined))
  if (beside) return beside
  const { stdout, stderr } = await sshKeygen(['-y', '-f', file], { mayAsk: true, timeoutMs: 120_000 })
  const line = publicLine(stdout)
  if (line) return line
  throw new MypaasError(`${file} is no private key that ssh-keygen reads: ${lastLine(stderr)}.`, {
    code: 'usage',
    hint: otherFormat,
  })
}

function publicLine(text: string | undefined): string | undefined {
  const match = /^((?:ssh|ecdsa|sk)-\S+|sk-ssh-\S+) ([A-Za-z0-9+/]+=*)(?:\s|$)/.exec(text?.trim() ?? '')
  return match ? `${match[1]} ${match[2]}` : undefined
}

/** A key in a variable stays in the memory of this process: no file ever holds it, and no other program reads it. */
function environmentKey(value: string): UserKey {
  try {
    const key = parsePrivateKey(asPem(value))
    return userKey(key.public, environmentSource, async (text) => makeSignature(text, namespace, key.blob, key.sign))
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    throw new MypaasError(`The value of MYPAAS_PRIVATE_KEY can't be used as a private key: ${error.message}.`, {
      code: 'unauthorised',
      hint: 'It takes the text of a private key (ed25519, ecdsa, rsa; OpenSSH or PEM) without passphrase, its newlines as they are, as \\n or as _, or its base64. Make one: mypaas key gen',
      cause: error,
    })
  }
}

/** The text of a key file, whichever way it was squeezed into one variable. */
export function asPem(value: string): string {
  const text = value.trim()
  const isEncoded = /^[A-Za-z0-9+/\s]+=*$/.test(text)
  const plain = (isEncoded ? Buffer.from(text, 'base64').toString('latin1') : text)
    .replaceAll('\\n', '\n')
    .replaceAll('_', '\n')
    .trim()
  const match = /^-----BEGIN ([A-Z0-9 ]+)-----([\s\S]+)-----END \1-----$/.exec(plain)
  if (!match) return `${plain}\n`
  const body = (match[2] as string).trim().replace(/\s+/g, '\n')
  return `-----BEGIN ${match[1]}-----\n${body}\n-----END ${match[1]}-----\n`
}

async function inPrivateFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), 'mypaas-key-')).catch(() =>
    mkdtemp(join(tmpdir(), 'mypaas-key-')),
  )
  try {
    await chmod(folder, 0o700)
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Versions before wrote the key of the variable into a folder for as long as ssh-keygen read it; who was killed left it. */
async function removeLeftovers(): Promise<void> {
  const old = Date.now() - 3_600_000
  for (const parent of new Set([process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), tmpdir()])) {
    for (const name of await readdir(parent).catch(() => [])) {
      if (!name.startsWith('mypaas-key-')) continue
      const found = await lstat(join(parent, name)).catch(() => undefined)
      if (!found?.isDirectory() || found.uid !== process.getuid?.() || found.mtimeMs > old) continue
      await rm(join(parent, name), { recursive: true, force: true }).catch(() => {})
    }
  }
}

function userKey(key: string, source: string, signWith: (text: string) => Promise<string>): UserKey {
  return { public: key, fingerprint: fingerprint(key.split(' ')[1] ?? ''), source, sign: signWith }
}
