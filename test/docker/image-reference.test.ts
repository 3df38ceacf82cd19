import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ImageReference, isSameImage, parseImageReference } from '../../src/docker/image-reference.ts'

const digest = `sha256:${'0a'.repeat(32)}`

test('names of images are completed as Docker completes them', () => {
  const show = (text: string): string | undefined => {
    const found = parseImageReference(text)
    return found && `${found.registry} ${found.repository} ${found.tag ?? '-'} ${found.digest ?? '-'}`
  }
  assert.deepEqual(
    Object.fromEntries(
      [
        'node',
        'node:22',
        `node@${digest}`,
        `node:22@${digest}`,
        'grafana/grafana',
        'docker.io/node',
        'index.docker.io/library/node:1',
        'localhost/x:1',
        'localhost:5000/x/y_z:1',
        '127.0.0.1:5000/x',
        '[::1]:5000/x',
        'ghcr.io/A/x',
        'HOST/x',
        'shop-web:r3',
      ].map((text) => [text, show(text)]),
    ),
    {
      node: 'docker.io library/node latest -',
      'node:22': 'docker.io library/node 22 -',
      [`node@${digest}`]: `docker.io library/node - ${digest}`,
      [`node:22@${digest}`]: `docker.io library/node 22 ${digest}`,
      'grafana/grafana': 'docker.io grafana/grafana latest -',
      'docker.io/node': 'docker.io library/node latest -',
      'index.docker.io/library/node:1': 'docker.io library/node 1 -',
      'localhost/x:1': 'localhost x 1 -',
      'localhost:5000/x/y_z:1': 'localhost:5000 x/y_z 1 -',
      '127.0.0.1:5000/x': '127.0.0.1:5000 x latest -',
      '[::1]:5000/x': '[::1]:5000 x latest -',
      'ghcr.io/A/x': undefined,
      'HOST/x': 'HOST x latest -',
      'shop-web:r3': 'docker.io library/shop-web r3 -',
    },
  )
  for (const text of [
    '',
    ':1',
    'a//b',
    'a b',
    'A',
    'a:',
    'a@sha256:12',
    `a@${digest}@${digest}`,
    '/a',
    'a/',
    'http://x/a',
  ])
    assert.equal(parseImageReference(text), undefined, text)
})

test('a name allows what its digest or its tag says, in its own registry', () => {
  const same = (allowed: string, used: string): boolean =>
    isSameImage(parseImageReference(allowed) as ImageReference, parseImageReference(used) as ImageReference)
  assert.equal(same('node', `docker.io/library/node:latest@${digest}`), true)
  assert.equal(same(`node:22@${digest}`, `node@${digest}`), true)
  assert.equal(same(`node:22@${digest}`, 'node:22'), false)
  assert.equal(same('node:22', `node@${digest}`), false)
  assert.equal(same('node:22', 'quay.io/library/node:22'), false)
})
