import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Endpoint, TlsMaterial } from './address.ts'
import { configDirectory, type DockerConfig } from './credentials.ts'
import { DockerError } from './errors.ts'

/**
 * Finds the engine as the docker command does: `DOCKER_HOST`, else the context of `DOCKER_CONTEXT` or `docker context
 * use`, else the first usable socket of Docker (also rootless, also Desktop's) or Podman.
 * @param options.context a context's name, before all others
 * @param options.systemSocket where an engine of the whole machine listens; default `/var/run/docker.sock`
 * @throws {DockerError} for an address that is none, and for a context that does not exist
 */
export async function findEngine(
  env: NodeJS.ProcessEnv,
  options: { context?: string | undefined; systemSocket?: string | undefined } = {},
): Promise<Endpoint> {
  if (options.context === undefined && env['DOCKER_HOST']) return fromEnvironment(env['DOCKER_HOST'], env)
  const context = options.context ?? (env['DOCKER_CONTEXT'] || currentContext(env))
  if (context !== 'default') return fromContext(context, env)
  return { kind: 'unix', path: findSocket(env, options.systemSocket ?? '/var/run/docker.sock') }
}

/**
 * `unix:///var/run/docker.sock`, `tcp://host:2376`, `https://host:2376`, `ssh://user@host` → where that is.
 * @param tls what a `tcp://` address is to be spoken to with; a missing port is 2376 then, else 2375
 * @throws {DockerError} for text that is no address of an engine
 */
export function parseHost(text: string, tls?: TlsMaterial): Endpoint {
  if (/^unix:\/\/\/./.test(text)) return { kind: 'unix', path: text.slice('unix://'.length) }
  if (text.startsWith('/')) return { kind: 'unix', path: text }
  const [, scheme, rest] = /^(tcp|http|https|ssh):\/\/(.+)$/.exec(text) ?? []
  // Schemes that URL does not know it does not take apart.
  const address = `http://${rest}`
  if (scheme !== undefined && URL.canParse(address)) {
    const url = new URL(address)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    // `http://host:80` loses its port in URL.
    const port = url.port !== '' ? Number(url.port) : /:80(?:\/|$)/.test(rest ?? '') ? 80 : undefined
    if (scheme !== 'ssh' && url.username === '') {
      const secure = scheme === 'https' ? (tls ?? {}) : tls
      return { kind: 'tcp', host, port: port ?? (secure ? 2376 : 2375), tls: secure }
    }
    if (scheme === 'ssh' && url.password === '' && isSafe(url)) {
      const path = url.pathname === '/' ? undefined : url.pathname
      return { kind: 'ssh', user: decodeURIComponent(url.username) || undefined, host, port, path }
    }
  }
  throw new DockerError(`${JSON.stringify(text)} is no address of a Docker engine.`, {
    code: 'usage',
    hint: 'Give unix:///var/run/docker.sock, tcp://HOST:2376 or ssh://USER@HOST.',
  })
}

/** Both go to ssh's command line, the path on to a shell over there. */
function isSafe(url: URL): boolean {
  return !url.hostname.startsWith('-') && !url.username.startsWith('-') && /^[\w./@-]*$/.test(url.pathname)
}

function fromEnvironment(host: string, env: NodeJS.ProcessEnv): Endpoint {
  if (!env['DOCKER_TLS_VERIFY'] && !env['DOCKER_TLS'] && !host.startsWith('https:')) return parseHost(host)
  const directory = env['DOCKER_CERT_PATH'] || configDirectory(env)
  return parseHost(host, { ...readTls(directory), verify: Boolean(env['DOCKER_TLS_VERIFY']) })
}

function currentContext(env: NodeJS.ProcessEnv): string {
  try {
    const text = readIfThere(join(configDirectory(env), 'config.json'))
    return (text && (JSON.parse(text.replace(/^\uFEFF/, '')) as DockerConfig | null)?.currentContext) || 'default'
  } catch {
    // A broken file matters to whoever needs credentials from it.
    return 'default'
  }
}

async function fromContext(name: string, env: NodeJS.ProcessEnv): Promise<Endpoint> {
  const { createHash } = await import('node:crypto')
  const contexts = join(configDirectory(env), 'contexts')
  const id = createHash('sha256').update(name).digest('hex')
  const text = readIfThere(join(contexts, 'meta', id, 'meta.json'))
  if (text === undefined) {
    throw new DockerError(`There is no docker context ${JSON.stringify(name)}.`, {
      code: 'usage',
      hint: 'docker context ls lists them; look also at DOCKER_CONTEXT.',
    })
  }
  const { Endpoints } = JSON.parse(text) as ContextFile
  const { Host, SkipTLSVerify } = Endpoints?.['docker'] ?? {}
  if (!Host) {
    throw new DockerError(`The docker context ${JSON.stringify(name)} has no address of an engine.`, {
      code: 'usage',
      hint: `docker context inspect ${name} shows it.`,
    })
  }
  const tls = readTls(join(contexts, 'tls', id, 'docker'))
  const secure = tls.ca !== undefined || tls.cert !== undefined || SkipTLSVerify === true
  return parseHost(Host, secure ? { ...tls, verify: SkipTLSVerify !== true } : undefined)
}

type ContextFile = { Name: string; Endpoints?: Record<string, { Host?: string; SkipTLSVerify?: boolean }> }

function readTls(directory: string): TlsMaterial {
  return {
    ca: readIfThere(join(directory, 'ca.pem')),
    cert: readIfThere(join(directory, 'cert.pem')),
    key: readIfThere(join(directory, 'key.pem')),
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new DockerError(`${file} can't be read: ${(error as Error).message}.`, { code: 'usage', cause: error })
  }
}

/** The first socket that may be used; if none may, the first that is there, so that the error can name it. */
function findSocket(env: NodeJS.ProcessEnv, systemSocket: string): string {
  const runtime = env['XDG_RUNTIME_DIR']
  const home = env['HOME'] || homedir()
  const sockets = [
    systemSocket,
    ...(runtime ? [join(runtime, 'docker.sock')] : []),
    join(home, '.docker/run/docker.sock'),
    join(home, '.docker/desktop/docker.sock'),
    ...(runtime ? [join(runtime, 'podman/podman.sock')] : []),
    '/run/podman/podman.sock',
  ]
  return sockets.find(isUsable) ?? sockets.find((path) => existsSync(path)) ?? systemSocket
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}
