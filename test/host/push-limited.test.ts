import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { openServer } from '../../src/server/host.ts'
import { type AuthorizedKey, AuthorizedKeys } from '../../src/server/keys.ts'
import { refuseForeign } from '../../src/server/restrict.ts'
import { foreignMount } from '../../src/server/restricted-mounts.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { compiledProgram } from '../support/compiled.ts'
import { auditLog, initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { userKeyOf } from '../support/keys.ts'
import { until } from '../support/until.ts'
import { world } from '../support/world.ts'

test('a key that is limited to one service reaches nothing of another', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, quick)
  const ci = await mkdtemp(join(tmpdir(), 'mypaas-ci-'))
  t.after(() => rm(ci, { recursive: true, force: true }))
  await w.ok(['server', 'key', 'add', '--services', 'blog', await userKeyOf(ci)])
  await w.addSecrets({ SHARED: 'shared-s3cr3t' })
  await appendFile(
    join(w.home, '_mypaas', 'config.toml'),
    '\n[services.blog.env]\nOWN = "own"\n[services.shop.env]\nTHEIRS = "theirs-s3cr3t"\n',
  )
  const shop = await w.service('shop', {
    directives: ['url=http://shop.test', 'volume=~/shop-data:/data', `volume=${w.instance}-shopvol:/vol`, 'env=THEIRS'],
  })
  await w.deploy(shop)
  await startDaemon(t, w)
  const server = socketOf(w)
  const env = { HOME: ci }
  const image = `${w.instance}-shop:r1`
  const [{ Id: id } = { Id: '' }] = await w.docker.images.list({ filters: { reference: [image] } })

  const refused: [string, { directives?: string[]; lines?: string[]; dockerfile?: string }, RegExp][] = [
    ['its image as base', { dockerfile: `# mypaas.service=blog\nFROM ${image}\n` }, /it is one of shop/],
    [
      'its image as base by an ARG',
      { dockerfile: `# mypaas.service=blog\nARG R=r1\nARG I=${w.instance}-shop:$R\nFROM $I\n` },
      /it is one of shop/,
    ],
    ['its image by id', { dockerfile: `# mypaas.service=blog\nFROM ${id}\n` }, /made from one of shop/],
    [
      'its image by a short id',
      { dockerfile: `# mypaas.service=blog\nFROM ${id.replace('sha256:', '').slice(0, 12)}\n` },
      /made from one of shop/,
    ],
    ['its next image', { dockerfile: `# mypaas.service=blog\nFROM ${w.instance}-shop:r2\n` }, /it is one of shop/],
    ['a file of its image', { lines: [`COPY --from=${image} /data /stolen`] }, /it is one of shop/],
    ['a mount of its image', { lines: [`RUN --mount=type=bind,from=${image},target=/x true`] }, /it is one of shop/],
    ['what can not be told', { lines: ['ARG X', 'COPY --from=$X / /'] }, /can't be told/],
    ['a hidden frontend', { dockerfile: `# syntax=evil/frontend\n# mypaas.service=blog\nFROM scratch\n` }, /syntax/],
    [
      'a file of its image, behind a line that only seems to go on',
      { lines: ['RUN echo hello \\\\', `COPY --from=${image} /data /stolen`] },
      /line 4: The line ends with \\\\.*\n *line 5: .* it is one of shop/,
    ],
    [
      'a flag with a backslash',
      { lines: [`COPY --fr\\om=${image} /data /stolen`] },
      /line 4: The flag .* is not plain/,
    ],
    ['its volume', { directives: ['volume=~/shop-data:/x'] }, /shop mounts it/],
    ['a parent of its volume', { directives: ['volume=~/shop-data/sub:/x'] }, /shop mounts it/],
    [
      'its named volume',
      { directives: [`volume=${w.instance}-shopvol:/x`] },
      /is one of the service shop\. Give another name/,
    ],
    ['a directory of nobody', { directives: ['volume=~/backup:/x'] }, /not below ~\/blog/],
    [
      'its secret',
      { directives: ['env=THEIRS'] },
      /Dockerfile:2: mypaas.env: there is no secret THEIRS of blog's own.*env set SERVER THEIRS --service blog/,
    ],
    ['a secret of all', { directives: ['env=SHARED'] }, /there is no secret SHARED of blog's own/],
    ['its URL', { directives: ['url=http://shop.test'] }, /shop is at home/],
    ['a path on its host', { directives: ['url=http://shop.test/login'] }, /shop is at home/],
  ]
  const directory = await w.service('blog', {})
  const key = (await new AuthorizedKeys(join(w.home, '_mypaas')).read()).keys[0] as AuthorizedKey
  const opened = await openServer(w.home)
  t.after(() => opened[Symbol.asyncDispose]())
  for (const [name, files, reason] of refused) {
    await t.test(`${name} is refused`, async () => {
      await w.service('blog', files)
      const dockerfile = await readFile(join(directory, 'Dockerfile'), 'utf8')
      await assert.rejects(
        refuseForeign(opened.host, opened.config, key, { spec: parseSpec(dockerfile), dockerfile }),
        (error) => {
          assert.ok(error instanceof MypaasError)
          assert.match(error.message, reason)
          assert.equal(error.code, error.message.startsWith('The key may not use:') ? 'unauthorised' : 'directives')
          assert.match(error.message, /line \d+: |^Dockerfile:\d+: /)
          return true
        },
      )
    })
  }

  await t.test(
    'what its service mounts already it keeps, with no more rights; names of others are not its own',
    async () => {
      const name = (of: string): string => `${w.instance}-${of}`
      for (const [of, labels] of [
        ['own-x', { 'mypaas.server': await w.serverId(), 'mypaas.volume.service': name('own') }],
        ['own-y', { 'mypaas.server': 'another', 'mypaas.volume.service': name('own') }],
        ['own-z', {}],
      ] as const)
        await w.docker.volumes.create({ Name: name(of), Labels: labels })
      const spec = (service: string, ...volumes: string[]) =>
        parseSpec(`# mypaas.service=${service}\n${volumes.map((volume) => `# mypaas.volume=${volume}\n`).join('')}`)
      const service = name('own')
      const current = spec(service, '~/given:/a:ro', '~/given-rw:/b', `${name('given')}:/c`)
      const others = [spec(`${service}-two`)]
      const refused: [volume: string, words: RegExp | undefined][] = [
        ['~/given:/x:ro', undefined],
        ['~/given:/x', /not below/],
        ['~/given-rw:/x', undefined],
        [`${name('given')}:/x`, undefined],
        [`~/${service}:/x`, undefined],
        [`${name('own-x')}:/x`, undefined],
        [`${name('own-y')}:/x`, /belongs to/],
        [`${name('own-z')}:/x`, /belongs to somebody else/],
        [`${name('own-new')}:/x`, undefined],
        [`${name('own-two')}:/x`, /by its name it is one of \S+-own-two/],
        [`${name('own-two-data')}:/x`, /by its name it is one of \S+-own-two/],
        [`${name('own-twofold')}:/x`, undefined],
      ]
      for (const [volume, words] of refused) {
        const [mount] = spec(service, volume).volumes
        assert.ok(mount)
        const problem = await foreignMount(opened.host, mount, { service, current, others })
        if (words === undefined) assert.equal(problem, undefined, volume)
        else assert.match(problem?.why ?? '', words, volume)
      }
    },
  )

  await t.test(
    'a push of such a thing ends before anything is built, with exit code 3 and a line in the audit log',
    async () => {
      const { code, stderr } = await w.cli(['push', server, directory], { env })
      assert.equal(code, 3, stderr)
      assert.match(stderr, /shop is at home/)
      // It is written when the job is over, which the client knows first.
      const last = await until(async () => (await auditLog(w)).find(({ outcome }) => outcome === 'denied'), {
        what: 'the line in the audit log',
      })
      assert.deepEqual([last['service'], last['who']], ['blog', 'test'])
    },
  )

  await t.test('a push with one mount below another ends before anything is built, with its line', async () => {
    await w.service('blog', { directives: ['volume=~/blog:/a', 'volume=~/blog/sub:/b'] })
    const { code, stderr } = await w.cli(['push', server, directory], { env })
    assert.equal(code, 2, stderr)
    assert.match(stderr, /Dockerfile:3: mypaas\.volume: ~\/blog\/sub lies below ~\/blog, which is mounted at \/a/)
    assert.deepEqual(await w.containers('blog'), [])
  })

  await t.test('the other service itself is refused, in every way', async () => {
    for (const args of [
      ['push', server, shop],
      ['stop', server, 'shop'],
      ['plan', server, shop],
      ['env', 'ls', server],
    ]) {
      const { code, stderr } = await w.cli(args, { env })
      assert.equal(code, 3, `${args.join(' ')}: ${stderr}`)
    }
    assert.equal((await w.ok(['status', server, '--json'], { env })).stdout, '[]\n')
  })

  await t.test('what is its own is deployed', async () => {
    await mkdir(join(w.home, 'blog'), { recursive: true })
    await w.service('blog', {
      directives: ['url=http://blog.test', 'volume=~/blog/data:/data', 'env=OWN'],
    })
    await writeFile(join(directory, 'x'), 'x')
    const pushed = await w.cli(['push', server, directory], { env })
    assert.equal(pushed.code, 0, pushed.stderr)
    assert.equal((await w.request('http://blog.test/')).status, 200)
    assert.deepEqual(await w.runningNames('shop'), ['shop-r1-1'])
  })

  await t.test('what it removes with a service is what it could write by a push', async () => {
    const deployWith = async (...volumes: string[]): Promise<unknown> =>
      w.deploy(await w.service('blog', { directives: volumes.map((volume) => `volume=${volume}`) }))
    await deployWith('~/album:/a', '~/blog/data:/data', `${w.instance}-earlier:/e`)
    await deployWith('~/photos:/p:ro', '~/given:/g', '~/blog/data:/data', `${w.instance}-lent:/l`)
    for (const of of ['album', 'photos', 'given', 'blog/data']) await writeFile(join(w.home, of, 'file'), of)
    const { stdout } = await w.ok(['rm', server, 'blog', '--volumes', '--yes'], { env })
    assert.match(stdout, /^left ~\/album: the key may not mount it$/m)
    assert.match(stdout, /^left ~\/photos: the service could only read it; to remove it: rm -r \S+\/photos$/m)
    assert.match(stdout, /^left the volume \S+-earlier: the key may not mount it$/m)
    assert.match(stdout, /^directory ~\/given$/m)
    assert.match(stdout, /^directory ~\/blog\/data$/m)
    assert.match(stdout, /^volume \S+-lent$/m)
    for (const of of ['album', 'photos']) assert.equal(await readFile(join(w.home, of, 'file'), 'utf8'), of)
    await w.docker.volumes.remove(`${w.instance}-earlier`)
  })
})
