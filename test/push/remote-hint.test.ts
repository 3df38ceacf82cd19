import assert from 'node:assert/strict'
import { test } from 'node:test'
import { remoteHint } from '../../src/push/remote-hint.ts'

test('a hint of a server names commands that go from here, where there are such', () => {
  const hints: Record<string, string> = {
    'See mypaas server status': 'See mypaas status prod',
    'Stop it: mypaas server stop web': 'Stop it: mypaas stop prod web',
    'Go back: mypaas server rollback web r3': 'Go back: mypaas rollback prod web r3',
    'Give it one: mypaas env set SERVER TOKEN --service web': 'Give it one: mypaas env set prod TOKEN --service web',
    'The newest one: mypaas attach SERVER': 'The newest one: mypaas attach prod',
    // What only somebody on the server can do stays.
    'mypaas server restart router': 'mypaas server restart router',
    'When that is mended: mypaas server reconcile web': 'When that is mended: mypaas server reconcile web',
    'The services: mypaas server status, or from elsewhere: mypaas status SERVER':
      'The services: mypaas server status, or from elsewhere: mypaas status prod',
  }
  for (const [hint, wanted] of Object.entries(hints)) assert.equal(remoteHint(hint, 'prod'), wanted)
})
