import assert from 'node:assert/strict'
import test from 'node:test'
import { urlWarnings } from '../../src/service/url-warnings.ts'

test('a host and path by http and https is warned of, with both lines and what is served', () => {
  const dockerfile = `# mypaas.service = both
# mypaas.url = http://x.test
# mypaas.url = https://other.test
FROM scratch
# mypaas.url = https://X.test/
# mypaas.url = https://y.test/docs/
# mypaas.url = http://y.test/docs
`
  assert.deepEqual(urlWarnings(dockerfile), [
    'Dockerfile:2 and Dockerfile:5: http://x.test and https://x.test are one host and path. Both are served, so nobody who comes by http is sent on to https. To have them sent on, leave out line 2.',
    'Dockerfile:7 and Dockerfile:6: http://y.test/docs and https://y.test/docs are one host and path. Both are served, so nobody who comes by http is sent on to https. To have them sent on, leave out line 7.',
  ])
})

test('URLs that only meet in part, or that are wrong, are not warned of', () => {
  for (const urls of [
    ['http://x.test/docs', 'https://x.test'],
    ['http://x.test', 'https://www.x.test'],
    ['http://x.test', 'http://x.test'],
    ['http://x.test', 'https://x.test:8443'],
  ]) {
    const lines = urls.map((url) => `# mypaas.url = ${url}\n`).join('')
    assert.deepEqual(urlWarnings(`# mypaas.service = a\n${lines}FROM scratch\n`), [], urls.join(' '))
  }
})
