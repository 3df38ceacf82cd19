// biome-ignore-all lint/suspicious/noTemplateCurlyInString: text for shells
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { busyboxEntries } from '../../scripts/busybox.ts'
import { changesShells, isPlainShell, withExec } from '../../src/service/shell-command.ts'
import { long } from '../support/prove.ts'

test('the last program of a simple command takes the place of its shell', () => {
  for (const [command, expected] of [
    ['python server.py', 'exec python server.py'],
    ['  node  server.js\t', '  exec node  server.js\t'],
    ['./start.sh', 'exec ./start.sh'],
    ['/usr/local/bin/g++-12 -x', 'exec /usr/local/bin/g++-12 -x'],
    ['A=1 B="x y" node a', 'A=1 B="x y" exec node a'],
    ['A= node a', 'A= exec node a'],
    ['gunicorn -b 0.0.0.0:${PORT:-8000} app:app', 'exec gunicorn -b 0.0.0.0:${PORT:-8000} app:app'],
    [
      `java $JAVA_OPTS -jar "/app dir/\${NAME}.jar" 'a * b'`,
      `exec java $JAVA_OPTS -jar "/app dir/\${NAME}.jar" 'a * b'`,
    ],
    ['cd /app && node y', 'cd /app && exec node y'],
    ['cd /app&&node y', 'cd /app&&exec node y'],
    ['python manage.py migrate && gunicorn x', 'python manage.py migrate && exec gunicorn x'],
    ['export A=1; umask 022; node y 2>&1', 'export A=1; umask 022; exec node y 2>&1'],
  ] as const)
    assert.equal(withExec(command), expected)
})

test('what is not simple is left as it is', () => {
  for (const command of [
    '',
    ' ',
    'exec node y',
    'echo hi',
    'cd /app',
    'node y;',
    'node y &',
    'node y & wait',
    'node y | tee log',
    'node y || true',
    'node y > log',
    'node y < in',
    'node $(cat x)',
    'node `cat x`',
    'node *.js',
    'node ~/x',
    'node a\\ b',
    'node "a\\"b"',
    'node "$(id)"',
    'node y # why',
    'node y\nnode z',
    '$PROGRAM y',
    '"node" y',
    '-a node y',
    'A=1',
    'PATH=/x node y',
    'set -e; node y',
    '. ./env && node y',
    'source env; node y',
    'trap x EXIT; node y',
    'A=1 cd x && node y',
    'if true; then node y; fi',
    '(node y)',
    '{ node y; }',
    'f() { x; }; node y',
    'time node y',
    '! node y',
    'node {a,b}',
    'node ${A:?no} ',
    'node $1',
    'node "$@"',
    'node a&b',
    'node && ',
    '&& node',
    "node 'open",
    'node \0',
    'node\u00a0y',
  ])
    assert.equal(withExec(command), undefined, command)
})

test('only shells that are started plainly', () => {
  for (const words of [
    ['/bin/sh', '-c'],
    ['sh', '-ec'],
    ['/bin/bash', '-o', 'pipefail', '-c'],
    ['/usr/local/bin/bash', '-euo', 'pipefail', '-c'],
  ])
    assert.ok(isPlainShell(words), words.join(' '))
  for (const words of [
    ['sh'],
    ['/bin/sh', '-lc'],
    ['bash', '-i', '-c'],
    ['bash', '-xc'],
    ['zsh', '-c'],
    ['sh', '-c', '-c'],
  ])
    assert.ok(!isPlainShell(words), words.join(' '))
  for (const variable of ['BASH_ENV', 'SHELLOPTS', 'BASH_FUNC_node%%']) assert.ok(changesShells(variable))
  assert.ok(!changesShells('NODE_ENV'))
})

const folder = mkdtempSync(join(tmpdir(), 'mypaas-test-'))
const [busybox] = await busyboxEntries()
const shells = [['dash'], ['bash'], [busybox?.kind === 'file' ? busybox.from : '', 'sh']] as const
test.after(() => rmSync(folder, { recursive: true }))

test('no word of a shell of its own is taken for a program', () => {
  const listed = spawnSync('bash', ['-c', "compgen -bk; dash -c \"type $(compgen -c | tr '\\n' ' ')\""], {
    encoding: 'utf8',
  })
  const words = listed.stdout
    .split('\n')
    .flatMap(
      (line) =>
        /^(\S+) is a (?:special )?shell (?:builtin|keyword)/.exec(line)?.[1] ?? (/^\S+$/.test(line) ? [line] : []),
    )
  assert.ok(words.length > 70, `${words.length}`)
  for (const name of words) assert.equal(withExec(`${name} x`), undefined, name)
})

/** Tells what it was given, and ends with a code that depends on that. */
writeFileSync(
  join(folder, 'probe'),
  `#!/bin/bash\nprintf '[%s]' "$PWD" "$@"; for name in A B PORT; do printf '%s=%s ' "$name" "\${!name-unset}"; done; printf '(%s)' "$(bash -c 'printf %s "\${A-unset}\${B-unset}"')"; echo; echo noise >&2; exit $(($# % 3))\n`,
)
writeFileSync(join(folder, 'plain'), 'echo without a first line "$@"\n')
writeFileSync(join(folder, 'broken'), '#!/no/such/program\n')
for (const file of ['probe', 'plain', 'broken']) chmodSync(join(folder, file), 0o755)

const fragment = fc.constantFrom(
  ...[
    'a',
    '-x',
    '--y=z',
    'A=1',
    './b',
    'a:b',
    '%',
    '@',
    ',',
    '+',
    '1',
    '=',
    '-',
    '$A',
    '${B}',
    '${PORT:-80}',
    '${C-d}',
    "'q r'",
    "'*'",
  ],
  ...[
    '"s t"',
    '"$A u"',
    '""',
    "''",
    '"${B:-x} *"',
    '$C',
    '"\'"',
    "'\"'",
    '2>&1',
    '>&2',
    '1>&2',
    '*',
    '~',
    '$(',
    '|',
    '&',
    '#x',
    '\\',
    '{a,b}',
  ],
)
const program = fc.constantFrom('./probe', 'probe', './plain', './broken', 'nope', './nope', '/', 'cat', 'false')
const assignment = fc.constantFrom('A=1', 'B="x y"', "A='*'", 'B=$A', 'B=${PORT:-1}', 'A=', 'PORT=$B$B', 'C=1')
const simple = fc
  .tuple(
    fc.array(assignment, { maxLength: 2 }),
    program,
    fc.array(fc.array(fragment, { minLength: 1, maxLength: 2 }), { maxLength: 4 }),
  )
  .map(([before, name, words]) => [...before, name, ...words.map((parts) => parts.join(''))].join(' '))
const step = fc.oneof(
  { weight: 3, arbitrary: simple },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'cd /',
      'export A=2 B',
      'umask 77',
      'echo $A',
      'true',
      ':',
      'cd /nowhere',
      'false',
      'export A="$B x"',
    ),
  },
)
const commands = fc
  .tuple(fc.array(fc.tuple(step, fc.constantFrom(' && ', ';', '; ', '&&', ' || ', ' & ')), { maxLength: 2 }), simple)
  .map(([steps, last]) => steps.map((pair) => pair.join('')).join('') + last)

test('what is called simple does the same with exec, in dash, bash and busybox', (t) => {
  let simpleOnes = 0
  const run = ([shell, ...first]: readonly string[], flag: string, command: string): unknown => {
    const { status, signal, stdout, stderr } = spawnSync(shell as string, [...first, flag, command], {
      cwd: folder,
      env: { PATH: `${folder}:/usr/bin:/bin`, A: 'out er', PORT: '1' },
      // As in a container. What bash has for its input a socket, it may take for a remote shell of old.
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
    })
    // Only how a shell words that it can't start a program may differ.
    const lines = (text: string) =>
      text.split('\n').filter((line) => !/not found|No such|denied|[Dd]irectory/.test(line))
    return { status, signal, stdout: lines(stdout), stderr: lines(stderr) }
  }
  fc.assert(
    fc.property(commands, fc.constantFrom('-c', '-ec', '-uc'), (command, flag) => {
      const changed = withExec(command)
      if (changed === undefined) return
      simpleOnes += 1
      for (const shell of shells)
        assert.deepEqual(run(shell, flag, changed), run(shell, flag, command), `${shell[0]}: ${command}`)
    }),
    { numRuns: long ? 6_000 : 300 },
  )
  t.diagnostic(`${simpleOnes} simple commands`)
  assert.ok(simpleOnes > (long ? 1_000 : 40), `${simpleOnes}`)
})
