import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { auditLog, startDaemon } from '../support/daemon.ts'
import { nodeImage } from '../support/images.ts'
import { installedProgram } from '../support/installed.ts'
import { authority } from '../support/pebble.ts'
import { gateway } from '../support/secured.ts'
import { freePort, world } from '../support/world.ts'

// What README.md and docs/ tell somebody to do who has a server and a laptop, with the package as npm installs it.
test('from the package to a service that answers by https, pushed from another machine', async (t) => {
  const program = await installedProgram(t)
  const w = await world(t, { program })
  const laptop = await mkdtemp(join(tmpdir(), 'mypaas-laptop-'))
  t.after(() => rm(laptop, { recursive: true, force: true }))
  const roots = join(laptop, 'roots.pem')
  const onLaptop = { cwd: laptop, env: { HOME: laptop, NODE_EXTRA_CA_CERTS: roots, MYPAAS_SERVER_KEY: '' } }
  await writeFile(roots, '')
  let [key, identity] = ['', '']

  await t.test('npm installs a command that runs', async () => {
    assert.ok((await stat(program)).mode & 0o100)
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
    assert.equal((await w.ok(['--version'])).stdout, `${version}\n`)
  })

  await t.test('on the laptop a key is made, and its public line is all that is printed', async () => {
    const made = await w.ok(['key', 'init'], onLaptop)
    assert.match(made.stderr, /^A new key: \S+\/id_ed25519$/m)
    assert.match(made.stdout, /^ssh-ed25519 \S+ \S+@\S+\n$/)
    key = made.stdout.trim()
  })

  await t.test('on the server one command makes router, config and daemon, and says what is left to do', async () => {
    const ports = Object.entries(w.ports).flatMap(([name, port]) => [`--${name}-port`, `${port}`])
    const flags = ['--local', '--instance', w.instance, ...ports, '--domain', 'localhost']
    const { stdout } = await w.ok(['server', 'init', '--yes', ...flags])
    assert.match(stdout, /^daemon: start it where services are started here, as this user: mypaas server daemon$/m)
    identity = /^identity: (SHA256:\S+) \(what a client shows at its first push/m.exec(stdout)?.[1] ?? ''
    assert.match(stdout, /^Push from this machine: mypaas push unix:\S+\/daemon\.sock DIR$/m)
    assert.match(stdout, new RegExp(`^Push by https, once .*: mypaas push localhost:${w.ports.https} DIR$`, 'm'))
  })

  // Let's Encrypt and the world's DNS are stood in for by an authority of the test's own.
  const ca = await authority(t, { address: await gateway(w), httpPort: w.ports.http, httpsPort: w.ports.https })
  for (const name of ['localhost', 'blog.test']) await ca.point(name, '127.0.0.1')
  for (const [name, value] of Object.entries(ca.settings)) await w.set('router', name, value)
  await w.set('server', 'daemon_port', String(await freePort()))
  await writeFile(roots, await ca.root())

  await t.test('given an e-mail address, its name gets a certificate right away', async () => {
    const { stderr } = await w.ok(['server', 'init', '--yes', '--email', 'ops@example.com'])
    assert.match(stderr, /✓ +certificate for localhost/)
  })

  await startDaemon(t, w, { gateway: true })
  const server = `localhost:${w.ports.https}`
  await mkdir(join(laptop, 'blog'))
  await writeFile(
    join(laptop, 'blog', 'Dockerfile'),
    `# mypaas.service = blog
# mypaas.url = https://blog.test
FROM ${await nodeImage(w.docker)}
COPY page.html .
CMD ["busybox", "httpd", "-f", "-p", "80"]
`,
  )
  await writeFile(join(laptop, 'blog', 'page.html'), 'Hello from the laptop.\n')

  await t.test('a key that the server does not know is told what to have done there', async () => {
    const first = await w.cli(['push', server, 'blog'], onLaptop)
    assert.equal(first.code, 3)
    assert.ok(
      first.stderr.includes(`Its key is ${identity}. If "mypaas server identity show" says the same`),
      first.stderr,
    )
    await w.ok(['remote', 'add', 'prod', `${server}#${identity}`], onLaptop)
    const { code, stderr } = await w.cli(['push', server, 'blog'], onLaptop)
    assert.equal(code, 3)
    assert.match(stderr, /takes none of your keys/)
    assert.ok(stderr.includes(`mypaas server key add '${key.split(' ').slice(0, 2).join(' ')}`), stderr)
    await w.ok(['server', 'key', 'add', key])
  })

  await t.test('then a push deploys, with a certificate, and the service answers', async () => {
    const { stdout, stderr } = await w.ok(['push', server, 'blog'], onLaptop)
    assert.equal(stdout, `https://blog.test:${w.ports.https}/\n`)
    assert.match(stderr, /✓ +certificate for blog\.test/)
    const reply = await w.request('https://blog.test/page.html', { ca: await ca.root() })
    assert.deepEqual([reply.status, reply.body], [200, 'Hello from the laptop.\n'])
    assert.equal((await w.request('http://blog.test/page.html')).status, 301)
    const [pushed] = (await auditLog(w)).filter(({ outcome }) => outcome === 'done')
    assert.equal(pushed?.['who'], key.split(' ')[2])
    assert.match((await w.ok(['status', 'prod'], onLaptop)).stdout, /^blog +r1 +1\/1 /m)
  })

  await t.test('nothing is wrong there, and one command takes it all away', async () => {
    assert.equal((await w.ok(['server', 'doctor'])).stdout, '✓ Nothing is wrong.\n')
    await w.ok(['server', 'down', '--yes'])
    assert.deepEqual(await w.containers(), [])
  })
})
