import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseIgnore } from '../../src/context/ignore.ts'
import { MypaasError } from '../../src/errors.ts'

test('lines are read as Docker reads them: comments, blanks, byte order mark, slashes, dots', () => {
  const text = [
    '\uFEFF# a comment',
    ' # not a comment, but a file name',
    '  /top/  ',
    '\ta/./b/../c\t',
    '! /top/keep ',
    '',
    '   ',
    'crlf\r',
    './!odd',
  ].join('\n')
  const rules = parseIgnore(text)
  const ignored = (path: string) => rules.ignores(path)
  assert.deepEqual(
    [
      '# a comment',
      '# not a comment, but a file name',
      'top',
      'top/x',
      'top/keep',
      'a/c',
      'a/b',
      'crlf',
      'odd',
      '!odd',
    ].map(ignored),
    [false, true, true, true, false, true, false, true, false, false],
  )
})

test('an empty file, and one of comments, ignore nothing', () => {
  for (const text of ['', '\n\n', '# x\n#y', '\uFEFF', '.', '/']) {
    const rules = parseIgnore(text)
    assert.equal(rules.ignores('a/b'), false, JSON.stringify(text))
    assert.equal(rules.canSkipDirectory('a'), false, JSON.stringify(text))
  }
  assert.equal(parseIgnore('# x').isEmpty, true)
})

test('every line that is no pattern is named at once, with the file', () => {
  assert.throws(
    () => parseIgnore('ok\n[x-\n!\nalso ok\n!/\n\\', { name: 'web.Dockerfile.dockerignore' }),
    (error) => {
      assert.ok(error instanceof MypaasError)
      assert.equal(error.code, 'context')
      assert.match(error.hint ?? '', /\\/)
      assert.deepEqual(
        error.message.split('\n').map((line) => /^.* line \d+: bad pattern "(?:[^"\\]|\\.)*"/.exec(line)?.[0]),
        [2, 3, 5, 6].map(
          (line, index) =>
            `web.Dockerfile.dockerignore line ${line}: bad pattern ${['"[x-"', '"!"', '"!"', '"\\\\"'][index]}`,
        ),
      )
      return true
    },
  )
})

test('an ignored directory is skipped unless a later exception could match below it', () => {
  const skips = (text: string, directory: string) => parseIgnore(text).canSkipDirectory(directory)
  assert.deepEqual(
    [
      skips('docs', 'docs'),
      skips('docs', 'docs/deep'),
      skips('docs', 'src'),
      skips('docs\n!docs/README.md', 'docs'),
      skips('docs\n!docs/README.md', 'docs/deep'),
      skips('!docs/README.md\ndocs', 'docs'),
      skips('docs\n!src/README.md', 'docs'),
      skips('docs\n!*/README.md', 'docs'),
      skips('docs\n!d?c*/README.md', 'docs'),
      skips('docs\n!x?c*/README.md', 'docs'),
      skips('docs\n!**/README.md', 'docs/deep'),
      skips('docs\n!docs', 'docs'),
      skips('docs\n!doc[a-z]/x', 'docs'),
      skips('**\n!a/b/c', 'a/b'),
      skips('**\n!a/b/c', 'a/c'),
      skips('**\n!a/b/c\na/b', 'a/b'),
    ],
    // The last: docker does not ask `a/b` of a directory that is left out already, so that it undoes no exception below.
    [true, true, false, false, true, true, true, false, false, true, false, false, false, false, true, false],
  )
})

test('an exception that a directory did not need brings nothing in it back, as with docker', () => {
  const rows: readonly (readonly [text: string, path: string, ignored: boolean])[] = [
    ['**/.env\n!config', 'config/.env', true],
    ['**/.env\n!config', 'config/app.yml', false],
    ['**/node_modules\n!src/', 'src/node_modules/x.js', true],
    ['**/*.log\n!keep', 'keep/deep/a.log', true],
    ['*/tmp\n!app', 'app/tmp/a', true],
    ['config\n**/.env\n!config', 'config/.env', false],
    ['config\n!config', 'config/.env', false],
    ['d*\n!d/f\nd', 'd/f', false],
    ['d*\n!d/f\nd', 'd/g', true],
    ['d*\n!d/f\nd/f', 'd/f', true],
  ]
  const wrong = rows.filter(([text, path, ignored]) => parseIgnore(text).ignores(path) !== ignored)
  assert.deepEqual(wrong, [])
})

/** Without any shortcut, directory by directory: a pattern counts where it changes something, and for all below that. */
function slowIgnores(patterns: readonly string[], path: string): boolean {
  const parts = path.split('/')
  let ignored = false
  let counting: ReadonlySet<number> = new Set()
  for (const [index] of parts.entries()) {
    const above = counting
    const here = new Set(above)
    ignored = false
    for (const [number, line] of patterns.entries()) {
      const exception = line.startsWith('!')
      const asked = exception === ignored
      const one = parts.slice(0, index + 1).join('/')
      if (!above.has(number) && !(asked && slowMatches(exception ? line.slice(1) : line, one))) continue
      here.add(number)
      ignored = !exception
    }
    counting = here
  }
  return ignored
}

function slowMatches(pattern: string, path: string): boolean {
  // Three forms are compared as text, the way moby does it; `**a` is one of them, and matches the end of any name.
  const rest = pattern.slice(2)
  if (pattern.startsWith('**') && !/[*?[\\]/.test(rest)) return path.endsWith(rest) || `/${path}` === rest
  const source = pattern.replace(/\*\*\/?(?=.)|\*\*$|\*|\?|\[[^\]]*\]|\\.|[^a-z]/gsu, (piece, at: number) => {
    if (piece.startsWith('**')) return at + piece.length === pattern.length ? '.*' : '(?:.*/)?'
    if (piece === '*') return '[^/]*'
    if (piece === '?') return '[^/]'
    return piece.length > 1 ? piece : `\\${piece}`
  })
  return new RegExp(`^${source}$`, 'u').test(path)
}

const name = fc.stringMatching(/^[ab.]{1,3}$/).filter((text) => !/^\.+$/.test(text))
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
const piece = fc.oneof(
  { weight: 3, arbitrary: name },
  {
    weight: 1,
    arbitrary: fc.constantFrom('*', '?', '**', '*.a', 'a*', '*b*', '[ab]', '[^a]', 'a?', '**a', 'b**', '\\a', '\\.'),
  },
)
const pattern = fc
  .tuple(fc.boolean(), fc.array(piece, { minLength: 1, maxLength: 4 }))
  // Two in a row are one to us, and a second way to say so to Docker.
  .map(([exception, parts]) => (exception ? '!' : '') + parts.join('/'))
  .filter((text) => !text.includes('\\a') && !/^!?\*\*a\/|\*\*\*/.test(text))

test('the rules say what the slow matcher says, for any path asked in any order', () => {
  fc.assert(
    fc.property(
      fc.array(pattern, { maxLength: 6 }),
      fc.array(path, { minLength: 1, maxLength: 8 }),
      (patterns, paths) => {
        const rules = parseIgnore(patterns.join('\n'))
        assert.deepEqual(
          paths.map((one) => rules.ignores(one)),
          paths.map((one) => slowIgnores(patterns, one)),
        )
      },
    ),
    { numRuns: 3000 },
  )
})

test('nothing that would be sent lies below a directory that may be skipped', () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 6 }), path, path, (patterns, directory, below) => {
      const rules = parseIgnore(patterns.join('\n'))
      if (rules.canSkipDirectory(directory)) assert.equal(slowIgnores(patterns, `${directory}/${below}`), true)
    }),
    { numRuns: 3000 },
  )
})
