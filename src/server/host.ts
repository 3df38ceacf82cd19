import { createHash, createHmac, randomBytes } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Host } from '../deploy/host.ts'
import { identify } from '../deploy/identity.ts'
import { placesOf } from '../deploy/places.ts'
import { Docker } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { readIfThere, writeDurably } from '../files.ts'
import { takeLock } from '../lock.ts'
import type { AcmeSettings, RouterSettings } from '../router/config.ts'
import type { RouterContainer } from '../router/container.ts'
import { TraefikRouter } from '../router/traefik.ts'
import { hardeningOf, type RouterConfig, readConfig, type ServerConfig, secretsOf, serverDirectory } from './config.ts'
import { holderOfPort } from './daemon-port.ts'
import { proxyAddresses } from './proxies.ts'
import { reservedOf } from './reserved.ts'

/** `~/_mypaas/server.json`: what the server made up for itself once and must not lose. */
export type ServerIdentity = Readonly<{
  version: 1
  /** Labels everything that is this server's. */
  id: string
  /** Of the router's admin entry point. */
  adminPassword: string
}>

/** A server that is set up, opened for use. Leaving its scope (`await using`) closes the connections to the engine. */
export type OpenServer = Readonly<{ host: Host; config: ServerConfig; identity: ServerIdentity }> & AsyncDisposable

/**
 * Opens the server of this user: config, identity, engine, router.
 * @throws {MypaasError} `usage` when there is none, or its config is wrong
 */
export async function openServer(home: string = homedir()): Promise<OpenServer> {
  const directory = serverDirectory(home)
  const config = await readConfig(directory)
  const identity = await readIdentity(directory)
  const { server, router } = config
  const docker = new Docker({ timeoutMs: server.engineTimeoutMs })
  const wanted = routerContainer(directory, config, identity)
  const realHome = await realpath(home)
  const host: Host = {
    server: identity.id,
    directory,
    home: realHome,
    homeRules: { homes: [...new Set([home, realHome])], allowed: server.homePaths },
    prefix: prefixOf(config),
    network: wanted.networks.services,
    docker,
    router: traefikRouter(docker, { directory, config, identity }),
    volumeRoots: server.volumeRoots,
    trustedContainers: server.trustedContainers,
    foreignVolumes: (service) => config.services[service]?.volumes ?? [],
    maySharePropagation: (service) => config.services[service]?.sharedMounts ?? false,
    reserved: await reservedOf(config),
    startTimeoutMs: server.startTimeoutMs,
    drainMs: server.drainMs,
    holdDrainMs: server.holdDrainMs,
    graceMs: server.graceMs,
    engineTimeoutMs: server.engineTimeoutMs,
    buildSilenceMs: server.buildSilenceMs,
    buildTimeoutMs: server.buildTimeoutMs,
    diskReserveBytes: server.diskReserveBytes,
    logBytes: server.logBytes,
    hardening: (service) => hardeningOf(config, service),
    keepReleases: server.keepReleases,
    // One without a name is only there to be known.
    registryAuth: (registry) => (config.registries[registry]?.username ? config.registries[registry] : undefined),
    certificateWaitMs: router.certificateWaitMs,
    markKey: identity.adminPassword,
    ...secretsIn(config),
  }
  return { host, config, identity, [Symbol.asyncDispose]: async () => docker.close() }
}

/** The running router of a server. */
export function traefikRouter(
  docker: Docker,
  server: Readonly<{ directory: string; config: ServerConfig; identity: ServerIdentity }>,
): TraefikRouter {
  const { directory, config, identity } = server
  const { router } = config
  const wanted = routerContainer(directory, config, identity)
  return new TraefikRouter(docker, {
    directory: wanted.directory,
    container: wanted.name,
    gate: wanted.networks.gate,
    prefix: prefixOf(config),
    address: router.bind === '' || router.bind === '0.0.0.0' || router.bind === '::' ? '127.0.0.1' : router.bind,
    httpPort: router.httpPort,
    httpsPort: router.httpsPort,
    adminPort: router.adminPort,
    adminPassword: identity.adminPassword,
    settings: wanted.settings,
    names: {
      authorities: router.caCertificates,
      own: router.certificates.map(({ cert }) => cert),
      isLocal: /^(127\.|::1$)/.test(router.bind),
      challengePort: router.challengePort,
      address: router.address,
      dnsServers: router.dnsServers,
    },
    groupId: process.getuid?.() === 0 ? Number(wanted.user.split(':')[1]) : -1,
  })
}

/** The secrets as a config has them. */
export function secretsIn(config: ServerConfig): Pick<Host, 'secretsFrom' | 'secrets'> {
  return {
    secretsFrom: 'server',
    secrets: (service, from) =>
      from === 'server' ? secretsOf(config, service) : (config.services[service]?.env ?? {}),
  }
}

/** What the router's container is to be, from the config. */
export function routerContainer(directory: string, config: ServerConfig, identity: ServerIdentity): RouterContainer {
  const prefix = prefixOf(config)
  const { router } = config
  // `{SHA}` is an unsalted hash, which is enough for a random password of 256 bits and costs nothing at each request.
  const adminPasswordHash = `{SHA}${createHash('sha1').update(identity.adminPassword).digest('base64')}`
  const settings: RouterSettings = {
    httpsPort: router.httpsPort,
    adminPasswordHash,
    ...(config.server.domain === ''
      ? {}
      : { daemon: { domain: config.server.domain, port: config.server.daemonPort, token: routerToken(identity) } }),
    // Whoever sees it learns nothing of the password.
    reachToken: tokenFor('reach', identity),
    ...(router.email === '' ? {} : { acme: acmeSettings(router) }),
    ...(router.trustedIps.length === 0 ? {} : { trusted: trustedSettings(router.trustedIps) }),
    underscoreHeaders: router.underscoreHeaders,
    tcpPorts: router.tcp,
  }
  const uid = process.getuid?.() ?? 0
  return {
    server: identity.id,
    name: `${prefix}traefik`,
    image: router.image,
    networks: { services: `${prefix}mypaas-net`, edge: `${prefix}mypaas-edge`, gate: `${prefix}mypaas-gate` },
    directory: join(directory, 'traefik'),
    ...(router.bind === '' ? {} : { bind: router.bind }),
    httpPort: router.httpPort,
    httpsPort: router.httpsPort,
    adminPort: router.adminPort,
    settings,
    services: {
      async serviceOf(docker, container): Promise<string | undefined> {
        const where = { docker, server: identity.id, markKey: identity.adminPassword, prefix }
        return (await identify(where, container))?.service
      },
      lock: (service, what, waitMs) => takeLock(placesOf(directory, service).lock, { what, waitMs }),
    },
    async isDaemonPortTaken(address): Promise<boolean> {
      return (await holderOfPort(directory, address, config.server.daemonPort)) === 'other'
    },
    ...(router.extraHosts.length > 0 ? { extraHosts: router.extraHosts } : {}),
    ...(router.challenge === 'dns' ? { env: router.dnsEnv } : {}),
    authorities: router.caCertificates,
    certificates: router.certificates,
    // Nobody's: it owns nothing on this machine but its certificates.
    user: uid === 0 ? '65532:65532' : `${uid}:${process.getgid?.() ?? uid}`,
  }
}

/** What the router tells the daemon alone, so that this knows it. */
export function routerToken(identity: ServerIdentity): string {
  return tokenFor('router', identity)
}

function tokenFor(what: string, { adminPassword }: ServerIdentity): string {
  return createHmac('sha256', adminPassword).update(what).digest('hex').slice(0, 32)
}

function trustedSettings(trusted: RouterConfig['trustedIps']): NonNullable<RouterSettings['trusted']> {
  return { addresses: proxyAddresses(trusted), cloudflare: trusted.includes('cloudflare') }
}

function acmeSettings(router: RouterConfig): AcmeSettings {
  return {
    email: router.email,
    challenge: router.challenge,
    lifetimeMs: router.certificateLifetimeMs,
    ...(router.caServer === '' ? {} : { caServer: router.caServer }),
    ...(router.challenge === 'dns'
      ? { dnsProvider: router.dnsProvider, dnsServers: router.dnsServers, dnsCheck: router.dnsCheck }
      : {}),
  }
}

/** Reads who this server is. @throws {MypaasError} `degraded` when that is lost: nothing could be told to be its own */
async function readIdentity(directory: string): Promise<ServerIdentity> {
  const identity = await findIdentity(directory)
  if (identity) return identity
  throw new MypaasError(
    `${join(directory, 'server.json')} is missing, which says what on this engine is this server's.`,
    {
      code: 'degraded',
      hint: 'Put it back from a backup. If this server is to be a new one: mypaas server init',
    },
  )
}

export async function findIdentity(directory: string): Promise<ServerIdentity | undefined> {
  const file = join(directory, 'server.json')
  const text = await readIfThere(file)
  if (text === undefined) return undefined
  try {
    const identity = JSON.parse(text) as ServerIdentity
    if (identity.version === 1 && /^[0-9a-f]{16,}$/.test(identity.id) && identity.adminPassword.length >= 32)
      return identity
  } catch {
    // Falls through to the same answer.
  }
  throw new MypaasError(`${file} is not one that mypaas wrote.`, {
    code: 'degraded',
    hint: 'Put it back from a backup.',
  })
}

/** Makes up who this server is and keeps it. */
export async function makeIdentity(directory: string): Promise<ServerIdentity> {
  const identity: ServerIdentity = {
    version: 1,
    id: randomBytes(8).toString('hex'),
    adminPassword: randomBytes(32).toString('base64url'),
  }
  await writeDurably(join(directory, 'server.json'), `${JSON.stringify(identity, undefined, 1)}\n`)
  return identity
}

function prefixOf(config: ServerConfig): string {
  return config.server.instance === '' ? '' : `${config.server.instance}-`
}
