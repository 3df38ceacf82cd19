import assert from 'node:assert/strict'
import { test } from 'node:test'
import { declaredVolumes } from '../../src/service/dockerfile.ts'

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
