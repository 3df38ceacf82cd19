import { isDeepStrictEqual } from 'node:util'
import { MypaasError } from '../errors.ts'
import { parseToml } from './toml.ts'

/** The name of a table, or its path from the top: `['services', 'blog.api', 'env']`. */
type TablePath = string | readonly string[]

/**
 * Sets one key in TOML text and leaves every other character as a person wrote it.
 * @param table Each part is one name, whatever is in it: `['services', 'blog.api', 'env']`.
 * @param value As TOML writes it: `"text"`, `80`.
 * @throws {MypaasError} `usage` when the text is not TOML, or can't be changed without changing anything else in it
 */
export function setKey(text: string, table: TablePath, key: string, value: string): string {
  const path = [table].flat()
  const line = `${writeKey(key)} = ${value}`
  const lines = text.split('\n')
  const found = find(lines, path, key)
  if (found.at !== undefined) lines[found.at] = line
  else if (found.header !== undefined) lines.splice(found.header + 1, 0, line)
  const after =
    found.header === undefined ? `${text.trimEnd()}\n\n[${path.map(writeKey).join('.')}]\n${line}\n` : lines.join('\n')
  return verified(text, after, path, (before) => ({ ...before, [key]: parseToml(`value = ${value}`)['value'] }))
}

/** Takes one key out of TOML text; every other character stays. @throws as {@link setKey} */
export function unsetKey(text: string, table: TablePath, key: string): string {
  const path = [table].flat()
  const lines = text.split('\n')
  const { at } = find(lines, path, key)
  const from = path.reduce<unknown>(within, parseToml(text))
  if (within(from, key) === undefined) return text
  const after = at === undefined ? text : lines.toSpliced(at, 1).join('\n')
  return verified(text, after, path, ({ [key]: _, ...rest }) => rest)
}

/**
 * Takes a table that has nothing in it out of TOML text, its head and the empty line above; one with a comment stays. Every
 * other character stays. @throws as {@link setKey}
 */
export function dropEmptyTable(text: string, path: readonly string[]): string {
  const table = path.reduce<unknown>(within, parseToml(text))
  const lines = text.split('\n')
  const { header } = find(lines, path, '')
  const parent = path.slice(0, -1)
  const name = path.at(-1) ?? ''
  if (header === undefined || table === undefined || Object.keys(plain(table) as object).length > 0) return text
  const rest = lines.slice(header + 1)
  const next = rest.findIndex((line) => /^\s*\[/.test(line))
  const inside = next < 0 ? rest : rest.slice(0, next)
  if ([lines[header]?.replace(/^[^\]]*\]/, ''), ...inside].some((line) => line?.trim())) return text
  const from = lines[header - 1]?.trim() === '' ? header - 1 : header
  const after = lines.toSpliced(from, header - from + 1).join('\n')
  const before = within(parent.reduce<unknown>(within, parseToml(after)), name)
  return before === undefined &&
    isDeepStrictEqual(plain(pruned(parseToml(text), path)), plain(pruned(parseToml(after), path)))
    ? after
    : text
}

/** Tables without those that have nothing in them, along a path. */
function pruned(value: unknown, [first, ...rest]: readonly string[]): unknown {
  if (first === undefined || typeof value !== 'object' || value === null) return value
  const { [first]: inner, ...others } = plain(value) as Record<string, unknown>
  const left = pruned(inner, rest)
  const isEmpty = left === undefined || (typeof left === 'object' && left !== null && Object.keys(left).length === 0)
  return isEmpty ? others : { ...others, [first]: left }
}

/** Where a table begins and where a key of it stands, as far as lines tell; {@link verified} has the last word. */
function find(
  lines: readonly string[],
  path: readonly string[],
  key: string,
): { header: number | undefined; at: number | undefined } {
  const header = lines.findIndex((line) => isDeepStrictEqual(headerOf(line), path))
  if (header < 0) return { header: undefined, at: undefined }
  for (let at = header + 1; at < lines.length; at += 1) {
    const line = lines[at] ?? ''
    if (/^\s*\[/.test(line)) break
    if (isDeepStrictEqual(readKeys(line.trimStart(), /^\s*=/)?.keys, [key])) return { header, at }
  }
  return { header, at: undefined }
}

/** `[a."b.c"]` → `['a', 'b.c']`; `undefined` for what is not the head of a table. */
function headerOf(line: string): readonly string[] | undefined {
  const inside = /^\s*\[(?!\[)\s*(.*)$/s.exec(line)?.[1]
  const read = inside === undefined ? undefined : readKeys(inside, /^\s*\]\s*(#.*)?$/s)
  return read?.keys
}

/** A dotted key at the start of a text that goes on as `end` says. */
function readKeys(text: string, end: RegExp): { keys: readonly string[] } | undefined {
  const keys: string[] = []
  for (let rest = text; ; ) {
    const match = /^(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')/.exec(rest)
    if (!match) return undefined
    const key = match[1] ?? match[3] ?? unescaped(match[2] ?? '')
    if (key === undefined) return undefined
    keys.push(key)
    rest = rest.slice(match[0].length)
    if (end.test(rest)) return { keys }
    const dot = /^\s*\.\s*/.exec(rest)
    if (!dot) return undefined
    rest = rest.slice(dot[0].length)
  }
}

function unescaped(text: string): string | undefined {
  try {
    return JSON.parse(`"${text}"`) as string
  } catch {
    return undefined
  }
}

/** Bare where TOML allows that, else in quotes: no name ends its own. */
function writeKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : tomlText(key)
}

/** Text as TOML writes it. */
export function tomlText(text: string): string {
  return JSON.stringify(text).replace(/\x7f/g, '\\u007F')
}

/**
 * The text after a change, if it says what the one before said but for the one table, which is as `change` has it. Lines
 * can look like what they are not (in a text of several lines, say); what they mean the parser tells.
 */
function verified(
  before: string,
  after: string,
  path: readonly string[],
  change: (table: Record<string, unknown>) => Record<string, unknown>,
): string {
  const edit = (value: unknown, [first, ...rest]: readonly string[]): unknown => {
    const found = plain(value ?? {}) as Record<string, unknown>
    return first === undefined ? change(found) : { ...found, [first]: edit(within(found, first), rest) }
  }
  const wanted = plain(edit(parseToml(before), path))
  let is: unknown
  try {
    is = plain(parseToml(after))
  } catch (error) {
    if (!(error instanceof MypaasError)) throw error
  }
  if (isDeepStrictEqual(is, wanted)) return after
  throw new MypaasError(
    `[${path.map(writeKey).join('.')}] of the config can't be changed without a change of something else.`,
    {
      code: 'usage',
      hint: 'It is written in a way that only a person can change: do it by hand, on the server.',
    },
  )
}

function within(table: unknown, key: string): unknown {
  if (typeof table !== 'object' || table === null || !Object.hasOwn(table, key)) return undefined
  return (table as Record<string, unknown>)[key]
}

/** Tables of the parser as objects that compare by what is in them. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  if ('toISOString' in value) return String(value)
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}

/** The text of a new config.toml. */
export function configTemplate(values: {
  instance: string
  bind: string
  httpPort: number
  httpsPort: number
  adminPort: number
  email: string
  domain: string
}): string {
  return `# The settings of this mypaas server. After a change: mypaas server init

[server]
# A name that keeps several mypaas on one machine apart: their containers, images and networks begin with it.
instance = ${JSON.stringify(values.instance)}
# Directories outside the home below which a service may mount host paths, for example ["/srv"].
volume_roots = []
# Places in the home that may be mounted although a name in them begins with a dot, for example ["~/.config/app"].
home_paths = []
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
# How long a build may take, and how many pushes may build at once: in all, and of one key. The others wait their turn.
build_timeout = "1h"
builds = 4
builds_per_key = 2
# From where the builder may download (ADD) by https for a key that is limited to some services.
download_hosts = ["github.com", "raw.githubusercontent.com"]
# What a build of a key that is limited to some services may take of the engine's disk, and what no build takes of it.
build_disk = "20g"
disk_reserve = "512m"
# The size at which a container's log is rotated; three files are kept.
log_size = "10m"
# What containers may not do; see docs/server.md. Each can be set for one service, too, in [services.NAME].
no_new_privileges = true
drop_capabilities = true
pids_limit = 2048
# The host that takes pushes, at https://HOST/daemon/; without one they come by ssh.
domain = ${JSON.stringify(values.domain)}
# Where the daemon listens for the router, on this machine's address of the router's network.
daemon_port = 8083
# What one push may hold, and what the pushes of all services may take on the disk. Those of one service, or of all the
# services of a limited key, take half of that at most: push_store_service.
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

# Registries of private images; those that "docker login" knows on this machine need none of this.
# [registries."registry.example.com"]
# username = "…"
# password = "…"

# Values for "# mypaas.env=KEY" of any service …
[env]
# POSTGRES_PASSWORD = "…"

# … and of one service only.
# [services.blog.env]
# API_TOKEN = "…"
`
}

/** The lines in which two texts of a config differ: `- email = ""`, `+ email = "ops@example.com"`. */
export function changedLines(before: string, after: string): readonly string[] {
  const [old, fresh] = [before.split('\n'), after.split('\n')]
  return [
    ...old.filter((line) => !fresh.includes(line)).map((line) => `- ${line.trim()}`),
    ...fresh.filter((line) => !old.includes(line)).map((line) => `+ ${line.trim()}`),
  ]
}
