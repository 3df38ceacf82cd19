import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { containerConfig } from '../../src/deploy/container.ts'
import { identityLabels } from '../../src/deploy/identity.ts'
import type { ContainerInspect } from '../../src/docker/index.ts'
import { parseConfig } from '../../src/server/config.ts'
import { openServer } from '../../src/server/host.ts'
import { sampleEnvironment } from '../../src/service/environment.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { golden, secrets } from '../service/golden.ts'
import { compiledProgram } from '../support/compiled.ts'
import { nodeImage, scratchImage } from '../support/images.ts'
import { inventory } from '../support/inventory.ts'
import { spyOnEngine } from '../support/spy.ts'
import { until } from '../support/until.ts'
import { freePort, type World, world } from '../support/world.ts'

const program = await compiledProgram({ after })

test('each directive of a service takes effect', async (t) => {
  const w = await world(t, { program })
  await w.init()

  await t.test('the settings of a container are those of its Dockerfile, and it knows its own', async () => {
    await w.addSecrets({ TOKEN: 's3cr3t of the server' })
    await mkdir(join(w.home, 'conf'))
    await writeFile(join(w.home, 'conf', 'app.conf'), 'color = blue\n')
    const directory = await w.service('full', {
      directives: [
        'url=http://full.test',
        'volume=~/data/new:/data',
        'volume=~/conf:/conf:ro',
        `volume=${w.instance}-named:/named`,
        'env=GREETING=hello world',
        'env=QUOTED="a b"',
        'env=EMPTY=',
        'env=TOKEN',
        'port=8080',
        'maxcpu=0.5',
        'maxmem=64m',
      ],
      app: { VOLUME: '/data', READY_PATH: '/ready' },
      lines: [
        '#--- mypaas.env=OFF=1',
        '\t #\t mypaas.env = INDENTED=1',
        "RUN echo 'app:x:1234:1235::/:/bin/sh' >> /etc/passwd && mkdir /named && chown 1234 /named",
        'USER app',
      ],
    })
    await w.deploy(directory)
    const found = await inspect(w, 'full-r1-1')
    const name = `${w.instance}-full-r1-1`
    await using opened = await openServer(w.home)
    assert.deepEqual(
      {
        image: found.Config.Image,
        labels: ownLabels(found),
        env: (found.Config.Env ?? []).filter((variable) => !/^(PATH|VOLUME|READY_PATH)=/.test(variable)),
        binds: found.HostConfig.Binds,
        nanoCpus: found.HostConfig.NanoCpus,
        memory: found.HostConfig.Memory,
        ports: found.HostConfig.PortBindings,
        restart: found.HostConfig.RestartPolicy?.Name,
        networks: Object.keys(found.NetworkSettings.Networks).sort(),
        aliases: aliases(found, `${w.instance}-mypaas-net`),
        init: found.HostConfig.Init,
      },
      {
        image: `${w.instance}-full:r1`,
        labels: {
          'mypaas.server': await w.serverId(),
          'mypaas.service': 'full',
          'mypaas.release': '1',
          'mypaas.replica': '1',
          'mypaas.proof': identityLabels(opened.host, { service: 'full', release: 1, replica: 1 })['mypaas.proof'],
        },
        env: [
          'GREETING=hello world',
          'QUOTED=a b',
          'EMPTY=',
          'TOKEN=s3cr3t of the server',
          'INDENTED=1',
          'MYPAAS_SERVICE=full',
          'MYPAAS_SCALE=0',
          'MYPAAS_PORT=8080',
          `MYPAAS_CONTAINER=${name}`,
          'MYPAAS_RELEASE=r1',
        ],
        binds: [`${w.home}/data/new:/data`, `${w.home}/conf:/conf:ro`, `${w.instance}-named:/named`],
        nanoCpus: 500_000_000,
        memory: 64 * 1024 ** 2,
        ports: {},
        restart: 'always',
        networks: [`${w.instance}-mypaas-gate`, `${w.instance}-mypaas-net`],
        aliases: ['full'],
        init: true,
      },
    )
    const value = async (key: string) =>
      (await w.request(`http://full.test/env?key=${key}`)).json<{ value: string }>().value
    assert.deepEqual(await Promise.all(['GREETING', 'TOKEN', 'EMPTY', 'OFF', 'MYPAAS_PORT'].map(value)), [
      'hello world',
      's3cr3t of the server',
      '',
      null,
      '8080',
    ])
    assert.equal(
      await inside(
        w,
        'full-r1-1',
        'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null',
      ),
      '67108864\n',
    )
  })

  await t.test(
    'a missing ~/x is made for the user of the image, and what is in volumes survives a redeploy',
    async () => {
      const { uid, gid } = await stat(join(w.home, 'data', 'new'))
      assert.deepEqual({ uid, gid }, { uid: 1234, gid: 1235 })
      assert.equal((await stat(join(w.home, 'data'))).uid, 1234, 'the folder above was missing too')
      assert.equal((await w.request('http://full.test/write')).json()['count'], 1)
      assert.equal(
        await inside(w, 'full-r1-1', 'cat /conf/app.conf; touch /conf/x 2>&1; echo kept > /named/file'),
        'color = blue\ntouch: /conf/x: Read-only file system\n',
      )

      await w.deploy(join(w.home, 'services', 'full'))
      assert.deepEqual(await w.runningNames('full'), ['full-r2-1'])
      assert.equal((await w.request('http://full.test/write')).json()['count'], 2)
      assert.equal(await inside(w, 'full-r2-1', 'cat /named/file'), 'kept\n')
      const written = await readFile(join(w.home, 'data', 'new', 'writes'), 'utf8')
      assert.deepEqual(
        written.split('\n').map((line) => line.split(' ')[0]),
        ['r1', 'r2', ''],
      )
      assert.equal(existsSync(join(w.home, 'data', 'new', 'violations')), false)
      const volume = await w.docker.volumes.inspect(`${w.instance}-named`)
      assert.deepEqual(volume.Labels, { 'mypaas.server': await w.serverId(), 'mypaas.volume.service': 'full' })
    },
  )

  await t.test('a Dockerfile of nothing but FROM image:tag runs that image', async () => {
    await w.docker.images.tag(`${await scratchImage(w.docker)}:latest`, {
      repo: `${w.instance}-ready-made`,
      tag: '1.0',
    })
    const directory = await w.service('bare', {
      dockerfile: `# mypaas.service=bare\n# mypaas.url=http://bare.test\nFROM ${w.instance}-ready-made:1.0\n`,
    })
    const { stdout } = await w.deploy(directory)
    assert.equal(stdout, `http://bare.test:${w.ports.http}/\n`)
    assert.equal((await w.request('http://bare.test/')).body, 'scratch\n')
  })

  await t.test(
    'a base image that was made here is taken as it is, one that is missing is asked of its registry',
    async (inner) => {
      const spy = await spyOnEngine(inner)
      await w.docker.images.tag(`${await scratchImage(w.docker)}:latest`, {
        repo: `${w.instance}-ready-made`,
        tag: 'latest',
      })
      const codes: (number | null)[] = []
      for (const tag of ['latest', '2.0']) {
        const dockerfile = `# mypaas.service=bare\n# mypaas.url=http://bare.test\nFROM ${w.instance}-ready-made:${tag}\n`
        const { code } = await w.cli(['server', 'deploy', await w.service('bare', { dockerfile })], { env: spy.env })
        codes.push(code)
      }
      assert.deepEqual(codes, [0, 1])
      const pulls = spy.requests.filter((request) => / \/v[\d.]+\/images\/create\?/.test(request))
      assert.deepEqual(
        pulls.map((request) => request.includes('ready-made') && request.includes('2.0')),
        [true],
      )
    },
  )

  await t.test('an image brings its own HEALTHCHECK, and the release is ready when that says healthy', async () => {
    const directory = await w.service('checked', {
      app: { LISTEN_DELAY_MS: 1500 },
      lines: ['HEALTHCHECK --interval=500ms --retries=20 CMD wget -q -O /dev/null http://127.0.0.1/'],
    })
    const { ms } = await w.deploy(directory)
    const { State } = await inspect(w, 'checked-r1-1')
    assert.equal(State.Health?.Status, 'healthy')
    assert.ok(ms > 1500, `${ms} ms`)
  })

  await t.test('a healthcheck says when a release is ready: nobody meets the 503 of before', async () => {
    const settings = { READY_PATH: '/ready', UNREADY_MS: 1200 }
    const scaled = { directives: ['url=http://warm.test', 'scale=2', 'healthcheck=/ready 1s 500ms'], app: settings }
    const { ms } = await w.deploy(await w.service('warm', scaled))
    assert.ok(ms > 1200, `${ms} ms`)
    const answers = await Promise.all(Array.from({ length: 8 }, () => w.request('http://warm.test/')))
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    // The same without scale, where the manual says that the router checks nothing.
    await w.deploy(
      await w.service('warm', { ...scaled, directives: ['url=http://warm.test', 'healthcheck=/ready 1s 500ms'] }),
    )
    assert.equal((await w.request('http://warm.test/')).status, 200)
  })
})

test('a URL leads to the service that has it, and to no other', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const urls: Readonly<Record<string, readonly string[]>> = {
    shop: ['http://one.test', 'https://safe.test', 'https://safe.test/part/of/it'],
    api: ['http://one.test/api', 'https://*.wild.test', 'http://plain.test', 'http://safe.test/plain'],
    deep: ['http://one.test/api/deep', 'https://exact.wild.test'],
  }
  for (const [service, own] of Object.entries(urls)) {
    const directives = ['scale=1', ...own.map((url) => `url=${url}`)]
    const { stdout } = await w.deploy(await w.service(service, { directives }))
    const shown = own.map((url) => {
      const { protocol, hostname, pathname } = new URL(url)
      return `${protocol}//${hostname}:${protocol === 'https:' ? w.ports.https : w.ports.http}${pathname}`
    })
    assert.deepEqual(stdout.trimEnd().split('\n'), shown)
  }
  const answers = async (url: string) => {
    const reply = await w.request(url)
    return reply.status === 200 ? reply.json<{ service: string }>().service : reply.status
  }

  await t.test('by host and by whole segments of the path', async () => {
    const expected = {
      'http://one.test/': 'shop',
      'http://one.test/api': 'api',
      'http://one.test/api/': 'api',
      'http://one.test/api/x?y=1': 'api',
      'http://one.test/apix': 'shop',
      'http://one.test/api-x': 'shop',
      'http://one.test/API': 'shop',
      'http://one.test/x/api': 'shop',
      'http://one.test/api/deep': 'deep',
      'http://one.test/api/deeper': 'api',
      'http://one.test/api/deep/er': 'deep',
      'http://plain.test/anything': 'api',
      'http://other.test/': 404,
      'http://one.test.other.test/': 404,
      'https://one.test/': 404,
    }
    const found = await Promise.all(Object.keys(expected).map(async (url) => [url, await answers(url)] as const))
    assert.deepEqual(Object.fromEntries(found), expected)
  })

  await t.test('by one label for a wildcard, with an exact host before it', async () => {
    const expected = {
      'https://any.wild.test/': 'api',
      'https://exact.wild.test/': 'deep',
      'https://wild.test/': 404,
      'https://two.labels.wild.test/': 404,
    }
    const found = await Promise.all(Object.keys(expected).map(async (url) => [url, await answers(url)] as const))
    assert.deepEqual(Object.fromEntries(found), expected)
  })

  await t.test('over https with the certificate of the router, and http leads there for good', async () => {
    assert.equal(await answers('https://safe.test/part/of/it/all'), 'shop')
    assert.match(await certificateName(w.ports.https, 'safe.test'), /TRAEFIK DEFAULT CERT/)
    for (const path of ['/', '/a/b?c=d&e=%20']) {
      const { status, headers } = await w.request(`http://safe.test${path}`)
      assert.deepEqual(
        { status, to: headers.location },
        { status: 301, to: `https://safe.test:${w.ports.https}${path}` },
      )
    }
    const post = await w.request('http://safe.test/form', { method: 'POST', body: 'x' })
    assert.ok([307, 308].includes(post.status), `a POST that is redirected stays a POST: ${post.status}`)
    assert.equal(await answers('http://safe.test/plain'), 'api', 'a plain URL on a host that is otherwise redirected')
  })

  await t.test('and gets what the client sent: host, path, address, protocol', async () => {
    const reply = await w.request('https://safe.test/a%2Fb/c?d=%20', { headers: { 'x-forwarded-proto': 'forged' } })
    const { url, headers } = reply.json<{ url: string; headers: Record<string, string> }>()
    assert.deepEqual(
      { url, host: headers['host'], proto: headers['x-forwarded-proto'] },
      { url: '/a%2Fb/c?d=%20', host: 'safe.test', proto: 'https' },
    )
  })
})

test('published ports are open where they were asked for, for tcp and udp', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const [local, udp, range] = [await freePort(), await freePort(), await freePort(3)]
  const directory = await w.service('ports', {
    dockerfile: [
      '# mypaas.service=ports',
      `# mypaas.publish=127.0.0.1:${local}:9000`,
      `# mypaas.publish=${udp}:9001/udp`,
      `# mypaas.publish=127.0.0.1:${range}-${range + 2}:9002-9004`,
      '# mypaas.publish=127.0.0.1::9005',
      `FROM ${await nodeImage(w.docker)}`,
      'COPY ports.mjs ./',
      'CMD ["node", "ports.mjs"]',
    ].join('\n'),
    files: {
      'ports.mjs': `
        import { createServer } from 'node:net'
        import { createSocket } from 'node:dgram'
        for (const port of [9000, 9002, 9003, 9004, 9005]) createServer((socket) => socket.end('tcp ' + port)).listen(port)
        const udp = createSocket('udp4').bind(9001)
        udp.on('message', (message, from) => udp.send('udp 9001 ' + message, from.port, from.address))`,
    },
  })
  await w.deploy(directory)
  const { NetworkSettings } = await inspect(w, 'ports-r1-1')
  const chosen = Number(NetworkSettings.Ports?.['9005/tcp']?.[0]?.HostPort)
  const onAll = NetworkSettings.Ports?.['9001/udp']?.map(({ HostIp }) => HostIp) ?? []
  assert.ok(onAll.includes('0.0.0.0'), `${onAll}`)
  const answers = await Promise.all([local, range, range + 1, range + 2, chosen].map((port) => overTcp(port)))
  assert.deepEqual(answers, ['tcp 9000', 'tcp 9002', 'tcp 9003', 'tcp 9004', 'tcp 9005'])
  assert.equal(await overUdp(udp, 'hello'), 'udp 9001 hello')

  await t.test('and a redeploy has them again, old before new, also with scale', async () => {
    const dockerfile = await readFile(join(directory, 'Dockerfile'), 'utf8')
    await using watch = await w.watch('ports')
    const { output } = await w.deploy(await w.service('ports', { dockerfile: `# mypaas.scale=1\n${dockerfile}` }))
    assert.match(output, new RegExp(`publishes host port (${local}|${udp}), which only one release can have`))
    assert.equal((await watch.stop()).most, 1)
    assert.equal(await overTcp(local), 'tcp 9000')
  })
})

test('scale says how many containers there are and in which order they change', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const steps = [
    { scale: [], events: ['start r1-1'], environment: '0' },
    { scale: ['scale=0'], events: ['die r1-1', 'start r2-1'], environment: '0' },
    { scale: ['scale=2'], events: ['start r3-1', 'start r3-2', 'die r2-1'], environment: '2' },
    {
      scale: ['scale=3 roll'],
      events: ['start r4-1', 'start r4-2', 'start r4-3', 'die r3-1', 'die r3-2'],
      environment: '3',
    },
    {
      scale: ['scale=safe 2'],
      events: ['die r4-1', 'die r4-2', 'die r4-3', 'start r5-1', 'start r5-2'],
      environment: '2',
    },
    { scale: ['scale=1'], events: ['start r6-1', 'die r5-1', 'die r5-2'], environment: '1' },
    { scale: [], events: ['die r6-1', 'start r7-1'], environment: '0' },
  ]
  for (const { scale, events, environment } of steps) {
    const directory = await w.service('web', { directives: ['url=http://web.test', ...scale] })
    await using watch = await w.watch('web')
    await w.deploy(directory)
    const seen = (await watch.stop()).events.map(
      ({ action, name }) => `${action} ${name.split('-').slice(2).join('-')}`,
    )
    assert.deepEqual(inGroups(seen), events, `scale: ${scale}`)
    const replicas = events.filter((event) => event.startsWith('start')).map((event) => event.replace('start ', 'web-'))
    assert.deepEqual(await w.runningNames('web'), replicas)
    assert.equal((await w.containers('web')).length, replicas.length, 'nothing else is there, stopped or not')
    assert.equal((await w.request('http://web.test/env?key=MYPAAS_SCALE')).json()['value'], environment)
  }
})

test('a service gets no directory of the server that its config does not allow', async (t) => {
  const w = await world(t, { program })
  await w.init()
  const image = await scratchImage(w.docker)
  const withVolume = (volume: string) =>
    w.service('mounts', { dockerfile: `# mypaas.service=mounts\n# mypaas.volume=${volume}\nFROM ${image}\n` })
  const outside = join(w.home, '..', `${w.instance}-outside`)
  await mkdir(join(outside, 'data'), { recursive: true })
  t.after(() => rm(outside, { recursive: true, force: true }))
  await mkdir(join(w.home, '.ssh'))
  await symlink('/etc', join(w.home, 'to-etc'))
  await symlink('.ssh', join(w.home, 'to-ssh'))
  await symlink('_mypaas', join(w.home, 'to-mypaas'))
  await symlink('.', join(w.home, 'to-home'))
  await symlink('nowhere', join(w.home, 'to-nothing'))
  await symlink(w.home, join(outside, 'to-home'))

  const refused: readonly (readonly [volume: string, message: RegExp])[] = [
    ['~:/x', /Dockerfile:2: mypaas\.volume: the home directory as a whole is not mounted/],
    ['~/.ssh:/x', /Dockerfile:2: mypaas\.volume: ~\/\.ssh is not mounted/],
    ['~/_mypaas/services:/x', /Dockerfile:2: mypaas\.volume: ~\/_mypaas is not mounted/],
    ['~/a/../../etc:/x', /Dockerfile:2: mypaas\.volume: the path "~\/a\/\.\.\/\.\.\/etc" has a part "\." or "\.\."/],
    ['~/to-etc:/x', /Dockerfile:2: mypaas\.volume: ~\/to-etc leads to \/etc, because ~\/to-etc is a link\./],
    ['~/to-etc/ssl/new:/x', /~\/to-etc\/ssl\/new leads to \/etc\/ssl\/new, because/],
    ['~/to-ssh/keys:/x', /~\/to-ssh\/keys leads to ~\/\.ssh\/keys, because ~\/to-ssh is a link/],
    ['~/to-mypaas:/x', /~\/to-mypaas leads to ~\/_mypaas, because/],
    ['~/to-home:/x', /~\/to-home leads to ~, because ~\/to-home is a link/],
    ['~/to-nothing:/x', /~\/to-nothing leads to ~\/nowhere, because/],
    [
      '/etc:/x',
      /\/etc is outside the home directory\. To allow it, set in \[server\] of \S+config\.toml: volume_roots = \["\/etc"\]/,
    ],
    [`${outside}/data:/x`, new RegExp(`set in \\[server\\] of \\S+config\\.toml: volume_roots = \\["${outside}"\\]`)],
  ]
  const before = await inventory(w)
  for (const [volume, message] of refused) {
    const { code, stderr } = await w.cli(['server', 'deploy', await withVolume(volume)])
    assert.equal(code, 2, `${volume}: ${stderr}`)
    assert.match(stderr, message)
  }
  assert.deepEqual(await inventory(w), before)
  assert.equal(existsSync('/etc/ssl/new'), false)

  await t.test('and one below volume_roots it gets, unless that is a link to elsewhere', async () => {
    await w.set('server', 'volume_roots', JSON.stringify([outside]))
    await writeFile(join(outside, 'data', 'file'), 'of the server\n')
    await w.deploy(await w.service('mounts', { directives: [`volume=${outside}/data:/x:ro`] }))
    assert.equal(await inside(w, 'mounts-r1-1', 'cat /x/file'), 'of the server\n')
    for (const path of [`${outside}-beside`, `${outside}/to-home`, `${outside}/to-home/.ssh`]) {
      const { code, stderr } = await w.cli(['server', 'deploy', await withVolume(`${path}:/x`)])
      assert.equal(code, 2, stderr)
      assert.match(stderr, new RegExp(`${path} `))
    }
  })
})

test('a container is made as the earlier implementation made it, but for the listed differences', async (t) => {
  const w = await world(t, { program })
  const image = await scratchImage(w.docker)
  const { Id: network } = await w.docker.networks.create({ Name: `${w.instance}-mypaas-net` })
  const rows = golden.filter(({ container }) => container !== undefined)
  assert.ok(rows.length >= 15, `${rows.length} rows`)
  for (const { title, dockerfile, container } of rows) {
    await t.test(title, async () => {
      assert.ok(container)
      const spec = parseSpec(dockerfile)
      const config = containerConfig({
        spec,
        release: 1,
        replica: 1,
        server: `${w.instance}-server`,
        markKey: 'k',
        prefix: '',
        network: 'mypaas-net',
        home: '/home/me',
        image: container.image,
        bringsInit: false,
        shellForm: undefined,
        graceMs: 10_000,
        environment: sampleEnvironment(spec, secrets),
        logBytes: 10 * 1024 ** 2,
        hardening: parseConfig('').server.hardening,
      })
      assert.deepEqual(
        { image: config.Image, network: config.HostConfig?.NetworkMode },
        { image: container.image, network: container.network },
      )
      // What the engine makes of it. Names of images and networks are the world's, so that nothing else gets in the way.
      const [name] = container.names
      const made = await w.docker.containers.create(
        {
          ...config,
          Image: image,
          HostConfig: { ...config.HostConfig, NetworkMode: network },
          NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [...container.aliases] } } },
        },
        { name: `${w.instance}-${name}` },
      )
      const found = await w.docker.containers.inspect(made.Id)
      await w.docker.containers.remove(made.Id, { force: true })
      assert.deepEqual(
        {
          aliases: config.NetworkingConfig?.EndpointsConfig?.['mypaas-net']?.Aliases,
          env: (found.Config.Env ?? []).filter((variable) => !variable.startsWith('PATH=')).sort(),
          binds: found.HostConfig.Binds ?? [],
          ports: found.HostConfig.PortBindings,
          nanoCpus: found.HostConfig.NanoCpus || undefined,
          memoryBytes: found.HostConfig.Memory || undefined,
          restartBeforeItServes: found.HostConfig.RestartPolicy?.Name,
          containers: Math.max(1, spec.scale ?? 0),
        },
        {
          aliases: container.aliases,
          env: container.env.toSorted(),
          binds: container.binds,
          ports: container.ports,
          nanoCpus: container.nanoCpus,
          memoryBytes: container.memoryBytes,
          restartBeforeItServes: 'no',
          containers: container.names.length,
        },
      )
    })
  }
})

async function inspect(w: World, name: string): Promise<ContainerInspect> {
  return w.docker.containers.inspect(`${w.instance}-${name}`)
}

/** What a shell in a running container says, stdout and stderr. */
async function inside(w: World, name: string, command: string): Promise<string> {
  const { stdout, stderr } = await w.docker.containers.exec(`${w.instance}-${name}`, ['sh', '-c', command])
  return `${stdout}${stderr}`
}

function ownLabels(container: ContainerInspect): Record<string, string> {
  const labels = Object.entries(container.Config.Labels ?? {})
  return Object.fromEntries(labels.filter(([key]) => key.startsWith('mypaas.') && !key.startsWith('mypaas.image.')))
}

/** Besides the short id, which the engine adds. */
function aliases(container: ContainerInspect, network: string): readonly string[] {
  const given = container.NetworkSettings.Networks[network]?.Aliases ?? []
  return given.filter((alias) => !container.Id.startsWith(alias))
}

/** Events in their order, those of one kind in a row sorted: replicas start and end in any order. */
function inGroups(events: readonly string[]): string[] {
  const groups: string[][] = []
  for (const event of events) {
    const group = groups.at(-1)
    if (group?.[0]?.split(' ')[0] === event.split(' ')[0]) group?.push(event)
    else groups.push([event])
  }
  return groups.flatMap((group) => group.sort())
}

function overTcp(port: number): Promise<string> {
  return text(connect({ host: '127.0.0.1', port, timeout: 5000 }))
}

/** Asks until there is an answer: datagrams may get lost. */
async function overUdp(port: number, message: string): Promise<string> {
  const socket = createSocket('udp4')
  let answer = ''
  socket.on('message', (got) => {
    answer = `${got}`
  })
  try {
    return await until(
      () => {
        if (answer === '') socket.send(message, port, '127.0.0.1')
        return answer
      },
      { what: `an answer on UDP port ${port}` },
    )
  } finally {
    socket.close()
  }
}

/** The subject of the certificate that is shown for a host. */
function certificateName(port: number, servername: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, servername, rejectUnauthorized: false, timeout: 5000 }, () => {
      resolve(`${socket.getPeerCertificate().subject.CN}`)
      socket.destroy()
    })
    socket.on('error', reject)
  })
}
