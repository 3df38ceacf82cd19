import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lossWarnings } from '../../src/deploy/image-volumes.ts'
import { declaredVolumes } from '../../src/service/dockerfile.ts'
import { parseSpec } from '../../src/service/parse.ts'

const cases: Readonly<
  Record<string, readonly [dockerfile: string, paths: readonly string[], base: string | undefined]>
> = {
  words: ['FROM node:22\nVOLUME /a/ "/b" /a', ['/a', '/b'], 'node:22'],
  'a list': ['FROM node:22\nVOLUME ["/a b", "/c"]', ['/a b', '/c'], 'node:22'],
  'the last stage only': ['FROM node:22 AS build\nVOLUME /a\nFROM nginx\nVOLUME /b', ['/b'], 'nginx'],
  'a stage on another': ['FROM node:22 AS a\nVOLUME /a\nFROM x AS b\nFROM A\nVOLUME /b', ['/a', '/b'], 'node:22'],
  'what can not be told': ['ARG V=22\nFROM node:$V\nVOLUME $D/x data\nONBUILD VOLUME /c', [], 'node:22'],
  'nothing below': ['FROM scratch\nVOLUME /a', ['/a'], undefined],
  'no stage at all': ['VOLUME /a', [], undefined],
}

for (const [what, [dockerfile, paths, base]] of Object.entries(cases))
  test(`the volumes of a Dockerfile: ${what}`, () => assert.deepEqual(declaredVolumes(dockerfile), { paths, base }))

test('what a warning says to write for a volume can be written', () => {
  const own = ['# mypaas.service = db', '# mypaas.volume = ~/db/data:/data']
  const spec = parseSpec([...own, 'FROM x'].join('\n'))
  const lines = lossWarnings(['/var/lib', '/data', '/data/cache', '/root/.cache'], spec).map(
    (warning) => /# mypaas\.volume = .*$/.exec(warning)?.[0] ?? '',
  )
  assert.deepEqual(lines, [
    '# mypaas.volume = ~/db/var/lib:/var/lib',
    '# mypaas.volume = db-data-cache:/data/cache',
    '# mypaas.volume = db-root-cache:/root/.cache',
  ])
  assert.equal(parseSpec([...own, ...lines, 'FROM x'].join('\n')).volumes.length, 4)
})
