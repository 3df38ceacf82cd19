import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import http2 from 'node:http2'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import tls from 'node:tls'
import { userKeyOf } from '../support/keys.ts'
import { startLoad } from '../support/load.ts'
import { handshake, secured } from '../support/secured.ts'
import { until } from '../support/until.ts'
import { freePort, type World } from '../support/world.ts'

const names = new URL('../support/names.mjs', import.meta.url).href

// Side by side: one of them waits for a renewal most of the time.
describe('certificates by ACME', { concurrency: 2 }, () => {
  test('https by HTTP-01', async (t) => {
    // So short-lived that the router renews them at each of its checks, once a minute.
    const { w, ca } = await secured(t, { lifetimeSeconds: 1200, settings: { certificate_lifetime: '"1h"' } })
    await ca.point('one.test', '127.0.0.1')
    await ca.point('two.test', '127.0.0.1')
    await ca.point('wrong.test', '192.0.2.55')
    const names = ['one', 'two', 'wrong', 'missing']
    const directives = [...names.map((name) => `url=https://${name}.test`), 'scale=2']
    const directory = await w.service('web', { directives })
    const deployed = await w.deploy(directory)
    const root = await ca.root()

    await t.test(
      'a deploy waits for the certificates of names that lead here, each name with one of its own',
      async () => {
        for (const name of ['one.test', 'two.test']) {
          assert.match(deployed.stderr, new RegExp(`✓ +certificate for ${name} of Pebble Intermediate`))
          const served = await handshake(w, name, root)
          assert.deepEqual({ names: served.names, trusted: served.trusted }, { names: `DNS:${name}`, trusted: true })
        }
      },
    )

    await using load = await startLoad({ url: 'https://one.test/', port: w.ports.https, maxSeconds: 200 })
    const first = await handshake(w, 'one.test', root)

    await t.test('the others are served without one, and the deploy says which record to set', async () => {
      assert.match(
        deployed.stderr,
        /! +https:\/\/wrong\.test gets no certificate yet: .*A record of wrong\.test is 192\.0\.2\.55/,
      )
      assert.match(deployed.stderr, /Set the record wrong\.test\. A \d+\.\d+\.\d+\.\d+/)
      assert.match(deployed.stderr, /https:\/\/missing\.test gets no certificate yet: missing\.test has no DNS record/)
      assert.equal((await w.request('https://wrong.test/')).status, 200)
      const lines = JSON.parse((await w.ok(['server', 'certs', '--json'])).stdout) as { host: string; state: string }[]
      assert.deepEqual(
        lines.map(({ host, state }) => `${host} ${state}`),
        ['one.test trusted', 'two.test trusted', 'wrong.test blocked', 'missing.test blocked'],
      )
    })

    await t.test('browsers are told to come by https only where the certificate is trusted', async () => {
      const one = await w.request('https://one.test/', { ca: root })
      assert.equal(one.headers['strict-transport-security'], 'max-age=31536000')
      assert.equal((await w.request('https://wrong.test/')).headers['strict-transport-security'], undefined)
    })

    await t.test('http is redirected, HTTP/2 is spoken, HTTP/3 is offered', async () => {
      const plain = await w.request('http://one.test/a?b=c')
      assert.deepEqual([plain.status, plain.headers.location], [301, `https://one.test:${w.ports.https}/a?b=c`])
      assert.equal(await statusByHttp2(w, 'one.test', root), 200)
      assert.match(
        (await w.request('https://one.test/')).headers['alt-svc'] ?? '',
        new RegExp(`h3=":${w.ports.https}"`),
      )
    })

    await t.test('a name whose DNS is set right gets its certificate by the next reconcile', async () => {
      await ca.point('wrong.test', '127.0.0.1')
      const { stderr } = await w.ok(['server', 'reconcile'])
      assert.match(stderr, /✓ +certificate for wrong\.test/)
      const reply = await w.request('https://wrong.test/', { ca: root })
      assert.deepEqual([reply.status, reply.headers['strict-transport-security']], [200, 'max-age=31536000'])
    })

    await t.test('a redeploy asks for nothing that is there', async () => {
      const { stderr } = await w.deploy(directory)
      assert.doesNotMatch(stderr, /certificate for/)
      assert.match(stderr, /https:\/\/missing\.test gets no certificate yet/)
    })

    await t.test('certificates are renewed under load: 0 failed requests, a new serial number', async () => {
      const renewed = await until(
        async () => {
          const served = await handshake(w, 'one.test', root)
          return served.serial !== first.serial && served
        },
        { what: 'another serial number', timeoutMs: 90_000, everyMs: 500 },
      )
      await load.more(200)
      const { failed, failures, requests } = await load.stop()
      assert.deepEqual({ failed, failures }, { failed: 0, failures: [] })
      assert.ok(requests > 1000, `${requests} requests`)
      assert.equal(renewed.trusted, true)
    })
  })

  test('https by TLS-ALPN-01, the authority down at first: the deploy succeeds, the certificate comes later', async (t) => {
    const { w, ca } = await secured(t, { settings: { challenge: '"tls"' } })
    await w.set('router', 'challenge_port', String(w.ports.https))
    await ca.point('late.test', '127.0.0.1')
    await ca.stop()
    const { stderr } = await w.deploy(await w.service('late', { directives: ['url=https://late.test'] }))
    assert.match(
      stderr,
      /! +https:\/\/late\.test got no certificate: .*connection refused.* It is asked again by itself\./,
    )
    assert.equal((await w.request('https://late.test/')).headers['strict-transport-security'], undefined)
    await ca.start()
    const later = await w.ok(['server', 'reconcile'])
    assert.match(later.stderr, /✓ +certificate for late\.test/)
    const reply = await w.request('https://late.test/', { ca: await ca.root() })
    assert.deepEqual([reply.status, reply.headers['strict-transport-security']], [200, 'max-age=31536000'])

    await t.test('the daemon takes the certificate of a name, and its own, once their DNS is right', async () => {
      await w.set('server', 'domain', '"paas.test"')
      await w.set('server', 'daemon_port', String(await freePort()))
      await w.set('router', 'certificate_check', '"500ms"')
      await w.init()
      await w.deploy(await w.service('site', { directives: ['url=https://site.test'] }))
      const root = await ca.root()
      const daemon = w.spawnCli(['server', 'daemon'])
      await daemon.seen(/https:\/\/site\.test gets no certificate yet: site\.test has no DNS record/)
      await ca.point('site.test', '127.0.0.1')
      await ca.point('paas.test', '127.0.0.1')
      for (const name of ['site.test', 'paas.test'])
        await until(async () => (await handshake(w, name, root)).trusted, { what: name, timeoutMs: 40_000 })
      assert.equal((await w.request('https://paas.test/daemon/', { ca: root })).headers['x-mypaas-server'], undefined)

      await t.test('and takes pushes by it, from clients that trust the authority', async () => {
        await w.ok(['server', 'key', 'add', await userKeyOf(w.home)])
        await daemon.seen(/listens on \S+ for the router/)
        const file = join(w.home, 'root.pem')
        await writeFile(file, root)
        const server = `https://paas.test:${w.ports.https}`
        const env = { NODE_OPTIONS: `--import=${names}`, NAMES: 'paas.test=127.0.0.1' }
        const directory = await w.service('site', { directives: ['url=https://site.test'] })
        const stranger = await w.cli(['push', server, directory], { env })
        assert.equal(stranger.code, 1)
        assert.match(stranger.stderr, /its certificate is not good/)
        const pushed = await w.ok(['push', server, directory], { env: { ...env, NODE_EXTRA_CA_CERTS: file } })
        assert.match(pushed.stdout, new RegExp(`https://site.test:${w.ports.https}/`))
        assert.equal((await w.request('https://site.test/', { ca: root })).headers['x-release'], 'r2')
        await w.ok(['remote', 'add', 'prod', server, '--ca', file])
        const status = JSON.parse((await w.ok(['status', 'prod', '--json'], { env })).stdout) as { service: string }[]
        assert.deepEqual(
          status.map(({ service }) => service),
          ['late', 'site'],
        )
      })
      daemon.kill('SIGTERM')
      assert.equal((await daemon.result).code, 0)
    })
  })
})

function statusByHttp2(w: World, name: string, root: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const session = http2.connect(`https://${name}:${w.ports.https}`, {
      ca: root,
      createConnection: (url, options) =>
        tls.connect({ ...options, host: '127.0.0.1', port: Number(url.port), servername: name, ALPNProtocols: ['h2'] }),
    })
    session.once('error', reject)
    const request = session.request({ ':path': '/' })
    request.once('error', reject)
    request.once('response', (headers) => {
      resolve(Number(headers[':status']))
      session.close()
    })
    request.resume()
  })
}
