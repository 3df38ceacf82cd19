import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { ReleaseInfo } from '../../src/deploy/releases.ts'
import { Docker, NotFoundError } from '../../src/docker/index.ts'
import { compiledProgram } from '../support/compiled.ts'
import { busyboxImage, scratchImage } from '../support/images.ts'
import { gateway } from '../support/secured.ts'
import { until } from '../support/until.ts'
import { freePort, type World, world } from '../support/world.ts'

// Of `secret`.
const htpasswd = 'anna:$2b$05$h60MepG9VjMYUrDm4NNzXecXLc9ckMBtjTKagjniqGOIw1DlVXflu'

test('images of a private registry', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await w.init()
  const registry = await startRegistry(t, w)
  const image = `${registry}/${w.instance}-base:1`
  const push = async (from: string, to: string): Promise<void> => {
    const colon = to.lastIndexOf(':')
    await w.docker.images.tag(from, { repo: to.slice(0, colon), tag: to.slice(colon + 1) })
    const registryAuth = { username: 'anna', password: 'secret', serveraddress: registry }
    for await (const _ of w.docker.images.push(to, { registryAuth })) {
      // That it ends is what counts.
    }
    await w.docker.images.remove(to)
  }
  t.after(async () => {
    await using docker = new Docker()
    // Also what lost its tag to a newer one and is known by its digest only.
    for (const { RepoTags, RepoDigests } of await docker.images.list()) {
      const names = [...(RepoTags ?? []), ...(RepoDigests ?? [])].filter((name) => name.startsWith(`${registry}/`))
      for (const name of names)
        await docker.images.remove(name).catch((error: unknown) => assert.ok(error instanceof NotFoundError))
    }
  })
  const scratch = await scratchImage(w.docker)
  await push(scratch, image)
  const directory = await w.service('pre', {
    dockerfile: `# mypaas.service=pre\n# mypaas.url=http://pre.test\nFROM ${image}\n`,
  })

  await t.test('without a login a deploy says that one is needed, and changes nothing', async () => {
    const { code, stderr } = await w.cli(['server', 'deploy', directory])
    assert.equal(code, 1)
    assert.match(stderr, new RegExp(`The registry ${registry} does not give us \\S+-base:1: it wants a user name`))
    assert.match(stderr, new RegExp(`docker login ${registry}`))
  })

  await t.test('with a wrong password it says so', async () => {
    await credentials(w, registry, 'wrong')
    const { code, stderr } = await w.cli(['server', 'deploy', directory])
    assert.equal(code, 1)
    assert.match(stderr, /those that \[registries\."[\d.]+:\d+"\] of config\.toml has, if any, are wrong/)
    assert.doesNotMatch(stderr, /wrong"|password = /)
  })

  await t.test('with the right one it deploys, and the release says what exactly it was built from', async () => {
    await credentials(w, registry, 'secret')
    await w.deploy(directory)
    assert.equal((await w.request('http://pre.test/')).status, 200)
    const { releases } = JSON.parse((await w.ok(['server', 'releases', 'pre', '--json'])).stdout) as {
      releases: readonly ReleaseInfo[]
    }
    const digest = (await w.docker.images.inspect(image)).RepoDigests?.[0]?.split('@')[1]
    assert.match(digest ?? '', /^sha256:/)
    assert.deepEqual(releases[0]?.kept?.bases, [`${image}@${digest}`])
  })

  await t.test('what docker login has left will do, too', async () => {
    await w.docker.images.remove(image, { force: true })
    await credentials(w, registry, undefined)
    const auth = Buffer.from('anna:secret').toString('base64')
    await mkdir(join(w.home, '.docker'))
    await writeFile(join(w.home, '.docker', 'config.json'), JSON.stringify({ auths: { [registry]: { auth } } }))
    await w.deploy(directory)
  })

  await t.test('latest is pulled anew, also when it is not written, and where files are taken from', async () => {
    const newest = `${registry}/${w.instance}-new`
    await push(scratch, `${newest}:latest`)
    const dockerfile = (version: number) =>
      `# mypaas.service=new\nFROM ${newest} AS files\nFROM ${scratch}\nLABEL v=${version}\nCOPY --from=${newest} /www /other\n`
    await w.deploy(await w.service('new', { dockerfile: dockerfile(1) }))
    const first = (await w.docker.images.inspect(newest)).Id
    await push(await busyboxImage(w.docker), `${newest}:latest`)
    // It was removed above to make way; what the engine has by that name is of the first push.
    await w.docker.images.tag(first, { repo: newest, tag: 'latest' })
    const { code, stderr } = await w.cli(['server', 'deploy', await w.service('new', { dockerfile: dockerfile(2) })])
    assert.notEqual((await w.docker.images.inspect(newest)).Id, first, stderr)
    assert.equal(code, 1, 'busybox has no /www')
  })
})

/** Starts a registry with TLS and passwords; it ends with the test. @returns its `host:port` */
async function startRegistry(t: TestContext, w: World): Promise<string> {
  const folder = join(w.home, 'registry')
  await mkdir(folder)
  // Not on loopback, where the engine takes any certificate and none at all.
  const address = await gateway(w)
  const port = await freePort()
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const subject = ['-subj', '/CN=registry', '-addext', `subjectAltName=IP:${address}`]
  await promisify(execFile)('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert])
  await writeFile(join(folder, 'htpasswd'), `${htpasswd}\n`)
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: join(folder, 'data') }, delete: { enabled: true } },
    http: { addr: `${address}:${port}`, tls: { certificate: cert, key } },
    auth: { htpasswd: { realm: 'tests', path: join(folder, 'htpasswd') } },
  }
  await writeFile(join(folder, 'config.yml'), JSON.stringify(config))
  const child = spawn('docker-registry', ['serve', join(folder, 'config.yml')], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  await until(
    async () => {
      const { stdout } = await promisify(execFile)('curl', [
        '-sk',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        `https://${address}:${port}/v2/`,
      ])
      return stdout === '401'
    },
    { what: 'the registry' },
  )
  const trusted = `/etc/docker/certs.d/${address}:${port}`
  await mkdir(trusted, { recursive: true })
  await cp(cert, join(trusted, 'ca.crt'))
  t.after(() => rm(trusted, { recursive: true, force: true }))
  return `${address}:${port}`
}

/** Sets (or takes out) the registry's section of the config. */
async function credentials(w: World, registry: string, password: string | undefined): Promise<void> {
  const file = join(w.home, '_mypaas', 'config.toml')
  const text = (await readFile(file, 'utf8')).replace(
    /\n\[registries\.[^\n]*\n(username|password)[^\n]*\n(username|password)[^\n]*\n/,
    '',
  )
  const section = `\n[registries.${JSON.stringify(registry)}]\nusername = "anna"\npassword = ${JSON.stringify(password)}\n`
  await writeFile(file, password === undefined ? text : text + section)
}
