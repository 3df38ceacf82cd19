import assert from 'node:assert/strict'
import test from 'node:test'
import { baseFile, namesFile, type ServiceRoutes, serviceFile } from '../../src/router/config.ts'
import { staticFile } from '../../src/router/static-file.ts'

const settings = { httpsPort: 443, adminPasswordHash: '{SHA}x', reachToken: 'abc' }
const routes: ServiceRoutes = {
  service: 'blog',
  urls: [
    { scheme: 'https', host: 'example.com', path: '/' },
    { scheme: 'http', host: 'plain.example.com', path: '/api' },
  ],
  active: { release: 7, port: 3000, upstreams: ['up-blog-r7-x1', 'up-blog-r7-x2'] },
}

test('a service is routed by host and whole path segments, each URL to the one active release', () => {
  const { http } = parse(serviceFile(routes).content)
  const below = `Host(\`plain.example.com\`) && (Path(\`/api\`) || (PathPrefix(\`/api/\`) && !PathRegexp(\`${climbs}\`)))`
  const plain = ' && !HeaderRegexp(`Accept-Encoding`, `.`)'
  const secure = { entryPoints: ['websecure'], service: 'blog-r7', tls: {} }
  const open = { entryPoints: ['web'], service: 'blog-r7' }
  const middlewares = ['blog~client', 'blog~retry']
  const uncompressed = [...middlewares, 'blog~plain']
  assert.deepEqual(http['routers'], {
    'blog~0': { ...secure, rule: 'Host(`example.com`)', priority: 1000, middlewares },
    'blog~0~plain': { ...secure, rule: `Host(\`example.com\`)${plain}`, priority: 1001, middlewares: uncompressed },
    'blog~0~redirect': {
      ...open,
      rule: 'Host(`example.com`)',
      priority: 1000,
      middlewares: ['mypaas~https', ...middlewares],
    },
    'blog~1': { ...open, rule: below, priority: 1004, middlewares },
    'blog~1~plain': { ...open, rule: `${below}${plain}`, priority: 1005, middlewares: uncompressed },
  })
  assert.deepEqual(http['services'], {
    'blog-r7': {
      loadBalancer: {
        servers: [{ url: 'http://up-blog-r7-x1:3000' }, { url: 'http://up-blog-r7-x2:3000' }],
        serversTransport: 'mypaas',
      },
    },
  })
})

test('what is named by http and https is served by both, and nobody is sent on', () => {
  const urls = ['https', 'http'].map((scheme) => ({
    scheme: scheme as 'http' | 'https',
    host: 'x.test',
    path: '/docs',
  }))
  const routers = parse(serviceFile({ ...routes, urls }).content).http['routers'] ?? {}
  const shown = Object.entries(routers).map(([name, { entryPoints, service }]) => [name, entryPoints, service])
  assert.deepEqual(shown, [
    ['blog~0', ['websecure'], 'blog-r7'],
    ['blog~0~plain', ['websecure'], 'blog-r7'],
    ['blog~1', ['web'], 'blog-r7'],
    ['blog~1~plain', ['web'], 'blog-r7'],
  ])
})

test('a replica is asked for its health as users of the first URL come, and is followed nowhere', () => {
  const healthcheck = { path: '/up', intervalMs: 5_000, timeoutMs: 2_000 }
  const asked = (urls: ServiceRoutes['urls']): unknown => {
    const file = serviceFile({ ...routes, urls, active: { ...routes.active, healthcheck } })
    return parse(file.content).http['services']?.['blog-r7']?.['loadBalancer']?.['healthCheck']
  }
  const common = { path: '/up', interval: '5s', timeout: '2s', followRedirects: false }
  assert.deepEqual(asked(routes.urls), {
    ...common,
    hostname: 'example.com',
    headers: { 'X-Forwarded-Proto': 'https' },
  })
  assert.deepEqual(asked([{ scheme: 'http', host: '*.example.com', path: '/' }]), {
    ...common,
    hostname: 'mypaas-probe.example.com',
    headers: { 'X-Forwarded-Proto': 'http' },
  })
})

test('requests that are held are retried for the whole hold, ask no health check, and may end at the fallback', () => {
  const healthcheck = { path: '/up', intervalMs: 5_000, timeoutMs: 2_000 }
  const active = { ...routes.active, healthcheck, fallback: { upstream: 'up-blog-r7-x0', port: 80 } }
  const { http } = parse(serviceFile({ ...routes, active, holdMs: 30_000 }).content)
  assert.deepEqual(http['middlewares']?.['blog~client'], {
    headers: {
      customRequestHeaders: { Forwarded: '', 'X-Mypaas-Probe': '', 'X-Mypaas-Revision': '', 'X-Mypaas-Server': '' },
    },
  })
  assert.deepEqual(http['middlewares']?.['blog~retry'], { retry: { attempts: 600, initialInterval: '50ms' } })
  assert.deepEqual(http['services']?.['blog-r7'], {
    loadBalancer: {
      servers: [
        { url: 'http://up-blog-r7-x1:3000' },
        { url: 'http://up-blog-r7-x2:3000' },
        { url: 'http://up-blog-r7-x0:80' },
      ],
      serversTransport: 'mypaas',
    },
  })
})

test('a release that is probed is reached by the admin entry point only, behind the password', () => {
  const probe = { release: 8, port: 3000, upstreams: ['up-blog-r8-x1'] }
  const { http } = parse(serviceFile({ ...routes, probe }).content)
  assert.deepEqual(http['routers']?.['blog~probe'], {
    rule: 'Header(`X-Mypaas-Probe`, `blog-r8`)',
    priority: 1000,
    entryPoints: ['admin'],
    service: 'blog-r8',
    middlewares: ['mypaas~admin', 'mypaas~probe'],
  })
  assert.equal(http['routers']?.['blog~0']?.['service'], 'blog-r7')
})

test('the revision in the file changes with its content and with nothing else', () => {
  const one = serviceFile(routes)
  assert.deepEqual(serviceFile(structuredClone(routes)), one)
  const other = serviceFile({ ...routes, active: { ...routes.active, release: 8 } })
  assert.notEqual(other.revision, one.revision)
  assert.ok(one.content.includes(`blog~rev~${one.revision}`))
})

test('what could end a rule or start a template is refused, however it got here', () => {
  for (const host of ['a`)||HostRegexp(`.+', 'a.test{{env "X"}}', 'a b', '']) {
    const urls = [{ scheme: 'http', host, path: '/' }] as const
    assert.throws(() => serviceFile({ ...routes, urls }), /refusing to route/)
  }
  for (const path of ['/`', '/{{', '/a b', 'a', '/"']) {
    const urls = [{ scheme: 'http', host: 'a.test', path }] as const
    assert.throws(() => serviceFile({ ...routes, urls }), /refusing to route/)
  }
})

test('redirects name the port of https where it is not 443', () => {
  const redirect = (httpsPort: number): unknown =>
    parse(baseFile({ ...settings, httpsPort })).http['middlewares']?.['mypaas~https']
  assert.deepEqual(redirect(443), { redirectScheme: { scheme: 'https', permanent: true } })
  assert.deepEqual(redirect(8443), { redirectScheme: { scheme: 'https', permanent: true, port: '8443' } })
})

test('the router watches its folder, shows no dashboard, phones nobody, and asks for certificates only with an address', () => {
  const plain = JSON.parse(staticFile(settings))
  assert.deepEqual(plain.global, { checkNewVersion: false, sendAnonymousUsage: false })
  assert.deepEqual(plain.api, { dashboard: false })
  assert.deepEqual(Object.keys(plain.providers), ['providersThrottleDuration', 'file'])
  assert.equal(plain.certificatesResolvers, undefined)
  const acme = { email: 'ops@example.com', challenge: 'http', lifetimeMs: 2160 * 3_600_000 } as const
  assert.deepEqual(JSON.parse(staticFile({ ...settings, acme })).certificatesResolvers.mypaas.acme.httpChallenge, {
    entryPoint: 'web',
  })
})

const climbs =
  '(?i)(?:[/\\\\]|%(?:25)*(?:2f|5c))(?:\\.|%(?:25)*2e){2}(?:$|;|%(?:25)*(?:3b|3f|23)|[/\\\\]|%(?:25)*(?:2f|5c))'

type Json = { [key: string]: Json }

function parse(content: string): { http: Json } {
  return JSON.parse(content)
}

test('the way to the daemon is stronger than any service, and leads nowhere without a network', () => {
  const daemon = { domain: 'paas.example.com', port: 8083, token: 'for the daemon alone' }
  const { routers, services, middlewares } = parse(baseFile({ ...settings, daemon }, { gateway: '172.30.0.1' })).http
  const route = routers?.['mypaas~daemon'] as unknown as Record<'entryPoints' | 'middlewares', string[]> & {
    rule: string
    priority: number
  }
  assert.equal(route.rule, `Host(\`paas.example.com\`) && (PathPrefix(\`/daemon/\`) && !PathRegexp(\`${climbs}\`))`)
  assert.deepEqual(route.entryPoints, ['websecure'])
  assert.ok(route.priority > 10_000)
  assert.deepEqual(services?.['mypaas~daemon'], {
    loadBalancer: { servers: [{ url: 'http://172.30.0.1:8083' }], serversTransport: 'mypaas' },
  })
  assert.deepEqual(middlewares?.['mypaas~daemon'], { stripPrefix: { prefixes: ['/daemon'] } })
  assert.deepEqual(route.middlewares, ['mypaas~daemon', 'mypaas~router'])
  assert.deepEqual(middlewares?.['mypaas~router'], {
    headers: { customRequestHeaders: { 'X-Mypaas-Router': daemon.token } },
  })
  const away = parse(baseFile({ ...settings, daemon })).http
  assert.deepEqual(
    [away['routers']?.['mypaas~daemon']?.['service'], away['routers']?.['mypaas~daemon']?.['middlewares']],
    ['noop@internal', ['mypaas~away']],
  )
  assert.equal(away['services'], undefined)
  assert.equal(baseFile(settings, { gateway: '172.30.0.1' }).includes('daemon'), false)
})

test("the rest of the daemon's host is no service's: stronger than a wildcard with the longest path", () => {
  const daemon = { domain: 'paas.example.com', port: 8083, token: 't' }
  const { routers } = parse(baseFile({ ...settings, daemon }, { gateway: '172.30.0.1' })).http
  const own = ['mypaas~domain', 'mypaas~domain~http'].map((name) => routers?.[name] as unknown as { priority: number })
  const url = { scheme: 'https', host: '*.example.com', path: `/${'a'.repeat(254)}` } as const
  const wild = parse(serviceFile({ ...routes, urls: [url, { ...url, scheme: 'http' }] }).content).http['routers'] ?? {}
  const strongest = Math.max(...Object.values(wild).map((router) => Number(router['priority'])))
  for (const { priority } of own) assert.ok(priority > strongest, `${priority} > ${strongest}`)
})

test('each name that is asked for has a router of its own, apart from the routes; a server without an authority asks for none', () => {
  const names = { 'b.test': { ask: true }, '*.a.test': { ask: true, trusted: true }, 'c.test': {} }
  const acme = { email: 'ops@example.com', challenge: 'dns', lifetimeMs: 1 } as const
  const { http } = parse(namesFile(names, { ...settings, acme }))
  const common = {
    priority: 2_000_000,
    service: 'noop@internal',
    middlewares: ['mypaas~reach'],
    entryPoints: ['websecure'],
  }
  assert.deepEqual(http['routers'], {
    'mypaas~name~*.a.test': {
      ...common,
      rule: 'Host(`*.a.test`) && Path(`/.well-known/mypaas/abc`)',
      tls: { certResolver: 'mypaas', domains: [{ main: '*.a.test' }] },
    },
    'mypaas~name~b.test': {
      ...common,
      rule: 'Host(`b.test`) && Path(`/.well-known/mypaas/abc`)',
      tls: { certResolver: 'mypaas', domains: [{ main: 'b.test' }] },
    },
  })
  assert.equal(namesFile(names, settings), '{}')
})

test('browsers are told to come by https only where the name has a trusted certificate', () => {
  const { http } = parse(serviceFile(routes, { 'example.com': { trusted: true } }).content)
  assert.deepEqual(http['routers']?.['blog~0']?.['middlewares'], ['mypaas~hsts', 'blog~client', 'blog~retry'])
})
