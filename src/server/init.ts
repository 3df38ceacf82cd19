import { existsSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { servicesWithReserved } from '../deploy/reserved.ts'
import { Docker, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { writeDurably } from '../files.ts'
import { isFree } from '../free-port.ts'
import { ensureRouter, type RouterChange, routerChange } from '../router/container.ts'
import { changeConfig } from './change-config.ts'
import { parseConfig, readConfigText, type ServerConfig, serverDirectory } from './config.ts'
import { changedLines, configTemplate, setKey } from './config-text.ts'
import { refuseUnfitEngine } from './engine.ts'
import { findIdentity, makeIdentity, routerContainer, traefikRouter } from './host.ts'
import { AuthorizedKeys, addKey, parseKeys } from './keys.ts'
import { reservedOf } from './reserved.ts'
import { ensureServerKey } from './server-key.ts'
import { ensureUnit, type Program, type UnitState, unitName, unitOf, unitState } from './unit.ts'

export type InitOptions = Readonly<{
  /** For a laptop: published on loopback only, on free ports where 80 and 443 are taken. */
  local?: boolean
  instance?: string
  httpPort?: number
  httpsPort?: number
  adminPort?: number
  email?: string
  /** The host of the daemon, at which pushes come in. */
  domain?: string
  /** A public key that may push, as a line of `authorized_keys`; one that is there already stays as it is. */
  key?: string
  /** How the command line is started, for the daemon's unit: Node and `main.js`. Without it no unit is made. */
  program?: Program
  home?: string
  /** Told what is being done. */
  onProgress?: (message: string) => void
  /** Asked before a server that is there already is changed, with the changes in lines. */
  confirm?: (changes: readonly string[]) => Promise<boolean>
}>

export type Initialised = Readonly<{
  directory: string
  config: ServerConfig
  /** What became of `config.toml`: `created`, `changed` (the given flags were set in it) or `unchanged`. */
  configFile: 'created' | 'changed' | 'unchanged'
  router: RouterChange
  /** Of the daemon; `absent` where systemd does not run it. */
  unit: UnitState
  /** The fingerprint of the given key. */
  key: string | undefined
  /** That of the server's own key, by which clients know it. */
  identity: string
}>

/**
 * Makes this machine a mypaas server, or brings one that it is already up to its config: `~/_mypaas`, networks, router,
 * the daemon's unit. Run again it keeps what was changed by hand, and never loses keys, certificates or secrets.
 * @throws {MypaasError} `failed` when ports or names are taken, naming what to choose · `usage` when the engine is none
 *   for a server, or `confirm` says no
 */
export async function initServer(options: InitOptions = {}): Promise<Initialised> {
  const home = options.home ?? homedir()
  const directory = serverDirectory(home)
  const say = options.onProgress ?? (() => {})
  await using docker = new Docker()
  await refuseUnfitEngine(docker)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  await chmod(directory, 0o700)

  const file = join(directory, 'config.toml')
  const before = existsSync(file) ? await readConfigText(directory) : undefined
  const text = before === undefined ? await newConfig(options) : withFlags(before, options)
  const config = parseConfig(text, file)
  const newKey = options.key === undefined ? undefined : await keyToAdd(directory, options.key)
  const identity = (await findIdentity(directory)) ?? (await makeIdentity(directory))
  const wanted = routerContainer(directory, config, identity)
  const unit = options.program && unitOf(options.program, home, config.server)
  for (const line of await reservedLines(directory, config)) say(line)
  const { change, why } = await routerChange(docker, wanted)
  if (before !== undefined) {
    const changes = [
      ...changedLines(before, text).map((line) => `config.toml: ${line}`),
      ...routerLines(change, why, wanted.name),
      ...(newKey === undefined ? [] : [`authorized_keys: + ${newKey}`]),
      ...unitLine(unit && (await unitState(unit)), config),
    ]
    if (changes.length > 0 && options.confirm && !(await options.confirm(changes))) {
      throw new MypaasError('Nothing was changed.', { code: 'usage' })
    }
  }

  await pullIfMissing(docker, wanted.image, say)
  say(`router ${wanted.name}: ports ${config.router.httpPort} and ${config.router.httpsPort}`)
  if (change === 'replaced') await traefikRouter(docker, { directory, config, identity }).renew()
  const router = await ensureRouter(docker, wanted)
  if (before === undefined) await writeDurably(file, text)
  else await changeConfig(directory, (now) => withFlags(now, options))
  const key = newKey === undefined ? undefined : (await addKey(directory, { line: newKey })).fingerprint
  const { fingerprint } = await ensureServerKey(directory)
  return {
    directory,
    config,
    configFile: before === undefined ? 'created' : text === before ? 'unchanged' : 'changed',
    router,
    unit: unit ? await ensureUnit(unit) : 'absent',
    key,
    identity: fingerprint,
  }
}

/** What services have that this config keeps for the server itself, in lines. */
export async function reservedLines(directory: string, config: ServerConfig): Promise<readonly string[]> {
  const found = await servicesWithReserved(directory, await reservedOf(config))
  return found.flatMap(({ service, problems }) =>
    problems.map(({ message }) => `! ${service} runs on, but its next deploy is refused: ${message}.`),
  )
}

/** Pulls an image that is not here. */
async function pullIfMissing(docker: Docker, image: string, say: (message: string) => void): Promise<void> {
  try {
    await docker.images.inspect(image)
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    say(`pulling ${image}`)
    for await (const _ of docker.images.pull(image)) {
      // The whole is small; that it goes on is enough to know.
    }
  }
}

/** The line of a key that may not push yet. @throws {MypaasError} `usage` when it is no key */
async function keyToAdd(directory: string, line: string): Promise<string | undefined> {
  const { keys, problems } = parseKeys(line)
  const [key] = keys
  if (!key || keys.length > 1) {
    throw new MypaasError(`This is no public key: ${problems[0]?.replace(/^line 1: /, '') ?? 'it must be one line'}.`, {
      code: 'usage',
      hint: 'Give the line that this shows, on the machine that you push from: mypaas key get',
    })
  }
  const known = await new AuthorizedKeys(directory).read()
  return known.keys.some((other) => other.public === key.public) ? undefined : line.trim()
}

/** What is to become of the router, and why, in lines. */
export function routerLines(change: RouterChange, why: readonly string[], name: string): readonly string[] {
  switch (change) {
    case 'created':
      return [`router ${name}: made`]
    case 'replaced':
      return [
        `router ${name}: replaced; nobody is served for half a second to three meanwhile, and WebSockets are cut`,
        ...why.map((reason) => `  - ${reason}`),
      ]
    case 'started':
      return [`router ${name}: started`]
    case 'unchanged':
      return []
  }
}

function unitLine(state: UnitState | undefined, config: ServerConfig): readonly string[] {
  const name = unitName(config.server.instance)
  if (state === 'created') return [`${name}: made and started`]
  return state === 'changed' ? [`${name}: changed, the daemon restarted`] : []
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
    domain: options.domain ?? '',
  })
}

function withFlags(text: string, options: InitOptions): string {
  const set = (table: string, key: string, value: string | number | undefined, from: string): string =>
    value === undefined
      ? from
      : setKey(from, table, key, typeof value === 'number' ? String(value) : JSON.stringify(value))
  let result = set('server', 'instance', options.instance, text)
  result = set('server', 'domain', options.domain, result)
  result = set('router', 'bind', options.local ? '127.0.0.1' : undefined, result)
  result = set('router', 'http_port', options.httpPort, result)
  result = set('router', 'https_port', options.httpsPort, result)
  result = set('router', 'admin_port', options.adminPort, result)
  return set('router', 'email', options.email, result)
}

async function freePort(from: number, bind: string): Promise<number> {
  for (let port = from; port < Math.min(from + 1000, 65_536); port += 1) if (await isFree(port, bind)) return port
  throw new MypaasError(`There is no free port from ${from} on.`, {
    code: 'failed',
    hint: 'Choose: --http-port, --https-port',
  })
}
