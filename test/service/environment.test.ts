import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { sampleEnvironment } from '../../src/service/environment.ts'

test('variables come as KEY=value in their order, those without a value from the secrets', () => {
  const env = [{ key: 'B', value: 'x=y' }, { key: 'TOKEN' }, { key: 'EMPTY', value: '' }, { key: 'NONE' }]
  const secrets = { TOKEN: 's3cr3t\nline 2', NONE: '', B: 'not asked for', OTHER: 'not asked for' }
  assert.deepEqual(sampleEnvironment({ service: 'blog', env }, secrets), [
    'B=x=y',
    'TOKEN=s3cr3t\nline 2',
    'EMPTY=',
    'NONE=',
  ])
})

test('all missing secrets are told at once, with the lines to add, and without any value', () => {
  const env = [{ key: 'A' }, { key: 'HAVE' }, { key: 'x.y' }, { key: 'constructor' }, { key: '__proto__' }]
  assert.throws(
    () => sampleEnvironment({ service: 'blog', env }, { HAVE: 's3cr3t' }),
    (error) => {
      assert.ok(error instanceof MypaasError)
      assert.equal(error.code, 'directives')
      assert.equal(
        error.message,
        'The server has no value for A, x.y, constructor, __proto__, which blog wants (mypaas.env without a value).',
      )
      assert.equal(
        error.hint,
        [
          'Add to the section [env] of ~/_mypaas/config.toml on the server:',
          '  A = "…"',
          '  "x.y" = "…"',
          '  constructor = "…"',
          '  __proto__ = "…"',
          'Or from elsewhere: mypaas env set SERVER A',
        ].join('\n'),
      )
      return true
    },
  )
})

test('the message names the config that is meant', () => {
  assert.throws(
    () => sampleEnvironment({ service: 'blog', env: [{ key: 'A' }] }, {}, { config: '/srv/home/_mypaas/config.toml' }),
    (error) =>
      error instanceof MypaasError && error.hint?.includes('[env] of /srv/home/_mypaas/config.toml on') === true,
  )
})

test('a value that no process can be started with is refused by its name, before anything is touched', () => {
  const spec = { service: 'blog', env: [{ key: 'KEYSTORE' }, { key: 'SMALL', value: 'x' }] }
  assert.equal(sampleEnvironment(spec, { KEYSTORE: 'k'.repeat(128 * 1024 - 10) })[0]?.length, 128 * 1024 - 1)
  assert.throws(() => sampleEnvironment(spec, { KEYSTORE: 'k'.repeat(128 * 1024 - 9) }), /KEYSTORE is too long/)
  assert.throws(
    () => sampleEnvironment(spec, { KEYSTORE: 'k'.repeat(200 * 1024) }),
    (error) =>
      error instanceof MypaasError &&
      error.code === 'directives' &&
      error.message ===
        'KEYSTORE is too long: with 200 KiB no process can be started, at most 128 KiB are possible for a variable and its name.',
  )
})
