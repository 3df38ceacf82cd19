import assert from 'node:assert/strict'
import test from 'node:test'
import { differences } from '../../src/deploy/preview.ts'
import { changedSecrets, secretMarks } from '../../src/deploy/secrets.ts'
import { parseSpec } from '../../src/service/parse.ts'

test('a plan names every setting that changes, of variables the names only', () => {
  const before = parseSpec(`# mypaas.service=blog
# mypaas.url=https://example.com
# mypaas.env=COLOR=s3cret-blue
# mypaas.env=OLD=1
# mypaas.volume=~/data:/data
FROM scratch`)
  const now = parseSpec(`# mypaas.service=blog
# mypaas.url=https://www.example.com/shop
# mypaas.env=COLOR=s3cret-red
# mypaas.env=TOKEN
# mypaas.volume=~/data:/data:ro
# mypaas.port=8080
# mypaas.scale=2 safe
# mypaas.healthcheck=/up 10s 2s
# mypaas.grace=90s
# mypaas.maxcpu=1.5
# mypaas.maxmem=512m
FROM scratch`)
  assert.deepEqual(differences(before, now), [
    '- url https://example.com',
    '+ url https://www.example.com/shop',
    '- volume ~/data:/data',
    '+ volume ~/data:/data:ro',
    '- env OLD',
    '+ env TOKEN',
    '~ env COLOR',
    '~ port 80 → 8080',
    '~ scale none → 2 safe',
    '~ healthcheck none → /up 10s 2s',
    "~ grace the server's → 90s",
    '~ maxcpu none → 1.5',
    '~ maxmem none → 512 MiB',
  ])
  assert.deepEqual(differences(now, now), [])
})

test('of a secret a mark is kept that shows a change and nothing of the value', () => {
  const spec = parseSpec('# mypaas.service=blog\n# mypaas.env=A\n# mypaas.env=B\n# mypaas.env=PLAIN=1\nFROM scratch')
  const marks = (values: Record<string, string>, markKey = 'k'): Readonly<Record<string, string>> =>
    secretMarks({ markKey }, spec, values)
  const first = marks({ A: 'one', B: 'one' })
  assert.deepEqual(Object.keys(first), ['A', 'B'])
  assert.notEqual(first['A'], first['B'], 'the same value of two secrets does not show')
  assert.notEqual(first['A'], marks({ A: 'one', B: 'one' }, 'other')['A'])
  assert.ok(!JSON.stringify(first).includes('one'))
  assert.deepEqual(changedSecrets(first, marks({ A: 'one', B: 'two' })), ['B'])
  assert.deepEqual(changedSecrets(first, marks({ A: 'one' })), ['B'])
  assert.deepEqual(changedSecrets(first, first), [])
})
