import { readFile, stat } from 'node:fs/promises'
import { isIP } from 'node:net'
import { homedir } from 'node:os'
import { isAbsolute, join, normalize } from 'node:path'
import { type Hardening, usualCapabilities } from '../deploy/container.ts'
import { usualStartTimeoutMs } from '../deploy/patience.ts'
import { registryNamed } from '../docker/image-reference.ts'
import { textOf } from '../encoding.ts'
import { MypaasError } from '../errors.ts'
import { isHomePath } from '../service/home.ts'
import { isVolumeName } from '../service/volume.ts'
import { type Section, SettingsReader } from './toml.ts'

/** `~/_mypaas/config.toml`, parsed: what a person sets on a server. Every key has a default. */
export type ServerConfig = Readonly<{
  server: Readonly<{
    /** Tells several mypaas on one machine apart: prefixes their containers, images and networks. Default: none. */
    instance: string
    /** Directories outside the home below which services may mount host paths. */
    volumeRoots: readonly string[]
    /** Places in the home that services may mount although their names begin with a dot, or with `bin`: `.config/app`. */
    homePaths: readonly string[]
    /** Containers of others whose mounts are no danger to those of services: they are trusted like the machine. */
    trustedContainers: readonly string[]
    /** Releases whose images are kept, the current one included. Default 5. */
    keepReleases: number
    /** How long a new container may take to get ready, and to give its first answers. Default 60 s. */
    startTimeoutMs: number
    /** The longest such time that a Dockerfile of a limited key may ask for, if that is more. Default 10 min. */
    maxStartTimeoutMs: number
    /** How long open requests of an old release may go on while the new one serves. Default 5 min. */
    drainMs: number
    /** The same where everybody waits for it (stop-first). Default 5 s. */
    holdDrainMs: number
    /** Between asking a container to stop and killing it, of services that say none. Default 10 s. */
    graceMs: number
    /** The longest that a service of a limited key may have. Default 2 min. */
    maxGraceMs: number
    /** How long the engine may take for one call that neither builds nor stops. Default 60 s. */
    engineTimeoutMs: number
    /** How long a build may go on without a word. Default 10 min. */
    buildSilenceMs: number
    /** How long a build may take in all. Default 1 h. */
    buildTimeoutMs: number
    /** How many pushes may build at once, in all and of one key. Default 4 and 2. */
    builds: number
    buildsPerKey: number
    /** From where the builder may download for a limited key. Default: GitHub. */
    downloadHosts: readonly string[]
    /** What a build of a limited key may take of the engine's disk. Default 20 GiB. */
    buildDiskBytes: number
    /** What stays free of builds on the engine's disk. Default 512 MiB. */
    diskReserveBytes: number
    /** The size that a container's log may grow to before it is rotated; three such files are kept. Default 10 MiB. */
    logBytes: number
    /** What containers of services may not do, unless a service's own section says otherwise. */
    hardening: Hardening
    /** The host at which `https://HOST/daemon/` takes pushes; none unless given. */
    domain: string
    /** Where the daemon listens for the router, on the address of its network on this machine. Default 8083. */
    daemonPort: number
    /** What one push may hold. Default 8 GiB. */
    pushBytes: number
    /** What pushes of all services may take on the disk. Default 32 GiB. */
    pushStoreBytes: number
    /** What pushes of one service, or of all the services of a limited key, may take of that. Default: half of it. */
    pushServiceBytes: number
  }>
  router: RouterConfig
  /** Credentials by the registry's host; `docker.io` for Docker Hub. */
  registries: Readonly<Record<string, Readonly<{ username: string; password: string }>>>
  /** Secrets that every service may ask for. */
  env: Readonly<Record<string, string>>
  /** What is for one service only: secrets, and what its containers may not do where that differs. */
  services: Readonly<Record<string, ServiceConfig>>
}>

/** A section `[services.NAME]`. */
export type ServiceConfig = Readonly<{
  env: Readonly<Record<string, string>>
  /** Volumes that mypaas did not make for the service and that it may mount. */
  volumes: readonly string[]
  /** What it mounts inside its directories may be seen on the machine, too: `shared` and `rshared`. */
  sharedMounts: boolean
  /** Registries whose images a limited key may pull for the service with the credentials that the server has for them. */
  registries: readonly string[]
  hardening: Partial<Hardening>
}>

/** The section `[router]`. */
export type RouterConfig = Readonly<{
  image: string
  /** The address that ports 80 and 443 are published on. Default: all. */
  bind: string
  httpPort: number
  httpsPort: number
  /** The router's API and probe entry point, on loopback. */
  adminPort: number
  /** Ports of the machine that are open for services that speak no http. Default: none. */
  tcp: readonly number[]
  /** Proxies whose word about a client is taken: addresses, ranges, `cloudflare`. Default: none. */
  trustedIps: readonly string[]
  /** Whether headers with other characters in their names than letters, digits and dashes reach services. */
  underscoreHeaders: boolean
  /** For Let's Encrypt; without it https URLs get the router's own certificate. */
  email: string
  /** How the certificate authority sees that a name is this server's. Default `http`: by port 80. */
  challenge: 'http' | 'tls' | 'dns'
  /** For `dns`: who has the zone, by Traefik's name for it, and the credentials that Traefik wants for that. */
  dnsProvider: string
  dnsEnv: Readonly<Record<string, string>>
  /** Whether the router waits until the zone's own servers show the record. Default: it does. */
  dnsCheck: boolean
  /** The ACME directory. Default: Let's Encrypt. */
  caServer: string
  /** PEM files with authorities to trust besides the usual ones. */
  caCertificates: readonly string[]
  /** How long the authority's certificates live. Default 90 days. */
  certificateLifetimeMs: number
  /** How long the deploy of a new https URL waits for its certificate. Default 30 s. */
  certificateWaitMs: number
  /** How often the daemon looks after names that have no certificate yet. Default 1 min. */
  certificateCheckMs: number
  /** The port at which the authority looks for this server; 0, the default, for 80 (http) or 443 (tls). */
  challengePort: number
  /** This server's public address, where the machine itself does not have it (behind NAT). */
  address: string
  /** `IP` or `IP:PORT` of the DNS servers that are asked for the names of URLs. Default: the machine's. */
  dnsServers: readonly string[]
  /** More names for the router's container, as `NAME:IP`. */
  extraHosts: readonly string[]
  /** Certificates that a person brings: PEM files. */
  certificates: readonly Readonly<{ cert: string; key: string }>[]
}>

/** `~/_mypaas` of the user that runs this. */
export function serverDirectory(home: string = homedir()): string {
  return join(home, '_mypaas')
}

/**
 * Reads `config.toml`.
 * @throws {MypaasError} `usage` naming every unknown key and wrong value with its line, or when there is no server here
 */
export async function readConfig(directory: string): Promise<ServerConfig> {
  const file = join(directory, 'config.toml')
  const text = await readConfigText(directory)
  const { mode } = await stat(file)
  if ((mode & 0o077) !== 0) {
    throw new MypaasError(`${file} holds secrets and others can read it (mode ${(mode & 0o777).toString(8)}).`, {
      code: 'usage',
      hint: `chmod 600 ${file}`,
    })
  }
  return parseConfig(text, file)
}

/** The text of `config.toml`. @throws {MypaasError} `usage` when there is no server here, or it is in UTF-16 */
export async function readConfigText(directory: string): Promise<string> {
  const file = join(directory, 'config.toml')
  try {
    return textOf(await readFile(file), file, 'usage')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new MypaasError(`There is no mypaas server here: ${file} is missing.`, {
      code: 'usage',
      hint: 'Make one: mypaas server init',
    })
  }
}

/** The text of a config file → its settings. @throws {MypaasError} `usage` with every problem and its line */
export function parseConfig(text: string, file = 'config.toml'): ServerConfig {
  const reader = new SettingsReader(text, file)
  const { root } = reader
  const server = serverSection(root.section('server'))
  const config: ServerConfig = {
    server,
    router: routerSection(root.section('router'), server),
    registries: registriesSection(root.section('registries')),
    env: root.section('env').variables(),
    services: servicesSection(root.section('services')),
  }
  reader.end()
  return config
}

/** The secrets that a service may ask for: its own before those of all. */
export function secretsOf(config: ServerConfig, service: string): Readonly<Record<string, string>> {
  return { ...config.env, ...config.services[service]?.env }
}

/** What containers of a service may not do. */
export function hardeningOf(config: ServerConfig, service: string): Hardening {
  return { ...config.server.hardening, ...config.services[service]?.hardening }
}

function serverSection(server: Section): ServerConfig['server'] {
  const pushStoreBytes = server.bytes('push_store', 32 * 1024 ** 3)
  return {
    instance: server.text('instance', '', /^([a-z0-9][a-z0-9-]{0,19})?$/, 'up to 20 of a-z, 0-9 and -'),
    volumeRoots: server.list('volume_roots', isCleanDirectory, 'no clean absolute path', '["/srv"]'),
    homePaths: server
      .list('home_paths', isHomePath, 'no place below the home that can be mounted', '["~/.config/app"]')
      .map((path) => path.slice('~/'.length)),
    trustedContainers: server.list('trusted_containers', isContainerName, 'no name of a container', '["portainer"]'),
    keepReleases: server.whole('keep_releases', 5, 1, 1000),
    startTimeoutMs: server.duration('start_timeout', usualStartTimeoutMs),
    maxStartTimeoutMs: server.duration('max_start_timeout', 600_000),
    drainMs: server.duration('drain', 300_000),
    holdDrainMs: server.duration('hold_drain', 5_000),
    graceMs: server.duration('grace', 10_000),
    maxGraceMs: server.duration('max_grace', 120_000),
    engineTimeoutMs: server.duration('engine_timeout', 60_000),
    buildSilenceMs: server.duration('build_silence', 600_000),
    buildTimeoutMs: server.duration('build_timeout', 3_600_000),
    builds: server.whole('builds', 4, 1, 1000),
    buildsPerKey: server.whole('builds_per_key', 2, 1, 1000),
    downloadHosts: downloadHosts(server),
    buildDiskBytes: server.bytes('build_disk', 20 * 1024 ** 3),
    diskReserveBytes: server.bytes('disk_reserve', 512 * 1024 ** 2),
    logBytes: server.bytes('log_size', 10 * 1024 ** 2),
    hardening: { noNewPrivileges: true, capabilities: usualCapabilities, pids: 2048, ...hardening(server) },
    domain: server.text('domain', '', /^([a-z0-9-]+(\.[a-z0-9-]+)*)?$/, 'a host name in lower case'),
    daemonPort: server.whole('daemon_port', 8083, 1, 65_535),
    pushBytes: server.bytes('push_size', 8 * 1024 ** 3),
    pushStoreBytes,
    pushServiceBytes: server.bytes('push_store_service', Math.floor(pushStoreBytes / 2)),
  }
}

function routerSection(router: Section, { daemonPort }: ServerConfig['server']): RouterConfig {
  const pemFile = 'no absolute path of a PEM file'
  const challenge = router.oneOf('challenge', 'http', ['http', 'tls', 'dns'])
  const dnsProvider = router.text('dns_provider', '', /^[a-z0-9-]*$/, 'a provider of Traefik, such as "cloudflare"')
  if (challenge === 'dns' && dnsProvider === '') {
    router.fail('challenge', 'router.challenge = "dns" needs dns_provider, too: who has the zone, such as "cloudflare"')
  }
  const ports = {
    httpPort: router.whole('http_port', 80, 1, 65_535),
    httpsPort: router.whole('https_port', 443, 1, 65_535),
    adminPort: router.whole('admin_port', 8081, 1, 65_535),
    challengePort: router.whole('challenge_port', 0, 0, 65_535),
  }
  return {
    ...ports,
    tcp: tcpPorts(router, [...Object.values(ports), daemonPort]),
    trustedIps: router.list('trusted_ips', isTrusted, 'no address, range or "cloudflare"', '["cloudflare"]'),
    underscoreHeaders: router.flag('underscore_headers', false),
    image: router.text('image', 'traefik:v3.7.15', /^[a-z0-9][\w./:@-]*$/, 'an image reference'),
    bind: router.text('bind', '', /^[0-9a-fA-F.:]*$/, 'an IP address, or empty for all'),
    email: router.text('email', '', /^([^\s@]+@[^\s@]+)?$/, 'an e-mail address'),
    challenge,
    dnsProvider,
    dnsEnv: router.section('dns_env').variables(),
    dnsCheck: router.flag('dns_check', true),
    caServer: router.text('ca_server', '', /^(https:\/\/\S+)?$/, 'the https URL of an ACME directory'),
    caCertificates: router.list('ca_certificates', isAbsolute, pemFile, '["/etc/ssl/our-ca.pem"]'),
    certificateLifetimeMs: router.duration('certificate_lifetime', 2160 * 3_600_000),
    certificateWaitMs: router.duration('certificate_wait', 30_000),
    certificateCheckMs: router.duration('certificate_check', 60_000),
    address: router.text('address', '', /^[0-9a-fA-F.:]*$/, 'an IP address'),
    dnsServers: router.list('dns_servers', isServerAddress, 'no address such as 1.1.1.1 or [::1]:53', '["1.1.1.1"]'),
    extraHosts: router.list('extra_hosts', isExtraHost, 'not NAME:IP', '["ca.internal:10.0.0.5"]'),
    certificates: router.sections('certificates').map((section) => ({
      cert: section.path('cert'),
      key: section.path('key'),
    })),
  }
}

/** What opens for services that speak no http: each once, and none that is the server's own already. */
function tcpPorts(router: Section, own: readonly number[]): readonly number[] {
  const ports = router.ports('tcp', '[5432]')
  for (const [index, port] of ports.entries()) {
    if (ports.indexOf(port) !== index) router.fail('tcp', `router.tcp has ${port} twice`)
    if (own.includes(port)) router.fail('tcp', `router.tcp: ${port} is a port of the router or the daemon already`)
  }
  return ports
}

function registriesSection(registries: Section): ServerConfig['registries'] {
  const found: Record<string, { username: string; password: string }> = {}
  for (const host of registries.keys()) {
    const registry = registries.section(host)
    if (!isRegistry(host))
      registries.fail(host, `${JSON.stringify(host)} is no host of a registry: [registries."registry.example.com"]`)
    found[registryNamed(host)] = {
      username: registry.text('username', '', /^./, 'a user name'),
      password: registry.text('password', '', /^./, 'a password'),
    }
  }
  return found
}

function isRegistry(host: string): boolean {
  return /^(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9-]+(?=:))(:\d{1,5})?$/.test(host)
}

function servicesSection(services: Section): ServerConfig['services'] {
  const found: Record<string, ServiceConfig> = {}
  for (const name of services.keys()) {
    const service = services.section(name)
    found[name] = {
      env: service.section('env').variables(),
      volumes: service.list('volumes', isVolumeName, 'no name of a volume', '["shared-data"]'),
      sharedMounts: service.flag('shared_mounts', false),
      registries: service
        .list('registries', isRegistry, 'no host of a registry', '["registry.example.com"]')
        .map(registryNamed),
      hardening: hardening(service),
    }
  }
  return found
}

/** Only what is set: a service's section leaves the rest to the server's. */
function hardening(section: Section): Partial<Hardening> {
  const drop = section.flag('drop_capabilities', true)
  const more = section.list('capabilities', isCapability, 'no capability such as "NET_RAW"', '["NET_RAW"]')
  const isSet = (key: string): boolean => section.keys().includes(key)
  const noNewPrivileges = section.flag('no_new_privileges', true)
  const pids = section.whole('pids_limit', 0, 0, 4_194_304)
  return {
    ...(isSet('no_new_privileges') ? { noNewPrivileges } : {}),
    ...(isSet('drop_capabilities') || isSet('capabilities')
      ? { capabilities: drop ? [...new Set([...usualCapabilities, ...more])] : undefined }
      : {}),
    ...(isSet('pids_limit') ? { pids } : {}),
  }
}

function isCapability(text: string): boolean {
  return /^[A-Z][A-Z_]*$/.test(text) && !text.startsWith('CAP_')
}

function isCleanDirectory(path: string): boolean {
  return isAbsolute(path) && normalize(path) === path && path !== '/'
}

function isContainerName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]+$/.test(text)
}

function downloadHosts(server: Section): readonly string[] {
  const hosts = server.list('download_hosts', isHostName, 'no host name in lower case', '["github.com"]')
  return server.keys().includes('download_hosts') ? hosts : ['github.com', 'raw.githubusercontent.com']
}

function isHostName(text: string): boolean {
  return /^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(text)
}

function isServerAddress(text: string): boolean {
  return /^(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:]+\])(:\d{1,5})?$|^[0-9a-fA-F:]+$/.test(text)
}

/** A range of everything would take everybody's word. */
function isTrusted(text: string): boolean {
  if (text === 'cloudflare') return true
  const [address = '', bits, ...more] = text.split('/')
  const kind = isIP(address)
  if (kind === 0 || more.length > 0) return false
  return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (kind === 4 ? 32 : 128))
}

function isExtraHost(text: string): boolean {
  return /^[A-Za-z0-9.-]+:([0-9a-fA-F.:]+|host-gateway)$/.test(text)
}
