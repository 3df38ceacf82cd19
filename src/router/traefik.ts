import { X509Certificate } from 'node:crypto'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Docker } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { readIfThere, removeAbandoned, writeDurably } from '../files.ts'
import { takeLock } from '../lock.ts'
import { checkedName, containerName } from '../service/names.ts'
import type { ServiceUrl } from '../service/spec.ts'
import { AdminApi, ask } from './ask.ts'
import { type CertifyOptions, certify, type NameReport, type NameStates, tlsOf } from './certificates.ts'
import {
  type NameTls,
  namesFile,
  probeHeader,
  type RouterSettings,
  reachHeader,
  reachPath,
  releaseName,
  revisionName,
  type ServiceRoutes,
  serviceFile,
} from './config.ts'
import { servedCertificate } from './handshake.ts'
import { list, type RouterProblem, routerProblems } from './health.ts'
import { concreteHost, healthRequest } from './health-request.ts'
import { acmeError } from './log.ts'
import { checkReach } from './reach.ts'
import type { Answer, AskOptions, FoundRoutes, OutOfRotation, Router } from './router.ts'

/** Where the running router is and how to talk to it. */
export type TraefikOptions = Readonly<{
  /** `~/_mypaas/traefik`: `dynamic/` is what Traefik watches, `state/` what is being written and what was. */
  directory: string
  container: string
  gate: string
  /** What the names of replicas begin with. */
  prefix: string
  /** The address and ports on this machine that the router is published on. */
  address: string
  httpPort: number
  httpsPort: number
  adminPort: number
  adminPassword: string
  settings: RouterSettings
  names: Readonly<{
    /** PEM files: authorities to trust besides the usual, and certificates that a person brought. */
    authorities: readonly string[]
    own: readonly string[]
    /** Only this machine reaches the router. */
    isLocal: boolean
    /** Where the authority looks for this server. */
    challengePort: number
    address: string
    dnsServers: readonly string[]
  }>
  /** The group that the router's process runs as, to read what we write; -1 leaves it. */
  groupId: number
}>

const noEmail = {
  problem: "there is no e-mail address for Let's Encrypt, so the router shows a certificate of its own",
  hint: 'Set one: mypaas server init --email YOU@example.com',
}
/** A machine that is short of disk or processor lets the router wait, too. */
const confirmTimeoutMs = 20_000
/** Nobody listens on its port for so long: it is down, unless the engine is bringing it back. */
const refusedTimeoutMs = 5_000
const confirmPollMs = 20
const lockWaitMs = 30_000

/**
 * Traefik by its file provider. A change is one rename; it counts when Traefik's API shows the revision that the file
 * carries. One file that Traefik can't take would block the changes of every service, so such a file is taken back.
 */
export class TraefikRouter implements Router {
  readonly gate: string
  readonly #docker: Docker
  readonly #options: TraefikOptions
  readonly #admin: AdminApi

  constructor(docker: Docker, options: TraefikOptions) {
    this.#docker = docker
    this.#options = options
    this.gate = options.gate
    this.#admin = new AdminApi(options.address, options.adminPort, options.adminPassword)
  }

  async apply(routes: ServiceRoutes, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    await using _ = await this.#lock(`the routes of ${routes.service}`, options.signal)
    const { own, others } = await this.#keepOutDown(routes)
    for (const other of others) await this.#write(other)
    const file = this.#file(own.service)
    const previous = await readIfThere(file)
    const { content, revision } = serviceFile(own, await this.#names())
    if (previous !== content) await this.#put(file, content)
    try {
      await this.#confirm(own.service, revision, options.signal)
      await this.#refuseDisabledRouters(own)
    } catch (error) {
      if (previous === undefined) await rm(file, { force: true })
      else if (previous !== content) await this.#put(file, previous)
      throw error
    }
    await this.#keep(own)
  }

  async remove(service: string, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    if ((await readIfThere(this.#file(service))) === undefined) return
    await using _ = await this.#lock(`the routes of ${service}`, options.signal)
    await rm(this.#file(service), { force: true })
    await rm(this.#stateFile(service), { force: true })
    await this.#until(options.signal, `the routes of ${service} to go`, async () => {
      const { status } = await this.#admin.get(`/api/http/middlewares/${encodeURIComponent(`${service}~retry`)}@file`)
      return status === 404
    })
  }

  async current(service: string): Promise<FoundRoutes> {
    await removeAbandoned(join(this.#options.directory, 'state'))
    const live = await readIfThere(this.#file(service))
    if (live === undefined) return undefined
    const routes = await this.#kept(service)
    if (!routes || serviceFile(routes, await this.#names()).content !== live) return 'unknown'
    const { out: _, ...active } = routes.active
    return { ...routes, active }
  }

  async renew(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    await using _ = await this.#lock('the routes', options.signal)
    await this.#sortOut(new Set())
    const written: (() => Promise<void>)[] = []
    for (const routes of await this.#keptServices()) {
      const live = await readIfThere(this.#file(routes.service))
      const { content, revision } = serviceFile(routes, await this.#names())
      // One that was never confirmed because its writer died is left to whoever settles its service.
      if (live === undefined || live === content || !leadsTo(live, routes)) continue
      await this.#put(this.#file(routes.service), content)
      written.push(() => this.#confirm(routes.service, revision, options.signal))
    }
    if (!(await this.#isDown())) await Promise.all(written.map((confirm) => confirm()))
  }

  async readmit(options: { signal?: AbortSignal | undefined } = {}): Promise<readonly string[]> {
    const out = (await this.#keptServices()).flatMap((routes) =>
      (routes.active.out ?? []).map((upstream) => ({ routes, upstream })),
    )
    // Asked without the lock: one that hangs keeps no deploy waiting.
    const healthy = await Promise.all(out.map(({ routes, upstream }) => this.#isHealthy(routes, upstream)))
    const up = new Set(out.filter((_, index) => healthy[index]).map(({ upstream }) => upstream))
    if (up.size === 0) return []
    await using _ = await this.#lock('the replicas that are up again', options.signal)
    return await this.#sortOut(up)
  }

  async certify(options: Partial<CertifyOptions> = {}): Promise<readonly NameReport[]> {
    const { settings, names, address, httpsPort: port, container } = this.#options
    const { acme } = settings
    const hosts = options.hosts ?? (await this.#secureHosts())
    if (hosts.length === 0) return []
    const [authorities, own] = await Promise.all([texts(names.authorities), texts(names.own)])
    const certificates = own.map((pem) => new X509Certificate(pem))
    const challenge = acme?.challenge === 'tls' ? 'tls' : 'http'
    const reach = {
      challenge,
      port: names.challengePort || (challenge === 'tls' ? 443 : 80),
      path: reachPath(settings),
      header: reachHeader,
      token: settings.reachToken,
      dnsServers: names.dnsServers,
      address: names.address,
    } as const
    return certify(
      {
        acme,
        // A server for the machine itself has no names that an authority would know.
        missing: names.isLocal ? undefined : noEmail,
        isOwn: (host) => certificates.some((found) => found.checkHost(concreteHost({ host })) !== undefined),
        states: () => this.#nameStates(),
        change: (states) => this.#changeNames(states, options.signal),
        look: (host) => servedCertificate(host, { address, port, authorities }),
        reach: (host) => checkReach(host, reach),
        lastError: (host, since) => acmeError(this.#docker, container, host, since),
        now: () => new Date(),
      },
      { ...options, hosts },
    )
  }

  async outOfRotation(): Promise<readonly OutOfRotation[]> {
    const services = await list<ApiService>((path) => this.#admin.get(path), '/api/http/services')
    const states = new Map(services.map(({ name, serverStatus }) => [name, serverStatus]))
    const found = (await this.#keptServices()).map(async (routes) => {
      const { service, active, holdMs } = routes
      if (!active.healthcheck || holdMs !== undefined) return []
      const { release, upstreams, healthcheck } = active
      const down = downOf(routes, states.get(`${releaseName(service, release)}@file`))
      const out = upstreams.filter((upstream) => down.has(upstream) || active.out?.includes(upstream))
      return Promise.all(
        out.map(async (upstream) => ({
          service,
          release,
          replica: upstreams.indexOf(upstream) + 1,
          of: upstreams.length,
          path: healthcheck.path,
          answer: await this.#askUpstream(routes, upstream),
        })),
      )
    })
    return (await Promise.all(found)).flat()
  }

  problems(): Promise<readonly RouterProblem[]> {
    return routerProblems(this.#options.directory, (path) => this.#admin.get(path))
  }

  certificates(): Promise<NameStates> {
    return this.#nameStates()
  }

  async probe(
    service: string,
    release: number,
    url: ServiceUrl,
    { signal, ...more }: AskOptions = {},
  ): Promise<Answer> {
    const headers = { ...this.#admin.authorization, [probeHeader]: releaseName(service, release) }
    const { address, adminPort: port } = this.#options
    return ask({ address, port, secure: false, url, headers, signal, ...more })
  }

  async request(url: ServiceUrl, { signal, ...more }: AskOptions = {}): Promise<Answer> {
    const secure = url.scheme === 'https'
    const port = secure ? this.#options.httpsPort : this.#options.httpPort
    return ask({ address: this.#options.address, port, secure, url, headers: {}, signal, ...more })
  }

  async address(): Promise<string | undefined> {
    const { NetworkSettings } = await this.#docker.containers.inspect(this.#options.container)
    return NetworkSettings.Networks[this.gate]?.IPAddress || undefined
  }

  show(url: ServiceUrl): string {
    const port = url.scheme === 'https' ? this.#options.httpsPort : this.#options.httpPort
    const usual = url.scheme === 'https' ? 443 : 80
    return `${url.scheme}://${url.host}${port === usual ? '' : `:${port}`}${url.path}`
  }

  /**
   * Whoever writes a route makes Traefik start anew with all health checks, and with every server taken for up. So the
   * servers that it knows to be down leave the files with the same change.
   */
  async #keepOutDown(wanted: ServiceRoutes): Promise<{ own: ServiceRoutes; others: readonly ServiceRoutes[] }> {
    let own = wanted
    const others: ServiceRoutes[] = []
    for (const routes of await this.#keptServices()) {
      const { active, holdMs } = routes
      if (!active.healthcheck || active.upstreams.length < 2 || holdMs !== undefined) continue
      const down = await this.#down(routes)
      const out = active.upstreams.filter((upstream) => down.has(upstream) || active.out?.includes(upstream))
      // With none left Traefik would refuse what it now still tries to serve.
      if (out.length === active.upstreams.length) continue
      const without = out.length > 0 ? { ...active, out } : active
      if (routes.service !== wanted.service) {
        if (out.length > (active.out?.length ?? 0)) others.push({ ...routes, active: without })
      } else if (wanted.active.release === active.release && wanted.holdMs === undefined && out.length > 0) {
        own = { ...wanted, active: { ...wanted.active, out } }
      }
    }
    return { own, others }
  }

  /**
   * Writes anew the routes of each service of which replicas are in the files and down, or out of them and `up`: the
   * change makes Traefik take every server in its files for up.
   * @returns the services that have replicas back
   */
  async #sortOut(up: ReadonlySet<string>): Promise<readonly string[]> {
    const back: string[] = []
    for (const routes of await this.#keptServices()) {
      const { out: before = [], ...active } = routes.active
      if (!active.healthcheck || active.upstreams.length < 2 || routes.holdMs !== undefined) continue
      const down = await this.#down(routes)
      const out = active.upstreams.filter((one) => down.has(one) || (before.includes(one) && !up.has(one)))
      if (out.length === active.upstreams.length || out.join() === before.join()) continue
      await this.#write({ ...routes, active: out.length > 0 ? { ...active, out } : active })
      if (before.some((one) => !out.includes(one))) back.push(routes.service)
    }
    return back
  }

  /** The upstreams of a service that Traefik's own health checks found down. */
  async #down(routes: ServiceRoutes): Promise<ReadonlySet<string>> {
    const name = encodeURIComponent(releaseName(routes.service, routes.active.release))
    const { status, body } = await this.#admin.get(`/api/http/services/${name}@file`)
    return downOf(routes, status === 200 ? (JSON.parse(body) as ApiService).serverStatus : undefined)
  }

  async #isHealthy(routes: ServiceRoutes, upstream: string): Promise<boolean> {
    const answer = await this.#askUpstream(routes, upstream)
    return 'status' in answer && answer.status >= 200 && answer.status < 400
  }

  /** Asks a replica itself, as Traefik would: by the same request, on the same network. */
  async #askUpstream({ service, active, urls }: ServiceRoutes, upstream: string): Promise<Answer> {
    const { prefix, gate } = this.#options
    const name = `${prefix}${containerName(service, active.release, active.upstreams.indexOf(upstream) + 1)}`
    const found = await this.#docker.containers.inspect(name).catch(() => undefined)
    const address = found?.NetworkSettings.Networks[gate]?.IPAddress
    const { healthcheck } = active
    if (!address || !healthcheck) return { error: "it is not on the router's network" }
    const asked = healthRequest(urls)
    const url = { scheme: 'http', host: asked?.host ?? address, path: healthcheck.path } as const
    // Whoever asks for the state of all waits for it; a check may be allowed to take hours.
    const timeoutMs = Math.min(healthcheck.timeoutMs, 5_000)
    const headers = asked?.headers ?? {}
    return ask({ address, port: active.port, secure: false, url, headers, signal: undefined, timeoutMs })
  }

  /** Writes routes that are like the live ones but for replicas in or out: nobody waits for them. */
  async #write(routes: ServiceRoutes): Promise<void> {
    const { content } = serviceFile(routes, await this.#names())
    await this.#put(this.#file(routes.service), content)
    await this.#keep(routes)
  }

  async #secureHosts(): Promise<readonly string[]> {
    const { daemon } = this.#options.settings
    const urls = (await this.#keptServices()).flatMap((routes) => routes.urls)
    const hosts = urls.filter(({ scheme }) => scheme === 'https').map(({ host }) => host)
    return [...new Set([...hosts, ...(daemon ? [daemon.domain] : [])])]
  }

  async #nameStates(): Promise<NameStates> {
    try {
      const states = JSON.parse((await readIfThere(this.#namesFile())) ?? '{}') as NameStates | null
      const entries = Object.entries(states ?? {}).filter(([, state]) => typeof state === 'object' && state !== null)
      return Object.fromEntries(entries)
    } catch {
      return {}
    }
  }

  /** How each name is served. */
  async #names(): Promise<Readonly<Record<string, NameTls>>> {
    return this.#tls(await this.#nameStates())
  }

  #tls(states: NameStates): Readonly<Record<string, NameTls>> {
    const asks = this.#options.settings.acme !== undefined
    return Object.fromEntries(Object.entries(states).map(([host, state]) => [host, tlsOf(state, asks)]))
  }

  /** Keeps what is known of names, has the router ask for some, and writes the routes anew that are served otherwise by it. */
  async #changeNames(changed: NameStates, signal: AbortSignal | undefined): Promise<void> {
    const hosts = await this.#secureHosts()
    const before = await this.#nameStates()
    const after = Object.fromEntries(Object.entries({ ...before, ...changed }).filter(([host]) => hosts.includes(host)))
    const asking = (states: NameStates): string => namesFile(this.#tls(states), this.#options.settings)
    const askFile = join(this.#options.directory, 'dynamic', 'names.yml')
    const isSame = JSON.stringify(before) === JSON.stringify(after)
    if (isSame && ((await readIfThere(askFile)) ?? '{}') === asking(before)) return
    await using _ = await this.#lock('the certificates', signal)
    await this.#sortOut(new Set())
    await this.#put(this.#namesFile(), JSON.stringify(after))
    await this.#put(askFile, asking(after))
    const written: (() => Promise<void>)[] = []
    for (const routes of await this.#keptServices()) {
      const was = serviceFile(routes, this.#tls(before))
      const is = serviceFile(routes, this.#tls(after))
      const file = this.#file(routes.service)
      // One that is not what was written last is lost or changed by hand: whoever mends it takes the names along.
      if (was.content === is.content || (await readIfThere(file)) !== was.content) continue
      await this.#put(file, is.content)
      // Begun together when all are written: one that fails while others are written would fail unseen.
      written.push(() => this.#confirm(routes.service, is.revision, signal))
    }
    await Promise.all(written.map((confirm) => confirm()))
  }

  #namesFile(): string {
    return join(this.#options.directory, 'state', '.certificates')
  }

  async #keep(routes: ServiceRoutes): Promise<void> {
    await this.#put(this.#stateFile(routes.service), JSON.stringify(routes))
  }

  async #kept(service: string): Promise<ServiceRoutes | undefined> {
    try {
      const routes = JSON.parse((await readIfThere(this.#stateFile(service))) ?? '') as ServiceRoutes
      // One that somebody else wrote is lost, and is written anew with the next change of the service.
      return routes.service === service &&
        routes.urls.every(({ host }) => host) &&
        routes.active.upstreams.every(Boolean)
        ? routes
        : undefined
    } catch {
      return undefined
    }
  }

  async #keptServices(): Promise<readonly ServiceRoutes[]> {
    const files = await readdir(join(this.#options.directory, 'state'))
    const names = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length))
    return (await Promise.all(names.map((name) => this.#kept(name)))).filter((routes) => routes !== undefined)
  }

  /** One writer at a time: a change of one service may take replicas of others out of their files. */
  #lock(what: string, signal: AbortSignal | undefined): Promise<AsyncDisposable> {
    return takeLock(join(this.#options.directory, 'state', '.lock'), { what, waitMs: lockWaitMs, signal })
  }

  #stateFile(service: string): string {
    return join(this.#options.directory, 'state', `${checkedName(service)}.json`)
  }

  #file(service: string): string {
    return join(this.#options.directory, 'dynamic', `service-${checkedName(service)}.yml`)
  }

  /** Written beside the watched folder, synced, then renamed: Traefik sees the old content or the new, in one event. */
  async #put(file: string, content: string): Promise<void> {
    await writeDurably(file, content, {
      scratch: join(this.#options.directory, 'state'),
      mode: 0o640,
      groupId: this.#options.groupId,
    })
  }

  async #confirm(service: string, revision: string, signal: AbortSignal | undefined): Promise<void> {
    const path = `/api/http/middlewares/${encodeURIComponent(revisionName(service, revision))}@file`
    await this.#until(signal, `the new routes of ${service}`, async () => (await this.#admin.get(path)).status === 200)
  }

  async #refuseDisabledRouters(routes: ServiceRoutes): Promise<void> {
    for (const [index, url] of routes.urls.entries()) {
      const name = encodeURIComponent(`${routes.service}~${index}`)
      const { status, body } = await this.#admin.get(`/api/http/routers/${name}@file`)
      const router = status === 200 ? (JSON.parse(body) as { status?: string; error?: string[] }) : undefined
      if (router?.status !== 'enabled') {
        throw new MypaasError(
          `The router refuses the route of ${this.show(url)}: ${router?.error?.join('; ') ?? `status ${status}`}.`,
          { code: 'failed' },
        )
      }
    }
  }

  async #until(signal: AbortSignal | undefined, what: string, check: () => Promise<boolean>): Promise<void> {
    const begin = performance.now()
    let trouble: unknown
    let refusedSince: number | undefined
    for (;;) {
      signal?.throwIfAborted()
      try {
        if (await check()) return
        trouble = undefined
      } catch (error) {
        trouble = error
      }
      const now = performance.now()
      refusedSince = isRefusal(trouble) ? (refusedSince ?? now) : undefined
      const isRefused = refusedSince !== undefined && now > refusedSince + refusedTimeoutMs
      if (now > begin + confirmTimeoutMs || (isRefused && (await this.#isDown())))
        throw await this.#notConfirmed(what, now - begin, trouble)
      await sleep(confirmPollMs, undefined, { signal })
    }
  }

  async #isDown(): Promise<boolean> {
    return !['running', 'restarting'].includes(await this.#state())
  }

  /** As the engine has it; `missing` also where that can't be asked. */
  async #state(): Promise<string> {
    try {
      return (await this.#docker.containers.inspect(this.#options.container)).State.Status
    } catch {
      return 'missing'
    }
  }

  async #notConfirmed(what: string, ms: number, cause: unknown): Promise<MypaasError> {
    const state = await this.#state()
    if (state !== 'running') {
      return new MypaasError(
        `The router (container ${this.#options.container}) is ${state}, so ${what} can't take effect.`,
        {
          code: 'failed',
          hint: 'Bring it back, and the services with it: mypaas server reconcile',
          cause,
        },
      )
    }
    const files = await readdir(join(this.#options.directory, 'dynamic')).catch(() => [])
    return new MypaasError(
      `The router did not take ${what} within ${Math.round(ms / 1000)} s; the previous routes are back.`,
      {
        code: 'failed',
        hint: `One broken file keeps it from reading all others. It has ${files.length} in ${this.#options.directory}/dynamic; what it says: docker logs --tail 20 ${this.#options.container}`,
        cause,
      },
    )
  }
}

type ApiService = Readonly<{ name: string; serverStatus?: Readonly<Record<string, string>> }>

function downOf({ active }: ServiceRoutes, states: ApiService['serverStatus']): ReadonlySet<string> {
  return new Set(active.upstreams.filter((upstream) => states?.[`http://${upstream}:${active.port}`] === 'DOWN'))
}

/** Connections that are reset while the router starts or stops count, too: the port is published, and nobody behind it. */
function isRefusal(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return code === 'ECONNREFUSED' || code === 'ECONNRESET'
}

/** Whether a service's file has the replicas that are kept for it and no others, however it is written. */
function leadsTo(live: string, routes: ServiceRoutes): boolean {
  const upstreams = (text: string): string => JSON.stringify([...new Set(text.match(/"http:\/\/up-[^"]+"/g))].sort())
  return upstreams(live) === upstreams(serviceFile(routes).content)
}

/** The texts of files; of those that can't be read, none. */
async function texts(files: readonly string[]): Promise<readonly string[]> {
  const read = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => undefined)))
  return read.filter((text) => text !== undefined)
}
