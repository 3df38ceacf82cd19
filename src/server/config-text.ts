import { isDeepStrictEqual } from 'node:util'
import { MypaasError } from '../errors.ts'
import { parseToml } from './toml.ts'
import { isWithin, lineOf, positions, type Span, type TomlEntry, type TomlPath, withInner } from './toml-positions.ts'

/** The name of a table, or its path from the top: `['services', 'blog.api', 'env']`. */
type TablePath = string | readonly string[]

/** A part of a text, and what is to stand there. */
type Edit = Span & Readonly<{ text: string }>

/**
 * Sets one key in TOML text, whatever way its table is written, and leaves every other character as a person wrote it.
 * @param table Each part is one name, whatever is in it: `['services', 'blog.api', 'env']`.
 * @param value As TOML writes it: `"text"`, `80`.
 * @throws {MypaasError} `usage` with the line when the text is not TOML, or the key can't be changed alone
 */
export function setKey(text: string, table: TablePath, key: string, value: string): string {
  const path = [table].flat()
  const written = parseToml(`value = ${value}`)['value']
  return verified(text, waysToSet(text, path, key, value), [...path, key], (before) => ({ ...before, [key]: written }))
}

/**
 * Takes one key out of TOML text, with its line and the comment on that; every other character stays. Its table stays,
 * too, if only as `{}`.
 * @throws as {@link setKey}
 */
export function unsetKey(text: string, table: TablePath, key: string): string {
  const path = [...[table].flat(), key]
  if (path.reduce<unknown>(within, parseToml(text)) === undefined) return text
  return verified(text, waysToUnset(text, path), path, ({ [key]: _, ...rest }) => rest)
}

/**
 * Takes a table that has nothing in it out of TOML text, its head and the empty line above; one with a comment stays. Every
 * other character stays. @throws as {@link setKey}
 */
export function dropEmptyTable(text: string, path: readonly string[]): string {
  const table = path.reduce<unknown>(within, parseToml(text))
  const empty = table !== undefined && Object.keys(plain(table) as object).length === 0
  const [line] = empty ? emptyTables(text, path) : []
  if (line === undefined) return text
  const after = edited(text, line)
  const isGone = path.reduce<unknown>(within, parseToml(after)) === undefined
  const isSame = isDeepStrictEqual(plain(pruned(parseToml(text), path)), plain(pruned(parseToml(after), path)))
  return isGone && isSame ? after : text
}

/** The lines, if there are any, that say only that there is this table. */
function emptyTables(text: string, path: readonly string[]): readonly Edit[] {
  const tables = positions(text)
  const heads = tables.filter(({ head, path: found }) => head.end > 0 && isSame(found, path))
  const entries = tables
    .flatMap(({ entries }) => entries)
    .filter((entry) => entry.key.length > 1 && isSame(entry.path, path))
  return [
    ...heads.map(({ head, end }) => ({ ...head, rest: text.slice(head.end, end) })),
    ...entries.map(({ key, value: { end } }) => ({
      start: key[0]?.start ?? end,
      end,
      rest: text.slice(end, lineEnd(text, end)),
    })),
  ]
    .filter(({ rest }) => rest.trim() === '')
    .map(({ start, end }) => {
      const from = lineStart(text, start)
      const above = /(?<=^|\n)[ \t]*\r?\n$/.exec(text.slice(0, from))
      return { start: above?.index ?? from, end: lineEnd(text, end), text: '' }
    })
}

/** Tables without those that have nothing in them, along a path. */
function pruned(value: unknown, [first, ...rest]: readonly string[]): unknown {
  if (first === undefined || typeof value !== 'object' || value === null) return value
  const { [first]: inner, ...others } = plain(value) as Record<string, unknown>
  const left = pruned(inner, rest)
  const isEmpty = left === undefined || (typeof left === 'object' && left !== null && Object.keys(left).length === 0)
  return isEmpty ? others : { ...others, [first]: left }
}

/** Where a key stands, or could stand. A table is written in one of four ways, and whoever adds to it keeps to that one. */
function waysToSet(text: string, path: readonly string[], key: string, value: string): readonly Edit[] {
  const tables = positions(text)
  const entries = withInner(tables.flatMap(({ entries }) => entries))
  const there = entries.find((entry) => isSame(entry.path, [...path, key]))
  if (there) return [{ ...there.value, text: value }]
  const line = `${writeKey(key)} = ${value}`
  const head = tables.find(({ head, path: found }) => head.end > 0 && isSame(found, path))
  if (head) return [lineAfter(text, head.head.end, line)]
  const inline = entries.findLast((entry) => entry.inline && isWithin(path, entry.path))
  if (inline) return [intoInline(text, inline, [...path.slice(inline.path.length).map(writeKey), line].join('.'))]
  const dotted = tables.flatMap((table) =>
    table.entries
      .filter(
        (entry) => table.path.length < path.length && entry.path.length > path.length && isWithin(entry.path, path),
      )
      .map((entry) => ({ ...entry, parts: path.length - table.path.length })),
  )
  return [
    ...dotted.map((entry) => lineAfter(text, entry.value.end, `${keyStart(text, entry)}.${line}`)),
    atTheEnd(text, [`[${path.map(writeKey).join('.')}]`, line]),
  ]
}

/** The first parts of an entry's key as they are written, with the blanks before them. */
function keyStart(text: string, { key, parts }: Pick<TomlEntry, 'key'> & { parts: number }): string {
  const start = key[0]?.start ?? 0
  return text.slice(lineStart(text, start), key[parts - 1]?.end ?? start)
}

function intoInline(text: string, { inline = [], value }: TomlEntry, entry: string): Edit {
  const last = inline.at(-1)?.value.end
  if (last !== undefined) return { start: last, end: last, text: `, ${entry}` }
  const at = value.start + 1
  return { start: at, end: at, text: text[at] === '}' ? ` ${entry} ` : ` ${entry}` }
}

function lineAfter(text: string, at: number, line: string): Edit {
  const end = lineEnd(text, at)
  const newline = newlineOf(text)
  return { start: end, end, text: `${text[end - 1] === '\n' ? '' : newline}${line}${newline}` }
}

function atTheEnd(text: string, lines: readonly string[]): Edit {
  const newline = newlineOf(text)
  const gap = text.trim() === '' || /\n[ \t]*\r?\n$/.test(text) ? '' : text.endsWith('\n') ? newline : newline.repeat(2)
  return { start: text.length, end: text.length, text: gap + lines.map((line) => line + newline).join('') }
}

function waysToUnset(text: string, path: readonly string[]): readonly Edit[] {
  const entries = positions(text).flatMap(({ entries }) => entries)
  const alone = entries.find((entry) => isSame(entry.path, path))
  if (alone) {
    const start = alone.key[0]?.start ?? 0
    return [
      { start: lineStart(text, start), end: lineEnd(text, alone.value.end), text: '' },
      ...asEmptyTables(text, alone),
    ]
  }
  const among = withInner(entries).find(({ inline }) => inline?.some((entry) => isSame(entry.path, path)))?.inline ?? []
  const index = among.findIndex((entry) => isSame(entry.path, path))
  const entry = among[index]
  if (!entry) return []
  const start = entry.key[0]?.start ?? 0
  const before = among[index - 1]?.value.end
  const next = among[index + 1]?.key[0]?.start
  const blanks = /^[ \t]*/.exec(text.slice(entry.value.end, entry.value.end + 1000))?.[0].length ?? 0
  const out =
    next !== undefined
      ? { start, end: next }
      : before !== undefined
        ? { start: before, end: entry.value.end }
        : { start, end: entry.value.end + blanks }
  return [{ ...out, text: '' }, ...asEmptyTables(text, entry)]
}

/** A table that a dotted key alone makes goes with the key: it is written out. */
function asEmptyTables(text: string, { key, value }: TomlEntry): readonly Edit[] {
  const start = key[0]?.start ?? 0
  const above = key.slice(0, -1).toReversed()
  return above.map(({ end }) => ({ start, end: value.end, text: `${text.slice(start, end)} = {}` }))
}

function lineStart(text: string, at: number): number {
  const start = at === 0 ? 0 : text.lastIndexOf('\n', at - 1) + 1
  return start === 0 && text.startsWith('\uFEFF') ? 1 : start
}

/** Behind the line's break. */
function lineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at)
  return end < 0 ? text.length : end + 1
}

function newlineOf(text: string): string {
  return /^[^\n]*\r\n/.test(text) ? '\r\n' : '\n'
}

function edited(text: string, edit: Edit): string {
  return text.slice(0, edit.start) + edit.text + text.slice(edit.end)
}

function isSame(path: TomlPath, other: TomlPath): boolean {
  return path.length === other.length && isWithin(path, other)
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
 * The text after the first of the edits that changes what is said in one way alone: the table that has the key is as
 * `change` has it, all else as it was. What a text says the parser tells, not the positions.
 */
function verified(
  before: string,
  ways: readonly Edit[],
  path: readonly string[],
  change: (table: Record<string, unknown>) => Record<string, unknown>,
): string {
  const table = path.slice(0, -1)
  const edit = (value: unknown, [first, ...rest]: readonly string[]): unknown => {
    const found = plain(value ?? {}) as Record<string, unknown>
    return first === undefined ? change(found) : { ...found, [first]: edit(within(found, first), rest) }
  }
  const wanted = plain(edit(parseToml(before), table))
  for (const way of ways) {
    const after = edited(before, way)
    if (isDeepStrictEqual(said(after), wanted)) return after
  }
  throw new MypaasError(
    `config.toml:${lineOf(before, path)}: ${path.at(-1)} of [${table.map(writeKey).join('.')}] can't be changed without a change of something else.`,
    {
      code: 'usage',
      hint: 'It is written in a way that only a person can change: do it by hand, on the server.',
    },
  )
}

/** What a text says; nothing if it is not TOML. */
function said(text: string): unknown {
  try {
    return plain(parseToml(text))
  } catch (error) {
    if (error instanceof MypaasError) return undefined
    throw error
  }
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
# How long a new container may take to get ready, and to give its first answers, where its Dockerfile does not say …
start_timeout = "60s"
# … and the most that the Dockerfile of a key that is limited to some services may say.
max_start_timeout = "10m"
# How long open requests of an old release may go on while the new one serves …
drain = "5m"
# … and where everybody waits for them (services without scale).
hold_drain = "5s"
# Between asking a container to stop and killing it, where its service does not say (# mypaas.grace), and the longest that
# services of a limited key may say.
grace = "10s"
max_grace = "2m"
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
