import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changedSecretsOf } from '../../src/server/changed-secrets.ts'

const spec = { env: [{ key: 'TOKEN' }, { key: 'KEY' }, { key: 'PLAIN', value: 'x' }] }

function changed(secrets: Readonly<Record<string, string>>, ...containers: (readonly string[] | null | undefined)[]) {
  return changedSecretsOf(spec, containers, secrets)
}

test('what a container was started with counts, in any of the replicas', () => {
  const started = ['PATH=/bin', 'KEY=k=1', 'TOKEN=t', 'PLAIN=x']
  assert.deepEqual(changed({ TOKEN: 't', KEY: 'k=1' }, started, started), [])
  assert.deepEqual(changed({ TOKEN: 'new', KEY: 'k=1' }, started), ['TOKEN'])
  assert.deepEqual(changed({ TOKEN: 't', KEY: 'k=1' }, started, ['KEY=k', 'TOKEN=u']), ['KEY', 'TOKEN'])
})

test('one that is gone from the config has changed; one that no container has, and plain values, have not', () => {
  assert.deepEqual(changed({ KEY: 'k' }, ['KEY=k', 'TOKEN=t']), ['TOKEN'])
  assert.deepEqual(changed({ TOKEN: 't', KEY: 'k', PLAIN: 'y' }, ['TOKEN=t', 'PLAIN=x']), [])
  assert.deepEqual(changed({ TOKEN: 't', KEY: 'k' }, undefined, null), [])
})

test('a value that begins like another one, and a name that every object has, are told apart', () => {
  assert.deepEqual(changed({ TOKEN: 'ab', KEY: 'k' }, ['TOKEN=a', 'KEY=k']), ['TOKEN'])
  const odd = { env: [{ key: 'constructor' }] }
  assert.deepEqual(changedSecretsOf(odd, [['constructor=1']], {}), ['constructor'])
})
