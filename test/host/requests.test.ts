import assert from 'node:assert/strict'
import http from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { openServer } from '../../src/server/host.ts'
import { askEcho, deployEcho, header } from '../support/echo.ts'
import { rawRequest } from '../support/raw-request.ts'
import { freePort, type World, world } from '../support/world.ts'

const webSocket = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]
const forged = [
  'Forwarded: for=192.0.2.9;proto=https',
  'X-Forwarded-Ssl: on',
  'X-Forwarded-Scheme: https',
  'X-Forwarded-Protocol: ssl',
  'X-Forwarded-User: admin',
  'Front-End-Https: on',
  'X-Original-URL: /admin',
  'X-Rewrite-URL: /admin',
  'X-Original-Host: evil.test',
  'Client-IP: 192.0.2.9',
  'True-Client-IP: 192.0.2.9',
  'CF-Connecting-IP: 192.0.2.9',
  'X-Client-IP: 192.0.2.9',
]
const managed = [
  'X-Forwarded-For: 192.0.2.9',
  'X-Forwarded-Proto: gopher',
  'X-Forwarded-Host: evil.test',
  'X-Real-Ip: 192.0.2.9',
]
const aliases = [
  'X_Forwarded_For: 192.0.2.9',
  'X_Forwarded-Host: evil.test',
  'X.Forwarded.Proto: gopher',
  'x_real_ip: 192.0.2.9',
  'Client_IP: 192.0.2.9',
  'X~Forwarded~For: 192.0.2.9',
  'X-Forwarded_Ssl: on',
]

test('what an app gets is what was sent, and nothing that a client says in the place of the router', async (t) => {
  const w = await world(t)
  await w.init()
  const urls = ['http://echo.test', 'https://echos.test', 'http://both.test', 'https://both.test']
  const said = await deployEcho(w, 'echo', urls)
  const both =
    /Dockerfile:5 and Dockerfile:6: http:\/\/both\.test and https:\/\/both\.test are one host and path\. Both are served/
  assert.match(said, both)
  assert.match((await w.ok(['server', 'deploy', join(w.home, 'services/echo'), '--plan'])).output, both)

  await t.test('paths and queries', async () => {
    const same = [
      '/proxy/https://a.example/b',
      '/a//b',
      '//a/b',
      '///',
      '/a/../b',
      '/a/./b',
      '/..',
      '/a;v=1/b;c',
      '/a%2Fb',
      '/a%5Cb',
      '/%3Fq',
      '/@scope%2Fname',
      '/a+b%20c',
      '/a%252Fb',
      '/a?b=//c/../d&e=%2F&f',
      '/?',
    ]
    const other = {
      '/%7Eu/%2fx': '/~u/%2Fx',
      '/{x}|"': '/%7Bx%7D%7C%22',
      '/?x=1;y=2': '/?x=1%3By=2',
      '/%2e%2e/x': '/../x',
    }
    for (const url of ['http://echo.test', 'https://echos.test']) {
      const seen = async (path: string): Promise<unknown> => (await askEcho(w, url, { path })).seen?.url
      for (const path of same) assert.equal(await seen(path), path, url)
      for (const [path, as] of Object.entries(other)) assert.equal(await seen(path), as, url)
    }
    assert.equal((await askEcho(w, 'http://echo.test', { path: '/a%00b' })).status, 400)
    for (const path of ['/a//b?x=//y', '//evil.test/..', '/%5cevil.test', '/a/../b']) {
      const { head } = await askEcho(w, 'http://echos.test', { path })
      const to = `https://echos.test:${w.ports.https}${path.replace('%5c', '%5C')}`
      assert.equal(/^location: (.*)$/im.exec(head)?.[1], to)
    }
  })

  await t.test('headers', async () => {
    for (const [url, proto] of [
      ['http://echo.test', 'http'],
      ['https://echos.test', 'https'],
    ] as const) {
      const { seen } = await askEcho(w, url, { lines: [...forged, ...managed, ...aliases, 'api_key: 1', 'X-Mine: 2'] })
      const names = (seen?.headers ?? []).filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
      assert.deepEqual(names.sort(), [
        'accept-encoding',
        'host',
        'x-forwarded-for',
        'x-forwarded-host',
        'x-forwarded-port',
        'x-forwarded-proto',
        'x-forwarded-server',
        'x-mine',
        'x-real-ip',
      ])
      assert.equal(header(seen, 'x-forwarded-proto'), proto)
      assert.doesNotMatch(JSON.stringify(seen), /192\.0\.2\.9|evil|gopher/)
    }
  })

  await t.test('WebSockets', async () => {
    for (const [url, proto] of [
      ['http://echo.test', 'http'],
      ['https://echos.test', 'https'],
    ] as const) {
      const { status, seen } = await askEcho(w, url, { path: '/a//ws', lines: webSocket })
      assert.deepEqual([status, seen?.url, header(seen, 'x-forwarded-proto')], [101, '/a//ws', proto])
    }
  })

  await t.test('a host by http and https is served by both', async () => {
    for (const [url, proto] of [
      ['http://both.test', 'http'],
      ['https://both.test', 'https'],
    ] as const) {
      const { status, seen } = await askEcho(w, url, { path: '/x' })
      assert.deepEqual([status, seen?.url, header(seen, 'x-forwarded-proto')], [200, '/x', proto])
    }
  })

  await t.test('who takes no compressed answer gets the plain one, with its ETag and its length', async () => {
    for (const url of ['http://echo.test/page', 'https://echos.test/page']) {
      const plain = await askEcho(w, url)
      assert.match(plain.head, /^etag: "page"$/im)
      assert.match(plain.head, /^content-length: 6$/im)
      assert.equal(plain.body, 'a page')
      assert.match((await askEcho(w, url, { method: 'HEAD' })).head, /^etag: "page"\r\n/im)
      const compressed = await askEcho(w, url, { lines: ['Accept-Encoding: gzip, br'] })
      assert.match(compressed.head, /^etag: "page-gzip"$/im)
    }
  })
})

test('the static settings of the router come in one replacement, which is told before it is done', async (t) => {
  const w = await world(t)
  await w.init()
  await deployEcho(w, 'echo', ['http://echo.test', 'https://echos.test'])
  const [tcp, gateway] = [await freePort(), await edgeGateway(w)]
  assert.match((await w.ok(['server', 'upgrade', '--plan'])).stdout, /as it should be/)
  await w.set('router', 'trusted_ips', `["cloudflare", "${gateway}"]`)
  await w.set('router', 'underscore_headers', 'true')
  await w.set('router', 'tcp', `[${tcp}]`)
  const id = (await w.docker.containers.inspect(`${w.instance}-traefik`)).Id
  const plan = (await w.ok(['server', 'upgrade', '--plan'])).stdout
  const reasons = [
    /replaced; nobody is served for half a second to three meanwhile/,
    /trusted_ips: whose word/,
    /underscore_headers: which names/,
    /tcp: ports for services/,
    new RegExp(`port 127.0.0.1:${tcp}/tcp is opened`),
  ]
  for (const reason of reasons) assert.match(plan, reason)
  assert.equal((await w.docker.containers.inspect(`${w.instance}-traefik`)).Id, id, 'nothing was done')
  const done = await w.ok(['server', 'upgrade'])
  for (const reason of reasons) assert.match(done.stderr, reason)
  assert.match(done.stdout, /router: replaced/)
  const second = await w.ok(['server', 'upgrade'])
  assert.match(second.stdout, /as before/, 'one replacement is all')

  await t.test('a proxy that is trusted is believed about the client, and nobody about the rest', async () => {
    const { seen } = await askEcho(w, 'http://echo.test', {
      lines: [
        'X-Forwarded-For: 198.51.100.7',
        'X-Forwarded-Proto: https',
        'X-Real-Ip: 192.0.2.9',
        'CF-Connecting-IP: 198.51.100.7',
        ...forged.filter((line) => !/^(CF|True)-/.test(line)),
        ...aliases,
      ],
    })
    assert.equal(header(seen, 'x-forwarded-for'), `198.51.100.7, ${gateway}`)
    assert.equal(header(seen, 'x-forwarded-proto'), 'https')
    assert.equal(header(seen, 'cf-connecting-ip'), '198.51.100.7')
    assert.doesNotMatch(JSON.stringify(seen), /192\.0\.2\.9|evil|gopher|_forwarded|\.forwarded|admin/i)
  })

  await t.test('names with underscores arrive, aliases of what the router says do not', async () => {
    const { seen } = await askEcho(w, 'https://echos.test', {
      lines: ['api_key: 1', 'X_My_Header: 2', 'X.Mine: 3', ...aliases],
    })
    assert.deepEqual([header(seen, 'api_key'), header(seen, 'x_my_header'), header(seen, 'x.mine')], ['1', '2', '3'])
    assert.doesNotMatch(JSON.stringify(seen), /192\.0\.2\.9|evil|gopher/)
  })

  await t.test('a WebSocket of https is https', async () => {
    const { seen } = await askEcho(w, 'https://echos.test', { lines: webSocket })
    assert.equal(header(seen, 'x-forwarded-proto'), 'https')
  })

  await t.test('its numbers are told on loopback, to who has the password', async () => {
    const numbers = (headers: http.OutgoingHttpHeaders) =>
      new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
        http
          .get(
            { host: '127.0.0.1', port: w.ports.admin, path: '/metrics', agent: false, headers },
            async (response) => {
              resolve({ status: response.statusCode, body: (await response.setEncoding('utf8').toArray()).join('') })
            },
          )
          .on('error', reject)
      })
    assert.equal((await numbers({})).status, 401)
    assert.equal(
      (await askEcho(w, 'http://echo.test', { path: '/metrics' })).seen?.url,
      '/metrics',
      'a service has its own',
    )
    await using server = await openServer(w.home)
    const authorization = `Basic ${Buffer.from(`mypaas:${server.identity.adminPassword}`).toString('base64')}`
    const { status, body } = await numbers({ authorization })
    assert.equal(status, 200)
    assert.match(
      body,
      /^traefik_router_requests_total\{code="200",method="GET",protocol="http",router="echo~0[^"]*",service="echo-r1@file"\} \d/m,
    )
    assert.doesNotMatch(body, /^traefik_(service|entrypoint)_/m)
  })

  await t.test("a port for tcp is open, is no service's, and serves no http", async () => {
    assert.equal((await rawRequest(tcp, { host: 'echo.test', path: '/' })).status, 404)
    const directory = await w.service('taker', { directives: [`publish=${tcp}:80`] })
    const { code, output } = await w.cli(['server', 'deploy', directory])
    assert.equal(code, 2, output)
    assert.match(output, new RegExp(`wants port ${tcp} of the server, which is one of the router's tcp ports`))
  })

  await t.test('a port that somebody has interrupts nobody', async () => {
    const taken = http.createServer().listen(0, '127.0.0.1')
    t.after(() => taken.close())
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as { port: number }
    await w.set('router', 'tcp', `[${tcp}, ${port}]`)
    const before = (await w.docker.containers.inspect(`${w.instance}-traefik`)).State.StartedAt
    const { code, output } = await w.cli(['server', 'upgrade'])
    assert.equal(code, 1)
    assert.match(output, new RegExp(`can't have port ${port}: something else on this machine listens there`))
    assert.equal((await w.docker.containers.inspect(`${w.instance}-traefik`)).State.StartedAt, before)
  })
})

/** From where what comes to a published port on loopback seems to come. */
async function edgeGateway(w: World): Promise<string> {
  const network = await w.docker.networks.inspect(`${w.instance}-mypaas-edge`)
  return network.IPAM?.Config?.[0]?.Gateway ?? ''
}
