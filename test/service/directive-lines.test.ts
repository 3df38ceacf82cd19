import assert from 'node:assert/strict'
import { test } from 'node:test'
import { directiveLines } from '../../src/service/directive-lines.ts'
import { parseSpec } from '../../src/service/parse.ts'

test('every entry of a spec has its line, a range of ports has one for all', () => {
  const dockerfile = `FROM scratch
# mypaas.service = blog
# mypaas.publish = 8000-8002:80-82
# mypaas.volume = ~/blog/a:/a
# mypaas.env = A=1
# mypaas.url = http://blog.test
RUN true
# mypaas.grace = 2s
# mypaas.publish = 9000-9010:90
# mypaas.env = SECRET
# mypaas.volume = ~/blog/b:/b
`
  const lines = directiveLines(dockerfile)
  assert.deepEqual(lines, {
    urls: [6],
    volumes: [4, 11],
    env: [5, 10],
    publish: [3, 3, 3, 9],
    startTimeout: [],
    grace: [8],
  })
  const spec = parseSpec(dockerfile)
  for (const list of ['urls', 'volumes', 'env', 'publish'] as const) assert.equal(lines[list].length, spec[list].length)
})
