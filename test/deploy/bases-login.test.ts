import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pullImage } from '../../src/deploy/bases.ts'
import type { Host } from '../../src/deploy/host.ts'
import { fakeEngine } from '../docker/fake-engine.ts'

test('an image is pulled with the credentials of the registry that the engine asks for it, and of no other', async (t) => {
  const { docker, requests } = await fakeEngine(t, () => ({ body: '{}' }), {
    docker: { env: { DOCKER_CONFIG: '/nonexistent' } },
  })
  const logins: Readonly<Record<string, string>> = { 'docker.io': 'hub', 'reg.example:5000': 'own' }
  const host = {
    docker,
    registryAuth: (registry: string) => (logins[registry] ? { username: logins[registry] } : undefined),
    buildSilenceMs: 1_000,
  } as unknown as Host
  const used: Record<string, string | undefined> = {}
  for (const image of ['a', 'a/b', 'index.docker.io/a/b', 'reg.example:5000/a', 'MYREG/a', 'other.example/a']) {
    await pullImage(host, { image }, { onEvent: () => {} })
    const header = requests.at(-1)?.headers['x-registry-auth']
    const login =
      header === undefined ? {} : (JSON.parse(Buffer.from(String(header), 'base64url').toString()) as object)
    used[image] = (login as { username?: string }).username
  }
  assert.deepEqual(used, {
    a: 'hub',
    'a/b': 'hub',
    'index.docker.io/a/b': 'hub',
    'reg.example:5000/a': 'own',
    'MYREG/a': undefined,
    'other.example/a': undefined,
  })
})
