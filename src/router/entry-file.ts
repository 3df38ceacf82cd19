import type { RouterSettings } from './config.ts'

/** The middlewares that every request passes, by where it comes in; the static configuration names them. */
export const entryMiddleware = { web: 'mypaas~web', websecure: 'mypaas~websecure' } as const

/**
 * The file that goes with the static configuration: what is done to every request of a user before any route sees it, so
 * that nothing arrives which a client says in the router's place; and the way to its numbers. It stands apart from the
 * base so that an older mypaas, which does not know it, leaves it alone.
 */
export function entryFile(settings: RouterSettings): string {
  const dropped = Object.fromEntries(droppedHeaders(settings).map((name) => [name, '']))
  const headers = (proto: Readonly<Record<string, string>>) => ({
    headers: { customRequestHeaders: { ...dropped, ...proto } },
  })
  const middlewares = {
    // Of a WebSocket Traefik says `ws` and `wss`, which many apps don't know. A proxy's word stands: by http it may have
    // come to that by https.
    [entryMiddleware.web]: headers(settings.trusted ? {} : { 'X-Forwarded-Proto': 'http' }),
    [entryMiddleware.websecure]: headers({ 'X-Forwarded-Proto': 'https' }),
  }
  const metrics = {
    rule: 'Path(`/metrics`)',
    priority: 10,
    entryPoints: ['admin'],
    service: 'prometheus@internal',
    middlewares: ['mypaas~admin'],
  }
  return JSON.stringify({ http: { routers: { 'mypaas~metrics': metrics }, middlewares } }, undefined, 1)
}

/** Taken from every request. */
function droppedHeaders({ trusted, underscoreHeaders }: RouterSettings): readonly string[] {
  const forged = [...aboutTheRequest, ...aboutTheClient, ...(trusted?.cloudflare ? notByCloudflare : byCloudflare)]
  if (!underscoreHeaders) return forged
  return [...new Set([...forged, ...[...forged, ...byTraefik].flatMap(aliases)])]
}

/** Headers that Traefik itself sets, or takes from strangers. */
const byTraefik = [
  'X-Forwarded-For',
  'X-Forwarded-Proto',
  'X-Forwarded-Host',
  'X-Forwarded-Port',
  'X-Forwarded-Server',
  'X-Forwarded-Uri',
  'X-Forwarded-Method',
  'X-Forwarded-Prefix',
  'X-Real-Ip',
]

/** What was asked for, and how, by others' conventions. */
const aboutTheRequest = [
  'Forwarded',
  'X-Forwarded',
  'X-Forwarded-By',
  'X-Forwarded-Protocol',
  'X-Forwarded-Scheme',
  'X-Forwarded-Ssl',
  'X-Forwarded-Path',
  'X-Forwarded-Url',
  'X-Scheme',
  'X-Url-Scheme',
  'Front-End-Https',
  'X-Host',
  'X-Http-Host-Override',
  'X-Original-Host',
  'X-Original-Uri',
  'X-Original-Url',
  'X-Rewrite-Url',
]

/** Who the client is, by others' conventions. */
const aboutTheClient = [
  'Client-Ip',
  'X-Client-Ip',
  'X-Cluster-Client-Ip',
  'X-Originating-Ip',
  'X-Remote-Addr',
  'X-Remote-Ip',
  'Proxy-Client-Ip',
  'Wl-Proxy-Client-Ip',
  'Fastly-Client-Ip',
  'Fly-Client-Ip',
  'X-Appengine-User-Ip',
  'X-Azure-Clientip',
  'X-Envoy-External-Address',
  'X-Proxyuser-Ip',
  'X-Forwarded-Client-Cert',
  'X-Forwarded-User',
  'X-Forwarded-Email',
  'X-Forwarded-Groups',
  'X-Forwarded-Preferred-Username',
  'X-Forwarded-Access-Token',
]

/** What Cloudflare says of a client. */
const byCloudflare = ['Cf-Connecting-Ip', 'Cf-Connecting-Ipv6', 'Cf-Pseudo-Ipv4', 'True-Client-Ip']

/** What Cloudflare lets a client say itself, although the router takes Cloudflare's word. */
const notByCloudflare = ['X-Real-Ip']

/**
 * Names that apps read as the same header: in CGI, WSGI and PHP a dash is a `_`, and so are a `_` and most other
 * characters. Of those by which nearly all apps go, every mixture with `_` and `.`, and each other character in place of
 * all dashes; of the rest, every mixture with `_`, and `.` for all dashes. Each name costs a tenth of a microsecond a request.
 */
function aliases(name: string): readonly string[] {
  const isUsual = byTraefik.slice(0, 4).includes(name) || name === 'X-Real-Ip'
  const [first = '', ...rest] = name.split('-')
  const mixed = rest.reduce<readonly string[]>(
    (names, part) =>
      names.flatMap((begun) => ['-', '_', ...(isUsual ? ['.'] : [])].map((mark) => `${begun}${mark}${part}`)),
    [first],
  )
  const uniform = [...(isUsual ? "!#$%&'*+^`|~" : '.')].map((mark) => name.replaceAll('-', mark))
  return [...mixed, ...uniform].filter((alias) => alias !== name)
}
