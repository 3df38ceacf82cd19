import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { rootfs } from '../../scripts/rootfs.ts'
import { type BuildEvent, Docker, DockerError, NotFoundError, UnauthorizedError } from '../../src/docker/index.ts'
import { type Bench, bench } from './docker.ts'
import { registry } from './registry.ts'

const login = { username: 'ann', password: 'pa:ss>>>word???' }
let b: Bench
before(async () => {
  b = await bench('registry')
})
after(() => b.close())

test('an image goes to a registry and comes back, with the login of the docker command', async (t) => {
  const { host, requests } = await registry(t, login)
  const name = `${host}/team/app`
  const loggedIn = await client(t, { auths: { [host]: { auth: basic(login) } } })
  await tag(t, `${name}:1`)

  const pushed = await collect(loggedIn.images.push(`${name}:1`))
  assert.ok(pushed.some(({ status }) => /^1: digest: sha256:/.test(status ?? '')))
  assert.ok(requests.some((request) => request.startsWith('PUT /v2/team/app/manifests/1')))

  const { Descriptor } = await loggedIn.distribution.inspect(`${name}:1`)
  assert.match(Descriptor.digest, /^sha256:/)

  await b.docker.images.remove(`${name}:1`)
  const pulled = await collect(loggedIn.images.pull(`${name}:1`))
  assert.ok(pulled.some(({ status }) => /^Status: /.test(status ?? '')))
  const image = await b.docker.images.inspect(`${name}:1`)
  assert.ok(image.RepoDigests?.[0]?.endsWith(Descriptor.digest))
})

test('without a login, or with a wrong one, push, pull and inspect are errors', async (t) => {
  const { host } = await registry(t, login)
  const name = `${host}/team/app`
  await tag(t, `${name}:1`)
  const stranger = await client(t, {})
  const liar = await client(t, { auths: { [host]: { auth: basic({ username: 'ann', password: 'wrong' }) } } })
  for (const docker of [stranger, liar]) {
    await assert.rejects(collect(docker.images.push(`${name}:1`)), DockerError)
    await assert.rejects(collect(docker.images.pull(`${name}:1`)), DockerError)
    await assert.rejects(docker.distribution.inspect(`${name}:1`), DockerError)
  }
  const loggedIn = await client(t, { auths: { [host]: { auth: basic(login) } } })
  await assert.rejects(collect(loggedIn.images.pull(`${name}:none`)), NotFoundError)
  await assert.rejects(collect(loggedIn.images.push(`${name}:none`)), DockerError)
})

test('a login is checked', async (t) => {
  const { host } = await registry(t, login)
  const { Status } = await b.docker.system.auth({ ...login, serveraddress: host })
  assert.match(Status, /Succeeded/)
  const wrong = b.docker.system.auth({ username: 'ann', password: 'wrong', serveraddress: host })
  await assert.rejects(wrong, (error) => error instanceof UnauthorizedError || error instanceof DockerError)
})

for (const builder of ['buildkit', 'classic'] as const) {
  test(`${builder}: a build on a private base image works with the login`, async (t) => {
    const { host } = await registry(t, login)
    const base = `${host}/team/base:1`
    const docker = await client(t, { auths: { [host]: { auth: basic(login) } } })
    await tag(t, base)
    await collect(docker.images.push(base))
    await b.docker.images.remove(base)
    const result = b.unique(`built-${builder}`)
    t.after(() => b.docker.images.remove(result, { force: true }))

    const context = rootfs([{ kind: 'text', path: '/Dockerfile', text: `FROM ${base}\nLABEL a=b\n` }])
    const baseImages = builder === 'buildkit' ? [base] : undefined
    const events: BuildEvent[] = []
    for await (const event of docker.images.build(context, { builder, baseImages, tags: [result] })) events.push(event)
    assert.equal(events.at(-1)?.type, 'image')
    assert.equal((await b.docker.images.inspect(result)).Config?.Labels?.['a'], 'b')
  })
}

test('a registry that does not answer is an error within the deadline', async () => {
  await assert.rejects(collect(b.docker.images.pull('localhost:1/none', { timeoutMs: 20_000 })), DockerError)
  await assert.rejects(b.docker.images.search('mypaas', { timeoutMs: 20_000 }), DockerError)
})

/** A client with this `config.json`. */
async function client(t: TestContext, config: object): Promise<Docker> {
  const home = await mkdtemp(join(tmpdir(), 'registry-home-'))
  await mkdir(join(home, '.docker'))
  await writeFile(join(home, '.docker/config.json'), JSON.stringify(config))
  const docker = new Docker({ env: { ...process.env, DOCKER_CONFIG: join(home, '.docker') } })
  t.after(async () => {
    docker.close()
    await rm(home, { recursive: true, force: true })
  })
  return docker
}

async function tag(t: TestContext, name: string): Promise<void> {
  const [, repo = '', tag] = /^(.*):([^:]+)$/.exec(name) ?? []
  await b.docker.images.tag(b.image, { repo, tag })
  t.after(() =>
    b.docker.images.remove(name, { force: true }).catch((error: unknown) => {
      if (!(error instanceof NotFoundError)) throw error
    }),
  )
}

function basic({ username, password }: { username: string; password: string }): string {
  return Buffer.from(`${username}:${password}`).toString('base64')
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}
