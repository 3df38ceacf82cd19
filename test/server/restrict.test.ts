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
import { MypaasError } from '../../src/errors.ts'
import { parseConfig } from '../../src/server/config.ts'
import type { AuthorizedKey } from '../../src/server/keys.ts'
import { restrictedHost } from '../../src/server/restrict.ts'
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
      inspect: async () => ({ Id: 'i', Config: {} }),
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
    docker,
    router: { gate: 'g' },
  } as unknown as Host
  return [host, directory]
}

test('a limited key goes back to no release with more than it could deploy, whoever deployed that', async (t) => {
  const [host, directory] = await server(t, {
    1: '# mypaas.volume = /srv/media:/m',
    2: '# mypaas.volume = ~/shared:/s\n# mypaas.publish = 127.0.0.1:5432:80',
    3: '# mypaas.url = http://shop.test/login',
    4: '',
    5: '# mypaas.url = http://shop.test',
  })
  const limited = restrictedHost({ host, config: parseConfig('', 'config.toml') }, key)
  const before = await readFile(join(directory, 'services', 'blog.json'), 'utf8')
  for (const [release, words] of [
    [1, /the path \/srv\/media: it is outside of ~\/blog/],
    [2, /the volume ~\/shared: it is not below ~\/blog\n +the host port of 127\.0\.0\.1:5432:80/],
    [3, /the URL http:\/\/shop\.test\/login: shop is at home on that host/],
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
  const [host] = await server(t, { 4: '# mypaas.volume = /srv/media:/m' })
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
  await real.permit?.(parseSpec('# mypaas.service = blog\n# mypaas.volume = /srv/media:/m\nFROM scratch\n'))
})
