import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSpec } from '../../src/service/parse.ts'
import { DirectiveError } from '../../src/service/problems.ts'
import { dockerfileWarnings } from '../../src/service/warnings.ts'

test('a parser directive that the builder takes for a comment is warned of with its line', () => {
  const lines = (...dockerfile: string[]): readonly (string | undefined)[] =>
    dockerfileWarnings(dockerfile.join('\n')).map((warning) => /^Dockerfile:(\d+: # \w+=)/.exec(warning)?.[1])
  assert.deepEqual(lines('# mypaas.service = x', '# syntax=docker/dockerfile:1', 'FROM x'), ['2: # syntax='])
  assert.deepEqual(lines('', '# Syntax = docker/dockerfile:1', '# escape=`', 'FROM x'), [
    '2: # syntax=',
    '3: # escape=',
  ])
  assert.deepEqual(lines('# syntax=docker/dockerfile:1', '# note', '# escape=`', 'FROM x'), ['3: # escape='])
  assert.deepEqual(lines('# syntax=docker/dockerfile:1', '# escape=`', '# mypaas.service = x', 'FROM x'), [])
  assert.deepEqual(lines('# mypaas.service = x', '# the syntax=old is gone', 'FROM x', '# syntax=of it'), [])
  assert.match(
    dockerfileWarnings('# a\n# syntax=docker/dockerfile:1\nFROM x', 'web.Dockerfile')[0] ?? '',
    /^web\.Dockerfile:2: # syntax= counts only in the first lines of the file, .* Move it to line 1\.$/,
  )
})

test('a byte order mark in the middle of a Dockerfile is a problem of its line, not a line without meaning', () => {
  const problems = (text: string): unknown => {
    try {
      return parseSpec(text).service
    } catch (error) {
      if (error instanceof DirectiveError) return error.message.split('\n')
      throw error
    }
  }
  const said = 'a byte order mark stands here, where two files were put together'
  const missing = (line: number, hint = `Remove it: sed -i '${line}s/\\xEF\\xBB\\xBF//' Dockerfile`) =>
    `Dockerfile:${line}: ${said}. ${hint}`
  assert.deepEqual(problems('# mypaas.service = x\n\uFEFFFROM x\n'), [missing(2)])
  assert.deepEqual(problems('# mypaas.service = x\n\uFEFF# mypaas.port = 80\nFROM x\n'), [missing(2)])
  assert.equal(problems('\uFEFF# mypaas.service = x\nFROM x\nRUN echo "\uFEFF"\n'), 'x')
})
