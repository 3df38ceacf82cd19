import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { execInService } from '../../src/deploy/command.ts'
import type { Host } from '../../src/deploy/host.ts'
import { identityLabels } from '../../src/deploy/identity.ts'
import { writeJournal } from '../../src/deploy/journal.ts'
import { serviceLogs } from '../../src/deploy/logs.ts'
import { observe } from '../../src/deploy/observe.ts'
import { parseSpec } from '../../src/service/parse.ts'

test('a container whose name changes meanwhile is reached all the same: nobody else gets the command', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-id-'))
  t.after(() => rm(directory, { recursive: true }))
  const spec = parseSpec('# mypaas.service = blog\nFROM scratch\n')
  const current = { release: 1, image: 'i', spec, deployedAt: '' }
  await writeJournal(directory, { version: 1, service: 'blog', server: 's', lastRelease: 1, current })
  const asked: string[] = []
  const Labels = identityLabels({ server: 's', markKey: 'k' }, { service: 'blog', release: 1, replica: 1 })
  const ours = {
    Id: 'id-of-ours',
    Name: '/by-hand',
    State: { Status: 'running' },
    HostConfig: {},
    NetworkSettings: { Networks: {} },
  }
  const docker = {
    containers: {
      list: async () => [{ Id: ours.Id, Names: [ours.Name], Labels, ImageID: 'sha256:of-ours' }],
      inspect: async (id: string) => (id === ours.Id ? ours : { ...ours, Id: 'id-of-another', Name: `/${id}` }),
      async *logs(id: string) {
        asked.push(`logs ${id}`)
        yield* []
      },
    },
    images: { inspect: async () => ({ Config: { Labels: {} } }) },
    exec: {
      create: async (id: string) => {
        asked.push(`exec ${id}`)
        return { Id: 'e' }
      },
      start: async () => ({ close: () => {} }),
      inspect: async () => ({ Running: false }),
    },
  }
  const host = { directory, docker, server: 's', markKey: 'k', prefix: '', router: { gate: 'g' } } as unknown as Host
  assert.equal((await observe(host, 'blog')).replicas[0]?.nameHolder, 'id-of-another')
  await (await execInService(host, 'blog', ['true'], { tty: false }))[Symbol.asyncDispose]()
  for await (const _ of serviceLogs(host, 'blog', {})) assert.fail()
  assert.deepEqual(asked, ['exec id-of-ours', 'logs id-of-ours'])
})
