import { chmod, rm } from 'node:fs/promises'
import type http from 'node:http'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readJournal } from '../deploy/journal.ts'
import { MypaasError } from '../errors.ts'
import { privateFolder } from '../files.ts'
import { takeLock } from '../lock.ts'
import type { RouterContainer } from '../router/container.ts'
import { holderOf } from '../router/rivals.ts'
import { gatewayOf, mendDaemonWay, refreshRouterFiles } from '../router/router-files.ts'
import { Api } from './api.ts'
import { Audit } from './audit.ts'
import { keepCertificates } from './certificates.ts'
import { Challenges } from './challenges.ts'
import { readConfig, serverDirectory } from './config.ts'
import { daemonLock } from './daemon-age.ts'
import { daemonSocket } from './daemon-socket.ts'
import { type OpenServer, openServer, routerContainer, routerToken } from './host.ts'
import { httpServer, maxWaiting } from './http-server.ts'
import { type JobInfo, Jobs } from './jobs.ts'
import { Keeper } from './keeper.ts'
import { AuthorizedKeys } from './keys.ts'
import { LiveSettings } from './live-settings.ts'
import { Nonces } from './nonces.ts'
import { proxyList } from './proxies.ts'
import { pushQuota } from './push-quota.ts'
import { Pushes } from './pushes.ts'
import type { DockerfileReader } from './restrict.ts'
import { LiveServerKey } from './server-key.ts'
import { keepHeapSmall } from './small-heap.ts'

export type DaemonOptions = Readonly<{
  home?: string
  /** Told what it does, in lines. */
  log?: (line: string) => void
  /** Ends it; a deploy that is on may finish first. */
  signal: AbortSignal
  /** How long such a deploy may take then. Default 60 s. */
  finishMs?: number
  /** Reads which images a limited key's Dockerfile names; a test gives one that misses some. */
  read?: DockerfileReader
}>

const retryMs = 5_000
/** How long the daemon brings things in order before it takes pushes, at most. */
const settleMs = 30_000

/**
 * Takes pushes and commands: on a unix socket, and on the machine's own address of the router's network, as soon as that
 * exists; never on an address that others reach. First it brings in order what the last one left, and then looks after
 * services until the end. Done when the signal has ended it.
 * @throws {MypaasError} `locked` when one runs already
 */
export async function runDaemon(options: DaemonOptions): Promise<void> {
  const home = options.home ?? homedir()
  const directory = serverDirectory(home)
  const log = options.log ?? (() => {})
  keepHeapSmall()
  await readConfig(directory)
  const identity = await identityOf(home)
  const folder = join(directory, 'push')
  await privateFolder(folder)
  await using _ = await takeLock(daemonLock(directory), { what: 'the daemon' })
  // Of earlier versions, which kept there what is in memory now.
  for (const old of ['nonce.key', 'nonces.used']) await rm(join(folder, old), { force: true })

  const own = await LiveServerKey.open(directory, log)
  const keys = new AuthorizedKeys(directory)
  for (const problem of (await keys.read()).problems) log(`authorized_keys: ${problem}`)
  const settings = new LiveSettings(directory, log)
  const quota = async () => pushQuota(await settings.now())
  const pushes = await Pushes.open(join(folder, 'blobs'), quota, (service) => isKnown(directory, service))
  await privateFolder(join(folder, 'blobs'))
  const keeper = new Keeper({ home, log, signal: options.signal })
  // A service that waits for what it needs keeps nobody from pushing what it needs.
  const settling = keeper.settle()
  settling.catch(() => {})
  await Promise.race([settling, sleep(settleMs, undefined, { signal: options.signal, ref: false }).catch(() => {})])
  const jobs = await Jobs.open(join(folder, 'jobs'), (info) => whatServes(home, info))
  const audit = new Audit(directory)
  const nonces = new Nonces()
  const challenges = new Challenges({
    server: identity.id,
    key: () => own.current(),
    nonces,
    limits: () => pushes.limits(),
    now: Date.now,
  })
  const { read } = options
  const shared = { home, directory, server: identity.id, settings, keys, challenges, nonces, pushes, jobs, audit, log }
  const api = new Api({ ...shared, ...(read ? { read } : {}) })

  using _net = catchUnseen(audit, log)

  const socket = daemonSocket(directory)
  await rm(socket, { force: true })
  const local = httpServer(api, 'socket')
  await listen(local, { path: socket })
  await chmod(socket, 0o600)
  log(`listens on ${socket}`)

  const proxies = proxyList((await readConfig(directory)).router.trustedIps)
  const gateway = new GatewayListener(() => httpServer(api, 'router', routerToken(identity), proxies), log, {
    async wanted() {
      const wanted = await readConfig(directory)
      if (wanted.server.domain === '') return undefined
      await using server = await openServer(home)
      const { networks } = routerContainer(directory, wanted, identity)
      const address = await gatewayOf(server.host.docker, networks.edge)
      return address === undefined ? undefined : { host: address, port: wanted.server.daemonPort }
    },
    async changed(taken) {
      await using server = await openServer(home)
      const router = routerFor(server, taken)
      await refreshRouterFiles(server.host.docker, router)
      if (taken === undefined) return
      const holder = await holderOf(server.host.docker, router, [taken]).catch(() => undefined)
      log(
        `NOBODY CAN PUSH BY HTTPS: ${holder?.what ?? 'something else on this machine listens'} where the daemon is to listen for the router, who leads nobody there meanwhile. Stop it (${holder?.mend ?? `ss -ltnp 'sport = :${taken}'`}), or set another daemon_port`,
      )
    },
    async looked(taken) {
      await using server = await openServer(home)
      await mendDaemonWay(server.host.docker, routerFor(server, taken))
    },
  })
  // Awaited at the end, so that what breaks one of them would otherwise break the daemon, and unseen.
  const seen = (what: string, work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => log(`a bug: ${what} ended: ${stackOf(error)}`))
  const sweeping = seen('the sweeper', sweepNowAndThen(pushes, options.signal, log))
  const keeping = seen('the keeper', keeper.keep())
  const certifying = seen('what looks after certificates', keepCertificates(home, options.signal, log))
  await gateway.keepListening(options.signal)

  log('stops: takes nothing new, lets what is on finish')
  const closed = [close(local), gateway.close()]
  await jobs.finish(options.finishMs ?? 60_000)
  await api.idle()
  local.closeAllConnections()
  await Promise.all(closed)
  await Promise.all([settling, sweeping, keeping, certifying])
  await pushes.close()
  await audit.close()
  await rm(socket, { force: true })
}

/**
 * The net below everything: a promise that nobody looks at ends no daemon, with the deploys and sessions that are on. That
 * there was one is a bug, so it is told.
 */
export function catchUnseen(audit: Pick<Audit, 'write'>, log: (line: string) => void): Disposable {
  const tell = (error: unknown): void => {
    log(`a bug: a promise failed and nobody looked: ${stackOf(error)}`)
    const detail = 'a promise failed and nobody looked; see the log of the daemon'
    audit.write({ from: 'daemon', action: 'bug', outcome: 'failed', detail }).catch(() => {})
  }
  process.on('unhandledRejection', tell)
  return { [Symbol.dispose]: () => void process.off('unhandledRejection', tell) }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** Whether it has its port the daemon knows for certain. */
function routerFor({ host, config, identity }: OpenServer, taken: number | undefined): RouterContainer {
  const wanted = routerContainer(host.directory, config, identity)
  return { ...wanted, isDaemonPortTaken: async () => taken !== undefined }
}

async function identityOf(home: string): Promise<OpenServer['identity']> {
  await using server = await openServer(home)
  return server.identity
}

async function whatServes(home: string, { service }: JobInfo): Promise<string> {
  if (service === undefined) return ''
  const journal = await readJournal(serverDirectory(home), service).catch(() => undefined)
  return journal?.current ? `r${journal.current.release} of ${service} serves.` : `Nothing of ${service} runs.`
}

/** A journal that can't be read is one all the same. */
async function isKnown(directory: string, service: string): Promise<boolean> {
  return (await readJournal(directory, service).catch(() => true)) !== undefined
}

async function sweepNowAndThen(pushes: Pushes, signal: AbortSignal, log: (line: string) => void): Promise<void> {
  const failed = (error: unknown): void => log(`what is left of pushes was not swept: ${String(error)}`)
  for (let sweepAt = 0; !signal.aborted; ) {
    if (performance.now() >= sweepAt) {
      await pushes.collectGarbage().catch(failed)
      sweepAt = performance.now() + sweepMs
    }
    await pushes.forgetRemoved().catch(failed)
    await sleep(forgetMs, undefined, { signal, ref: false }).catch(() => {})
  }
}

const sweepMs = 6 * 3_600_000
/** How long what a removed service left may take up its room. */
const forgetMs = 10_000

const closeGraceMs = 10_000

type GatewayNeeds = Readonly<{
  wanted: () => Promise<{ host: string; port: number } | undefined>
  /** Told when it listens, and when it can't because somebody else has the port, `taken`. */
  changed: (taken: number | undefined) => Promise<void>
  /** Told that again and again while it stays so. */
  looked: (taken: number | undefined) => Promise<void>
}>

/** Listens on an address that may not be there yet, or change, or be taken by somebody else for a while. */
class GatewayListener {
  readonly #makeServer: () => http.Server
  readonly #log: (line: string) => void
  readonly #needs: GatewayNeeds
  #server: http.Server | undefined
  #at = ''
  #said = ''
  /** What {@link GatewayNeeds.changed} was told last. */
  #told: string | undefined

  constructor(makeServer: () => http.Server, log: (line: string) => void, needs: GatewayNeeds) {
    this.#makeServer = makeServer
    this.#log = log
    this.#needs = needs
  }

  async keepListening(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#check().catch((error: unknown) => this.#say(error instanceof Error ? error.message : String(error)))
      await sleep(retryMs, undefined, { signal }).catch(() => {})
    }
  }

  async #check(): Promise<void> {
    const wanted = await this.#needs.wanted()
    const at = wanted ? `${wanted.host}:${wanted.port}` : ''
    if (at === this.#at) return this.#server && this.#tell(undefined)
    if (this.#server) await this.close()
    this.#at = ''
    if (!wanted) return
    const server = this.#makeServer()
    try {
      await listen(server, wanted)
    } catch (error) {
      const { code } = (error as MypaasError).cause as NodeJS.ErrnoException
      if (code === 'EADDRINUSE') await this.#tell(wanted.port)
      throw error
    }
    this.#server = server
    this.#at = at
    this.#say(`listens on ${at} for the router`)
    await this.#tell(undefined)
  }

  /** Again and again until it was heard. */
  async #tell(taken: number | undefined): Promise<void> {
    const what = `${taken}`
    if (what === this.#told) return this.#needs.looked(taken)
    await this.#needs.changed(taken)
    this.#told = what
  }

  #say(line: string): void {
    if (line !== this.#said) this.#log(line)
    this.#said = line
  }

  async close(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (!server) return
    const closed = close(server)
    server.closeIdleConnections()
    // Who reads or sends for longer comes again, to where the daemon listens then.
    const cut = setTimeout(() => server.closeAllConnections(), closeGraceMs)
    await closed
    clearTimeout(cut)
  }
}

function listen(server: http.Server, where: { path: string } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const at = 'path' in where ? where.path : `${where.host}:${where.port}`
      const hint = cause.code === 'EADDRINUSE' ? 'Choose another port: [server] daemon_port in the config.' : undefined
      reject(new MypaasError(`The daemon can't listen on ${at} (${cause.code}).`, { code: 'failed', hint, cause }))
    })
    server.listen({ ...where, backlog: maxWaiting['path' in where ? 'socket' : 'router'] }, resolve)
  })
}

function close(server: http.Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}
