import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secretMask } from '../../src/deploy/secrets.ts'
import { specToLabels } from '../../src/service/labels.ts'
import { parseSpec } from '../../src/service/parse.ts'

const spec = parseSpec(
  '# mypaas.service=db\n# mypaas.env=PASSWORD\n# mypaas.env=PIN\n# mypaas.env=COLOR=turquoise\nFROM x\n',
)
const Env = ['COLOR=turquoise', 'PASSWORD=p=w"d%\nsecond line', 'PIN=1234', 'PATH=/usr/bin']

test('what a container wrote is shown without its secrets, however it wrote them', () => {
  const mask = secretMask({ Env, Labels: specToLabels(spec) })
  const said = [
    'password p=w"d%\nsecond line, color turquoise',
    JSON.stringify({ password: 'p=w"d%\nsecond line' }),
    `postgres://me:${encodeURIComponent('p=w"d%\nsecond line')}@db`,
    `Authorization: Basic ${Buffer.from('me:p=w"d%\nsecond line').toString('base64')}`,
  ]
  assert.deepEqual(said.map(mask), [
    'password •••, color turquoise',
    '{"password":"•••"}',
    'postgres://me:•••@db',
    'Authorization: Basic bWU6•••',
  ])
})

test('a secret too short to be one, and a container without a readable spec, leave the text as it is', () => {
  assert.equal(secretMask({ Env, Labels: specToLabels(spec) })('port 12345'), 'port 12345')
  for (const Labels of [null, {}, { 'mypaas.image.spec': '{' }])
    assert.equal(secretMask({ Env, Labels })('turquoise /usr/bin'), 'turquoise /usr/bin')
})
