import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { restart, rollback, scale } from '../../src/deploy/again.ts'
import { runInService } from '../../src/deploy/command.ts'
import type { Host } from '../../src/deploy/host.ts'
import { type JournalRelease, writeJournal } from '../../src/deploy/journal.ts'
import { startService } from '../../src/deploy/reconcile.ts'
import { NotFoundError } from '../../src/docker/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { parseConfig } from '../../src/server/config.ts'
import type { AuthorizedKey } from '../../src/server/keys.ts'
import { refuseForeign, restrictedHost } from '../../src/server/restrict.ts'
import { parseSpec } from '../../src/service/parse.ts'

const key = { services: ['blog'], comment: 'ci', fingerprint: 'f' } as unknown as AuthorizedKey
const options = { emit: () => {} }

/** A server with a service whose current release is r4; what a release would be made of is never asked for. */
async function server(t: TestContext, directives: Readonly<Record<number, string>>): Promise<[Host, string]> {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-restrict-'))
  t.after(() => rm(directory, { recursive: true }))
  const release = (number: number, service = 'blog'): JournalRelease => ({
    release: number,
    image: 'i',
    spec: parseSpec(`# mypaas.service = ${service}\n# mypaas.scale = 1\n${directives[number] ?? ''}\nFROM scratch\n`),
    deployedAt: '',
    secretsFrom: 'server',
  })
  const previous = Object.keys(directives)
    .map(Number)
    .filter((number) => number < 4)
    .map((number) => release(number))
  const common = { version: 1, server: 's', lastRelease: 4 } as const
  await writeJournal(directory, { ...common, service: 'blog', current: release(4), previous })
  await writeJournal(directory, { ...common, service: 'shop', current: release(5, 'shop') })
  const images = [...previous, release(4)].map(({ release: number }) => `blog:r${number}`)
  const docker = {
    containers: { list: async () => [] },
    images: {
      list: async () => images.map((tag) => ({ Id: tag, RepoTags: [tag], Size: 1, Created: 1, Labels: {} })),
      inspect: async () => ({ Id: 'i', Config: {}, RootFS: {} }),
    },
  }
  const host = {
    server: 's',
    directory,
    home: directory,
    prefix: '',
    markKey: 'k',
    secrets: () => ({}),
    secretsFrom: 'server',
    foreignVolumes: () => [],
    homeRules: { homes: [], allowed: [] },
    volumeRoots: ['/srv'],
    trustedContainers: [],
    reserved: {
      ports: [{ port: 28480, what: "the router's http_port" }],
      enginePorts: { from: 32768, to: 60999 },
      domain: 'paas.test',
    },
    docker,
    router: { gate: 'g' },
  } as unknown as Host
  return [host, directory]
}

test('a limited key goes back to no release with more than it could deploy, whoever deployed that', async (t) => {
  const [host, directory] = await server(t, {
    1: '# mypaas.volume = /srv/media:/m',
    2: '# mypaas.volume = ~/shared:/s\n# mypaas.publish = 127.0.0.1:5432:80',
    3: '# mypaas.url = http://shop.test/login\n# mypaas.grace = 3m',
    4: '',
    5: '# mypaas.url = http://shop.test',
  })
  const limited = restrictedHost({ host, config: parseConfig('', 'config.toml') }, key)
  const before = await readFile(join(directory, 'services', 'blog.json'), 'utf8')
  for (const [release, words] of [
    [1, /the path \/srv\/media: it is outside of ~\/blog/],
    [2, /the volume ~\/shared: it is not below ~\/blog\..*\n +the host port of 127\.0\.0\.1:5432:80/],
    [3, /the URL http:\/\/shop\.test\/login: shop is at home on that host/],
    [3, /a grace of 3m: the config of the server allows 2m \(max_grace\)\. Write # mypaas\.grace = 2m/],
  ] as const) {
    await assert.rejects(rollback(limited, 'blog', release, options), (error) => {
      assert.ok(error instanceof MypaasError)
      assert.equal(error.code, 'unauthorised', error.message)
      assert.match(error.message, words)
      return true
    })
  }
  assert.equal(await readFile(join(directory, 'services', 'blog.json'), 'utf8'), before)
})

test('whatever a limited key has run is asked for first; what its service has it keeps', async (t) => {
  const [host] = await server(t, { 4: '# mypaas.volume = /srv/media:/m\n# mypaas.grace = 3m' })
  const asked: string[] = []
  const limited: Host = {
    ...host,
    async permit({ service }) {
      asked.push(service)
      throw new MypaasError('no', { code: 'unauthorised' })
    },
  }
  for (const command of [
    () => restart(limited, 'blog', options),
    () => scale(limited, 'blog', 2, options),
    () => startService(limited, 'blog', options),
    () => runInService(limited, 'blog', ['true'], { tty: false }),
  ])
    await assert.rejects(command(), /^MypaasError: no$/)
  assert.equal(asked.length, 4)

  const real = restrictedHost({ host, config: parseConfig('', 'config.toml') }, key)
  await real.permit?.(
    parseSpec('# mypaas.service = blog\n# mypaas.volume = /srv/media:/m\n# mypaas.grace = 3m\nFROM scratch\n'),
  )
})

test('of the options of a volume a limited key has those that change nothing for others, and what its service has', async (t) => {
  const had = ['~/blog/had:/h:rslave', '/srv/lent:/l:ro,cached'].map((volume) => `# mypaas.volume = ${volume}`)
  const [host] = await server(t, { 4: had.join('\n') })
  const volumes = { inspect: async () => Promise.reject(absent) }
  const docker = { ...host.docker, volumes } as unknown as Host['docker']
  const limited = restrictedHost({ host: { ...host, docker }, config: parseConfig('', 'config.toml') }, key)
  const permit = async (volume: string): Promise<void> =>
    limited.permit?.(parseSpec(`# mypaas.service = blog\n# mypaas.volume = ${volume}\nFROM scratch\n`))
  for (const volume of ['~/blog/x:/x:ro', '~/blog/x:/x:rw,z', 'blog-data:/x:nocopy,z', '~/blog/had:/h:rslave'])
    await permit(volume)
  for (const option of ['Z', 'cached', 'rslave', 'private', 'shared'])
    await assert.rejects(permit(`~/blog/x:/x:${option}`), (error) => {
      assert.ok(error instanceof MypaasError && error.code === 'unauthorised')
      assert.match(
        error.message,
        new RegExp(`the option ${option} of the volume blog/x. Its own are ro, rw, nocopy and z`),
      )
      return true
    })
  await permit('/srv/lent:/l:ro,cached')
  // One that is had brings no other with it; and what was lent is not marked anew.
  for (const [options, option] of [
    ['cached,Z', 'Z'],
    ['cached,rslave', 'rslave'],
    ['z', 'z'],
  ])
    await assert.rejects(
      permit(`/srv/lent:/l:ro,${options}`),
      (error) => error instanceof MypaasError && error.message.includes(`the option ${option} of the volume /srv/lent`),
    )
})

const absent = new NotFoundError('there is none', { status: 404 })

/** What a limited key is told of a Dockerfile: the error's code, its message and its hint. */
async function told(
  t: TestContext,
  ...lines: string[]
): Promise<readonly [code: string, message: string, hint: string]> {
  const [host] = await server(t, { 4: '', 5: '# mypaas.url = http://shop.test\n# mypaas.volume = ~/shop-data:/d' })
  const docker = {
    ...host.docker,
    volumes: { list: async () => ({ Volumes: [] }), inspect: async () => Promise.reject(absent) },
    system: { info: async () => ({ DockerRootDir: '/var/lib/docker' }) },
    images: { ...host.docker.images, inspect: async () => Promise.reject(absent) },
  }
  const dockerfile = ['# mypaas.service = blog', ...lines].join('\n')
  try {
    await refuseForeign(
      { ...host, home: '/nowhere/of/blog', docker } as unknown as Host,
      parseConfig('', 'config.toml'),
      key,
      {
        spec: parseSpec(dockerfile),
        dockerfile,
      },
    )
  } catch (error) {
    if (error instanceof MypaasError) return [error.code, error.message, error.hint ?? '']
    throw error
  }
  return ['', '', '']
}

const deployable = /Somebody with an unlimited key can do this/

test('what nobody may have is told first, as that, with its line', async (t) => {
  for (const [line, words] of [
    ['# mypaas.url = https://paas.test', /^Dockerfile:2: mypaas\.url: .*the host of the server itself/],
    ['# mypaas.publish = 28480:80', /^Dockerfile:2: mypaas\.publish: .*the router's http_port/],
    ['# mypaas.volume = /etc:/e', /^Dockerfile:2: mypaas\.volume: \/etc is outside .*volume_roots/],
    ['# mypaas.volume = /proc/1:/e', /^Dockerfile:2: mypaas\.volume: .*which no service may mount/],
    ['# mypaas.env = TOKEN', /^Dockerfile:2: mypaas\.env: .*TOKEN.*mypaas env set SERVER TOKEN --service blog$/],
  ] as const) {
    const [code, message, hint] = await told(t, line, '# mypaas.publish = 9000:80', 'FROM scratch')
    assert.equal(code, 'directives', message)
    assert.match(message, words)
    assert.doesNotMatch(message + hint, /publish="|unlimited|The key may not use/)
  }
})

test('what is not the key is told with its line, and what would help', async (t) => {
  for (const [line, words, isDeployable] of [
    ['# mypaas.publish = 9000-9010:80-90', /line 3: the host port of 9000:80.* publish="9000-9010"$/m, false],
    ['# mypaas.volume = ~/backup:/x', /line 3: .*not below ~\/blog\. Its own are such as ~\/blog\/data/, true],
    ['# mypaas.volume = /srv/x:/x', /line 3: .*outside of ~\/blog/, true],
    ['# mypaas.volume = ~/shop-data:/x', /line 3: .*shop mounts it/, true],
    ['# mypaas.volume = ~/shop-data/x:/x', /line 3: .*shop mounts it/, false],
    ['# mypaas.volume = pgdata:/x', /line 3: .*not called blog-…\. Its own are such as blog-data/, true],
    ['# mypaas.url = http://shop.test', /line 3: the URL http:\/\/shop.test.*host of its own/, false],
    ['# mypaas.url = http://shop.test/login', /line 3: the URL .*shop is at home on that host/, true],
    [
      '# mypaas.start_timeout = 1h',
      /line 3: a start_timeout of 1h: the config of the server allows 10m \(max_start_timeout\)/,
      true,
    ],
    ['FROM shop:r1', /line 3: the image shop:r1: it is one of shop/, true],
  ] as const) {
    const [code, message, hint] = await told(t, '# mypaas.env = A=1', line, 'FROM scratch')
    assert.equal(code, 'unauthorised', message)
    assert.match(message, words)
    assert.equal(deployable.test(hint), isDeployable, `${line}: ${hint}`)
  }
})

test('a line that is not plain is one complaint', async (t) => {
  const [, message] = await told(t, 'FROM scratch', 'RUN --mount=type=bind,FROM=shop:r1,target=/x true')
  assert.equal(message.match(/line 3: /g)?.length, 1, message)
})

test('an image that is not there has nothing to do with keys', async (t) => {
  const [code, message, hint] = await told(t, 'FROM 0123456789ab')
  assert.equal(code, 'failed')
  assert.equal(message, 'Dockerfile:2: The image 0123456789ab is not here.')
  assert.doesNotMatch(hint, /key/)
})

test('a Dockerfile that names more than 100 images or addresses is refused before any of them is asked for', async (t) => {
  const from = Array.from({ length: 20_000 }, (_, n) => `FROM victim:r${n}`)
  const [code, message] = await told(t, ...from)
  assert.equal(code, 'unauthorised')
  assert.match(message, /^The key may not use:\n {2}line 102: with this line .* more than 100 images, .*looked at$/)
  const add = Array.from({ length: 200 }, (_, n) => `ADD https://h${n}.invalid/a /a`)
  assert.match((await told(t, 'FROM scratch', ...add))[1], /line 103: .* more than 100 addresses/)
  const unclear = Array.from({ length: 500 }, () => 'COPY --from=9 a b')
  assert.match((await told(t, 'FROM scratch', ...unclear))[1], /\n {2}and 400 more$/)
})
