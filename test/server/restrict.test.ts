// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Dockerfiles
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { imageReferences } from '../../src/server/restrict.ts'

const read = (...lines: string[]) => imageReferences(lines.join('\n'), 'blog')

test('every image that a Dockerfile names is found, with the ARGs above the first FROM filled in', () => {
  assert.deepEqual(
    read(
      '# syntax=docker/dockerfile:1.7',
      'ARG BASE=debian',
      'ARG TAG=12 FULL="${BASE}:${TAG}"',
      'FROM --platform=linux/amd64 $FULL AS Build',
      'FROM ${BASE:-x}:${NONE_SET_BUT_DECLARED:-slim}',
      'COPY --from=build /a /a',
      'COPY --chown=1:1 --from=shop:r7 /a /a',
      'COPY --from=0 /a /a',
      'RUN --mount=type=bind,from=node:20,source=/x,target=/y --network=none true --from=no',
      'ONBUILD COPY --from=evil:r1 / /',
      'from scratch',
      'FROM build',
    ),
    {
      images: ['debian:12', 'shop:r7', 'node:20', 'evil:r1'],
      problems: ['the image "${BASE:-x}:${NONE_SET_BUT_DECLARED:-slim}": it can\'t be told which one that is'],
    },
  )
})

test('what can be read in two ways is refused', () => {
  const problem = (line: string, ...more: string[]): void => {
    const { problems, images } = read(line, ...more)
    assert.ok(problems.length > 0, `${line} → ${JSON.stringify(images)}`)
  }
  problem('FROM $NOWHERE')
  problem('FROM ${TARGETOS:+shop:r7}')
  problem('ARG TARGETOS=', 'FROM ${TARGETOS:+shop:r7}')
  problem('ARG HTTP_PROXY', 'FROM ${HTTP_PROXY:-python}')
  problem('ARG A=\\shop', 'FROM $A')
  problem('FROM x', 'ARG FROM=python', 'COPY --from=$FROM /a /b')
  problem('FROM x', 'ENV I=python', 'RUN --mount=type=bind,from=${I},target=/y true')
  problem('FROM x', 'RUN --mount=type=cache,target=/root/.cache true')
  problem('FROM x', 'RUN --mount=type=cache,id=shop-npm,target=/root/.cache true')
  problem('# syntax=evil/frontend', 'FROM x')
  problem('#syntax = docker.io/evil/frontend:1', 'FROM x')
  problem('// syntax=evil/frontend', 'FROM x')
  problem('{"syntax": "evil/frontend"}', 'FROM x')
  problem('FROM')
  assert.deepEqual(read('FROM x', 'RUN --mount=type=cache,id=blog-npm,target=/root/.cache true').problems, [])
})

test('a here-document hides nothing from a builder that knows none', () => {
  assert.deepEqual(read('FROM x', 'RUN <<EOF', 'FROM shop:r7', 'EOF').images, ['x', 'shop:r7'])
  assert.deepEqual(read('FROM x', 'COPY <<EOF /a', 'COPY --from=shop:r7 / /', 'EOF').images, ['x', 'shop:r7'])
})

test('names across lines, quotes and other cases are the same names', () => {
  assert.deepEqual(read('FROM \\', '  "shop:r7" \\', '# a comment', '  AS x').images, ['shop:r7'])
  assert.deepEqual(read('# escape=`', 'FROM `', 'shop:r7').images, ['shop:r7'])
  assert.deepEqual(read('FROM x', 'copy --FROM=shop:r7 / /').images, ['x', 'shop:r7'])
  assert.deepEqual(read('FROM x AS shop', 'COPY --from=SHOP / /').images, ['x'])
  assert.deepEqual(read('FROM x', 'COPY --from=5 / /').images, ['x', '5'])
  assert.deepEqual(read('FROM x', "RUN --mount='type=bind,from=shop:r7,target=/y' true").images, ['x', 'shop:r7'])
})
