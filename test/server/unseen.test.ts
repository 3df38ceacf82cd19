import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

test('a promise that fails while nobody looks ends no daemon: it is told and written down', () => {
  const script = `
    import { catchUnseen } from ${JSON.stringify(new URL('../../src/server/daemon.ts', import.meta.url).href)}
    const audit = {
      async write({ from, action, outcome }) {
        console.log('audit', from, action, outcome)
        throw new Error('a full disk')
      },
    }
    catchUnseen(audit, (line) => console.log(line.split('\\n')[0]))
    void Promise.reject(new RangeError('too much'))
    setTimeout(() => console.log('lives'), 50)`
  // One of node:test's own would be the first to see it.
  const output = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script])
  assert.deepEqual(output.toString().split('\n'), [
    'a bug: a promise failed and nobody looked: RangeError: too much',
    'audit daemon bug failed',
    'lives',
    '',
  ])
})
