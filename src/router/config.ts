import { fingerprint } from '../fingerprint.ts'
import type { HealthCheck, ServiceUrl } from '../service/spec.ts'
import { formatDuration } from '../units.ts'
import { healthRequest } from './health-request.ts'

/** The replicas of one release as the router sees them: names on the gate network that exist once a replica has joined. */
export type RoutedRelease = Readonly<{
  release: number
  port: number
  /** One-label names, e.g. `up-blog-r7-x1`. */
  upstreams: readonly string[]
  /** A second name and port that held requests may end at; see {@link ServiceRoutes.holdMs}. */
  fallback?: Readonly<{ upstream: string; port: number }>
  /** Takes dead replicas out of rotation; only where a service scales. */
  healthcheck?: HealthCheck
  /** Upstreams that were down when the file was last written: Traefik takes every server in it for up at first. */
  out?: readonly string[]
}>

/** What the router must know of one service: a value, compiled to one file by {@link serviceFile}. */
export type ServiceRoutes = Readonly<{
  service: string
  urls: readonly ServiceUrl[]
  /** The release that all URLs lead to. */
  active: RoutedRelease
  /** A further release that only the probe entry point reaches. */
  probe?: RoutedRelease
  /** During a changeover: how long a request waits for an upstream that does not answer yet. */
  holdMs?: number
}>

/** What the router's own files need to know of the server. */
export type RouterSettings = Readonly<{
  /** The port that users reach https at; redirects name it unless it is 443. */
  httpsPort: number
  /** `{SHA}…` of the password of the admin entry point. */
  adminPasswordHash: string
  /** The last part of the path at which the router says that it is this server's; see {@link reachPath}. */
  reachToken: string
  /** Certificates by ACME; absent for a server without. */
  acme?: AcmeSettings
  /** Proxies whose word about a client is taken, as addresses or ranges; `cloudflare`: those of Cloudflare are among them. */
  trusted?: Readonly<{ addresses: readonly string[]; cloudflare: boolean }>
  /** Lets headers pass whose names have other characters than letters, digits and dashes, such as `api_key`. */
  underscoreHeaders?: boolean
  /** Ports of the machine that are open for services that speak no http. */
  tcpPorts?: readonly number[]
  /**
   * Pushes come in at `https://DOMAIN/daemon/` and go to this port of the machine, each with {@link routerHeader} and this
   * token, which nobody else sees; absent for a server without a domain.
   */
  daemon?: Readonly<{ domain: string; port: number; token: string }>
}>

export type AcmeSettings = Readonly<{
  email: string
  challenge: 'http' | 'tls' | 'dns'
  /** The ACME directory; absent for Let's Encrypt. */
  caServer?: string
  /** For `dns`. */
  dnsProvider?: string
  dnsServers?: readonly string[]
  dnsCheck?: boolean
  /** How long the authority's certificates live: says when they are renewed. */
  lifetimeMs: number
}>

/** Files in the router's container: authorities to trust, and certificates that a person brings. */
export type RouterCertificates = Readonly<{
  authorities: readonly string[]
  own: readonly Readonly<{ certFile: string; keyFile: string }>[]
}>

/**
 * How the router serves a host name by https. `ask`: it gets a certificate from the authority. `trusted`: the one that
 * it has is one that browsers trust, so they may be told to come by https only.
 */
export type NameTls = Readonly<{ ask?: boolean; trusted?: boolean }>

/** Ports inside the router's container; the published ones are the server's choice. Those for tcp are from `tcp` on. */
export const routerPorts = { web: 8080, websecure: 8443, admin: 8081, tcp: 9001 } as const

/** Requests that find no upstream wait this long at most when no changeover is on: a container may be restarting. */
const restartPatienceMs = 2_500

const retryIntervalMs = 50

/**
 * The file of one service, JSON in a `.yml`: routers for its URLs, a Traefik service per routable release, and a
 * middleware that carries nothing but the revision, by which a reader of the API knows which content is live.
 */
export function serviceFile(
  routes: ServiceRoutes,
  names: Readonly<Record<string, NameTls>> = {},
): { content: string; revision: string } {
  const { service } = routes
  const routers: Record<string, unknown> = {}
  const middlewares: Record<string, unknown> = {
    [`${service}~retry`]: { retry: retry(routes.holdMs ?? restartPatienceMs) },
    // In each file, not in the base: a router that knows the newer file and not yet the newer base would serve nobody.
    [`${service}~client`]: { headers: { customRequestHeaders: withoutOurs } },
    [`${service}~plain`]: { headers: { customRequestHeaders: { 'Accept-Encoding': 'identity' } } },
  }
  for (const [index, url] of routes.urls.entries()) {
    const secure = url.scheme === 'https'
    const served = {
      rule: rule(url),
      priority: priority(url),
      entryPoints: [secure ? 'websecure' : 'web'],
      service: releaseName(service, routes.active.release),
      middlewares: [
        ...(secure && names[url.host]?.trusted ? ['mypaas~hsts'] : []),
        `${service}~client`,
        `${service}~retry`,
      ],
      ...(secure ? { tls: {} } : {}),
    }
    routers[`${service}~${index}`] = served
    routers[`${service}~${index}~plain`] = uncompressed(service, served)
    if (secure && !isServedByHttp(url, routes.urls)) {
      routers[`${service}~${index}~redirect`] = {
        rule: served.rule,
        priority: served.priority,
        entryPoints: ['web'],
        // Whom a trusted proxy has by https already is sent nowhere, but served.
        service: served.service,
        middlewares: ['mypaas~https', `${service}~client`, `${service}~retry`],
      }
    }
  }
  if (routes.probe) {
    routers[`${service}~probe`] = {
      rule: `Header(\`${probeHeader}\`, \`${releaseName(service, routes.probe.release)}\`)`,
      priority: 1000,
      entryPoints: ['admin'],
      service: releaseName(service, routes.probe.release),
      middlewares: ['mypaas~admin', 'mypaas~probe'],
    }
  }
  const services: Record<string, unknown> = {}
  for (const release of [routes.active, routes.probe]) {
    if (release) services[releaseName(service, release.release)] = loadBalancer(release, routes)
  }
  const revision = fingerprint(JSON.stringify([routers, middlewares, services]))
  middlewares[revisionName(service, revision)] = {
    headers: { customRequestHeaders: { 'X-Mypaas-Revision': revision } },
  }
  const content = JSON.stringify({ http: { routers, services, middlewares } }, undefined, 1)
  if (content.includes('{{')) throw new Error(`refusing a router file of ${service} with a template in it`)
  return { content, revision }
}

/**
 * The way of requests that take no compressed answer. For one without a word about it Traefik would ask the service for
 * gzip all the same and unpack that: the client got the ETag of another variant, and no length.
 */
function uncompressed<T extends Readonly<{ rule: string; priority: number; middlewares: readonly string[] }>>(
  service: string,
  served: T,
): T {
  return {
    ...served,
    rule: `${served.rule} && !HeaderRegexp(\`Accept-Encoding\`, \`.\`)`,
    // Between its own and that of the next longer path, which is two characters longer at least.
    priority: served.priority + 1,
    middlewares: [...served.middlewares, `${service}~plain`],
  }
}

/** Whoever names the same by http as well wants it served so: two rules of one priority would leave it to Traefik. */
function isServedByHttp({ host, path }: ServiceUrl, urls: readonly ServiceUrl[]): boolean {
  return urls.some((other) => other.scheme === 'http' && other.host === host && other.path === path)
}

/** The request header by which the admin entry point finds the release to probe, whatever `Host` says. */
export const probeHeader = 'X-Mypaas-Probe'

/** By which the daemon knows the router, whose word on where a request comes from it takes. */
export const routerHeader = 'X-Mypaas-Router'

/** What services may take for the router's word about a client, and clients could say themselves. Empty takes it away. */
const withoutOurs: Readonly<Record<string, string>> = {
  Forwarded: '',
  [probeHeader]: '',
  'X-Mypaas-Revision': '',
  'X-Mypaas-Server': '',
}

/** The name of a release among Traefik's services, and the value of {@link probeHeader}. */
export function releaseName(service: string, release: number): string {
  return `${service}-r${release}`
}

/** The name of the middleware that shows the revision of a service's file in the API. */
export function revisionName(service: string, revision: string): string {
  return `${service}~rev~${revision}`
}

/** Where the router answers any host with {@link reachHeader}: whoever gets that has reached this very server. */
export function reachPath(settings: RouterSettings): string {
  return `/.well-known/mypaas/${settings.reachToken}`
}

export const reachHeader = 'X-Mypaas-Server'

function reach(settings: RouterSettings) {
  return {
    rule: `Path(\`${reachPath(settings)}\`)`,
    priority: 2_000_000,
    service: 'noop@internal',
    middlewares: ['mypaas~reach'],
  }
}

/**
 * The file by which Traefik gets certificates: a router per name, so one certificate for each, and one whose DNS is wrong
 * spoils no other. They stand apart from the routes because Traefik tries what it could not get at each change of any.
 */
export function namesFile(names: Readonly<Record<string, NameTls>>, settings: RouterSettings): string {
  const asked = settings.acme ? Object.keys(names).filter((host) => names[host]?.ask) : []
  const routers = asked.sort().map((host) => {
    const { rule: path, ...rest } = reach(settings)
    const routed = {
      ...rest,
      rule: `${rule({ scheme: 'https', host, path: '/' })} && ${path}`,
      entryPoints: ['websecure'],
      tls: { certResolver: 'mypaas', domains: [{ main: host }] },
    }
    return [`mypaas~name~${host}`, routed] as const
  })
  return JSON.stringify(routers.length > 0 ? { http: { routers: Object.fromEntries(routers) } } : {}, undefined, 1)
}

/**
 * A path takes whole segments: `/api` matches `/api` and `/api/x`, never `/apix`.
 * Host and path were checked character by character when the directive was parsed, and once more here.
 */
function rule(url: ServiceUrl): string {
  if (!/^(\*\.)?[a-z0-9.-]+$/.test(url.host) || !/^\/[A-Za-z0-9._~/%-]*$/.test(url.path)) {
    throw new Error(`refusing to route ${url.host}${url.path}`)
  }
  const host = `Host(\`${url.host}\`)`
  return url.path === '/' ? host : `${host} && (Path(\`${url.path}\`) || ${below(url.path)})`
}

/**
 * What lies below a path, however a service reads it: the router passes paths on as they were asked for, so one that
 * climbs (`..` as such or encoded, behind a slash of any kind, with parameters like `..;x`) is not below anything.
 */
function below(path: string): string {
  return `(PathPrefix(\`${path}/\`) && !PathRegexp(\`${climbs}\`))`
}

const slash = '[/\\\\]|%(?:25)*(?:2f|5c)'
const climbs = `(?i)(?:${slash})(?:\\.|%(?:25)*2e){2}(?:$|;|%(?:25)*(?:3b|3f|23)|${slash})`

/** Explicit, because Traefik's own order is the length of the rule: exact hosts before wildcards, longer paths first. */
function priority(url: ServiceUrl): number {
  return (url.host.startsWith('*.') ? 100 : 1000) + (url.path === '/' ? 0 : url.path.length)
}

function loadBalancer(release: RoutedRelease, { urls, holdMs }: ServiceRoutes): unknown {
  const servers = release.upstreams
    .filter((upstream) => !release.out?.includes(upstream))
    .map((upstream) => ({ url: `http://${upstream}:${release.port}` }))
  if (release.fallback) servers.push({ url: `http://${release.fallback.upstream}:${release.fallback.port}` })
  const { healthcheck } = release
  const asked = healthRequest(urls)
  return {
    loadBalancer: {
      servers,
      serversTransport: 'mypaas',
      // A health check during a hold would mark the missing upstream down: 503, which is not retried.
      ...(healthcheck && holdMs === undefined
        ? {
            healthCheck: {
              path: healthcheck.path,
              ...(asked ? { hostname: asked.host, headers: asked.headers } : {}),
              // A redirect counts as an answer; where it leads is none of the router's business.
              followRedirects: false,
              interval: formatDuration(healthcheck.intervalMs),
              timeout: formatDuration(healthcheck.timeoutMs),
            },
          }
        : {}),
    },
  }
}

/** Traefik waits between once and twice the interval before each attempt; only failed dials count as attempts. */
function retry(patienceMs: number): unknown {
  return { attempts: Math.max(2, Math.ceil(patienceMs / retryIntervalMs)), initialInterval: `${retryIntervalMs}ms` }
}

/**
 * What all services share: redirect, HSTS, the password of the admin entry point, TLS options, how upstreams are talked to,
 * the way to the daemon.
 * @param options.gateway The machine's own address on the router's network; where there is none, or somebody else has
 *   the daemon's port there, the way to the daemon leads nowhere.
 * @param options.certificates Those that a person brought.
 */
export function baseFile(
  settings: RouterSettings,
  options: { gateway?: string | undefined; certificates?: RouterCertificates['own'] } = {},
): string {
  const { gateway, certificates = [] } = options
  const daemon = settings.daemon && daemonRoute(settings.daemon, gateway)
  const port = settings.httpsPort === 443 ? {} : { port: String(settings.httpsPort) }
  return JSON.stringify(
    {
      http: {
        routers: {
          'mypaas~api': {
            rule: 'PathPrefix(`/api`)',
            priority: 10,
            entryPoints: ['admin'],
            service: 'api@internal',
            middlewares: ['mypaas~admin'],
          },
          'mypaas~reach': { ...reach(settings), entryPoints: ['web'] },
          'mypaas~reach~https': { ...reach(settings), entryPoints: ['websecure'], tls: {} },
          ...daemon?.routers,
        },
        ...(daemon?.services ? { services: daemon.services } : {}),
        middlewares: {
          'mypaas~reach': { headers: { customResponseHeaders: { [reachHeader]: settings.reachToken } } },
          ...daemon?.middlewares,
          'mypaas~admin': { basicAuth: { users: [`mypaas:${settings.adminPasswordHash}`], removeHeader: true } },
          // An empty value takes the header away: the service sees the request as a user would send it.
          'mypaas~probe': { headers: { customRequestHeaders: { [probeHeader]: '' } } },
          'mypaas~https': { redirectScheme: { scheme: 'https', permanent: true, ...port } },
          'mypaas~hsts': { headers: { stsSeconds: 31_536_000 } },
        },
        serversTransports: {
          // Idle connections end soon, so that a container nobody talks to any more shows no open socket, and sooner
          // than the keep-alive of common app servers, whose closing would cost a POST now and then. To dial anew on this
          // machine costs a tenth of a millisecond; requests that wait for an old container to be let go cost more.
          mypaas: { forwardingTimeouts: { dialTimeout: '3s', idleConnTimeout: '250ms' } },
        },
      },
      tls: {
        ...(certificates.length > 0 ? { certificates } : {}),
        options: {
          default: {
            minVersion: 'VersionTLS12',
            cipherSuites: [
              'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
              'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
              'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
              'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
              'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
              'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
            ],
          },
        },
      },
    },
    undefined,
    1,
  )
}

/** Stronger than any route of a service, whatever its length. */
const daemonPriority = 1_000_000
/** Stronger than any wildcard, however long its path: `*.example.com` is every host that has nobody else. */
const domainPriority = 999

/** The daemon's host: `/daemon/` is the daemon's, and the rest of it is no service's. */
function daemonRoute({ domain, port, token }: NonNullable<RouterSettings['daemon']>, gateway: string | undefined) {
  if (!/^[a-z0-9.-]+$/.test(domain) || !/^[0-9a-f.:]*$/i.test(gateway ?? ''))
    throw new Error(`refusing to route ${domain}`)
  const rule = `Host(\`${domain}\`)`
  const nothing = { rule, priority: domainPriority, service: 'noop@internal', middlewares: ['mypaas~nothing'] }
  const way = {
    rule: `${rule} && ${below('/daemon')}`,
    priority: daemonPriority,
    entryPoints: ['websecure'],
    tls: {},
  }
  const routers = {
    'mypaas~domain': { ...nothing, entryPoints: ['websecure'], tls: {} },
    'mypaas~domain~http': { ...nothing, entryPoints: ['web'] },
  }
  const middlewares = { 'mypaas~nothing': refuseAll(404) }
  if (gateway === undefined) {
    return {
      routers: { ...routers, 'mypaas~daemon': { ...way, service: 'noop@internal', middlewares: ['mypaas~away'] } },
      middlewares: { ...middlewares, 'mypaas~away': refuseAll(503) },
    }
  }
  const host = gateway.includes(':') ? `[${gateway}]` : gateway
  return {
    routers: {
      ...routers,
      'mypaas~daemon': { ...way, service: 'mypaas~daemon', middlewares: ['mypaas~daemon', 'mypaas~router'] },
    },
    services: {
      'mypaas~daemon': {
        loadBalancer: { servers: [{ url: `http://${host}:${port}` }], serversTransport: 'mypaas' },
      },
    },
    middlewares: {
      ...middlewares,
      'mypaas~daemon': { stripPrefix: { prefixes: ['/daemon'] } },
      'mypaas~router': { headers: { customRequestHeaders: { [routerHeader]: token } } },
    },
  }
}

/** Nobody comes from that address. */
function refuseAll(rejectStatusCode: number) {
  return { ipAllowList: { sourceRange: ['255.255.255.255/32'], rejectStatusCode } }
}
