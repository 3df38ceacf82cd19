import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { Docker } from '../../src/docker/index.ts'
import { until } from './until.ts'

/** A second dockerd, of one test's own: it may be killed. Images are loaded into it, containers run as in the other. */
export interface PrivateEngine {
  /** As `DOCKER_HOST`. */
  readonly host: string
  /** Runs it unless it runs, and waits until it answers. */
  start(): Promise<void>
  /** SIGKILL; done when it is gone. Its containers go on running until it is started again. */
  kill(): Promise<void>
  /** SIGTERM, as a service manager does; done when it is gone. Its containers end. */
  stop(): Promise<void>
  /** As when the machine's power fails: every process of it ends at once, and all that lies in memory is gone. */
  cutPower(): Promise<void>
  /** Lets the containers of each of its networks talk to each other: to be called when they were made, once. */
  openNetworks(): Promise<void>
}

/**
 * What a test registers with the result is undone last first, so that what needs another thing goes before that. One step
 * that fails keeps no other from being undone.
 */
export function backwards(t: Pick<TestContext, 'after'>): Pick<TestContext, 'after'> {
  const undo: (() => unknown)[] = []
  t.after(async () => {
    const problems: unknown[] = []
    for (const step of undo.reverse()) {
      try {
        await step()
      } catch (error) {
        problems.push(error)
      }
    }
    if (problems.length === 1) throw problems[0]
    if (problems.length > 1) throw new AggregateError(problems, `${problems.length} steps could not be undone`)
  })
  return { after: (step) => void undo.push(step as () => unknown) }
}

/**
 * Starts a dockerd that shares nothing with this machine's but the kernel: sockets, data, containerd, bridge and addresses
 * are its own, and it leaves the packet filter alone, for two of them would take away each other's rules. After the test
 * nothing of it is left.
 *
 * @param options.dataRoot Where its images and containers lie. Default: a directory that is removed after the test.
 */
export async function privateEngine(
  t: Pick<TestContext, 'after'>,
  options: { dataRoot?: string; images?: readonly string[] } = {},
): Promise<PrivateEngine> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  const engine = new Dockerd(folder, options.dataRoot ?? join(folder, 'data'))
  t.after(() => engine.remove())
  await engine.start()
  for (const image of options.images ?? []) await engine.load(image)
  return engine
}

class Dockerd implements PrivateEngine {
  readonly host: string
  readonly #folder: string
  readonly #dataRoot: string
  /** Of its bridge, and in the comment of its rules in the packet filter. */
  readonly #name: string = `mpt${randomInt(1_000_000)}`
  /** The bridges of its networks that have a rule. */
  readonly #opened = new Set<string>()
  #dockerd: ChildProcess | undefined
  #containerd: ChildProcess | undefined

  constructor(folder: string, dataRoot: string) {
    this.#folder = folder
    this.#dataRoot = dataRoot
    this.host = `unix://${join(folder, 'docker.sock')}`
  }

  async start(): Promise<void> {
    if (this.#dockerd) return
    await this.#prepareNetwork()
    this.#containerd ??= await this.#startContainerd()
    this.#dockerd = await this.#spawn('dockerd', this.#arguments())
    await using docker = new Docker({ host: this.host })
    const answers = () => docker.system.ping({ timeoutMs: 1_000 })
    await until(answers, { what: 'an answer of the engine', timeoutMs: 40_000 }).catch(async (cause: unknown) => {
      const text = await readFile(join(this.#folder, 'dockerd.log'), 'utf8')
      throw new Error(`dockerd does not start:\n${text.split('\n').slice(-15).join('\n')}`, { cause })
    })
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  stop(): Promise<void> {
    return this.#end('SIGTERM')
  }

  async cutPower(): Promise<void> {
    const inits = await this.#containerProcesses()
    await this.kill()
    await end(this.#containerd, 'SIGKILL')
    this.#containerd = undefined
    await until(async () => (await endShims(this.#folder)) === 0, { what: 'the end of the shims of a private engine' })
    for (const pid of inits) killIfThere(pid)
    await until(() => inits.every((pid) => !existsSync(`/proc/${pid}`)), { what: 'the end of all containers' })
    await this.#unmountAll()
    for (const name of ['exec', 'containerd', 'containerd.sock', 'containerd.sock.ttrpc', 'docker.sock', 'dockerd.pid'])
      await rm(join(this.#folder, name), { recursive: true, force: true })
    await this.#removeLinks()
  }

  async openNetworks(): Promise<void> {
    await using docker = new Docker({ host: this.host })
    for (const { Id, Name } of await docker.networks.list({ filters: { driver: ['bridge'] } })) {
      const bridge = `br-${Id.slice(0, 12)}`
      if (Name === 'bridge' || this.#opened.has(bridge)) continue
      // The other engine's rules drop what they don't know, also between two containers on one bridge.
      await run('iptables', ['-I', ...this.#rule(bridge)])
      this.#opened.add(bridge)
    }
  }

  /** Takes an image over from this machine's engine. */
  async load(image: string): Promise<void> {
    await using from = new Docker()
    await using to = new Docker({ host: this.host })
    await to.images.load(from.images.save([image]))
  }

  async remove(): Promise<void> {
    await this.start()
    await using docker = new Docker({ host: this.host })
    for (const { Id } of await docker.containers.list({ all: true }))
      await docker.containers.remove(Id, { force: true })
    await docker.networks.prune()
    await this.stop()
    await end(this.#containerd, 'SIGTERM')
    await until(async () => (await endShims(this.#folder)) === 0, { what: 'the end of the shims of a private engine' })
    for (const bridge of this.#opened) await run('iptables', ['-D', ...this.#rule(bridge)])
    await this.#removeLinks()
    await this.#unmountAll()
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async #removeLinks(): Promise<void> {
    for (const link of [this.#name, ...this.#opened]) {
      if (existsSync(`/sys/class/net/${link}`)) await run('ip', ['link', 'del', link])
    }
  }

  async #unmountAll(): Promise<void> {
    const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '')
    for (const mount of mounts.filter((path) => path.startsWith(`${this.#folder}/`)).reverse())
      await run('umount', [mount])
  }

  /** The first process of each container: with it all others of its end. */
  async #containerProcesses(): Promise<number[]> {
    await using docker = new Docker({ host: this.host })
    const running = await docker.containers.list()
    const found = await Promise.all(running.map(({ Id }) => docker.containers.inspect(Id)))
    return found.map(({ State }) => State.Pid).filter((pid) => pid > 1)
  }

  #arguments(): string[] {
    return [
      ['--host', this.host, '--pidfile', join(this.#folder, 'dockerd.pid')],
      ['--data-root', this.#dataRoot, '--exec-root', join(this.#folder, 'exec')],
      // No address pools: with those, dockerd 20.10 deletes the other engine's docker0 when it starts again.
      ['--bridge', this.#name],
      ['--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
      ['--containerd', this.#containerdSocket],
    ].flat()
  }

  /** Of its own, as where systemd starts both: one that dockerd starts dies with it, and may be taken for alive then. */
  async #startContainerd(): Promise<ChildProcess> {
    const config = join(this.#folder, 'containerd.toml')
    await writeFile(config, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    const folders = ['--root', join(this.#dataRoot, 'containerd'), '--state', join(this.#folder, 'containerd')]
    const child = await this.#spawn('containerd', ['--config', config, '--address', this.#containerdSocket, ...folders])
    await until(() => existsSync(this.#containerdSocket), { what: 'the socket of containerd' })
    return child
  }

  get #containerdSocket(): string {
    return join(this.#folder, 'containerd.sock')
  }

  async #spawn(program: string, words: readonly string[]): Promise<ChildProcess> {
    const log = await open(join(this.#folder, `${program}.log`), 'a')
    const child = spawn(program, words, { stdio: ['ignore', log.fd, log.fd], detached: true })
    await log.close()
    return child
  }

  /** Once: a restart finds it. */
  async #prepareNetwork(): Promise<void> {
    if (existsSync(`/sys/class/net/${this.#name}`)) return
    await run('ip', ['link', 'add', this.#name, 'type', 'bridge'])
    await run('ip', ['addr', 'add', `10.${randomInt(100, 200)}.0.1/24`, 'dev', this.#name])
    await run('ip', ['link', 'set', this.#name, 'up'])
  }

  #rule(bridge: string): string[] {
    return ['FORWARD', '-i', bridge, '-o', bridge, '-j', 'ACCEPT', '-m', 'comment', '--comment', this.#name]
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    await end(this.#dockerd, signal)
    this.#dockerd = undefined
  }
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await ended
}

/** What is left of containers: their shims have the folder in their arguments. @returns how many there were */
async function endShims(folder: string): Promise<number> {
  let found = 0
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const words = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')
    if (!words.startsWith('/usr/bin/containerd-shim') || !words.includes(`${folder}/`)) continue
    found += 1
    killIfThere(Number(entry))
  }
  return found
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself in the meantime.
  }
}

const run = promisify(execFile)
