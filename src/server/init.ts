import { chmod, mkdir } from 'node:fs/promises'
import net from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Docker, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { readIfThere, writeDurably } from '../files.ts'
import { ensureRouter } from '../router/container.ts'
import { parseConfig, type ServerConfig, serverDirectory } from './config.ts'
import { findIdentity, makeIdentity, routerContainer } from './host.ts'

export type InitOptions = Readonly<{
  /** For a laptop: published on loopback only, on free ports where 80 and 443 are taken. */
  local?: boolean
  instance?: string
  httpPort?: number
  httpsPort?: number
  adminPort?: number
  email?: string
  home?: string
  /** Told what is being done. */
  onProgress?: (message: string) => void
}>

export type Initialised = Readonly<{
  directory: string
  config: ServerConfig
  /** What became of `config.toml`: `created`, `changed` (the given flags were set in it) or `unchanged`. */
  configFile: 'created' | 'changed' | 'unchanged'
  router: 'created' | 'replaced' | 'started' | 'unchanged'
}>

/**
 * Makes this machine a mypaas server, or brings one that it is already up to its config: `~/_mypaas`, networks, router.
 * Run again it keeps what was changed by hand, and never loses keys, certificates or secrets.
 * @throws {MypaasError} `failed` when ports or names are taken, naming what to choose
 */
export async function initServer(options: InitOptions = {}): Promise<Initialised> {
  const directory = serverDirectory(options.home ?? homedir())
  const say = options.onProgress ?? (() => {})
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await chmod(directory, 0o700)

  const file = join(directory, 'config.toml')
  const before = await readIfThere(file)
  const text = before === undefined ? await newConfig(options) : withFlags(before, options)
  const config = parseConfig(text, file)
  const identity = (await findIdentity(directory)) ?? (await makeIdentity(directory))
  const wanted = routerContainer(directory, config, identity)

  await using docker = new Docker()
  try {
    await docker.images.inspect(wanted.image)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    say(`pulling ${wanted.image}`)
    for await (const _ of docker.images.pull(wanted.image)) {
      // The whole is small; that it goes on is enough to know.
    }
  }
  say(`router ${wanted.name}: ports ${config.router.httpPort} and ${config.router.httpsPort}`)
  const router = await ensureRouter(docker, wanted)
  if (text !== before) await writeDurably(file, text)
  return {
    directory,
    config,
    configFile: before === undefined ? 'created' : text === before ? 'unchanged' : 'changed',
    router,
  }
}

async function newConfig(options: InitOptions): Promise<string> {
  const bind = options.local ? '127.0.0.1' : ''
  const taken: number[] = []
  const choose = async (given: number | undefined, usual: number, mayMove: boolean): Promise<number> => {
    if (given !== undefined) return given
    if (await isFree(usual, bind)) return usual
    if (mayMove) return freePort(usual < 1024 ? usual + 8000 : usual + 1, bind)
    taken.push(usual)
    return usual
  }
  const httpPort = await choose(options.httpPort, 80, options.local === true)
  const httpsPort = await choose(options.httpsPort, 443, options.local === true)
  const adminPort = await choose(options.adminPort, 8081, true)
  if (taken.length > 0) {
    throw new MypaasError(
      `Port ${taken.join(' and ')} of this machine ${taken.length > 1 ? 'are' : 'is'} taken by something else.`,
      {
        code: 'failed',
        hint: 'Stop that (ss -ltnp shows it), or choose others: mypaas server init --http-port 8080 --https-port 8443',
      },
    )
  }
  return configTemplate({
    instance: options.instance ?? '',
    bind,
    httpPort,
    httpsPort,
    adminPort,
    email: options.email ?? '',
  })
}

function withFlags(text: string, options: InitOptions): string {
  const set = (table: string, key: string, value: string | number | undefined, from: string): string =>
    value === undefined
      ? from
      : setKey(from, table, key, typeof value === 'number' ? String(value) : JSON.stringify(value))
  let result = set('server', 'instance', options.instance, text)
  result = set('router', 'http_port', options.httpPort, result)
  result = set('router', 'https_port', options.httpsPort, result)
  result = set('router', 'admin_port', options.adminPort, result)
  return set('router', 'email', options.email, result)
}

/** Sets one key in TOML text and leaves every other character as a person wrote it. */
export function setKey(text: string, table: string, key: string, value: string): string {
  const lines = text.split('\n')
  const isHeader = (line: string): boolean => /^\s*\[/.test(line)
  const begin = lines.findIndex((line) => line.trim().replaceAll(' ', '') === `[${table}]`)
  if (begin < 0) return `${text.trimEnd()}\n\n[${table}]\n${key} = ${value}\n`
  const rest = lines.slice(begin + 1).findIndex(isHeader)
  const end = rest < 0 ? lines.length : begin + 1 + rest
  const at = lines.findIndex((line, index) => index > begin && index < end && new RegExp(`^\\s*${key}\\s*=`).test(line))
  if (at >= 0) lines[at] = `${key} = ${value}`
  else lines.splice(begin + 1, 0, `${key} = ${value}`)
  return lines.join('\n')
}

/** Takes one key out of TOML text; every other character stays. */
export function unsetKey(text: string, table: string, key: string): string {
  let current = ''
  return text
    .split('\n')
    .filter((line) => {
      const header = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)?.[1]
      if (header !== undefined) current = header.replaceAll(' ', '')
      return current !== table || !new RegExp(`^\\s*${key}\\s*=`).test(line)
    })
    .join('\n')
}

function configTemplate(values: {
  instance: string
  bind: string
  httpPort: number
  httpsPort: number
  adminPort: number
  email: string
}): string {
  return `# The settings of this mypaas server. After a change: mypaas server init

[server]
# A name that keeps several mypaas on one machine apart: their containers, images and networks begin with it.
instance = ${JSON.stringify(values.instance)}
# Directories outside the home below which a service may mount host paths, for example ["/srv"].
volume_roots = []
# Releases whose images are kept, the current one included.
keep_releases = 5
# How long a new release may take to get ready.
start_timeout = "60s"
# How long open requests of an old release may go on while the new one serves …
drain = "5m"
# … and where everybody waits for them (services without scale).
hold_drain = "5s"
# Between asking a container to stop and killing it.
grace = "10s"
# How long Docker may take for one call, and a build may go on without a word, before a deploy is given up.
engine_timeout = "60s"
build_silence = "10m"
# The size at which a container's log is rotated; three files are kept.
log_size = "10m"
# The host that takes pushes, at https://HOST/daemon/; without one they come by ssh.
domain = ""
# Where the daemon listens for the router, on this machine's address of the router's network.
daemon_port = 8083
# What one push may hold, and what the pushes of all services may take on the disk.
push_size = "8g"
push_store = "32g"

[router]
image = "traefik:v3.7.15"
# The address that the public ports are published on; empty for all.
bind = ${JSON.stringify(values.bind)}
http_port = ${values.httpPort}
https_port = ${values.httpsPort}
# The router's own API, on loopback and behind a password that only mypaas knows.
admin_port = ${values.adminPort}
# For certificates of Let's Encrypt; without it https URLs get the router's own certificate.
email = ${JSON.stringify(values.email)}
# How Let's Encrypt sees that a name is this server's: "http" (port 80), "tls" (port 443), or "dns" (for wildcards; then
# dns_provider = "…" and its credentials in [router.dns_env], see docs/server.md).
challenge = "http"
# How long the deploy of a new https URL waits for its certificate.
certificate_wait = "30s"

# Certificates of your own, as often as you like.
# [[router.certificates]]
# cert = "/etc/ssl/example.com.pem"
# key = "/etc/ssl/example.com.key"

# Values for "# mypaas.env=KEY" of any service …
[env]
# POSTGRES_PASSWORD = "…"

# … and of one service only.
# [services.blog.env]
# API_TOKEN = "…"
`
}

async function freePort(from: number, bind: string): Promise<number> {
  for (let port = from; port < Math.min(from + 1000, 65_536); port += 1) if (await isFree(port, bind)) return port
  throw new MypaasError(`There is no free port from ${from} on.`, {
    code: 'failed',
    hint: 'Choose: --http-port, --https-port',
  })
}

function isFree(port: number, bind: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      // Not ours to open, but the engine may: it publishes as root.
      else if (error.code === 'EACCES') resolve(true)
      else reject(error)
    })
    server.listen(port, bind === '' ? '0.0.0.0' : bind, () => server.close(() => resolve(true)))
  })
}
