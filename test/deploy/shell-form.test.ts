import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shellForm, shellFormNotes } from '../../src/deploy/shell-form.ts'
import { declaredCommand } from '../../src/service/dockerfile.ts'

const sh = (command: string): string[] => ['/bin/sh', '-c', command]
const run = (entrypoint: string[], cmd: string[], environment: string[] = []) =>
  shellForm({ entrypoint, cmd }, environment)?.command

test('of a command in shell form the program takes the place of the shell', () => {
  assert.deepEqual(run([], sh('node y')), { entrypoint: [], cmd: sh('exec node y') })
  assert.deepEqual(run(sh('node y'), sh('never')), { entrypoint: sh('exec node y'), cmd: sh('never') })
  assert.deepEqual(run(['/usr/bin/tini', '-g', '--'], sh('node y')), {
    entrypoint: ['/usr/bin/tini', '-g', '--'],
    cmd: sh('exec node y'),
  })
  assert.deepEqual(run([], ['/bin/bash', '-eo', 'pipefail', '-c', 'node y', 'name']), {
    entrypoint: [],
    cmd: ['/bin/bash', '-eo', 'pipefail', '-c', 'exec node y', 'name'],
  })
})

test('what is no shell form, or not simple, stays as it is', () => {
  assert.equal(run([], ['node', 'y']), undefined)
  assert.equal(run([], []), undefined)
  assert.equal(run(['/entry.sh'], sh('node y')), undefined, 'the script alone knows what it makes of it')
  assert.deepEqual(run([], sh('node y | tee log')), { entrypoint: [], cmd: sh('node y | tee log') })
  assert.deepEqual(run([], sh('node y'), ['BASH_ENV=/x']), { entrypoint: [], cmd: sh('node y') })
})

test('the plan tells what is done, or what it means that nothing is', () => {
  const notes = (command: string) => shellFormNotes(shellForm({ entrypoint: [], cmd: sh(command) }, []))
  assert.match(notes('node y').join(), /^CMD node y is run with exec before its last program/)
  assert.match(notes('node y | tee log').join(), /^CMD node y \| tee log runs behind a shell\. .*CMD \["program"/)
  assert.deepEqual(notes('exec node y'), [])
  assert.deepEqual(shellFormNotes(undefined), [])
})

test('the command of a Dockerfile is that of its last stage', () => {
  assert.deepEqual(declaredCommand('FROM a\nCMD x\nFROM b\nCMD node \\\n  y\n'), {
    entrypoint: [],
    cmd: sh('node   y'),
  })
  assert.deepEqual(declaredCommand('FROM a\nSHELL ["/bin/bash", "-c"]\nENTRYPOINT x\nCMD ["y", "z"]\n'), {
    entrypoint: ['/bin/bash', '-c', 'x'],
    cmd: ['y', 'z'],
  })
  assert.deepEqual(declaredCommand("FROM a\nCMD ['x']\n"), { entrypoint: [], cmd: sh("['x']") })
  assert.equal(declaredCommand('FROM a\nCMD x\nFROM b\nONBUILD CMD y\n'), undefined)
})
