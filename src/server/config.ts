import { stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join, normalize } from 'node:path'
import TOML from '@ltd/j-toml'
import { MypaasError } from '../errors.ts'
import { readIfThere } from '../files.ts'
import { parseBytes, parseDuration } from '../units.ts'

/** `~/_mypaas/config.toml`, parsed: what a person sets on a server. Every key has a default. */
export type ServerConfig = Readonly<{
  server: Readonly<{
    /** Tells several mypaas on one machine apart: prefixes their containers, images and networks. Default: none. */
    instance: string
    /** Directories outside the home below which services may mount host paths. */
    volumeRoots: readonly string[]
    /** Releases whose images are kept, the current one included. Default 5. */
    keepReleases: number
    /** How long a new release may take to get ready. Default 60 s. */
    startTimeoutMs: number
    /** How long open requests of an old release may go on while the new one serves. Default 5 min. */
    drainMs: number
    /** The same where everybody waits for it (stop-first). Default 5 s. */
    holdDrainMs: number
    /** Between SIGTERM and SIGKILL. Default 10 s. */
    graceMs: number
    /** How long the engine may take for one call that neither builds nor stops. Default 60 s. */
    engineTimeoutMs: number
    /** How long a build may go on without a word. Default 10 min. */
    buildSilenceMs: number
    /** The size that a container's log may grow to before it is rotated; three such files are kept. Default 10 MiB. */
    logBytes: number
    /** The host at which `https://HOST/daemon/` takes pushes; none unless given. */
    domain: string
    /** Where the daemon listens for the router, on the address of its network on this machine. Default 8083. */
    daemonPort: number
    /** What one push may hold. Default 8 GiB. */
    pushBytes: number
    /** What pushes of all services may take on the disk. Default 32 GiB. */
    pushStoreBytes: number
  }>
  router: Readonly<{
    image: string
    /** The address that ports 80 and 443 are published on. Default: all. */
    bind: string
    httpPort: number
    httpsPort: number
    /** The router's API and probe entry point, on loopback. */
    adminPort: number
    /** For Let's Encrypt; without it https URLs get the router's own certificate. */
    email: string
  }>
  /** Secrets that every service may ask for. */
  env: Readonly<Record<string, string>>
  /** Secrets of one service only. */
  services: Readonly<Record<string, Readonly<{ env: Readonly<Record<string, string>> }>>>
}>

/** `~/_mypaas` of the user that runs this. */
export function serverDirectory(home: string = homedir()): string {
  return join(home, '_mypaas')
}

/**
 * Reads `config.toml`.
 * @throws {MypaasError} `usage` naming every unknown key and wrong value with its line, or when there is no server here
 */
export async function readConfig(directory: string): Promise<ServerConfig> {
  const file = join(directory, 'config.toml')
  const text = await readIfThere(file)
  if (text === undefined) {
    throw new MypaasError(`There is no mypaas server here: ${file} is missing.`, {
      code: 'usage',
      hint: 'Make one: mypaas server init',
    })
  }
  const { mode } = await stat(file)
  if ((mode & 0o077) !== 0) {
    throw new MypaasError(`${file} holds secrets and others can read it (mode ${(mode & 0o777).toString(8)}).`, {
      code: 'usage',
      hint: `chmod 600 ${file}`,
    })
  }
  return parseConfig(text, file)
}

type Problem = { line: number; message: string }
type Table = Record<string, unknown>

/** The text of a config file → its settings. @throws {MypaasError} `usage` with every problem and its line */
export function parseConfig(text: string, file = 'config.toml'): ServerConfig {
  const problems: Problem[] = []
  const root = parseToml(text, file)
  const at = (path: readonly string[]): number => lineOf(text, path)
  const fail = (path: readonly string[], message: string): void => {
    problems.push({ line: at(path), message })
  }

  const table = (parent: Table, path: readonly string[]): Table => {
    const value = parent[path.at(-1) ?? '']
    if (value === undefined) return {}
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Table
    fail(path, `${path.join('.')} must be a table: [${path.join('.')}]`)
    return {}
  }
  const onlyKnown = (found: Table, path: readonly string[], known: readonly string[]): void => {
    for (const key of Object.keys(found)) {
      if (known.includes(key)) continue
      const where = path.length === 0 ? 'at the top' : `in [${path.join('.')}]`
      fail([...path, key], `There is no setting ${key} ${where}; there are ${known.join(', ')}`)
    }
  }
  const text_ = (found: Table, path: readonly string[], fallback: string, grammar: RegExp, what: string): string => {
    const value = found[path.at(-1) ?? '']
    if (value === undefined) return fallback
    if (typeof value === 'string' && grammar.test(value)) return value
    fail(path, `${path.join('.')} must be ${what}`)
    return fallback
  }
  const number = (found: Table, path: readonly string[], fallback: number, min: number, max: number): number => {
    const value = found[path.at(-1) ?? '']
    if (value === undefined) return fallback
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    fail(path, `${path.join('.')} must be a whole number from ${min} to ${max}`)
    return fallback
  }
  const parsed = (
    found: Table,
    path: readonly string[],
    fallback: number,
    parse: (text: string) => number | undefined,
    what: string,
  ): number => {
    const value = found[path.at(-1) ?? '']
    if (value === undefined) return fallback
    const result = typeof value === 'string' ? parse(value) : undefined
    if (result !== undefined) return result
    fail(path, `${path.join('.')} must be ${what}`)
    return fallback
  }
  const strings = (found: Table, path: readonly string[]): Record<string, string> => {
    const result: Record<string, string> = {}
    for (const [key, value] of Object.entries(found)) {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) fail([...path, key], `${key} is no name of an environment variable`)
      else if (typeof value === 'string') result[key] = value
      else fail([...path, key], `${key} must be text: put it in quotes`)
    }
    return result
  }

  onlyKnown(root, [], ['server', 'router', 'env', 'services'])
  const server = table(root, ['server'])
  onlyKnown(
    server,
    ['server'],
    [
      'instance',
      'volume_roots',
      'keep_releases',
      'start_timeout',
      'drain',
      'hold_drain',
      'grace',
      'engine_timeout',
      'build_silence',
      'log_size',
      'domain',
      'daemon_port',
      'push_size',
      'push_store',
    ],
  )
  const router = table(root, ['router'])
  onlyKnown(router, ['router'], ['image', 'bind', 'http_port', 'https_port', 'admin_port', 'email'])

  const roots: string[] = []
  const givenRoots = server['volume_roots'] ?? []
  if (!Array.isArray(givenRoots)) fail(['server', 'volume_roots'], 'server.volume_roots must be a list: ["/srv"]')
  else {
    for (const value of givenRoots as unknown[]) {
      if (typeof value === 'string' && isAbsolute(value) && normalize(value) === value && value !== '/')
        roots.push(value)
      else fail(['server', 'volume_roots'], `server.volume_roots: ${JSON.stringify(value)} is no clean absolute path`)
    }
  }
  const duration = 'a duration such as "10s", "500ms" or "5m"'
  const services: Record<string, { env: Record<string, string> }> = {}
  const givenServices = table(root, ['services'])
  for (const name of Object.keys(givenServices)) {
    const service = table(givenServices, ['services', name])
    onlyKnown(service, ['services', name], ['env'])
    services[name] = { env: strings(table(service, ['services', name, 'env']), ['services', name, 'env']) }
  }
  const config: ServerConfig = {
    server: {
      instance: text_(server, ['server', 'instance'], '', /^([a-z0-9][a-z0-9-]{0,19})?$/, 'up to 20 of a-z, 0-9 and -'),
      volumeRoots: roots,
      keepReleases: number(server, ['server', 'keep_releases'], 5, 1, 1000),
      startTimeoutMs: parsed(server, ['server', 'start_timeout'], 60_000, parseDuration, duration),
      drainMs: parsed(server, ['server', 'drain'], 300_000, parseDuration, duration),
      holdDrainMs: parsed(server, ['server', 'hold_drain'], 5_000, parseDuration, duration),
      graceMs: parsed(server, ['server', 'grace'], 10_000, parseDuration, duration),
      engineTimeoutMs: parsed(server, ['server', 'engine_timeout'], 60_000, parseDuration, duration),
      buildSilenceMs: parsed(server, ['server', 'build_silence'], 600_000, parseDuration, duration),
      logBytes: parsed(server, ['server', 'log_size'], 10 * 1024 ** 2, parseBytes, 'a size such as "10m"'),
      domain: text_(server, ['server', 'domain'], '', /^([a-z0-9-]+(\.[a-z0-9-]+)*)?$/, 'a host name in lower case'),
      daemonPort: number(server, ['server', 'daemon_port'], 8083, 1, 65_535),
      pushBytes: parsed(server, ['server', 'push_size'], 8 * 1024 ** 3, parseBytes, 'a size such as "2g"'),
      pushStoreBytes: parsed(server, ['server', 'push_store'], 32 * 1024 ** 3, parseBytes, 'a size such as "20g"'),
    },
    router: {
      image: text_(router, ['router', 'image'], 'traefik:v3.7.15', /^[a-z0-9][\w./:@-]*$/, 'an image reference'),
      bind: text_(router, ['router', 'bind'], '', /^[0-9a-fA-F.:]*$/, 'an IP address, or empty for all'),
      httpPort: number(router, ['router', 'http_port'], 80, 1, 65_535),
      httpsPort: number(router, ['router', 'https_port'], 443, 1, 65_535),
      adminPort: number(router, ['router', 'admin_port'], 8081, 1, 65_535),
      email: text_(router, ['router', 'email'], '', /^([^\s@]+@[^\s@]+)?$/, 'an e-mail address'),
    },
    env: strings(table(root, ['env']), ['env']),
    services,
  }
  if (problems.length > 0) {
    const lines = problems.toSorted((a, b) => a.line - b.line).map(({ line, message }) => `${file}:${line}: ${message}`)
    throw new MypaasError(lines.join('\n'), { code: 'usage', hint: `Mend ${file} and run this again.` })
  }
  return config
}

/** The secrets that a service may ask for: its own before those of all. */
export function secretsOf(config: ServerConfig, service: string): Readonly<Record<string, string>> {
  return { ...config.env, ...config.services[service]?.env }
}

function parseToml(text: string, file: string): Table {
  try {
    return TOML.parse(text, { joiner: '\n', bigint: false }) as Table
  } catch (error) {
    // The parser's own message quotes the line, which may hold a secret: only the place is passed on.
    const line = /line (\d+)/.exec(String(error))?.[1] ?? '?'
    throw new MypaasError(`${file}:${line}: this is not TOML.`, {
      code: 'usage',
      hint: `Text goes in double quotes, each setting has a line of its own. Mend ${file} and run this again.`,
    })
  }
}

/** The line on which a setting stands; the parser keeps no positions. */
function lineOf(text: string, path: readonly string[]): number {
  const key = path.at(-1) ?? ''
  const header = path.slice(0, -1).join('.')
  let current = ''
  for (const [index, line] of text.split('\n').entries()) {
    const name = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)?.[1]
    if (name !== undefined) {
      current = name
        .split('.')
        .map((part) => part.trim().replace(/^["']|["']$/g, ''))
        .join('.')
      if (current === path.join('.')) return index + 1
    }
    const assigned = /^\s*(?:"([^"]*)"|'([^']*)'|([\w.-]+))\s*=/
      .exec(line)
      ?.slice(1)
      .find((name) => name !== undefined)
    if (assigned === key && current === header) return index + 1
  }
  return 1
}
