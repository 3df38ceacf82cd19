import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseIgnore } from '../../src/context/ignore.ts'
import { compilePattern } from '../../src/context/pattern.ts'

/**
 * What Docker's own matcher (moby/patternmatcher) is tested with, written down again. `below`: the path does not match by
 * itself, but it lies in a directory that does.
 */
const single: readonly (readonly [pattern: string, path: string, match: 'yes' | 'below' | 'no'])[] = [
  ['**', 'file', 'yes'],
  ['**', 'file/', 'yes'],
  ['**/', 'file', 'yes'],
  ['**/', 'file/', 'yes'],
  ['**', '/', 'yes'],
  ['**/', '/', 'yes'],
  ['**', 'dir/file', 'yes'],
  ['**/', 'dir/file', 'yes'],
  ['**', 'dir/file/', 'yes'],
  ['**/', 'dir/file/', 'yes'],
  ['**/**', 'dir/file', 'yes'],
  ['**/**', 'dir/file/', 'yes'],
  ['dir/**', 'dir/file', 'yes'],
  ['dir/**', 'dir/file/', 'yes'],
  ['dir/**', 'dir/dir2/file', 'yes'],
  ['dir/**', 'dir/dir2/file/', 'yes'],
  ['**/dir', 'dir', 'yes'],
  ['**/dir', 'dir/file', 'below'],
  ['**/dir2/*', 'dir/dir2/file', 'yes'],
  ['**/dir2/*', 'dir/dir2/file/', 'below'],
  ['**/dir2/**', 'dir/dir2/dir3/file', 'yes'],
  ['**/dir2/**', 'dir/dir2/dir3/file/', 'yes'],
  ['**file', 'file', 'yes'],
  ['**file', 'dir/file', 'yes'],
  ['**/file', 'dir/file', 'yes'],
  ['**file', 'dir/dir/file', 'yes'],
  ['**/file', 'dir/dir/file', 'yes'],
  ['**/file*', 'dir/dir/file', 'yes'],
  ['**/file*', 'dir/dir/file.txt', 'yes'],
  ['**/file*txt', 'dir/dir/file.txt', 'yes'],
  ['**/file*.txt', 'dir/dir/file.txt', 'yes'],
  ['**/file*.txt*', 'dir/dir/file.txt', 'yes'],
  ['**/**/*.txt', 'dir/dir/file.txt', 'yes'],
  ['**/**/*.txt2', 'dir/dir/file.txt', 'no'],
  ['**/*.txt', 'file.txt', 'yes'],
  ['**/**/*.txt', 'file.txt', 'yes'],
  ['a**/*.txt', 'a/file.txt', 'yes'],
  ['a**/*.txt', 'a/dir/file.txt', 'yes'],
  ['a**/*.txt', 'a/dir/dir/file.txt', 'yes'],
  ['a/*.txt', 'a/dir/file.txt', 'no'],
  ['a/*.txt', 'a/file.txt', 'yes'],
  ['a/*.txt**', 'a/file.txt', 'yes'],
  ['a[b-d]e', 'ae', 'no'],
  ['a[b-d]e', 'ace', 'yes'],
  ['a[b-d]e', 'aae', 'no'],
  ['a[^b-d]e', 'aze', 'yes'],
  ['.*', '.foo', 'yes'],
  ['.*', 'foo', 'no'],
  ['abc.def', 'abcdef', 'no'],
  ['abc.def', 'abc.def', 'yes'],
  ['abc.def', 'abcZdef', 'no'],
  ['abc?def', 'abcZdef', 'yes'],
  ['abc?def', 'abcdef', 'no'],
  ['a\\\\', 'a\\', 'yes'],
  ['a\\*b', 'a*b', 'yes'],
  ['**/foo/bar', 'foo/bar', 'yes'],
  ['**/foo/bar', 'dir/foo/bar', 'yes'],
  ['**/foo/bar', 'dir/dir2/foo/bar', 'yes'],
  ['abc/**', 'abc', 'no'],
  ['abc/**', 'abc/def', 'yes'],
  ['abc/**', 'abc/def/ghi', 'yes'],
  ['**/.foo', '.foo', 'yes'],
  ['**/.foo', 'bar.foo', 'no'],
  ['a(b)c/def', 'a(b)c/def', 'yes'],
  ['a(b)c/def', 'a(b)c/xyz', 'no'],
  ['a.|)$(}+{bc', 'a.|)$(}+{bc', 'yes'],
  [
    'dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl',
    'dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl',
    'yes',
  ],
  ['dist/*.whl', 'dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl', 'yes'],
  // From the table that moby took over from Go's own file name patterns. Below a match counts: `a*` also stands for `ab/c`.
  ['abc', 'abc', 'yes'],
  ['*', 'abc', 'yes'],
  ['*c', 'abc', 'yes'],
  ['a*', 'a', 'yes'],
  ['a*', 'abc', 'yes'],
  ['a*', 'ab/c', 'below'],
  ['a*/b', 'abc/b', 'yes'],
  ['a*/b', 'a/c/b', 'no'],
  ['a*b*c*d*e*/f', 'axbxcxdxe/f', 'yes'],
  ['a*b*c*d*e*/f', 'axbxcxdxexxx/f', 'yes'],
  ['a*b*c*d*e*/f', 'axbxcxdxe/xxx/f', 'no'],
  ['a*b*c*d*e*/f', 'axbxcxdxexxx/fff', 'no'],
  ['a*b?c*x', 'abxbbxdbxebxczzx', 'yes'],
  ['a*b?c*x', 'abxbbxdbxebxczzy', 'no'],
  ['ab[c]', 'abc', 'yes'],
  ['ab[b-d]', 'abc', 'yes'],
  ['ab[e-g]', 'abc', 'no'],
  ['ab[^c]', 'abc', 'no'],
  ['ab[^b-d]', 'abc', 'no'],
  ['ab[^e-g]', 'abc', 'yes'],
  ['a\\*b', 'ab', 'no'],
  ['a?b', 'a☺b', 'yes'],
  ['a[^a]b', 'a☺b', 'yes'],
  ['a???b', 'a☺b', 'no'],
  ['a[^a][^a][^a]b', 'a☺b', 'no'],
  ['[a-ζ]*', 'α', 'yes'],
  ['*[a-ζ]', 'A', 'no'],
  ['a?b', 'a/b', 'no'],
  ['a*b', 'a/b', 'no'],
  ['[\\]a]', ']', 'yes'],
  ['[\\-]', '-', 'yes'],
  ['[x\\-]', 'x', 'yes'],
  ['[x\\-]', '-', 'yes'],
  ['[x\\-]', 'z', 'no'],
  ['[\\-x]', 'x', 'yes'],
  ['[\\-x]', '-', 'yes'],
  ['[\\-x]', 'a', 'no'],
  ['*x', 'xxx', 'yes'],
  // From moby's tests with one path each.
  ['*', 'fileutils.go', 'yes'],
  ['*.go', 'fileutils.go', 'yes'],
  ['*.go', '.', 'no'],
  ['docs', 'docs/README.md', 'below'],
  // Not in moby's tables; run against moby's matcher, which says the same.
  ['**/*~', 'src/.a~', 'yes'],
  ['*.tar.gz', 'a.tar.gz', 'yes'],
  ['*.tar.gz', 'a.gz', 'no'],
  ['a?b', 'a😀b', 'yes'],
  ['A', 'a', 'no'],
  ['[[:digit:]]x', '1x', 'yes'],
  ['[^a]b', '/b', 'yes'],
  ['x[^a]b', 'x/b', 'yes'],
  ['*.{js,ts}', 'a.{js,ts}', 'yes'],
  ['*.{js,ts}', 'a.js', 'no'],
  ['a]*', 'a]b', 'yes'],
  ['**/a**', 'x/y', 'no'],
  ['**/a**', 'x/ab/c', 'yes'],
  ['a\\d*', 'a1', 'yes'],
  ['a\\d*', 'ad', 'no'],
]

const several: readonly (readonly [patterns: readonly string[], path: string, ignored: boolean])[] = [
  [['**', '!util/docker/web'], 'util/docker/web/foo', false],
  [['**', '!util/docker/web', 'util/docker/web/foo'], 'util/docker/web/foo', true],
  [
    ['**', '!dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl'],
    'dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl',
    false,
  ],
  [['**', '!dist/*.whl'], 'dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl', false],
  [['!fileutils.go', '*.go'], 'fileutils.go', true],
  [['*.go', '!fileutils.go'], 'fileutils.go', false],
  [['docs', '!docs/README.md'], 'docs/README.md', false],
  [['docs/', '!docs/README.md'], 'docs/README.md', false],
  [['docs/*', '!docs/README.md'], 'docs/README.md', false],
  [['docs', 'config', ''], 'config/x', true],
  [['docs', '  !docs/README.md'], 'docs/README.md', false],
  [['docs', '!docs/README.md  '], 'docs/README.md', false],
  [[], '/any/path/there', false],
]

const malformed = [
  '[]a]',
  '[-]',
  '[x-]',
  '[-x]',
  '\\',
  '[a-b-c]',
  '[',
  '[^',
  '[^bc',
  'a[',
  '[Local-Only]/',
  // What Go's expressions refuse, or what Docker hands to them unescaped.
  '[z-a]',
  '\\y',
  'a|*',
  'a{2}*',
  '[[:nothing:]]',
  'a\\é',
]

test('each row of the matching tables gives what Docker gives', () => {
  const clean = (pattern: string) => pattern.replace(/(.)\/$/, '$1')
  const wrong = single.filter(([pattern, path, match]) => {
    const byItself = compilePattern(clean(pattern)).matches(path)
    return byItself !== (match === 'yes') || parseIgnore(pattern).ignores(path) !== (match !== 'no')
  })
  assert.deepEqual(wrong, [])
})

test('of several patterns the last one that matches decides', () => {
  const wrong = several.filter(
    ([patterns, path, ignored]) => parseIgnore(patterns.join('\n')).ignores(path) !== ignored,
  )
  assert.deepEqual(wrong, [])
})

test('a pattern that Docker refuses is refused', () => {
  for (const pattern of malformed) assert.throws(() => parseIgnore(pattern), { code: 'context' }, pattern)
})

test('which comparison stands for a pattern is what moby has in its table', () => {
  const forms: readonly (readonly [string, string])[] = [
    ['*', 'expression'],
    ['file*', 'expression'],
    ['*file', 'expression'],
    ['a*/b', 'expression'],
    ['**', 'suffix'],
    ['**/**', 'expression'],
    ['dir/**', 'prefix'],
    ['**/dir', 'suffix'],
    ['**/dir2/*', 'expression'],
    ['**/dir2/**', 'expression'],
    ['**file', 'suffix'],
    ['**/file*txt', 'expression'],
    ['**/**/*.txt', 'expression'],
    ['a[b-d]e', 'expression'],
    ['.*', 'expression'],
    ['abc.def', 'exact'],
    ['abc?def', 'expression'],
    ['**/foo/bar', 'suffix'],
    ['a(b)c/def', 'exact'],
    ['a.|)$(}+{bc', 'exact'],
    ['dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl', 'exact'],
  ]
  assert.deepEqual(
    forms.map(([pattern]) => [pattern, compilePattern(pattern).form]),
    forms,
  )
})

test('a pattern with many wildcards is quick on a path that almost matches', () => {
  const rules = parseIgnore(`${'*a'.repeat(30)}*b\n${'**/a/'.repeat(30)}b`)
  // Of the processor, not of the clock: others may be busy. Trying every combination would take ages.
  const before = process.cpuUsage()
  assert.equal(rules.ignores('a'.repeat(250)), false)
  assert.equal(rules.ignores('a/'.repeat(120)), false)
  assert.ok(process.cpuUsage(before).user < 1_000_000)
})
