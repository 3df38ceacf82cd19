import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type AuthConfig, DockerError, findEngine } from '../../src/docker/index.ts'
import { fakeEngine } from './fake-engine.ts'

const ann = Buffer.from('ann:pa:ss?word>~').toString('base64')

test('a login in config.json is sent with pull, push and what else needs it', async (t) => {
  const { docker, header } = await setUp(t, { auths: { 'reg.example:5000': { auth: ann } } })
  const expected = { username: 'ann', password: 'pa:ss?word>~', serveraddress: 'reg.example:5000' }
  await docker.images.pull('reg.example:5000/a/b:1').next()
  assert.deepEqual(header(), expected)
  await docker.images.push('reg.example:5000/a/b:1').next()
  assert.deepEqual(header(), expected)
  await docker.distribution.inspect('reg.example:5000/a/b')
  assert.deepEqual(header(), expected)
  await docker.services.create({ TaskTemplate: { ContainerSpec: { Image: 'reg.example:5000/a/b' } } })
  assert.deepEqual(header(), expected)
  await docker.plugins.privileges('reg.example:5000/a/p')
  assert.deepEqual(header(), expected)
})

test('the header is url-safe base64 with padding, which the engine insists on', async (t) => {
  const { docker, requests } = await setUp(t, {})
  for (const password of ['>>>???~~~', '>>>???~~~a', '>>>???~~~ab']) {
    await docker.images.pull('reg.example/a', { registryAuth: { password } }).next()
    const header = String(requests.at(-1)?.headers['x-registry-auth'])
    assert.match(header, /^[\w-]+={0,2}$/)
    assert.equal(header.length % 4, 0)
  }
})

test('an image of another registry gets no credentials; a push then says so with empty ones', async (t) => {
  const { docker, header } = await setUp(t, { auths: { 'reg.example:5000': { auth: ann } } })
  for (const image of ['reg.example/a', 'a', 'a/b', 'other.example:5000/a', 'localhost/a']) {
    await docker.images.pull(image).next()
    assert.equal(header(), undefined, image)
  }
  await docker.images.push('a/b').next()
  assert.deepEqual(header(), {})
})

test('a login to Docker Hub goes to no registry that only looks like a part of it', async (t) => {
  const { docker, header } = await setUp(t, { auths: { 'https://index.docker.io/v1/': { auth: ann } } })
  for (const image of ['MYREG/a', 'Localhost/a']) {
    assert.equal(await docker.images.hasLogin(image), false, image)
    await docker.images.pull(image).next()
    assert.equal(header(), undefined, image)
  }
  assert.equal(await docker.images.hasLogin('a/b'), true)
})

test('all names of Docker Hub, and keys with scheme and path, are understood', async (t) => {
  const hub = { username: 'ann', password: 'pa:ss?word>~', serveraddress: 'https://index.docker.io/v1/' }
  for (const key of ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io']) {
    const { docker, header } = await setUp(t, { auths: { [key]: { auth: ann } } })
    for (const image of ['web', 'a/web', 'docker.io/a/web', 'index.docker.io/a/web']) {
      await docker.images.pull(image).next()
      assert.deepEqual(header(), hub, `${key} ${image}`)
    }
  }
  const { docker, header } = await setUp(t, { auths: { 'https://reg.example/v2/': { auth: ann } } })
  await docker.images.pull('reg.example/a').next()
  assert.equal(header()?.username, 'ann')
})

test('identity tokens and registry tokens are passed on in the place of passwords', async (t) => {
  const entry = { auth: Buffer.from('ann:').toString('base64'), identitytoken: 'tok' }
  const { docker, header } = await setUp(t, { auths: { 'a.example': entry, 'b.example': { registrytoken: 'bearer' } } })
  await docker.images.pull('a.example/i').next()
  assert.deepEqual(header(), { serveraddress: 'a.example', username: 'ann', identitytoken: 'tok' })
  await docker.images.pull('b.example/i').next()
  assert.deepEqual(header(), { serveraddress: 'b.example', registrytoken: 'bearer' })
})

test('credentials that are given count before those of the file', async (t) => {
  const { docker, header } = await setUp(t, { auths: { 'reg.example': { auth: ann } } })
  await docker.images.pull('reg.example/a', { registryAuth: { username: 'bob', password: 'x' } }).next()
  assert.deepEqual(header(), { username: 'bob', password: 'x' })
})

test('the credential store is asked for the registry, by its helper’s standard input', async (t) => {
  const { docker, header, asked } = await setUp(
    t,
    { credsStore: 'fake', auths: { 'reg.example': {} } },
    { fake: `echo '{"ServerURL":"x","Username":"ann","Secret":"s3"}'` },
  )
  await docker.images.pull('reg.example/a').next()
  assert.deepEqual(header(), { username: 'ann', password: 's3', serveraddress: 'reg.example' })
  await docker.images.pull('web').next()
  assert.deepEqual(header()?.serveraddress, 'https://index.docker.io/v1/')
  assert.deepEqual(await asked('fake'), ['get reg.example', 'get https://index.docker.io/v1/'])
})

test('a helper for one registry is asked before the store', async (t) => {
  const { docker, header, asked } = await setUp(
    t,
    { credsStore: 'store', credHelpers: { 'special.example': 'special' } },
    {
      store: `echo '{"Username":"all","Secret":"1"}'`,
      special: `echo '{"Username":"<token>","Secret":"identity"}'`,
    },
  )
  await docker.images.pull('special.example/a').next()
  assert.deepEqual(header(), { identitytoken: 'identity', serveraddress: 'special.example' })
  await docker.images.pull('other.example/a').next()
  assert.equal(header()?.username, 'all')
  assert.deepEqual(await asked('special'), ['get special.example'])
})

test('a helper that knows nothing of a registry is no error, and a login in the file still counts', async (t) => {
  const notFound = 'echo "credentials not found in native keychain"; exit 1'
  const { docker, header } = await setUp(
    t,
    { credsStore: 'fake', auths: { 'b.example': { auth: ann } } },
    { fake: notFound },
  )
  await docker.images.pull('a.example/i').next()
  assert.equal(header(), undefined)
  await docker.images.pull('b.example/i').next()
  assert.equal(header()?.username, 'ann')
})

test('a helper that fails, hangs, prints rubbish or is missing is an error that names it', async (t) => {
  const { docker } = await setUp(
    t,
    {
      credHelpers: {
        'a.example': 'broken',
        'b.example': 'rubbish',
        'c.example': 'missing',
        'd.example': '../evil',
        'e.example': 'hangs',
      },
    },
    { broken: 'echo "the keychain is locked"; exit 1', rubbish: 'echo nonsense', hangs: 'exec sleep 30' },
  )
  const failure = (image: string, options = {}) =>
    docker.images
      .pull(image, options)
      .next()
      .then(
        () => assert.fail('no error'),
        (error: DockerError) => [error.message, error.hint],
      )
  const hint = 'Try docker login, or look at credsStore and credHelpers in ~/.docker/config.json.'
  assert.deepEqual(await failure('a.example/i'), [
    'The credential helper docker-credential-broken failed: the keychain is locked',
    hint,
  ])
  assert.deepEqual(await failure('b.example/i'), [
    'docker-credential-rubbish is not JSON.',
    'Mend it, or move it away.',
  ])
  assert.deepEqual(await failure('c.example/i'), [
    'The credential helper docker-credential-missing failed: there is no such program.',
    hint,
  ])
  assert.deepEqual(await failure('d.example/i'), ['"../evil" is no name of a credential helper.', undefined])
  const reason = new DockerError('enough')
  assert.deepEqual(await failure('e.example/i', { signal: AbortSignal.any([AbortSignal.abort(reason)]) }), [
    'enough',
    undefined,
  ])
})

test('a build gets the credentials of all registries, by their names', async (t) => {
  const { docker, requests } = await setUp(
    t,
    {
      auths: { 'a.example': { auth: ann }, 'https://index.docker.io/v1/': { auth: ann }, 'stored.example': {} },
      credHelpers: { 'b.example': 'one' },
    },
    { one: `echo '{"Username":"bob","Secret":"s"}'` },
  )
  async function* context(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('tar')
  }
  await docker.images.build(context()).next()
  const header = String(requests.at(-1)?.headers['x-registry-config'])
  assert.deepEqual(JSON.parse(Buffer.from(header, 'base64url').toString()), {
    'a.example': { username: 'ann', password: 'pa:ss?word>~', serveraddress: 'a.example' },
    'https://index.docker.io/v1/': {
      username: 'ann',
      password: 'pa:ss?word>~',
      serveraddress: 'https://index.docker.io/v1/',
    },
    'b.example': { username: 'bob', password: 's', serveraddress: 'b.example' },
  })
})

test('a build gets what the credential store lists', async (t) => {
  const { docker, requests } = await setUp(
    t,
    { credsStore: 'fake' },
    {
      fake: `if [ "$1" = list ]; then echo '{"https://c.example":"cleo"}'; else echo '{"Username":"cleo","Secret":"s"}'; fi`,
    },
  )
  async function* context(): AsyncGenerator<Uint8Array> {}
  await docker.images.build(context()).next()
  const header = String(requests.at(-1)?.headers['x-registry-config'])
  assert.deepEqual(JSON.parse(Buffer.from(header, 'base64url').toString()), {
    'c.example': { username: 'cleo', password: 's', serveraddress: 'c.example' },
  })
})

test('a build is not kept back by a helper that fails', async (t) => {
  const { docker, requests } = await setUp(
    t,
    { credsStore: 'broken', credHelpers: { 'b.example': 'missing', 'a.example': 'one' } },
    { broken: 'echo locked; exit 1', one: `echo '{"Username":"bob","Secret":"s"}'` },
  )
  async function* context(): AsyncGenerator<Uint8Array> {}
  await docker.images.build(context()).next()
  const header = String(requests.at(-1)?.headers['x-registry-config'])
  const sent = JSON.parse(Buffer.from(header, 'base64url').toString())
  assert.deepEqual(sent, { 'a.example': { username: 'bob', password: 's', serveraddress: 'a.example' } })
})

test('a config.json that is not JSON is an error with its path', async (t) => {
  const { docker, home } = await setUp(t, {})
  await writeFile(join(home, '.docker/config.json'), '{ oops')
  await assert.rejects(docker.images.pull('web').next(), {
    code: 'usage',
    message: `${join(home, '.docker/config.json')} is not JSON.`,
  })
})

test('an empty config.json is none, and a mark at its beginning is no matter', async (t) => {
  const { docker, home, header } = await setUp(t, {})
  const file = join(home, '.docker/config.json')
  const auths = { 'a.example': { auth: Buffer.from('bob:s').toString('base64') } }
  for (const [text, sent] of [
    ['', undefined],
    [' \n', undefined],
    [`\uFEFF${JSON.stringify({ auths })}`, { serveraddress: 'a.example', username: 'bob', password: 's' }],
  ] as const) {
    await writeFile(file, text)
    await docker.images.pull('a.example/web').next()
    assert.deepEqual(header(), sent)
  }
})

test('a config.json that can not be read is named by who needs it, and keeps nobody else from anything', async (t) => {
  const { docker, home } = await setUp(t, {})
  const file = join(home, '.docker/config.json')
  async function* context(): AsyncGenerator<Uint8Array> {}
  const damages: Readonly<Record<string, () => Promise<unknown>>> = {
    'is no JSON object': () => writeFile(file, '7'),
    'is not JSON': () => writeFile(file, Buffer.from([0xff, 0x00, 0x7b])),
    "can't be read (EISDIR)": async () => {
      await rm(file)
      await mkdir(file)
    },
  }
  for (const [message, damage] of Object.entries(damages)) {
    await damage()
    await assert.rejects(docker.images.pull('web').next(), { code: 'usage', message: `${file} ${message}.` })
    await docker.images.build(context()).next()
    const endpoint = await findEngine({ HOME: home }, { systemSocket: '/nowhere' }).catch(String)
    assert.doesNotMatch(String(endpoint), /config\.json/)
  }
})

/** A client whose home has this config.json, and these credential helpers on its PATH (which note what they are asked). */
async function setUp(t: TestContext, config: object, helpers: Record<string, string> = {}) {
  const home = await mkdtemp(join(tmpdir(), 'credentials-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  await mkdir(join(home, '.docker'))
  await mkdir(join(home, 'bin'))
  await writeFile(join(home, '.docker/config.json'), JSON.stringify(config))
  for (const [name, script] of Object.entries(helpers)) {
    const note = `input=$(cat); echo "$1 $input" >> ${home}/asked-${name}`
    await writeFile(join(home, `bin/docker-credential-${name}`), `#!/bin/sh\n${note}\n${script}\n`, { mode: 0o755 })
  }
  const env = { HOME: home, PATH: `${join(home, 'bin')}${delimiter}${process.env['PATH']}` }
  const { docker, requests } = await fakeEngine(
    t,
    ({ path }) =>
      path.includes('/build') ? { body: '{"aux":{"ID":"sha256:1"}}\n' } : { json: path.includes('plugins') ? [] : {} },
    { docker: { env } },
  )
  return {
    home,
    docker,
    requests,
    header: (): AuthConfig | undefined => {
      const text = requests.at(-1)?.headers['x-registry-auth']
      return typeof text === 'string' ? JSON.parse(Buffer.from(text, 'base64url').toString()) : undefined
    },
    asked: async (name: string) => (await readFile(join(home, `asked-${name}`), 'utf8')).trim().split('\n'),
  }
}
