import assert from 'node:assert/strict'
import test from 'node:test'
import { type EngineFacts, unfit } from '../../src/server/engine.ts'

const good: EngineFacts = {
  kind: 'unix',
  apiVersion: '1.41',
  os: 'linux',
  securityOptions: ['name=apparmor', 'name=seccomp,profile=default'],
  components: ['Engine', 'containerd', 'runc', 'docker-init'],
}

test('an engine of this machine that runs as root and is of 2020 or younger will do', () => {
  assert.equal(unfit(good), undefined)
  assert.equal(unfit({ ...good, apiVersion: '1.52' }), undefined)
  assert.equal(unfit({ ...good, apiVersion: '2.0' }), undefined)
})

test('engines on which the promises could not be kept are refused, each with the reason and what to do', () => {
  const refused: readonly [Partial<EngineFacts>, RegExp][] = [
    [{ kind: 'tcp' }, /on another machine/],
    [{ kind: 'ssh' }, /on another machine/],
    [{ securityOptions: ['name=seccomp', 'name=rootless'] }, /rootless/],
    [{ components: ['Podman Engine', 'Conmon'] }, /Podman/],
    [{ os: 'windows' }, /windows containers/],
    [{ apiVersion: '1.40' }, /speaks API 1\.40; 1\.41 is needed/],
  ]
  for (const [facts, message] of refused) {
    const found = unfit({ ...good, ...facts })
    assert.match(found?.message ?? '', message)
    assert.match(found?.hint ?? '', /docs\.docker\.com|DOCKER_HOST/)
  }
})
