import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { CallOptions } from './deadline.ts'
import { DockerError } from './errors.ts'
import { parseImageReference } from './image-reference.ts'
import type { Some } from './types/partial.ts'

/** Credentials of one registry. */
export type AuthConfig = Some<{
  username: string
  password: string
  /** From a login, instead of name and password. */
  identitytoken: string
  /** A bearer token, instead of name and password. */
  registrytoken: string
  serveraddress: string
  email: string
}>

/** As the engine's `X-Registry-Auth` and `X-Registry-Config` want it: base64 for URLs, but with its padding. */
export function encodeAuth(auth: AuthConfig | Readonly<Record<string, AuthConfig>>): string {
  return Buffer.from(JSON.stringify(auth)).toString('base64').replaceAll('+', '-').replaceAll('/', '_')
}

/**
 * The credentials that `docker login` has left: in `config.json` (`auths`), or with a credential helper (`credHelpers`,
 * `credsStore`), which is asked each time.
 * @see https://docs.docker.com/reference/cli/docker/login/#credential-stores
 */
export class Credentials {
  readonly #env: NodeJS.ProcessEnv

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env
  }

  /**
   * Those for the registry of an image; `undefined` when there are none.
   * @throws {DockerError} `usage` when the file can't be read · when a helper fails
   */
  async forImage(image: string, options: Pick<CallOptions, 'signal'> = {}): Promise<AuthConfig | undefined> {
    const reference = parseImageReference(image)
    const config = reference && (await this.#read())
    return config && this.#forHost(config, hostOf(reference.registry), options)
  }

  /**
   * All of them, by registry host, as a build wants them. A helper that fails may be of no use to it: it is left out, and
   * so is a file that can't be read. Who needs what is in it is told so by {@link forImage}.
   */
  async all(options: Pick<CallOptions, 'signal'> = {}): Promise<Record<string, AuthConfig>> {
    const orNothing = (error: unknown): undefined => {
      if (!(error instanceof DockerError)) throw error
    }
    const config = await this.#read().catch(orNothing)
    if (!config) return {}
    const hosts = new Set([...Object.keys(config.auths ?? {}), ...Object.keys(config.credHelpers ?? {})].map(hostOf))
    for (const server of (await this.#listed(config, options).catch(orNothing)) ?? []) hosts.add(hostOf(server))
    const found: Record<string, AuthConfig> = {}
    for (const host of hosts) {
      const auth = await this.#forHost(config, host, options).catch(orNothing)
      if (auth) found[keyOf(host)] = auth
    }
    return found
  }

  async #listed({ credsStore }: DockerConfig, options: Pick<CallOptions, 'signal'>): Promise<string[]> {
    if (!credsStore) return []
    const listed = await this.#ask(credsStore, 'list', '', options)
    return Object.keys(parseJson<object>(listed ?? '{}', `docker-credential-${credsStore}`))
  }

  async #read(): Promise<DockerConfig | undefined> {
    const file = join(configDirectory(this.#env), 'config.json')
    let text: string
    try {
      text = await readFile(file, 'utf8')
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined
      throw new DockerError(`${file} can't be read (${code}).`, { code: 'usage', hint: mendOrMove, cause: error })
    }
    const plain = text.replace(/^\uFEFF/, '')
    // `docker` takes an empty one for none.
    return plain.trim() === '' ? undefined : parseJson<DockerConfig>(plain, file)
  }

  async #forHost(
    config: DockerConfig,
    host: string,
    options: Pick<CallOptions, 'signal'>,
  ): Promise<AuthConfig | undefined> {
    const key = keyOf(host)
    const helper =
      Object.entries(config.credHelpers ?? {}).find(([name]) => hostOf(name) === host)?.[1] ?? config.credsStore
    if (helper) {
      const asked = await this.#ask(helper, 'get', key, options)
      if (asked !== undefined) return fromHelper(parseJson(asked, `docker-credential-${helper}`), key)
    }
    const entries = Object.entries(config.auths ?? {})
    const entry = entries.find(([name]) => name === key) ?? entries.find(([name]) => hostOf(name) === host)
    return entry?.[1] ? fromFile(entry[1], key) : undefined
  }

  /** @returns what the helper printed; `undefined` when it knows nothing of that registry */
  async #ask(helper: string, action: 'get' | 'list', input: string, { signal }: Pick<CallOptions, 'signal'>) {
    const program = `docker-credential-${helper}`
    if (!/^[\w.-]+$/.test(helper)) throw new DockerError(`${JSON.stringify(helper)} is no name of a credential helper.`)
    const { spawn } = await import('node:child_process')
    return new Promise<string | undefined>((resolve, reject) => {
      const fail = (why: string, cause?: Error) =>
        reject(
          new DockerError(`The credential helper ${program} failed: ${why}`, {
            hint: 'Try docker login, or look at credsStore and credHelpers in ~/.docker/config.json.',
            cause,
          }),
        )
      const late = AbortSignal.timeout(helperTimeoutMs)
      const child = spawn(program, [action], {
        env: this.#env,
        stdio: ['pipe', 'pipe', 'pipe'],
        signal: signal ? AbortSignal.any([signal, late]) : late,
      })
      let out = ''
      let err = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out = (out + text).slice(0, 1024 * 1024)
      })
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        err = (err + text).slice(-2000)
      })
      child.stdin.on('error', () => {})
      child.stdin.end(input)
      child.once('error', (error: NodeJS.ErrnoException) => {
        if (signal?.aborted) reject(signal.reason)
        else if (late.aborted) fail(`it did not answer within ${helperTimeoutMs / 1000} s.`, error)
        else fail(error.code === 'ENOENT' ? 'there is no such program.' : error.message, error)
      })
      child.once('close', (code, killedBy) => {
        if (code === 0) resolve(out)
        else if (/credentials not found/i.test(out + err)) resolve(undefined)
        else fail(killedBy ? `it was stopped (${killedBy}).` : out.trim() || err.trim() || `exit code ${code}.`)
      })
    })
  }
}

/** The directory of the docker command's own files: contexts, credentials. */
export function configDirectory(env: NodeJS.ProcessEnv): string {
  return env['DOCKER_CONFIG'] || join(env['HOME'] || homedir(), '.docker')
}

export type DockerConfig = {
  auths?: Record<string, FileEntry>
  credsStore?: string
  credHelpers?: Record<string, string>
  currentContext?: string
}

type FileEntry = {
  auth?: string
  username?: string
  password?: string
  identitytoken?: string
  registrytoken?: string
}

type HelperAnswer = { Username?: string; Secret?: string }

const helperTimeoutMs = 30_000
const hubKey = 'https://index.docker.io/v1/'

/** `https://index.docker.io/v1/` → `index.docker.io`; all names of Docker Hub are one. */
function hostOf(server: string): string {
  const host = server.replace(/^https?:\/\//, '').split('/', 1)[0] ?? ''
  return host === 'docker.io' || host === 'registry-1.docker.io' ? 'index.docker.io' : host
}

/** The name under which logins to a registry are kept. */
function keyOf(host: string): string {
  return host === 'index.docker.io' ? hubKey : host
}

function fromHelper({ Username = '', Secret = '' }: HelperAnswer, key: string): AuthConfig {
  if (Username === '<token>') return { identitytoken: Secret, serveraddress: key }
  return { username: Username, password: Secret, serveraddress: key }
}

function fromFile(entry: FileEntry, key: string): AuthConfig | undefined {
  const { identitytoken, registrytoken } = entry
  let { username, password } = entry
  if (entry.auth) {
    const text = Buffer.from(entry.auth, 'base64').toString()
    const colon = text.indexOf(':')
    if (colon > 0) {
      username = text.slice(0, colon)
      // Some writers pad the password with zero bytes.
      password = text.slice(colon + 1).replace(/\0+$/, '')
    }
  }
  if (!username && !identitytoken && !registrytoken) return undefined
  const auth: AuthConfig = { serveraddress: key }
  if (username) auth.username = username
  if (password && !identitytoken) auth.password = password
  if (identitytoken) auth.identitytoken = identitytoken
  if (registrytoken) auth.registrytoken = registrytoken
  return auth
}

const mendOrMove = 'Mend it, or move it away.'

function parseJson<T>(text: string, file: string): T {
  try {
    const value = JSON.parse(text) as T | null
    if (typeof value === 'object' && value !== null) return value
  } catch (cause) {
    throw new DockerError(`${file} is not JSON.`, { code: 'usage', hint: mendOrMove, cause })
  }
  throw new DockerError(`${file} is no JSON object.`, { code: 'usage', hint: mendOrMove })
}
