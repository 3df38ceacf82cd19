import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { rootfs } from '../../scripts/rootfs.ts'
import { NotFoundError } from '../../src/docker/index.ts'
import { compiledProgram } from '../support/compiled.ts'
import { scratchImage } from '../support/images.ts'
import { inventory } from '../support/inventory.ts'
import { type World, world } from '../support/world.ts'

const program = await compiledProgram({ after })

test('what mypaas did not make is never counted, stopped or removed, whatever labels it has', async (t) => {
  const w = await initialised(t)
  const other = await initialised(t)
  const server = await w.serverId()
  const files = { directives: ['url=http://web.test', 'scale=2'] }
  await w.deploy(await w.service('web', files))
  await other.deploy(await other.service('web', files))

  const replica = { 'mypaas.server': server, 'mypaas.service': 'web' }
  const claims = { ...replica, 'mypaas.release': '1', 'mypaas.replica': '3' }
  const claiming = await imageWithLabels(w, claims)
  const ours = `${w.instance}-web:r1`
  const strangers = {
    'one of our images, run by hand': await run(w, 'by-hand', ours),
    'the same, with the labels of a replica': await run(w, 'twin', ours, {
      ...replica,
      'mypaas.release': '1',
      'mypaas.replica': '1',
    }),
    'the same, with the labels of another release': await run(w, 'relic', ours, {
      ...replica,
      'mypaas.release': '7',
      'mypaas.replica': '1',
    }),
    'an image with labels of mypaas': await run(w, 'claiming', claiming),
    'the same, by the name that they say': await run(w, 'web-r1-3', claiming),
    'the same, with a proof that is none': await run(w, 'web-r1-4', claiming, {
      'mypaas.replica': '4',
      'mypaas.proof': '0'.repeat(32),
    }),
    'a name that begins like one of ours': await run(w, 'web-r1-10', await scratchImage(w.docker)),
  }
  const othersBefore = await inventory(other)
  const alive = async () => {
    for (const [what, { id, started }] of Object.entries(strangers)) {
      const { State, HostConfig } = await w.docker.containers.inspect(id)
      const { Running, StartedAt } = State
      assert.deepEqual(
        { what, Running, StartedAt, restart: HostConfig.RestartPolicy?.Name || 'no' },
        { what, Running: true, StartedAt: started, restart: 'no' },
      )
    }
    assert.deepEqual(await inventory(other), othersBefore)
    assert.equal((await other.request('http://web.test/')).json()['service'], 'web')
  }

  await t.test('in deploys', async () => {
    for (const release of ['r2', 'r3']) {
      const { output } = await w.deploy(join(w.home, 'services', 'web'))
      assert.match(output, new RegExp(`web ${release}\\n`))
      assert.doesNotMatch(output, /by-hand|twin|relic|claiming|web-r1-10/)
    }
    await alive()
    const [status] = JSON.parse((await w.ok(['server', 'status', '--json'])).stdout) as Record<string, unknown>[]
    assert.deepEqual(
      { service: status?.['service'], running: status?.['running'], wanted: status?.['wanted'] },
      { service: 'web', running: 2, wanted: 2 },
    )
  })

  await t.test('nor when the server is taken down', async () => {
    await w.ok(['server', 'down', '--yes'])
    await alive()
    const names = (await w.containers()).map((container) => w.nameOf(container)).sort()
    assert.deepEqual(names, ['claiming', 'relic', 'twin', 'web-r1-3', 'web-r1-4'], 'of all that carries our labels')
  })
})

test('a container of somebody else that has the name of a coming one is in the way, and is told of', async (t) => {
  const w = await initialised(t)
  await w.deploy(await w.service('web', { directives: ['url=http://web.test'] }))
  const { id } = await run(w, 'web-r2-1', await scratchImage(w.docker))
  const { code, stderr } = await w.cli(['server', 'deploy', join(w.home, 'services', 'web')])
  assert.equal(code, 1, stderr)
  assert.match(stderr, new RegExp(`There is a container ${w.instance}-web-r2-1 already that mypaas did not make\\.`))
  assert.match(stderr, /r1 serves as before\./)
  assert.equal((await w.docker.containers.inspect(id)).State.Running, true)
  assert.equal((await w.request('http://web.test/')).json()['release'], 'r1')
  await w.deploy(join(w.home, 'services', 'web'))
  assert.deepEqual(await w.runningNames('web'), ['web-r3-1'], 'the next number is free')
  assert.equal((await w.docker.containers.inspect(id)).State.Running, true)
})

test('a container that somebody renames is still the one: no second writer, in a reconcile, a deploy and a removal', async (t) => {
  const w = await initialised(t)
  const name = 'writer'
  const directory = await w.service(name, { directives: ['volume=~/writer:/data'] })
  await w.deploy(directory)
  const rename = async (release: number, to: string) => {
    const { Id } = await w.docker.containers.inspect(`${w.instance}-${name}-r${release}-1`)
    await w.docker.containers.rename(Id, `${w.instance}-${to}`)
    return Id
  }
  const first = await rename(1, 'by-hand')

  await t.test('status says it, and a reconcile gives the name back', async () => {
    const [status] = JSON.parse((await w.ok(['server', 'status', '--json'])).stdout) as Record<string, unknown>[]
    assert.equal(status?.['running'], 1)
    assert.equal(
      status?.['problem'],
      `renamed by somebody: ${w.instance}-writer-r1-1 is called ${w.instance}-by-hand now`,
    )
    await w.ok(['server', 'reconcile', name])
    const found = await w.containers(name)
    assert.deepEqual(
      found.map(({ Id, Names }) => [Id, Names[0]]),
      [[first, `/${w.instance}-writer-r1-1`]],
    )
  })

  await t.test('a deploy stops it before the new one starts, and removes it', async () => {
    await rename(1, 'by-hand')
    await w.deploy(directory)
    assert.deepEqual(await w.runningNames(name), ['writer-r2-1'])
    await assert.rejects(w.docker.containers.inspect(first), NotFoundError)
  })

  await t.test('whoever took its name stays, and it serves on under its new one', async () => {
    const second = await rename(2, 'by-hand')
    const squatter = await run(w, 'writer-r2-1', await scratchImage(w.docker))
    await w.ok(['server', 'reconcile', name])
    assert.equal((await w.docker.containers.inspect(second)).State.Running, true)
    assert.equal((await w.docker.containers.inspect(squatter.id)).State.Running, true)
    assert.deepEqual(
      (await w.containers(name)).map(({ Id }) => Id),
      [second],
    )
    await w.docker.containers.remove(squatter.id, { force: true })
  })

  await t.test('what is made of it is not it, with its labels and all', async () => {
    const { Id } = await w.docker.containers.commit(`${w.instance}-by-hand`, { repo: `${w.instance}-copied`, tag: '1' })
    const copy = await run(w, 'copy', Id)
    await w.ok(['server', 'reconcile', name])
    await w.deploy(directory)
    const { State } = await w.docker.containers.inspect(copy.id)
    assert.deepEqual([State.Running, State.StartedAt], [true, copy.started])
    assert.deepEqual(await w.runningNames(name), ['copy', 'writer-r3-1'])
    await w.docker.containers.remove(copy.id, { force: true })
  })

  await t.test('a stop and a removal find it', async () => {
    await rename(3, 'by-hand')
    await w.ok(['server', 'stop', name])
    assert.deepEqual(await w.containers(name), [])
    await w.ok(['server', 'start', name])
    await rename(3, 'by-hand')
    await w.ok(['server', 'rm', name, '--yes'])
    assert.deepEqual(await w.containers(name), [])
  })
})

test('a second home that claims the name of a mypaas that is there is refused', async (t) => {
  const w = await initialised(t)
  const before = await inventory(w)
  const second = await world(t, { program })
  const { http, https, admin } = second.ports
  const ports = ['--http-port', `${http}`, '--https-port', `${https}`, '--admin-port', `${admin}`]
  const { code, stderr } = await second.cli(['server', 'init', '--local', '--instance', w.instance, ...ports, '--yes'])
  assert.equal(code, 1, stderr)
  assert.match(stderr, new RegExp(`${w.instance}-\\S+ is there already and not of this mypaas\\.`))
  assert.match(stderr, /mypaas server init --instance NAME/)
  assert.deepEqual(await inventory(w), before)
})

test('a base image that sets labels of mypaas is refused after the build, and one of our own is not', async (t) => {
  const w = await initialised(t)
  await w.deploy(await w.service('web', { directives: ['url=http://web.test'] }))
  const before = await inventory(w)
  const base = await imageWithLabels(w, { 'mypaas.service': 'shop', 'mypaas.server': await w.serverId() })
  const dockerfile = (from: string) => `# mypaas.service=child\n# mypaas.url=http://child.test\nFROM ${from}\n`
  const { code, stderr } = await w.cli(['server', 'deploy', await w.service('child', { dockerfile: dockerfile(base) })])
  assert.equal(code, 2, stderr)
  assert.match(stderr, /The image sets the label mypaas\.\S+, mypaas\.\S+, which is for mypaas to set\./)
  assert.match(stderr, /Take it out of the Dockerfile \(LABEL\), or build on another base image\./)
  const { images, containers } = await inventory(w)
  assert.deepEqual(
    { images: images.filter((image) => !image.startsWith('labelled')), containers },
    {
      images: before.images,
      containers: before.containers,
    },
  )

  await w.deploy(await w.service('child', { dockerfile: dockerfile(`${w.instance}-web:r1`) }))
  const image = await w.docker.images.inspect(`${w.instance}-child:r2`)
  assert.equal(image.Config?.Labels?.['mypaas.image.service'], 'child')
  await w.deploy(join(w.home, 'services', 'web'))
  assert.equal((await w.request('http://child.test/')).json()['service'], 'child')
})

test('services are found by docker and reach each other by name, also those whose names differ by a dot or dash', async (t) => {
  const w = await initialised(t)
  const names = ['blog.api', 'blog-api', 'blog_api']
  const hosts: Record<string, string> = { 'blog.api': 'dot.test', 'blog-api': 'dash.test', blog_api: 'underscore.test' }
  for (const name of names) {
    const directives = [`url=http://${hosts[name]}`, 'port=8080', ...(name === 'blog-api' ? ['scale=2'] : [])]
    await w.deploy(await w.service(name, { directives }))
  }

  await t.test('each answers on its own URL', async () => {
    for (const name of names) {
      const { service, release } = (await w.request(`http://${hosts[name]}/`)).json()
      assert.deepEqual({ service, release }, { service: name, release: 'r1' })
    }
  })

  await t.test('each is called by its name on the network, a dotted one with two dashes', async () => {
    const calls = { 'blog-api': 'blog-api', blog_api: 'blog_api', 'blog--api': 'blog.api' }
    for (const [host, service] of Object.entries(calls)) {
      const reply = await w.request(`http://dot.test/fetch?url=${encodeURIComponent(`http://${host}:8080/`)}`)
      const { body } = reply.json<{ body: string }>()
      assert.equal((JSON.parse(body) as { service: string }).service, service)
    }
    assert.deepEqual(await addresses(w, 'blog.api', 'blog.api'), [], 'nobody takes over a name of the internet')
  })

  await t.test('every replica answers to the name of its service', async () => {
    const replicas = await w.containers('blog-api')
    const own = replicas.map(
      ({ NetworkSettings }) => NetworkSettings?.Networks?.[`${w.instance}-mypaas-net`]?.IPAddress,
    )
    assert.deepEqual(await addresses(w, 'blog_api', 'blog-api'), own.sort())
  })

  await t.test('docker ps and docker images find them', async () => {
    for (const [name, count] of [
      ['blog.api', 1],
      ['blog-api', 2],
      ['blog_api', 1],
    ] as const) {
      const label = [`mypaas.service=${name}`, `mypaas.server=${await w.serverId()}`]
      const containers = await w.docker.containers.list({ filters: { label } })
      const replicas = Array.from({ length: count }, (_, i) => `/${w.instance}-${name}-r1-${i + 1}`)
      assert.deepEqual(containers.map(({ Names }) => Names[0]).sort(), replicas)
      assert.deepEqual(new Set(containers.map(({ Image }) => Image)), new Set([`${w.instance}-${name}:r1`]))
      const images = await w.docker.images.list({ filters: { reference: [`${w.instance}-${name}`] } })
      assert.deepEqual(
        images.map(({ RepoTags }) => RepoTags),
        [[`${w.instance}-${name}:r1`]],
      )
    }
  })
})

async function initialised(t: TestContext): Promise<World> {
  const w = await world(t, { program })
  await w.init()
  return w
}

/** Starts a container as a person would. Its name has the world's prefix, so that it goes with it. */
async function run(
  w: World,
  name: string,
  image: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<{ id: string; started: string }> {
  const { Id } = await w.docker.containers.create(
    { Image: image, Labels: { ...labels, 'io.mypaas.test': '1' }, HostConfig: { NetworkMode: 'none' } },
    { name: `${w.instance}-${name}` },
  )
  await w.docker.containers.start(Id)
  return { id: Id, started: (await w.docker.containers.inspect(Id)).State.StartedAt }
}

/** An image that serves and carries labels, as anybody could build it. */
async function imageWithLabels(w: World, labels: Readonly<Record<string, string>>): Promise<string> {
  const base = await scratchImage(w.docker)
  const context = rootfs([
    {
      kind: 'text',
      path: '/Dockerfile',
      text: `FROM ${base}\n${Object.entries(labels)
        .map(([key, value]) => `LABEL ${key}="${value}"\n`)
        .join('')}`,
    },
  ])
  const name = `${w.instance}-labelled:1`
  for await (const _ of w.docker.images.build(context, { tags: [name] }));
  return name
}

/** The IPv4 addresses that a replica gets for a name, sorted. */
async function addresses(w: World, service: string, name: string): Promise<string[]> {
  const script = `require('dns').resolve4(${JSON.stringify(name)}, (error, found = []) => console.log(found.join(' ')))`
  const { stdout } = await w.docker.containers.exec(`${w.instance}-${service}-r1-1`, ['node', '-e', script])
  return `${stdout}`.trim().split(' ').filter(Boolean).sort()
}
