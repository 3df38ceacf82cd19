import assert from 'node:assert/strict'
import { test } from 'node:test'
import { baseImages } from '../../src/service/dockerfile.ts'
import { sampleEnvironment } from '../../src/service/environment.ts'
import { containerName, imageReference, networkAliases } from '../../src/service/names.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { DirectiveError } from '../../src/service/problems.ts'
import type { ServiceSpec } from '../../src/service/spec.ts'
import { golden, secrets } from './golden.ts'

const defaults: Omit<ServiceSpec, 'service'> = {
  urls: [],
  volumes: [],
  env: [],
  port: 80,
  publish: [],
  scale: undefined,
  rollout: 'stop-first',
  healthcheck: undefined,
  startTimeoutMs: undefined,
  graceMs: undefined,
  maxCpu: undefined,
  maxMemoryBytes: undefined,
}

test('the table has all 25 Dockerfiles', () => {
  assert.equal(golden.length, 25)
  assert.equal(new Set(golden.map(({ title }) => title)).size, 25)
})

for (const { title, dockerfile, spec, container, errors } of golden) {
  if (errors) {
    test(`as it was known, or better: ${title} is refused`, () => {
      assert.throws(
        () => parseSpec(dockerfile),
        (error) => error instanceof DirectiveError && error.message === errors.join('\n'),
      )
    })
    continue
  }
  test(`as it was known, or better: ${title}`, () => {
    const parsed = parseSpec(dockerfile)
    assert.deepEqual(parsed, { ...defaults, ...spec })

    assert.ok(container)
    const replicas = Array.from({ length: Math.max(1, parsed.scale ?? 0) }, (_, index) => index + 1)
    assert.equal(container.image, imageReference(parsed.service, 1))
    assert.deepEqual(
      container.names,
      replicas.map((replica) => containerName(parsed.service, 1, replica)),
    )
    assert.deepEqual(container.aliases, networkAliases(parsed.service))
    assert.deepEqual(
      container.env.filter((variable) => !variable.startsWith('MYPAAS_')),
      sampleEnvironment(parsed, secrets),
    )
    assert.equal(container.memoryBytes, parsed.maxMemoryBytes)
    assert.equal(container.nanoCpus, parsed.maxCpu === undefined ? undefined : parsed.maxCpu * 1e9)
    assert.equal(container.order, parsed.rollout)
    assert.equal(
      container.pull,
      baseImages(dockerfile).some(({ image }) => image.endsWith(':latest')),
    )
    assert.deepEqual(
      container.outside,
      parsed.volumes.flatMap((mount) => (mount.kind === 'host' ? [mount.path] : [])),
    )
  })
}
