import assert from 'node:assert/strict'
import { chmod, chown, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Host } from '../../src/deploy/host.ts'
import { identifyRun, runIdentityLabels } from '../../src/deploy/identity.ts'
import { follow } from '../../src/deploy/mount-path.ts'
import { checkLinks, mountProblems } from '../../src/deploy/mounts.ts'
import { prepareMounts } from '../../src/deploy/volumes.ts'
import { Docker } from '../../src/docker/index.ts'
import { MypaasError } from '../../src/errors.ts'
import { parseSpec } from '../../src/service/parse.ts'

const needsRoot = process.getuid?.() === 0 ? {} : { skip: 'only root can become another user' }
const user = 54_321

test(
  'a user who may use Docker mounts volumes, though the engine’s data is closed to all but root',
  needsRoot,
  async (t) => {
    const w = await machine(t)
    await asUser(async () => {
      const seen = await follow(join(w.engineRoot, 'volumes', 'data', '_data'))
      assert.equal(seen.unseen, w.engineRoot)
      assert.deepEqual(await problems(w.host, 'data:/data', 'new:/new', '~/blog:/b'), [])
    })
  },
)

test(
  'what somebody else has mounted where we may not look is no reason to refuse a mount of ours',
  needsRoot,
  async (t) => {
    const w = await machine(t, [
      {
        Id: 'x',
        Names: ['/x'],
        State: 'running',
        Labels: {},
        Mounts: [{ Type: 'bind', Source: '/PLACE/a', RW: true }],
      },
    ])
    await asUser(async () => {
      assert.deepEqual(await problems(w.host, '~/blog:/b', 'data:/data'), [])
      const [problem] = await problems(w.host, `${w.closed}/a/b:/b`)
      assert.match(problem ?? '', /may not look into \S+closed/)
    })
  },
)

test(
  'a place that we may not look into is refused for what is new; what runs already starts again',
  needsRoot,
  async (t) => {
    const w = await machine(t)
    const spec = specOf(`${w.closed}/a:/a`)
    await asUser(async () => {
      const [problem] = await problems(w.host, `${w.closed}/a:/a`)
      assert.equal(
        problem,
        `${w.closed}/a can't be looked at: the user that runs mypaas may not look into ${w.closed}. Give another place, or let that user look: chmod o+x ${w.closed}`,
      )
      await assert.rejects(
        checkLinks(w.host, spec, { strict: true }),
        (error) =>
          error instanceof MypaasError && error.code === 'directives' && /may not look into/.test(error.message),
      )
      await prepareMounts(w.host, spec, 'c', '')
    })
  },
)

test('nothing stays of directories that were made for a start that fails, whatever fails', needsRoot, async (t) => {
  const w = await machine(t)
  const before = { recursive: true, mode: 0o755 }
  await mkdir(join(w.host.home, 'kept'), before)
  const spec = specOf('~/kept/one/deep:/a', '~/two:/b', `${w.closed}/a:/c`, `${w.sealed}/new/er:/d`)
  await asUser(async () => {
    await assert.rejects(
      prepareMounts({ ...w.host, volumeRoots: [w.closed, w.sealed] }, spec, 'c', ''),
      /can't be made: the user that runs mypaas may not write to/,
    )
  })
  for (const gone of ['kept/one', 'two'])
    await assert.rejects(realpath(join(w.host.home, gone)), (error: NodeJS.ErrnoException) => error.code === 'ENOENT')
  await realpath(join(w.host.home, 'kept'))
})

test('a container in which a command runs is one of its service by proof and name, not by labels alone', async (t) => {
  const server = { server: 's1', markKey: 'k' }
  const Labels = runIdentityLabels(server, { service: 'blog', release: 3, name: 'blog-run-1a2b' })
  const run = { Labels, Names: ['/blog-run-1a2b'] }
  assert.deepEqual(identifyRun(server, run), { service: 'blog', release: 3, name: 'blog-run-1a2b', isOwned: true })
  const others: [server: typeof server, container: Parameters<typeof identifyRun>[1]][] = [
    [{ ...server, markKey: 'l' }, run],
    [{ ...server, server: 's2' }, run],
    [server, { ...run, Names: ['/blog-run-9f9f'] }],
    [server, { ...run, Labels: { ...Labels, 'mypaas.run.service': 'shop' } }],
    [server, { ...run, Labels: { ...Labels, 'mypaas.run.proof': 'é'.repeat(32) } }],
    [server, { ...run, Labels: { 'mypaas.role': 'run', 'mypaas.run.service': 'blog' } }],
  ]
  for (const [other, container] of others) assert.equal(identifyRun(other, container), undefined)

  const w = await machine(t, [
    { Id: 'r', ...run, State: 'running', Mounts: [{ Type: 'bind', Source: '/HOME/blog', RW: true }] },
  ])
  assert.deepEqual(await problems(w.host, '~/blog:/b'), [])
  const [problem] = await problems(w.host, '~/blog/sub:/b')
  assert.match(problem ?? '', /which the container blog-run-1a2b mounts/)
  assert.match(problem ?? '', /Or end the command that runs in blog-run-1a2b before the next deploy$/)
})

async function problems(host: Host, ...volumes: string[]): Promise<string[]> {
  const found = await mountProblems(host, specOf(...volumes))
  return found.map(({ message, hint }) => `${message}. ${hint}`)
}

function specOf(...volumes: string[]) {
  return parseSpec(`# mypaas.service=blog\n${volumes.map((volume) => `# mypaas.volume=${volume}\n`).join('')}`)
}

/** Does something with the rights of another user, who has no group of root's. */
async function asUser(work: () => Promise<void>): Promise<void> {
  const groups = process.getgroups?.() ?? []
  process.setgroups?.([user])
  process.setegid?.(user)
  process.seteuid?.(user)
  try {
    await work()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(0)
    process.setgroups?.(groups)
  }
}

/** A user's home on a machine whose engine has closed its data, as engines do; and places that root alone looks into. */
async function machine(t: TestContext, containers: readonly object[] = []) {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'mypaas-user-')))
  t.after(() => rm(root, { recursive: true, force: true }))
  await chmod(root, 0o755)
  const [home, closed, sealed, engineRoot] = ['home', 'closed', 'sealed', 'docker'].map((name) => join(root, name)) as [
    string,
    string,
    string,
    string,
  ]
  for (const path of [join(home, '_mypaas'), join(closed, 'a'), sealed, join(engineRoot, 'volumes', 'data', '_data')])
    await mkdir(path, { recursive: true })
  for (const path of [home, join(home, '_mypaas')]) await chown(path, user, user)
  await chmod(closed, 0o700)
  await chmod(sealed, 0o755)
  await chmod(engineRoot, 0o710)
  const answers: Readonly<Record<string, unknown>> = {
    '/info': { DockerRootDir: engineRoot },
    '/containers/json': JSON.parse(
      JSON.stringify(containers).replaceAll('/PLACE', closed).replaceAll('/HOME', home),
    ) as unknown,
    '/volumes': {
      Volumes: [
        {
          Name: 'data',
          Mountpoint: join(engineRoot, 'volumes', 'data', '_data'),
          Labels: { 'mypaas.server': 's1', 'mypaas.volume.service': 'blog' },
        },
      ],
    },
  }
  const server = http.createServer((request, response) => {
    const [, path = ''] = /^(?:\/v[\d.]+)?(\/[^?]*)/.exec(request.url ?? '') ?? []
    response.setHeader('connection', 'close')
    if (path === '/_ping') return void response.writeHead(200, { 'api-version': '1.41' }).end()
    response.writeHead(path in answers ? 200 : 404).end(JSON.stringify(answers[path] ?? { message: 'none' }))
  })
  const socket = join(root, 'docker.sock')
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  await chmod(socket, 0o777)
  t.after(() => server.close())
  const docker = new Docker({ host: `unix://${socket}` })
  t.after(() => docker.close())
  const host = {
    docker,
    server: 's1',
    markKey: 'k',
    prefix: '',
    home,
    homeRules: { homes: [home], allowed: [] },
    directory: join(home, '_mypaas'),
    volumeRoots: [closed],
    trustedContainers: [] as readonly string[],
    foreignVolumes: () => [] as readonly string[],
  } as unknown as Host
  return { host, closed, sealed, engineRoot }
}
