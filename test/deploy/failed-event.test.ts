import assert from 'node:assert/strict'
import test from 'node:test'
import { DeployError, failedEvent } from '../../src/deploy/why.ts'
import { MypaasError } from '../../src/errors.ts'

test('a failure is told to readers of events with all that people are told', () => {
  const report = { container: 'blog-r8-1', exitCode: 3, lastLines: ['boom'] }
  const error = new DeployError('blog-r8-1 exited with code 3.', {
    hint: 'Mend it.',
    now: 'r7 serves as before.',
    report,
  })
  assert.deepEqual(failedEvent(error), {
    type: 'failed',
    code: 'failed',
    message: 'blog-r8-1 exited with code 3.',
    hint: 'Mend it.',
    now: 'r7 serves as before.',
    report,
  })
  const usage = new MypaasError('There is no service x here.', { code: 'usage' })
  assert.deepEqual(failedEvent(usage), { type: 'failed', code: 'usage', message: 'There is no service x here.' })
})
