import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { discardContainer } from '../discard.ts'
import { ConflictError, type ContainerConfig, type Docker, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { readIfThere } from '../files.ts'
import { isFree } from '../free-port.ts'
import { takeLock } from '../lock.ts'
import { type RouterSettings, routerPorts } from './config.ts'
import { holderOf, publicPorts, refuseHeldPorts, type Services, withoutRivals } from './rivals.ts'
import { type Copies, daemonAddress, readCertificates, writeRouterFiles } from './router-files.ts'
import { staticFile, tcpEntryPoints } from './static-file.ts'
import { whyReplaced } from './why-replaced.ts'

/** What the router's container is made of. All of it comes from the server's config. */
export type RouterContainer = Readonly<{
  /** This server's id: a container of another one is never touched. */
  server: string
  name: string
  image: string
  networks: Readonly<{ services: string; edge: string; gate: string }>
  /** `~/_mypaas/traefik`. */
  directory: string
  /** The address that the public ports are published on; all addresses when absent. */
  bind?: string
  httpPort: number
  httpsPort: number
  /** On loopback only. */
  adminPort: number
  settings: RouterSettings
  services: Services
  /** Whether somebody else than the daemon listens where the way to it leads: then it leads nowhere. */
  isDaemonPortTaken?: (address: string) => Promise<boolean>
  /** `uid:gid` that the router's process runs as. */
  user: string
  extraHosts?: readonly string[]
  /** Variables for the router's process: credentials for the DNS provider. */
  env?: Readonly<Record<string, string>>
  /** PEM files on this machine that it gets copies of. */
  authorities?: readonly string[]
  certificates?: readonly Readonly<{ cert: string; key: string }>[]
}>

const startTimeoutMs = 20_000
const stopTimeoutMs = 60_000
/** Longer than the router itself waits for open requests. */
const stopGraceSeconds = 4
/** How long a new router may take on trial. */
const trialTimeoutMs = 20_000

/** What was, or would be, done to the router: `replaced` when its configuration changed. */
export type RouterChange = 'created' | 'replaced' | 'started' | 'unchanged'

type EnsureOptions = Readonly<{
  /** Replaces a router, too, whose image is not the one that has its name now. */
  newestImage?: boolean
}>

/**
 * Makes networks, files and container of the router what `wanted` says and waits until it answers. One that is like
 * that already is left alone. One that is replaced stays until the new one answers, and comes back if that does not.
 * @throws {MypaasError} `failed` when a name or port belongs to somebody else, or the router does not start
 */
export async function ensureRouter(
  docker: Docker,
  wanted: RouterContainer,
  options: EnsureOptions = {},
): Promise<RouterChange> {
  await using _ = await lockRouter(wanted, 'a change of the router')
  await settleOnOne(docker, wanted)
  return await ensureLocked(docker, wanted, options)
}

/** As {@link ensureRouter}, for who has the lock and knows that there is one router at most. */
export async function ensureLocked(
  docker: Docker,
  wanted: RouterContainer,
  options: EnsureOptions = {},
): Promise<RouterChange> {
  await ensureNetworks(docker, wanted)
  const files = await readCertificates(wanted)
  const config = containerConfig(wanted, files)
  const found = await find(docker, wanted)
  const change = await changeOf(docker, wanted, config, found, options)
  if (change === 'replaced' && found) {
    await refuseHeldPorts(docker, wanted, { serves: found.running })
    await refuseTakenPorts(docker, wanted, found)
  }
  await writeRouterFiles(wanted, files, await daemonAddress(docker, wanted))
  if (change === 'started' && found) await startAgain(docker, wanted, found, () => docker.containers.start(found.id))
  else if (change === 'replaced' && found) await replace(docker, wanted, config, found)
  else if (change === 'created')
    await withoutRivals(docker, wanted, { serves: false }, () => create(docker, wanted, config))
  // One that the engine has just brought back is still starting: what is routed before it answers is not confirmed.
  else await answers(docker, wanted)
  return change
}

/** What {@link ensureRouter} would do, and why, where it would replace the router. Changes nothing. */
export async function routerChange(
  docker: Docker,
  wanted: RouterContainer,
  options: EnsureOptions = {},
): Promise<Readonly<{ change: RouterChange; why: readonly string[] }>> {
  const files = await readCertificates(wanted)
  const config = containerConfig(wanted, files)
  const found = await find(docker, wanted)
  const change = await changeOf(docker, wanted, config, found, options)
  if (change !== 'replaced' || !found) return { change, why: [] }
  if (found.fingerprint === config.Labels?.['mypaas.router.config'])
    return { change, why: [`another ${wanted.image} is here than the one that runs, or its files are gone`] }
  const before = await readIfThere(join(wanted.directory, 'traefik.yml'))
  const after = staticFile(wanted.settings, files.authorities)
  const container = await docker.containers.inspect(found.id)
  return { change, why: whyReplaced({ container, staticFile: before }, { container: config, staticFile: after }) }
}

/**
 * Takes the lock that every change of the router's container comes by, a replacement among them: whoever looks after the
 * router keeps his hands off meanwhile.
 * @param waitMs Default 60,000.
 * @throws {MypaasError} `locked` when somebody is at it for that long
 */
export function lockRouter(
  { directory }: Pick<RouterContainer, 'directory'>,
  what: string,
  waitMs: number = lockWaitMs,
): Promise<AsyncDisposable> {
  return takeLock(join(directory, 'state', '.router.lock'), { what, waitMs })
}

/** Longer than a replacement takes that fails at its last step. */
const lockWaitMs = 60_000

/** One of this server's routers, as the engine lists it: there is one, but for what a killed replacement or a hand left. */
export type OwnRouter = Readonly<{
  id: string
  name: string
  state: string
  networks: readonly string[]
  ports: readonly Readonly<{ inside: number; address: string; port: number }>[]
  /** Only tried out, by a replacement. */
  isTrial: boolean
}>

/** All containers that this server made as its router, whatever they are called now. */
export async function ownRouters(docker: Docker, { server }: Pick<RouterContainer, 'server'>): Promise<OwnRouter[]> {
  const label = [`mypaas.server=${server}`, 'mypaas.role']
  const found = await docker.containers.list({ all: true, filters: { label } })
  return found
    .filter(({ Labels }) => /^router(-trial)?$/.test(Labels['mypaas.role'] ?? ''))
    .map(({ Id, Names, State, NetworkSettings, Ports, Labels }) => ({
      id: Id,
      name: (Names[0] ?? '').slice(1),
      state: State,
      networks: Object.keys(NetworkSettings?.Networks ?? {}),
      ports: Ports.filter(({ PublicPort, Type }) => PublicPort !== undefined && Type === 'tcp').map((port) => ({
        inside: port.PrivatePort,
        address: port.IP === undefined || port.IP === '' || port.IP === '0.0.0.0' ? '127.0.0.1' : port.IP,
        port: port.PublicPort ?? 0,
      })),
      isTrial: Labels['mypaas.role'] === 'router-trial',
    }))
}

/**
 * Clears what a replacement that was killed left, and gives a router that somebody renamed its name back: the one that
 * runs stays, or else the one of that name. The lock is the caller's.
 * @returns what was done, in lines
 */
export async function settleOnOne(docker: Docker, wanted: RouterContainer): Promise<readonly string[]> {
  const all = await ownRouters(docker, wanted)
  const found = all.filter(({ isTrial }) => !isTrial)
  const isNamed = ({ name }: OwnRouter): boolean => name === wanted.name
  const running = found.filter(({ state }) => state === 'running' || state === 'paused' || state === 'restarting')
  const stays = running.find(isNamed) ?? running[0] ?? found.find(isNamed) ?? found[0]
  const done: string[] = []
  for (const one of all) {
    if (one === stays) continue
    await discardContainer(docker, one.id)
    done.push(`${one.name} is removed, which a replacement left`)
  }
  if (stays && !isNamed(stays)) {
    await docker.containers.rename(stays.id, wanted.name)
    done.push(`${stays.name} has its name ${wanted.name} back`)
  }
  return done
}

/** Makes the networks that are missing. */
export async function ensureNetworks(docker: Docker, { networks, server }: RouterContainer): Promise<void> {
  await ensureNetwork(docker, networks.services, server, false)
  await ensureNetwork(docker, networks.edge, server, false)
  await ensureNetwork(docker, networks.gate, server, true)
}

/** Restarts the router's container and waits until it answers. */
export async function restartRouter(docker: Docker, wanted: RouterContainer): Promise<void> {
  await using _ = await lockRouter(wanted, 'a restart of the router')
  await settleOnOne(docker, wanted)
  const found = await find(docker, wanted)
  if (!found) {
    throw new MypaasError(`There is no router ${wanted.name}.`, { code: 'failed', hint: 'Make it: mypaas server init' })
  }
  const options = { graceSeconds: stopGraceSeconds, timeoutMs: stopTimeoutMs }
  await startAgain(docker, wanted, found, () => docker.containers.restart(found.id, options))
}

/**
 * Starts a router that is down, or ends one that hangs and starts it again, at once; waits until it answers. Services
 * that took its ports meanwhile give them back. The lock is the caller's.
 */
export async function reviveRouter(docker: Docker, wanted: RouterContainer, state: string): Promise<void> {
  const found = await find(docker, wanted)
  if (!found) return
  const isDown = state === 'exited' || state === 'created' || state === 'dead'
  // What hangs does not hear a signal that asks.
  const start = () =>
    isDown
      ? docker.containers.start(found.id)
      : docker.containers.restart(found.id, { graceSeconds: 0, timeoutMs: stopTimeoutMs })
  await startAgain(docker, wanted, { ...found, running: false }, start)
}

async function startAgain(
  docker: Docker,
  wanted: RouterContainer,
  found: FoundRouter,
  start: () => Promise<void>,
): Promise<void> {
  await withoutRivals(docker, wanted, { serves: found.running }, async () => {
    try {
      await start()
    } catch (error) {
      throw (await portsTaken(docker, wanted, error)) ?? error
    }
    await answers(docker, wanted)
  })
}

async function changeOf(
  docker: Docker,
  wanted: RouterContainer,
  config: ContainerConfig,
  found: FoundRouter | undefined,
  options: EnsureOptions,
): Promise<RouterChange> {
  if (!found) return 'created'
  if (found.fingerprint !== config.Labels?.['mypaas.router.config']) return 'replaced'
  // The container goes on seeing the folder that was there when it started.
  if (!existsSync(join(wanted.directory, 'dynamic'))) return 'replaced'
  if (options.newestImage && (await docker.images.inspect(wanted.image)).Id !== found.image) return 'replaced'
  return found.running ? 'unchanged' : 'started'
}

/** Removes the router's container and the networks that nothing uses any more; the files stay. */
export async function removeRouter(
  docker: Docker,
  wanted: Pick<RouterContainer, 'server' | 'name' | 'networks' | 'directory'>,
): Promise<void> {
  await using _ = await lockRouter(wanted, 'the removal of the router')
  const found = await find(docker, wanted)
  if (found) await stop(docker, found.id)
  for (const { id } of await ownRouters(docker, wanted)) await discardContainer(docker, id)
  for (const name of Object.values(wanted.networks)) {
    const network = await docker.networks.inspect(name).catch(ifNotFound)
    if (network?.Labels?.['mypaas.server'] === wanted.server) await docker.networks.remove(name)
  }
}

/** A network of ours is made where it is missing; one of that name that is another server's is refused. */
async function ensureNetwork(docker: Docker, name: string, server: string, internal: boolean): Promise<void> {
  const found = await docker.networks.inspect(name).catch(ifNotFound)
  if (found) {
    if (found.Labels?.['mypaas.server'] === server) return
    throw new MypaasError(`The Docker network ${name} is there already and not of this mypaas.`, {
      code: 'failed',
      hint: `Give this mypaas a name of its own: mypaas server init --instance NAME. Or, if nobody needs it: docker network rm ${name}`,
    })
  }
  try {
    await docker.networks.create({
      Name: name,
      Driver: 'bridge',
      Internal: internal,
      CheckDuplicate: true,
      Labels: { 'mypaas.server': server },
    })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
  }
}

function containerConfig(wanted: RouterContainer, files: Copies): ContainerConfig {
  const publish = (port: number, protocols: readonly string[], ip: string | undefined, inside: number) =>
    protocols.map((protocol) => [`${inside}/${protocol}`, [{ HostIp: ip ?? '', HostPort: String(port) }]] as const)
  const ports = [
    ...publish(wanted.httpPort, ['tcp'], wanted.bind, routerPorts.web),
    ...publish(wanted.httpsPort, ['tcp', 'udp'], wanted.bind, routerPorts.websecure),
    ...publish(wanted.adminPort, ['tcp'], '127.0.0.1', routerPorts.admin),
    ...tcpEntryPoints(wanted.settings).flatMap(({ port, inside }) => publish(port, ['tcp'], wanted.bind, inside)),
  ]
  const config: ContainerConfig = {
    Image: wanted.image,
    Cmd: ['--configFile=/etc/traefik/traefik.yml'],
    User: wanted.user,
    ...(wanted.env ? { Env: Object.entries(wanted.env).map(([key, value]) => `${key}=${value}`) } : {}),
    ExposedPorts: Object.fromEntries(ports.map(([port]) => [port, {}])),
    HostConfig: {
      NetworkMode: wanted.networks.edge,
      RestartPolicy: { Name: 'always' },
      PortBindings: Object.fromEntries(ports.map(([port, bindings]) => [port, [...bindings]])),
      Binds: [`${wanted.directory}:/etc/traefik:ro`, `${join(wanted.directory, 'acme')}:/acme`],
      // With ndots:1 the engine's own DNS answers names of one label at once, also when nobody has that name: else
      // requests that wait for a replica would hang in look-ups that leave for the machine's DNS.
      DnsOptions: ['ndots:1'],
      ReadonlyRootfs: true,
      Tmpfs: { '/tmp': 'mode=1777,size=64m' },
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
      ...(wanted.extraHosts ? { ExtraHosts: [...wanted.extraHosts] } : {}),
    },
  }
  const content = JSON.stringify([config, staticFile(wanted.settings, files.authorities)])
  return {
    ...config,
    Labels: {
      'mypaas.server': wanted.server,
      'mypaas.role': 'router',
      'mypaas.router.config': createHash('sha256').update(content).digest('hex').slice(0, 16),
    },
  }
}

type FoundRouter = Readonly<{ id: string; image: string; running: boolean; fingerprint: string | undefined }>

async function find(
  docker: Docker,
  wanted: Pick<RouterContainer, 'server' | 'name'>,
): Promise<FoundRouter | undefined> {
  const found = await docker.containers.inspect(wanted.name).catch(ifNotFound)
  if (!found) return undefined
  const labels = found.Config.Labels ?? {}
  if (labels['mypaas.server'] !== wanted.server || labels['mypaas.role'] !== 'router') {
    throw new MypaasError(`The container ${wanted.name} is there already and not of this mypaas.`, {
      code: 'failed',
      hint: `Give this mypaas a name of its own: mypaas server init --instance NAME. Or, if nobody needs it: docker rm -f ${wanted.name}`,
    })
  }
  const fingerprint = labels['mypaas.router.config']
  return { id: found.Id, image: found.Image, running: found.State.Running === true, fingerprint }
}

/**
 * The old one serves until one like the new one was seen to start and read its files. Nobody is served between its stop
 * and the start of the new one: only one container can have the published ports.
 */
async function replace(
  docker: Docker,
  wanted: RouterContainer,
  config: ContainerConfig,
  old: FoundRouter,
): Promise<void> {
  await tryOut(docker, wanted, config, old)
  await withoutRivals(docker, wanted, { serves: old.running }, () => swap(docker, wanted, config, old))
}

async function swap(docker: Docker, wanted: RouterContainer, config: ContainerConfig, old: FoundRouter): Promise<void> {
  const aside = `${wanted.name}-before`
  await discardContainer(docker, aside)
  await docker.containers.rename(old.id, aside)
  try {
    await create(docker, wanted, config, () => stop(docker, old.id))
  } catch (error) {
    await docker.containers.rename(old.id, wanted.name)
    try {
      await docker.containers.start(old.id)
    } catch (cause) {
      // Nobody is served now: who is in the way is what matters.
      throw (await portsTaken(docker, wanted, cause)) ?? cause
    }
    await answers(docker, wanted).catch(() => {})
    throw error
  }
  await discardContainer(docker, old.id)
}

/** Starts one like the new one where nobody asks it: an image or a configuration that is no good interrupts nobody. */
async function tryOut(
  docker: Docker,
  wanted: RouterContainer,
  config: ContainerConfig,
  old: FoundRouter,
): Promise<void> {
  const name = trialName(wanted)
  await discardContainer(docker, name)
  const { PortBindings: _, ...HostConfig } = config.HostConfig ?? {}
  const trial: ContainerConfig = {
    ...config,
    Labels: { ...config.Labels, 'mypaas.role': 'router-trial' },
    HostConfig: {
      ...HostConfig,
      // Without a way out, and with certificates that it can't change: nothing is asked of an authority twice.
      NetworkMode: wanted.networks.gate,
      Binds: HostConfig.Binds?.map((bind) => (bind.endsWith(':ro') ? bind : `${bind}:ro`)) ?? [],
      RestartPolicy: { Name: 'no' },
    },
  }
  const { Id } = await docker.containers.create(trial, { name })
  try {
    await docker.containers.start(Id)
    await readsItsFiles(docker, Id, wanted, old)
  } catch (error) {
    throw asStartError(error, wanted)
  } finally {
    await discardContainer(docker, Id)
  }
}

function trialName({ name }: Pick<RouterContainer, 'name'>): string {
  return `${name}-trial`
}

async function readsItsFiles(docker: Docker, id: string, wanted: RouterContainer, old: FoundRouter): Promise<void> {
  const deadline = performance.now() + trialTimeoutMs
  for (;;) {
    const { State, NetworkSettings } = await docker.containers.inspect(id)
    if (!State.Running) throw await exited(docker, id, State.ExitCode)
    const address = NetworkSettings.Networks[wanted.networks.gate]?.IPAddress
    if (address && (await statusOf(routerPorts.admin, address)) === 401) return
    if (performance.now() > deadline) {
      // Where containers have no addresses that this machine can reach, that it runs is all that can be known.
      const before = (await docker.containers.inspect(old.id)).NetworkSettings.Networks[wanted.networks.gate]?.IPAddress
      if (!before || (await statusOf(routerPorts.admin, before)) !== 401) return
      throw new MypaasError(`The new router does not answer after ${trialTimeoutMs / 1000} s.`, {
        code: 'failed',
        hint: `What it says: ${await lastLines(docker, id)}`,
      })
    }
    await sleep(50)
  }
}

async function stop(docker: Docker, id: string): Promise<void> {
  await docker.containers.stop(id, { graceSeconds: stopGraceSeconds, timeoutMs: stopTimeoutMs })
}

async function create(
  docker: Docker,
  wanted: RouterContainer,
  config: ContainerConfig,
  beforeStart: () => Promise<void> = async () => {},
): Promise<void> {
  const { Id } = await docker.containers.create(config, { name: wanted.name })
  try {
    await docker.networks.connect(wanted.networks.gate, { Container: Id })
    await beforeStart()
    await docker.containers.start(Id)
    await answers(docker, wanted)
  } catch (error) {
    await discardContainer(docker, Id)
    throw (await portsTaken(docker, wanted, error)) ?? asStartError(error, wanted)
  }
}

/** A router that serves is not stopped for one that can't start. @throws {MypaasError} `failed` */
async function refuseTakenPorts(docker: Docker, wanted: RouterContainer, found: FoundRouter): Promise<void> {
  const { HostConfig } = await docker.containers.inspect(found.id)
  const had = Object.values(HostConfig.PortBindings ?? {}).flatMap((list) =>
    (list ?? []).map(({ HostPort }) => HostPort),
  )
  for (const { port, address = '' } of publicPorts(wanted)) {
    if (had.includes(String(port)) || (await isFree(port, address))) continue
    throw new MypaasError(`The router can't have port ${port}: something else on this machine listens there.`, {
      code: 'failed',
      hint: `Nothing was changed. See what it is (ss -ltnp 'sport = :${port}') and stop it, or choose another port in [router] of config.toml.`,
    })
  }
}

/** What is in the way of a router that could not have its ports; `undefined` for any other error. */
async function portsTaken(docker: Docker, wanted: RouterContainer, cause: unknown): Promise<MypaasError | undefined> {
  if (!/port is already allocated|address already in use/.test(String(cause))) return undefined
  const ports = publicPorts(wanted).map(({ port }) => port)
  const holder = await holderOf(docker, wanted, ports).catch(() => undefined)
  const shown = ports.filter((port) => port !== wanted.adminPort).join(', ')
  return new MypaasError(
    `The router can't have its ports (${shown}): ${holder?.what ?? 'something else listens on one of them'}.`,
    {
      code: 'failed',
      hint: holder
        ? `Stop that: ${holder.mend}; then: mypaas server reconcile`
        : 'Stop that, or choose others: mypaas server init --http-port 8080 --https-port 8443',
      cause,
    },
  )
}

function asStartError(error: unknown, wanted: RouterContainer): MypaasError {
  if (error instanceof MypaasError && error.hint !== undefined) return error
  return new MypaasError(`The router can't start: ${error instanceof Error ? error.message : String(error)}`, {
    code: 'failed',
    hint: `Is ${wanted.image} an image of Traefik? It is [router] image in config.toml.`,
    cause: error,
  })
}

async function exited(docker: Docker, container: string, code: number): Promise<MypaasError> {
  return new MypaasError(`The router exited with code ${code}.`, {
    code: 'failed',
    hint: `What it says: ${await lastLines(docker, container)}`,
  })
}

async function answers(docker: Docker, wanted: RouterContainer): Promise<void> {
  const deadline = performance.now() + startTimeoutMs
  for (;;) {
    const { State } = await docker.containers.inspect(wanted.name)
    if (!State.Running || State.Restarting) throw await exited(docker, wanted.name, State.ExitCode)
    // Without credentials the answer is 401: the entry point listens and the file provider has loaded the base file.
    const status = await statusOf(wanted.adminPort)
    if (status === 401) return
    if (performance.now() > deadline) {
      throw new MypaasError(
        `The router does not answer on 127.0.0.1:${wanted.adminPort} after ${startTimeoutMs / 1000} s.`,
        {
          code: 'failed',
          hint: `What it says: ${await lastLines(docker, wanted.name)}`,
        },
      )
    }
    await sleep(50)
  }
}

/** The status that the admin entry point answers with; 0 when it does not. */
function statusOf(port: number, host = '127.0.0.1'): Promise<number> {
  return new Promise((resolve) => {
    const request = http.get({ host, port, path: '/api/version', agent: false, timeout: 2_000 }, (response) => {
      resolve(response.statusCode ?? 0)
      response.destroy()
    })
    request.on('timeout', () => request.destroy())
    request.on('close', () => resolve(0))
    request.on('error', () => resolve(0))
  })
}

async function lastLines(docker: Docker, container: string): Promise<string> {
  let text = ''
  for await (const { data } of docker.containers.logs(container, { tail: 5, timeoutMs: 5_000 })) text += data
  return text.trim() || 'nothing'
}

function ifNotFound(error: unknown): undefined {
  if (error instanceof NotFoundError) return undefined
  throw error
}
