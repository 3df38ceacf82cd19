import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MypaasError } from '../src/errors.ts'

test('an error has its message, its code, and a hint only where one was given', () => {
  const plain = new MypaasError('The build failed.', { code: 'failed' })
  const hinted = new MypaasError('No Dockerfile in ./site.', { code: 'usage', hint: 'Give the directory that has it.' })
  assert.deepEqual([plain.message, plain.code, plain.hint], ['The build failed.', 'failed', undefined])
  assert.deepEqual(
    [hinted.message, hinted.code, hinted.hint],
    ['No Dockerfile in ./site.', 'usage', 'Give the directory that has it.'],
  )
})

test('it is an Error with a name and a stack, whatever is derived from it', () => {
  class PushError extends MypaasError {
    override readonly name = 'PushError'
  }
  const error = new PushError('Cut off.', { code: 'unreachable' })
  assert.ok(error instanceof Error)
  assert.ok(error instanceof MypaasError)
  assert.equal(String(error), 'PushError: Cut off.')
  assert.match(error.stack ?? '', /errors\.test/)
  assert.equal(new MypaasError('', { code: 'usage' }).name, 'MypaasError')
})

test('the cause is kept; without one there is no such property', () => {
  const cause = new Error('ECONNREFUSED')
  assert.equal(new MypaasError('No engine.', { code: 'unreachable', cause }).cause, cause)
  assert.equal('cause' in new MypaasError('No engine.', { code: 'unreachable' }), false)
})
