import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { Authority } from '../support/pebble.ts'
import { gateway, handshake, secured } from '../support/secured.ts'
import { until } from '../support/until.ts'
import type { World } from '../support/world.ts'

test('wildcards get their certificate by DNS-01; certificates of a person are served as they are', async (t) => {
  const { w, ca } = await secured(t, {
    settings: { challenge: '"dns"', dns_provider: '"httpreq"', dns_check: 'false' },
  })
  await w.set(['router', 'dns_env'], 'HTTPREQ_ENDPOINT', JSON.stringify(await dnsProvider(t, w, ca)))
  const own = await ownCertificate(w, 'own.test')
  await w.init()
  const directives = ['url=https://*.wild.test', 'url=https://own.test']
  const { stderr } = await w.deploy(await w.service('web', { directives }))
  const root = await ca.root()

  await t.test('the wildcard', async () => {
    assert.match(stderr, /✓ +certificate for \*\.wild\.test/)
    const served = await handshake(w, 'anything.wild.test', root)
    assert.deepEqual({ names: served.names, trusted: served.trusted }, { names: 'DNS:*.wild.test', trusted: true })
    const reply = await w.request('https://anything.wild.test/', { ca: root })
    assert.deepEqual([reply.status, reply.headers['strict-transport-security']], [200, 'max-age=31536000'])
  })

  await t.test('the own one, of which the authority is never asked', async () => {
    assert.doesNotMatch(stderr, /own\.test (gets|got|has) no certificate|certificate for own\.test/)
    assert.equal((await handshake(w, 'own.test', own.certificate)).trusted, true)
    assert.equal((await w.request('https://own.test/')).headers['strict-transport-security'], undefined)
    const lines = JSON.parse((await w.ok(['server', 'certs', '--json'])).stdout) as Record<string, string>[]
    assert.deepEqual(
      lines.map(({ host, state, source }) => `${host} ${state} ${source}`),
      ['*.wild.test trusted authority', 'own.test untrusted own'],
    )
  })

  await t.test('a new own one is served after an init, without a new router', async () => {
    const before = await handshake(w, 'own.test', own.certificate)
    const renewed = await own.renew()
    const { stdout } = await w.init()
    assert.match(stdout, /router: unchanged/)
    await until(
      async () => {
        const after = await handshake(w, 'own.test', renewed)
        return after.trusted && after.serial !== before.serial
      },
      { what: 'the new certificate' },
    )
  })

  await t.test('one that is not there is named', async () => {
    const file = join(w.home, '_mypaas', 'config.toml')
    await writeFile(file, (await readFile(file, 'utf8')).replace('own.pem', 'gone.pem'))
    const { code, stderr } = await w.cli(['server', 'init', '--yes'])
    assert.equal(code, 2)
    assert.match(stderr, /gone\.pem can't be read \(ENOENT\), which \[router\] of config\.toml names/)
  })
})

/** A DNS provider that Traefik talks to by HTTP, and that sets the records of the test's DNS. @returns its URL */
async function dnsProvider(t: TestContext, w: World, ca: Authority): Promise<string> {
  const address = await gateway(w)
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { fqdn, value } = JSON.parse(body) as { fqdn: string; value: string }
    await (request.url === '/present' ? ca.setTxt(fqdn, value) : ca.clearTxt(fqdn))
    response.end('{}')
  }).listen(0, address)
  t.after(() => server.close())
  await once(server, 'listening')
  return `http://${address}:${(server.address() as { port: number }).port}`
}

/** Makes a certificate for a name and has the server's config name it. */
async function ownCertificate(w: World, name: string): Promise<{ certificate: string; renew: () => Promise<string> }> {
  const [cert, key] = [join(w.home, 'own.pem'), join(w.home, 'own.key')]
  const make = async (): Promise<string> => {
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`]
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30']
    await promisify(execFile)('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert])
    return readFile(cert, 'utf8')
  }
  const certificate = await make()
  const file = join(w.home, '_mypaas', 'config.toml')
  const table = `\n[[router.certificates]]\ncert = ${JSON.stringify(cert)}\nkey = ${JSON.stringify(key)}\n`
  await writeFile(file, (await readFile(file, 'utf8')) + table)
  return { certificate, renew: make }
}
