import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MypaasError } from '../../src/errors.ts'
import { specFromLabels, specLabel, specToLabels } from '../../src/service/labels.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { golden } from './golden.ts'

function refused(value: string): string {
  try {
    specFromLabels({ [specLabel]: value })
  } catch (error) {
    assert.ok(error instanceof MypaasError && error.code === 'failed' && error.hint !== undefined)
    return error.message
  }
  return 'accepted'
}

test('an image carries its spec as readable JSON, without the value of a secret', () => {
  const spec = parseSpec(
    '# mypaas.service=db\n# mypaas.env=PASSWORD\n# mypaas.env="A= b "\n# mypaas.scale=2 safe\nFROM x',
  )
  assert.deepEqual(specToLabels(spec), {
    'mypaas.image.spec':
      '{"version":1,"directives":[["service","db"],["env","PASSWORD"],["env","A= b "],["port","80"],["scale","2 safe"]]}',
  })
})

test('every spec comes back from its labels as it was', () => {
  const all = [
    `# mypaas.service=every\n# mypaas.url=https://a.b/c\n# mypaas.url=http://*.a.b\n# mypaas.volume=~/a b:/c:ro
# mypaas.volume=vol:/d\n# mypaas.volume=/srv/x:/e\n# mypaas.env=A\n# mypaas.env=B=\n# mypaas.env='C="c"'\n# mypaas.env="D= d "
# mypaas.env=E="e\n# mypaas.port=8080\n# mypaas.publish=80\n# mypaas.publish=127.0.0.1::81/udp\n# mypaas.publish=[::1]:82:82
# mypaas.publish=9000-9003:9000-9003\n# mypaas.publish=8000-8010:83/sctp\n# mypaas.scale=1 safe\n# mypaas.healthcheck=/a?b=1 1.5s 500ms
# mypaas.start_timeout=1.5m\n# mypaas.grace=90s\n# mypaas.maxcpu=0.25\n# mypaas.maxmem=1.5g`,
    '# mypaas.service=zero\n# mypaas.scale=0',
    ...golden.flatMap(({ dockerfile, spec }) => (spec ? [dockerfile] : [])),
  ]
  for (const dockerfile of all) {
    const spec = parseSpec(dockerfile)
    assert.deepEqual(specFromLabels({ other: 'label', ...specToLabels(spec) }), spec)
  }
})

test('an image without the label has no spec', () => {
  assert.equal(specFromLabels({}), undefined)
  assert.equal(specFromLabels({ 'mypaas.image': '1' }), undefined)
})

test('a label that this version can not follow is an error, never half a spec', () => {
  const directives = (...pairs: unknown[]): string => JSON.stringify({ version: 1, directives: pairs })
  assert.match(refused(''), /it begins with ""/)
  assert.match(refused('null'), /it begins with "null"/)
  assert.match(refused('[]'), /it begins with "\[\]"/)
  assert.match(refused('{"version":2,"directives":[]}'), /it has version "2", not 1/)
  assert.match(refused('{"version":"1"}x'), /it begins with/)
  assert.match(refused(directives()), /No line says what the service is called/)
  assert.match(refused('{"version":1,"directives":7}'), /No line says what the service is called/)
  assert.match(
    refused(directives(['service', 'blog'], ['canary', '10%'])),
    /mypaas\.canary: there is no such directive/,
  )
  assert.match(refused(directives(['service', 'blog'], ['url', 'https://a`b'])), /mypaas\.url: the host/)
  assert.match(refused(directives(['service', 'blog'], ['volume', '~/.ssh:/x'])), /~\/\.ssh is not mounted/)
  assert.match(refused(directives(['service', 'blog'], ['env', 'A=a\nb'])), /the value of "env" has characters in it/)
  assert.match(refused(directives(['service', 'blog'], null)), /there is no such directive/)
  assert.match(refused(directives(['service', { a: 1 }])), /can't be the name of a service/)
})
