import { join } from 'node:path'
import { MypaasError } from '../errors.ts'
import { readIfThere, writeDurably } from '../files.ts'
import { fingerprint } from '../push/signature.ts'
import { formatAllowedPort, parseAllowedPort } from '../service/allowed-ports.ts'
import type { PublishedPort } from '../service/spec.ts'
import { minRsaBits, parsePublicKey } from '../ssh/public-key.ts'
import { MalformedError } from '../ssh/wire.ts'
import { FileLook } from './file-look.ts'

/** A key that may do something here, from a line of `authorized_keys`. */
export type AuthorizedKey = Readonly<{
  /** `TYPE BASE64`. */
  public: string
  /** `SHA256:…`. */
  fingerprint: string
  comment: string
  line: number
  /** Names of services with `*` for any letters; `undefined` for all. */
  services: readonly string[] | undefined
  /** Milliseconds since 1970. */
  expiresMs: number | undefined
  readOnly: boolean
  /** What a key that is limited to some services may publish for them; nothing unless given. */
  publish?: readonly PublishedPort[]
  /** What commands of its builds made is used again by no build of another service, nor the other way round. */
  ownLayers: boolean
}>

export type KeyFile = Readonly<{
  keys: readonly AuthorizedKey[]
  /** What is wrong with lines that were passed over, each with its number. */
  problems: readonly string[]
}>

function keyFileOf(directory: string): string {
  return join(directory, 'authorized_keys')
}

/**
 * The keys of `~/_mypaas/authorized_keys`, read anew whenever the file changes. OpenSSH's format with options of ours:
 * `services="blog,shop-*",expires="2027-01-31",read-only ssh-ed25519 AAAA… anna@laptop`. A line that is wrong takes
 * nothing from the others; a file that others can write lets nobody in.
 */
export class AuthorizedKeys {
  readonly #look: FileLook
  #stamp = ''
  #read: KeyFile = { keys: [], problems: [] }

  constructor(directory: string) {
    this.#look = new FileLook(keyFileOf(directory))
  }

  async read(): Promise<KeyFile> {
    const { file } = this.#look
    const { stats: found, stamp } = this.#look.now()
    if (stamp === this.#stamp) return this.#read
    const unsafe = found && (found.mode & 0o022) !== 0
    const foreign = found && process.getuid !== undefined && found.uid !== process.getuid() && found.uid !== 0
    if (unsafe || foreign) {
      const why = unsafe
        ? `others can write it (mode ${(found.mode & 0o777).toString(8)})`
        : 'it belongs to somebody else'
      this.#read = {
        keys: [],
        problems: [
          `${file} counts for nothing: ${why}. Mend it: ${unsafe ? 'chmod 600' : 'chown it to the user that runs mypaas:'} ${file}`,
        ],
      }
    } else this.#read = parseKeys((await readIfThere(file)) ?? '')
    this.#stamp = stamp
    return this.#read
  }

  /** The key whose base64 that is, unless it has expired. */
  async find(base64: string, nowMs: number): Promise<AuthorizedKey | undefined> {
    const { keys } = await this.read()
    const found = keys.find((key) => key.public.split(' ')[1] === base64)
    return found && !hasExpired(found, nowMs) ? found : undefined
  }
}

/** May this key do something to that service? */
export function coversService(key: Pick<AuthorizedKey, 'services'>, service: string): boolean {
  return key.services === undefined || key.services.some((pattern) => matches(pattern, service))
}

function matches(pattern: string, service: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.]/g, '\\.'))
  return new RegExp(`^${parts.join('[a-z0-9._-]*')}$`).test(service)
}

/** Reads the lines. */
export function parseKeys(text: string): KeyFile {
  const problems: string[] = []
  const found: Omit<AuthorizedKey, 'fingerprint'>[] = []
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const parsed = parseLine(line, index + 1)
    if (typeof parsed === 'string') problems.push(`line ${index + 1}: ${parsed}`)
    else found.push(parsed)
  }
  const keys: AuthorizedKey[] = []
  for (const key of found) {
    const problem = problemOf(key.public)
    const same = keys.find((other) => other.public === key.public)
    if (problem !== undefined) problems.push(`line ${key.line}: ${problem}`)
    else if (same) problems.push(`line ${key.line}: the key is in line ${same.line} already, which counts`)
    else keys.push({ ...key, fingerprint: fingerprint(key.public.split(' ')[1] as string) })
  }
  return { keys, problems }
}

/** What keeps a key from being one that lets in. */
function problemOf(line: string): string | undefined {
  try {
    const { type, bits } = parsePublicKey(line)
    return type === 'ssh-rsa' && bits < minRsaBits
      ? `an RSA key of ${bits} bits is too short, ${minRsaBits} are needed`
      : undefined
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    return `there is no key there: ${error.message}`
  }
}

const types =
  /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com)$/

function parseLine(line: string, number: number): Omit<AuthorizedKey, 'fingerprint'> | string {
  let rest = line
  let options = ''
  const first = rest.split(/[ \t]/, 1)[0] as string
  if (!types.test(first)) {
    const match = /^((?:[^\s"]|"(?:\\.|[^"\\])*")+)[ \t]+(.*)$/.exec(rest)
    if (!match) return 'it is no line of authorized_keys'
    options = match[1] as string
    rest = match[2] as string
  }
  const [type = '', base64 = '', ...comment] = rest.split(/[ \t]+/)
  if (!types.test(type)) return `${JSON.stringify(type.slice(0, 40))} is no type of key that is taken here`
  if (!/^[A-Za-z0-9+/]{40,}={0,2}$/.test(base64)) return 'its key is no base64'
  const key = { public: `${type} ${base64}`, comment: comment.join(' '), line: number }
  const set: {
    services?: string[]
    expiresMs?: number
    readOnly?: boolean
    ownLayers?: boolean
    publish?: PublishedPort[]
  } = {}
  for (const option of options === '' ? [] : (options.match(/(?:[^,"]|"(?:\\.|[^"\\])*")+/g) ?? [])) {
    const [name = '', quoted] = splitOnce(option, '=')
    const value = quoted === undefined ? undefined : /^"((?:\\.|[^"\\])*)"$/.exec(quoted)?.[1]
    if (name === 'read-only' && quoted === undefined) set.readOnly = true
    else if (name === 'own-layers' && quoted === undefined) set.ownLayers = true
    else if (name === 'services' && value !== undefined) {
      set.services = value.split(',').map((pattern) => pattern.trim())
      const strange = set.services.find((pattern) => !/^[a-z0-9*][a-z0-9._*-]{0,60}$/.test(pattern))
      if (strange !== undefined) return `services: ${JSON.stringify(strange)} is no name of a service`
    } else if (name === 'expires' && value !== undefined) {
      const date = parseDate(value)
      if (date === undefined) return `expires: ${JSON.stringify(value)} is no date such as 2027-01-31`
      set.expiresMs = date
    } else if (name === 'publish' && value !== undefined) {
      const entries = value.split(',').map((entry) => parseAllowedPort(entry.trim()))
      const problem = entries.find((entry) => typeof entry === 'string')
      if (problem !== undefined) return `publish: ${problem}`
      set.publish = entries.filter((entry) => typeof entry !== 'string')
    } else
      return `there is no option ${JSON.stringify(option.slice(0, 60))}; there are services="…", publish="…", expires="…", read-only, own-layers`
  }
  if (set.publish && !set.services)
    return 'publish="…" is for keys with services="…": one without may publish whatever is free'
  return {
    ...key,
    services: set.services,
    expiresMs: set.expiresMs,
    readOnly: set.readOnly ?? false,
    ownLayers: set.ownLayers ?? false,
    ...(set.publish ? { publish: set.publish } : {}),
  }
}

function splitOnce(text: string, at: string): [string, string | undefined] {
  const index = text.indexOf(at)
  return index < 0 ? [text, undefined] : [text.slice(0, index), text.slice(index + 1)]
}

/** `2027-01-31`, `20270131`, or with a time `2027-01-31T12:00Z`; a day counts to its end, in UTC. */
export function parseDate(text: string): number | undefined {
  const day = /^(\d{4})-?(\d\d)-?(\d\d)$/.exec(text)
  const iso = day
    ? `${day[1]}-${day[2]}-${day[3]}T00:00:00Z`
    : /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z$/.test(text)
      ? text
      : ''
  const time = Date.parse(iso)
  if (Number.isNaN(time) || (day && new Date(time).toISOString().slice(0, 10) !== iso.slice(0, 10))) return undefined
  return day ? time + 86_400_000 : time
}

export type NewKey = Readonly<{
  line: string
  services?: readonly string[]
  /** Entries as of {@link parseAllowedPort}. */
  publish?: readonly string[]
  expires?: string
  readOnly?: boolean
  ownLayers?: boolean
}>

/**
 * Adds a key to the file.
 * @throws {MypaasError} `usage` when it is none, or there already, or good for no day any more
 */
export async function addKey(directory: string, key: NewKey): Promise<AuthorizedKey> {
  const options = [
    ...(key.services && key.services.length > 0 ? [`services="${key.services.join(',')}"`] : []),
    ...(key.publish && key.publish.length > 0 ? [`publish="${key.publish.join(',')}"`] : []),
    ...(key.expires === undefined ? [] : [`expires="${key.expires}"`]),
    ...(key.readOnly ? ['read-only'] : []),
    ...(key.ownLayers ? ['own-layers'] : []),
  ].join(',')
  const line = `${options === '' ? '' : `${options} `}${key.line.trim()}`
  if (/[\r\n]/.test(line))
    throw new MypaasError('A public key is one line.', { code: 'usage', hint: 'Show yours: mypaas key get' })
  const file = keyFileOf(directory)
  const before = (await readIfThere(file)) ?? ''
  const parsed = parseKeys(line)
  const [added] = parsed.keys
  if (!added) {
    const alone = parseKeys(key.line.trim())
    const problem = parsed.problems[0]?.replace(/^line 1: /, '') ?? 'the line is empty'
    throw new MypaasError(`This is no key to add: ${problem}.`, {
      code: 'usage',
      hint: alone.keys.length === 0 ? hintOfLine(problem) : hintOfOptions,
    })
  }
  if (hasExpired(added, Date.now())) {
    throw new MypaasError(`This key would let nobody in: it is good until ${lastDay(added)} (UTC), which is past.`, {
      code: 'usage',
      hint: 'Give a day to come, or leave it out: the key is good for ever then.',
    })
  }
  const known = parseKeys(before).keys.find((other) => other.public === added.public)
  if (known) {
    const expired = hasExpired(known, Date.now())
    const also = expired ? `; it expired on ${lastDay(known)}, so nobody gets in by it` : ''
    throw new MypaasError(`The key ${known.fingerprint} is there already, in line ${known.line}${also}.`, {
      code: 'usage',
      hint: `To ${expired ? 'let it in again' : 'change what it may do'}, remove it first, then add it anew: mypaas server key rm ${known.fingerprint}`,
    })
  }
  const start = before === '' || before.endsWith('\n') ? before : `${before}\n`
  await writeDurably(file, `${start}${line}\n`)
  return added
}

const hintOfOptions =
  'For example: --services blog,shop-* --publish 127.0.0.1:5432,7000-7010/udp --expires 2027-01-31. See mypaas server key add --help'

function hintOfLine(problem: string): string {
  return problem.startsWith('an RSA key')
    ? 'Make a longer one, or one of another kind: mypaas key init, ssh-keygen -t ed25519'
    : 'Give the public line as it is: mypaas server key add "ssh-ed25519 AAAA… name"'
}

function hasExpired({ expiresMs }: Pick<AuthorizedKey, 'expiresMs'>, nowMs: number): boolean {
  return expiresMs !== undefined && nowMs >= expiresMs
}

/** The last day on which a key is good, in UTC. */
function lastDay({ expiresMs }: Pick<AuthorizedKey, 'expiresMs'>): string {
  return expiresMs === undefined ? '' : new Date(expiresMs - 1).toISOString().slice(0, 10)
}

/** What a key may do, in words: the cells of a line. */
export function rightsOf(key: AuthorizedKey, nowMs: number): readonly string[] {
  return [
    key.services === undefined ? 'all services' : key.services.join(','),
    key.readOnly ? 'reads' : 'deploys',
    key.ownLayers ? 'own layers' : '',
    key.publish === undefined ? '' : `publishes ${key.publish.map(formatAllowedPort).join(',')}`,
    key.expiresMs === undefined ? '' : `${hasExpired(key, nowMs) ? 'expired' : 'until'} ${lastDay(key)}`,
  ]
}

/** Removes the key with that fingerprint or comment. @throws {MypaasError} `usage` when there is none, or more than one */
export async function removeKey(directory: string, which: string): Promise<AuthorizedKey> {
  const file = keyFileOf(directory)
  const text = (await readIfThere(file)) ?? ''
  const { keys } = parseKeys(text)
  const found = keys.filter((key) => key.fingerprint === which || key.comment === which)
  const [key] = found
  if (!key || found.length > 1) {
    throw new MypaasError(key ? `${found.length} keys are called ${which}.` : `There is no key ${which}.`, {
      code: 'usage',
      hint: 'List them: mypaas server key ls',
    })
  }
  await writeDurably(
    file,
    text
      .split('\n')
      .filter((_, index) => index + 1 !== key.line)
      .join('\n'),
  )
  return key
}
