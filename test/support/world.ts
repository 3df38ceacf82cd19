import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Journal, readJournal } from '../../src/deploy/journal.ts'
import { Docker, NotFoundError } from '../../src/docker/index.ts'
import { setKey } from '../../src/server/config-text.ts'
import { nodeImage } from './images.ts'
import { type Reply, type RequestOptions, request } from './request.ts'
import { serverKeyOf } from './server-key.ts'
import { removeNetwork } from './stuck-network.ts'
import { until } from './until.ts'
import { type Watch, watchContainers } from './watch.ts'

export type CliOptions = Readonly<{
  /** Written to stdin, which is closed then. */
  input?: string | Buffer
  env?: Readonly<Record<string, string>>
  /** Default: the world's home. */
  cwd?: string
  /** SIGKILL after that long. Default 120,000. */
  timeoutMs?: number
  signal?: AbortSignal
}>

export type CliResult = Readonly<{
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  /** Both, as they came. */
  output: string
  ms: number
}>

/** A running command. `output` grows while it runs. */
export type RunningCli = Readonly<{
  pid: number
  readonly output: string
  /** Done when `pattern` is in the output; fails when the command ends without it. Default 60,000 ms. */
  seen(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>
  kill(signal: NodeJS.Signals): void
  result: Promise<CliResult>
}>

export type ServiceFiles = Readonly<{
  /** Directives without `# mypaas.`: `['url=http://a.test', 'scale=2']`. */
  directives?: readonly string[]
  /** How `app/server.mjs` behaves: its environment, as `ENV` lines. */
  app?: Readonly<Record<string, string | number>>
  /** More lines of the Dockerfile, after those for the app. */
  lines?: readonly string[]
  /** The whole Dockerfile instead; then nothing else is written but `files`. */
  dockerfile?: string
  /** More files: path in the directory → content. */
  files?: Readonly<Record<string, string | Uint8Array>>
}>

export type WorldOptions = Readonly<{
  /** Another engine than this machine's, as in `DOCKER_HOST`. */
  engine?: string
  /** A directory of its own to live in, which is removed as well. Default: one in the system's. */
  home?: string
  /** The command line's compiled `main.js`, from `compiledProgram()`. Default: the sources. */
  program?: string
}>

/**
 * A mypaas of one test's own: a home, an instance name, ports, services, requests through its router. Whatever it made
 * is gone after the test, also when that failed: containers, networks, volumes, images, processes, files.
 */
export async function world(t: Pick<TestContext, 'after'>, options: WorldOptions = {}): Promise<World> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'mypaas-test-')))
  const instance = `t${randomName(5)}`
  // The port below that for http is free, too: tests publish ranges that end at it.
  const ports = { http: (await freePort(2)) + 1, https: await freePort(), admin: await freePort() }
  const made = new World(home, instance, ports, options)
  t.after(() => made.remove())
  await noteForTheLeftoverCheck({ instance, home })
  return made
}

export class World {
  readonly home: string
  readonly instance: string
  readonly ports: Readonly<{ http: number; https: number; admin: number }>
  readonly docker: Docker
  readonly #options: WorldOptions

  constructor(
    home: string,
    instance: string,
    ports: { http: number; https: number; admin: number },
    options: WorldOptions = {},
  ) {
    this.home = home
    this.instance = instance
    this.ports = ports
    this.docker = new Docker({ host: options.engine })
    this.#options = options
  }

  /** `mypaas server init` with this world's name and ports. @throws with the command's output unless it exits with 0 */
  async init(...more: string[]): Promise<CliResult> {
    const { http, https, admin } = this.ports
    const ports = ['--http-port', `${http}`, '--https-port', `${https}`, '--admin-port', `${admin}`]
    return this.ok(['server', 'init', '--local', '--instance', this.instance, ...ports, '--yes', ...more])
  }

  /** Runs the command line, in the world's home. */
  cli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    return this.spawnCli(args, options).result
  }

  /** As `cli`, and throws with the output unless the exit code is 0. */
  async ok(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    const result = await this.cli(args, options)
    if (result.code === 0) return result
    const end = result.signal ? `was ended by ${result.signal}` : `exited with ${result.code}`
    throw new Error(`mypaas ${args.join(' ')} ${end} after ${Math.round(result.ms)} ms:\n${result.output}`)
  }

  /** What Node is started with to be `mypaas`. */
  get program(): readonly string[] {
    return this.#options.program === undefined ? ['--import', tsx, main] : [this.#options.program]
  }

  /** As `cli`, for tests that read the output as it comes, or that send signals. */
  spawnCli(args: readonly string[], options: CliOptions = {}): RunningCli {
    const child = spawn(process.execPath, [...this.program, ...args], {
      cwd: options.cwd ?? this.home,
      env: this.environment(options.env),
      stdio: 'pipe',
      ...(options.signal && { signal: options.signal, killSignal: 'SIGINT' as const }),
    })
    child.stdin.on('error', () => {}) // it may end without reading
    child.stdin.end(options.input ?? '')
    return running(child, args, options.timeoutMs ?? 120_000)
  }

  /** Deploys a directory by `mypaas server deploy`. @throws with the output unless the exit code is 0 */
  deploy(directory: string, ...more: string[]): Promise<CliResult> {
    return this.ok(['server', 'deploy', directory, ...more])
  }

  /** Writes (or overwrites) a service's directory, by default one that runs `app/server.mjs`. @returns its path */
  async service(name: string, files: ServiceFiles = {}): Promise<string> {
    const directory = join(this.home, 'services', name)
    await mkdir(directory, { recursive: true })
    if (files.dockerfile === undefined) await cp(join(here, 'app', 'server.mjs'), join(directory, 'server.mjs'))
    const dockerfile = files.dockerfile ?? nodeDockerfile(name, await nodeImage(this.docker), files)
    await writeFile(join(directory, 'Dockerfile'), dockerfile)
    for (const [path, content] of Object.entries(files.files ?? {})) {
      await mkdir(dirname(join(directory, path)), { recursive: true })
      await writeFile(join(directory, path), content)
    }
    return directory
  }

  /** Asks the router for a URL as its users would write it: its host is only a header (and SNI), the port is the world's. */
  request(url: string, options: RequestOptions = {}): Promise<Reply> {
    const secure = new URL(url).protocol === 'https:'
    return request(url, { port: secure ? this.ports.https : this.ports.http, ...options })
  }

  /** This server's containers, or those of one service, stopped ones too, by name. */
  async containers(service?: string): Promise<Awaited<ReturnType<Docker['containers']['list']>>> {
    const label = [`mypaas.server=${await this.serverId()}`, ...(service ? [`mypaas.service=${service}`] : [])]
    const found = await this.docker.containers.list({ all: true, filters: { label } })
    return found.toSorted((a, b) => ((a.Names[0] ?? '') < (b.Names[0] ?? '') ? -1 : 1))
  }

  /** The names of the running containers of one service, sorted, without the instance's prefix: `web-r1-1`. */
  async runningNames(service: string): Promise<string[]> {
    const found = await this.containers(service)
    return found.filter((container) => container.State === 'running').map((container) => this.nameOf(container))
  }

  /** `/t12ab3-web-r1-1` → `web-r1-1` */
  nameOf(container: { Names: readonly string[] }): string {
    return nameOf(container).replace(`${this.instance}-`, '')
  }

  /** Follows how many containers of a service run at the same time. */
  async watch(service: string): Promise<Watch> {
    return watchContainers(this.docker, [`mypaas.server=${await this.serverId()}`, `mypaas.service=${service}`])
  }

  /** A service's journal as it stands; nothing before its first deploy. */
  journal(service: string): Promise<Journal | undefined> {
    return readJournal(join(this.home, '_mypaas'), service)
  }

  /** Sets one key of the server's config: `set('server', 'start_timeout', '"3s"')`. */
  async set(table: string | readonly string[], key: string, value: string): Promise<void> {
    const file = join(this.home, '_mypaas', 'config.toml')
    await writeFile(file, setKey(await readFile(file, 'utf8'), table, key, value))
  }

  /** Adds to the section `[env]` of the server's config. */
  async addSecrets(secrets: Readonly<Record<string, string>>): Promise<void> {
    const file = join(this.home, '_mypaas', 'config.toml')
    const text = await readFile(file, 'utf8')
    const lines = Object.entries(secrets).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
    const section = /^\[env\][^\n]*\n/m.exec(text)
    if (section)
      await writeFile(
        file,
        text.replace(section[0], () => section[0] + lines.join('')),
      )
    else await writeFile(file, `${text}\n[env]\n${lines.join('')}`)
  }

  /** The id that `server init` gave, which labels all that this world's mypaas makes. */
  async serverId(): Promise<string> {
    const id = await this.#id()
    if (!id) throw new Error(`No id in ${serverFile(this.home)}. Call init() first`)
    return id
  }

  /** Removes all that belongs to this world. Called by `world()` after the test. */
  async remove(): Promise<void> {
    await endProcesses(this.instance)
    const id = await this.#id()
    if (id) await noteForTheLeftoverCheck({ instance: this.instance, home: this.home, id })
    const problems = await removeFromEngine(this.docker, this.instance, id)
    this.docker.close()
    await rm(this.home, { recursive: true, force: true, maxRetries: 3 })
    if (problems.length > 0) throw new AggregateError(problems, `Could not remove all of ${this.instance}`)
  }

  environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env
    const own = Object.fromEntries(
      Object.entries(inherited).filter(([key]) => !key.startsWith('MYPAAS_') || key === run),
    )
    const engine = this.#options.engine === undefined ? {} : { DOCKER_HOST: this.#options.engine }
    return { ...own, HOME: this.home, ...engine, [mark]: this.instance, ...serverKeyOf(this.home), ...more }
  }

  async #id(): Promise<string | undefined> {
    return (await readJson(serverFile(this.home)))?.['id'] as string | undefined
  }
}

/** A TCP port that nobody uses, below those that the kernel gives to outgoing connections; the first of `inARow`. */
export async function freePort(inARow = 1): Promise<number> {
  return until(
    async () => {
      const port = randomInt(20_000, 32_000)
      for (let next = port; next < port + inARow; next += 1) if (!(await canListen(next))) return false
      return port
    },
    { what: 'a free port', everyMs: 0 },
  )
}

const here = dirname(fileURLToPath(import.meta.url))
const main = join(here, '..', '..', 'cli', 'main.ts')
const tsx = import.meta.resolve('tsx')
/** In the environment of every process that a world starts: `endProcesses` finds also those that outlived their parent. */
const mark = 'MYPAAS_TEST_WORLD'
/** Set by scripts/test for all processes of its run, which then looks for leftovers. */
const run = 'MYPAAS_TEST_RUN'

function running(child: ChildProcess, args: readonly string[], timeoutMs: number): RunningCli {
  const started = performance.now()
  const texts = { stdout: '', stderr: '', output: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      texts[stream] += text
      texts.output += text
    })
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  const result = new Promise<CliResult>((resolve, reject) => {
    child.once('error', (error) => error.name !== 'AbortError' && reject(error))
    child.once('close', (code, signal) => resolve({ code, signal, ...texts, ms: performance.now() - started }))
  }).finally(() => clearTimeout(timer))
  let ended = false
  result.then(
    () => (ended = true),
    () => (ended = true),
  )
  return {
    pid: child.pid ?? 0,
    get output(): string {
      return texts.output
    },
    async seen(pattern, timeoutMs = 60_000) {
      const match = await until(() => pattern.exec(texts.output) ?? ended, {
        what: `${pattern} in the output of mypaas ${args.join(' ')}`,
        timeoutMs,
        everyMs: 10,
      }).catch((error: Error) => {
        throw new Error(`${error.message}. It said:\n${texts.output}`, { cause: error })
      })
      if (match === true)
        throw new Error(`mypaas ${args.join(' ')} ended without ${pattern}. It said:\n${texts.output}`)
      return match
    },
    kill: (signal) => void child.kill(signal),
    result,
  }
}

function nodeDockerfile(name: string, base: string, files: ServiceFiles): string {
  return [
    `# mypaas.service=${name}`,
    ...(files.directives ?? []).map((directive) => `# mypaas.${directive}`),
    `FROM ${base}`,
    ...Object.entries(files.app ?? {}).map(([key, value]) => `ENV ${key}=${JSON.stringify(`${value}`)}`),
    'COPY server.mjs ./',
    ...(files.lines ?? []),
    'CMD ["node", "server.mjs"]',
    '',
  ].join('\n')
}

/**
 * By the server's label, and by the instance's name for what a broken init left behind. Returns what went wrong, so that
 * one thing that can't be removed does not keep the others.
 */
async function removeFromEngine(docker: Docker, instance: string, id: string | undefined): Promise<unknown[]> {
  const problems: unknown[] = []
  const attempt = (work: Promise<unknown>) =>
    work.catch((error: unknown) => !(error instanceof NotFoundError) && problems.push(error))
  const ours = (name: string, labels: Readonly<Record<string, string>> | null | undefined) =>
    name.startsWith(`${instance}-`) ||
    (id !== undefined && Object.entries(labels ?? {}).some(([key, value]) => key.startsWith('mypaas.') && value === id))

  const containers = await docker.containers.list({ all: true })
  const mine = containers.filter((container) => ours(nameOf(container), container.Labels))
  await Promise.all(mine.map(({ Id }) => attempt(docker.containers.remove(Id, { force: true, volumes: true }))))
  for (const network of await docker.networks.list())
    if (ours(network.Name, network.Labels)) await attempt(removeNetwork(docker, network.Id))
  for (const volume of (await docker.volumes.list()).Volumes ?? [])
    if (ours(volume.Name, volume.Labels)) await attempt(docker.volumes.remove(volume.Name, { force: true }))
  for (const image of await docker.images.list()) {
    const tags = (image.RepoTags ?? []).filter((tag) => tag !== '<none>:<none>')
    // By its id an image would go with all its tags, so one of another owner too.
    const names = ours('', image.Labels)
      ? tags.length > 0
        ? tags
        : [image.Id]
      : tags.filter((tag) => ours(tag, undefined))
    for (const name of names) await attempt(docker.images.remove(name, { force: true }))
  }
  return problems
}

/** `/web-r1-1` → `web-r1-1` */
function nameOf(container: { Names: readonly string[] }): string {
  return (container.Names[0] ?? '').slice(1)
}

/** Kills what runs with this world's mark in its environment, whoever its parent is by now. */
async function endProcesses(instance: string): Promise<void> {
  for (const entry of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue
    const environment = await readFile(`/proc/${entry}/environ`, 'utf8').catch(() => '')
    if (!environment.split('\0').includes(`${mark}=${instance}`)) continue
    try {
      process.kill(Number(entry), 'SIGKILL')
    } catch {
      // It ended by itself in the meantime.
    }
  }
}

/** scripts/test reads these lines at its end: what they name must be gone by then. */
async function noteForTheLeftoverCheck(made: { instance: string; home: string; id?: string }): Promise<void> {
  const ledger = process.env['MYPAAS_TEST_LEDGER']
  if (ledger) await appendFile(ledger, `${JSON.stringify(made)}\n`)
}

function serverFile(home: string): string {
  return join(home, '_mypaas', 'server.json')
}

async function readJson(path: string): Promise<Record<string, unknown> | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function randomName(length: number): string {
  return Array.from({ length }, () => 'abcdefghijklmnopqrstuvwxyz0123456789'[randomInt(36)]).join('')
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)))
  })
}
