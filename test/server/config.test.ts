import assert from 'node:assert/strict'
import test from 'node:test'
import { usualCapabilities } from '../../src/deploy/container.ts'
import { MypaasError } from '../../src/errors.ts'
import { hardeningOf, parseConfig, secretsOf } from '../../src/server/config.ts'
import { setKey } from '../../src/server/config-text.ts'

test('ports for tcp are none of the server and stand once; trusted is who has an address, or Cloudflare', () => {
  const router = (line: string) => parseConfig(`[router]\n${line}\n`).router
  assert.deepEqual(router('tcp = [5432, 6379]').tcp, [5432, 6379])
  assert.deepEqual(router('trusted_ips = ["10.0.0.0/8", "2001:db8::1", "cloudflare"]').trustedIps, [
    '10.0.0.0/8',
    '2001:db8::1',
    'cloudflare',
  ])
  const wrong = {
    'tcp = 5432': 'must be a list of ports, whole numbers from 1 to 65535: [5432]',
    'tcp = [0]': 'must be a list of ports',
    'tcp = [65536]': 'must be a list of ports',
    'tcp = ["5432"]': 'must be a list of ports',
    'tcp = [1.5]': 'must be a list of ports',
    'tcp = [5432, 5432]': 'router.tcp has 5432 twice',
    'tcp = [443]': 'router.tcp: 443 is a port of the router or the daemon already',
    'tcp = [8083]': 'router.tcp: 8083 is a port of the router or the daemon already',
    'tcp = [5001]\nchallenge_port = 5001': 'router.tcp: 5001 is a port of the router',
    'trusted_ips = "cloudflare"': 'must be a list: ["cloudflare"]',
    ...Object.fromEntries(
      [
        '0.0.0.0/0',
        '::/0',
        '10.0.0.0/33',
        '2001:db8::/129',
        '10.0.0',
        'fastly',
        'proxy.test',
        '10.0.0.0/8/8',
        '10.0.0.1/',
        '',
      ].map((text) => [
        `trusted_ips = ["${text}"]`,
        `router.trusted_ips: "${text}" is no address, range or "cloudflare"`,
      ]),
    ),
  }
  for (const [line, message] of Object.entries(wrong)) {
    assert.throws(
      () => router(line),
      (error) => error instanceof MypaasError && error.message.includes(message) && error.message.includes(':2: '),
      line,
    )
  }
})

test('an empty config has every default', () => {
  const { server, router, env } = parseConfig('')
  assert.deepEqual(server, {
    instance: '',
    volumeRoots: [],
    homePaths: [],
    trustedContainers: [],
    keepReleases: 5,
    startTimeoutMs: 60_000,
    maxStartTimeoutMs: 600_000,
    drainMs: 300_000,
    holdDrainMs: 5_000,
    graceMs: 10_000,
    maxGraceMs: 120_000,
    engineTimeoutMs: 60_000,
    buildSilenceMs: 600_000,
    buildTimeoutMs: 3_600_000,
    builds: 4,
    buildsPerKey: 2,
    downloadHosts: ['github.com', 'raw.githubusercontent.com'],
    buildDiskBytes: 20 * 1024 ** 3,
    diskReserveBytes: 512 * 1024 ** 2,
    logBytes: 10 * 1024 * 1024,
    hardening: { noNewPrivileges: true, capabilities: usualCapabilities, pids: 2048 },
    domain: '',
    daemonPort: 8083,
    pushBytes: 8 * 1024 ** 3,
    pushStoreBytes: 32 * 1024 ** 3,
    pushServiceBytes: 16 * 1024 ** 3,
  })
  assert.deepEqual(router, {
    image: 'traefik:v3.7.15',
    bind: '',
    httpPort: 80,
    httpsPort: 443,
    adminPort: 8081,
    tcp: [],
    trustedIps: [],
    underscoreHeaders: false,
    email: '',
    challenge: 'http',
    dnsProvider: '',
    dnsEnv: {},
    dnsCheck: true,
    caServer: '',
    caCertificates: [],
    certificateLifetimeMs: 90 * 24 * 3_600_000,
    certificateWaitMs: 30_000,
    certificateCheckMs: 60_000,
    challengePort: 0,
    address: '',
    dnsServers: [],
    extraHosts: [],
    certificates: [],
  })
  assert.deepEqual(env, {})
})

test('what a service may mount beside what is always allowed is said by name', () => {
  const config = parseConfig(
    '[server]\nhome_paths = ["~/.config/app"]\ntrusted_containers = ["portainer"]\n[services.blog]\nvolumes = ["shared-data"]\n',
  )
  assert.deepEqual(config.server.homePaths, ['.config/app'])
  assert.deepEqual(config.server.trustedContainers, ['portainer'])
  assert.deepEqual(config.services['blog']?.volumes, ['shared-data'])
  for (const text of [
    '[server]\nhome_paths = ["~/.ssh"]',
    '[server]\nhome_paths = ["/etc"]',
    '[services.a]\nvolumes = ["a/b"]',
  ])
    assert.throws(() => parseConfig(text), MypaasError, text)
})

test('a service sees the secrets of all and its own, its own first', () => {
  const config = parseConfig('[env]\nA = "1"\nB = "2"\n[services."blog.api".env]\nB = "3"\n')
  assert.deepEqual(secretsOf(config, 'blog.api'), { A: '1', B: '3' })
  assert.deepEqual(secretsOf(config, 'shop'), { A: '1', B: '2' })
})

test('what containers may not do is set for all services, and for one where that differs', () => {
  const config = parseConfig(
    [
      '[server]',
      'pids_limit = 100',
      '[services.vpn]',
      'capabilities = ["NET_ADMIN"]',
      '[services.old]',
      'drop_capabilities = false',
      'no_new_privileges = false',
      'pids_limit = 0',
    ].join('\n'),
  )
  assert.deepEqual(hardeningOf(config, 'blog'), { noNewPrivileges: true, capabilities: usualCapabilities, pids: 100 })
  assert.deepEqual(hardeningOf(config, 'vpn').capabilities, [...usualCapabilities, 'NET_ADMIN'])
  assert.deepEqual(hardeningOf(config, 'old'), { noNewPrivileges: false, capabilities: undefined, pids: 0 })
  assert.throws(() => parseConfig('[server]\ncapabilities = ["CAP_NET_RAW"]\n'), /"CAP_NET_RAW" is no capability/)
})

test('every unknown key and wrong value is named with its line, and no value of a secret is', () => {
  const text = [
    'color = 1',
    '[server]',
    'drain = "soon"',
    'keep_releases = 0',
    'volume_roots = ["srv"]',
    '[router]',
    'http_port = 70000',
    '[env]',
    'OK = "s3cr3t"',
    'NUMBER = 5',
    '"not a name" = "s3cr3t"',
    '[services.blog]',
    'replicas = 3',
  ].join('\n')
  assert.throws(
    () => parseConfig(text, 'config.toml'),
    (error) => {
      assert.ok(error instanceof MypaasError)
      assert.equal(error.code, 'usage')
      const lines = error.message.split('\n').map((line) => line.split(':')[1])
      assert.deepEqual(lines, ['1', '3', '4', '5', '7', '10', '11', '13'])
      assert.ok(!error.message.includes('s3cr3t'))
      return true
    },
  )
})

test('settings for certificates that can not work are named: no provider for dns, half a certificate, no URL', () => {
  const text = [
    '[router]',
    'challenge = "dns"',
    'ca_server = "letsencrypt"',
    'dns_servers = ["dns.example.com"]',
    '[[router.certificates]]',
    'cert = "/etc/ssl/a.pem"',
    '[[router.certificates]]',
    'cert = "b.pem"',
    'key = "/etc/ssl/b.key"',
  ].join('\n')
  assert.throws(
    () => parseConfig(text, 'config.toml'),
    (error) => {
      assert.ok(error instanceof MypaasError)
      assert.deepEqual(error.message.split('\n'), [
        'config.toml:2: router.challenge = "dns" needs dns_provider, too: who has the zone, such as "cloudflare"',
        'config.toml:3: router.ca_server must be the https URL of an ACME directory',
        'config.toml:4: router.dns_servers: "dns.example.com" is no address such as 1.1.1.1 or [::1]:53',
        'config.toml:5: router.certificates[0].key is missing',
        'config.toml:8: router.certificates[1].cert must be the absolute path of a file',
      ])
      return true
    },
  )
})

test('text that is not TOML is refused by its line, without quoting it', () => {
  assert.throws(
    () => parseConfig('[env]\nA = "1"\nSECRET = s3cr3t\n', 'config.toml'),
    (error) => error instanceof MypaasError && /^config\.toml:3: /.test(error.message) && !/s3cr3t/.test(String(error)),
  )
})

test('what stands twice is said to, by its line and without quoting it', () => {
  const message = (text: string): string => {
    try {
      parseConfig(text, 'config.toml')
    } catch (error) {
      if (error instanceof MypaasError) return error.message
    }
    return ''
  }
  assert.equal(message('[env]\nA = "1"\n[env]\n'), 'config.toml:3: this table stands in the file already.')
  assert.equal(message('[env]\nA = "1"\nA = "s3cr3t"\n'), 'config.toml:3: this key stands in the file already.')
})

test('setting a key leaves every other character of the file as it was', () => {
  const text =
    '# mine\n[server]\nkeep_releases = 3 # few\n\n[env]\nhttp_port = "a secret"\n[router] # ports\nhttp_port = 80\n'
  assert.equal(setKey(text, 'server', 'keep_releases', '4'), text.replace('keep_releases = 3', 'keep_releases = 4'))
  assert.equal(setKey('[a]\nx = 1\n', 'router', 'http_port', '81'), '[a]\nx = 1\n\n[router]\nhttp_port = 81\n')
})

test('a name with dots is a variable as any other, in quotes; without them the line says so', () => {
  const { env } = parseConfig('[env]\n"spring.datasource.password" = "x"\na-b = "y"\n')
  assert.deepEqual(env, { 'spring.datasource.password': 'x', 'a-b': 'y' })
  assert.throws(
    () => parseConfig('[env]\nA = "x"\nspring.datasource.password = "s3cr3t"\n'),
    (error) =>
      error instanceof MypaasError &&
      error.message === 'config.toml:3: spring must be text, and a name with dots in quotes: "spring.…" = "…"',
  )
})

test('a problem is told by its line however its table is written', () => {
  const text = [
    '[server]',
    'domain = """',
    '[router]',
    'http_port = 0"""',
    'services = { "a.b" = { env = { A = 1 } } }',
    '[services]',
    'blog . volumes = [',
    '"/x" ]',
    'router.http_port = 0',
    '',
    '[ "router" ]',
    '"http_port" = 0',
    '[[router.certificates]]',
    '[[router.certificates]]',
    "'cert' = 1",
  ].join('\n')
  const lines = (error: unknown): boolean => {
    assert.ok(error instanceof MypaasError)
    const found = error.message.split('\n').map((line) => /^config\.toml:(\d+): (\S+)/.exec(line)?.slice(1).join(' '))
    assert.deepEqual(found, [
      '2 server.domain',
      '5 There',
      '7 services.blog.volumes:',
      '9 There',
      '12 router.http_port',
      '13 router.certificates[0].cert',
      '13 router.certificates[0].key',
      '14 router.certificates[1].key',
      '15 router.certificates[1].cert',
    ])
    return true
  }
  assert.throws(() => parseConfig(text, 'config.toml'), lines)
})
