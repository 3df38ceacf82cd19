import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readDirectives } from '../../src/service/directives.ts'
import { baseImages, scanDockerfile } from '../../src/service/dockerfile.ts'

/** The directives of a text as `line key=value`, then its problems as `line: message`. */
function read(dockerfile: string): string[] {
  const { directives, problems } = readDirectives(dockerfile)
  return [
    ...directives.map(({ key, value, line }) => `${line} ${key}=${value}`),
    ...problems.map(({ line, message }) => `${line}: ${message}`),
  ]
}

test('a directive may have spaces and tabs before and after the #, around the =, and at its end', () => {
  for (const line of [
    '#mypaas.port=80',
    '# mypaas.port=80',
    ' \t#\t mypaas.port\t = 80 \t',
    '#  mypaas.port =80',
    '# mypaas.port = "80"',
    "# mypaas.port = '80'",
    '\uFEFF# mypaas.port = 80',
    '# mypaas.port = 80\r',
  ]) {
    assert.deepEqual(read(line), ['1 port=80'], JSON.stringify(line))
  }
})

test('anything else behind the # turns a line off', () => {
  for (const line of [
    '#--- mypaas.port=80',
    '#---mypaas.port=80',
    '# - mypaas.port=80',
    '## mypaas.port=80',
    '# # mypaas.port=80',
    '#x mypaas.port=80',
    '// mypaas.port=80',
    'mypaas.port=80',
    'ENV mypaas.port=80',
    '# See mypaas.port = 80',
    '# mypaas',
    '#mypaas:port=80',
    '# MyPaas. All services = good',
  ]) {
    assert.deepEqual(read(line), [], JSON.stringify(line))
  }
})

test('directives may stand anywhere between the instructions, each with its line', () => {
  const text = '# mypaas.service=a\r\nFROM x\r\n\r\n  # mypaas.env=A=1\r\nCMD x\n# mypaas.env=B=2'
  assert.deepEqual(read(text), ['1 service=a', '4 env=A=1', '6 env=B=2'])
})

test('between the lines of an instruction that goes on, a comment is a comment', () => {
  const text = 'FROM x\nRUN a \\\n# mypaas.env=A=1\n\n   # mypaas.env=B=2\n && b \\  \n&& c\n# mypaas.env=C=3'
  assert.deepEqual(read(text), ['3 env=A=1', '5 env=B=2', '8 env=C=3'])
  assert.deepEqual(scanDockerfile(text).instructions, [
    { line: 1, text: 'FROM x' },
    { line: 2, text: 'RUN a  && b && c' },
  ])
})

test('a comment does not go on, whatever it ends with', () => {
  assert.deepEqual(read('# mypaas.env=A=1\\\n# mypaas.env=B=2'), ['1 env=A=1\\', '2 env=B=2'])
})

test('a here-document is content: its lines are no directives', () => {
  for (const [start, end] of [
    ['RUN <<EOF', 'EOF'],
    ['RUN cat > Dockerfile <<EOF', 'EOF'],
    ['run bash -e <<"END OF IT"', 'END OF IT'],
    ["RUN python3 <<'EOF' && true", 'EOF'],
    ['COPY <<EOF /Dockerfile', 'EOF'],
    ['ADD --chown=1:1 <<-EOF /Dockerfile', '\t\tEOF'],
    ['ONBUILD RUN <<EOF', 'EOF'],
    ['RUN true && \\\n  3<<EOF cat', 'EOF'],
  ]) {
    const lines = `${start}\n`.split('\n').length
    const text = `${start}\n# mypaas.service = inner\n${end}\n# mypaas.service = outer`
    assert.deepEqual(read(text), [`${lines + 2} service=outer`], start)
  }
})

test('two here-documents follow each other', () => {
  const text = 'RUN <<A cat && <<B cat\n# mypaas.env=A=1\nB\nA\n# mypaas.env=B=1\nB\n# mypaas.env=C=1'
  assert.deepEqual(read(text), ['7 env=C=1'])
})

test('what only looks like a here-document hides no directive', () => {
  for (const start of [
    'RUN echo "<<EOF"',
    "RUN echo '<<EOF'",
    'RUN ["sh", "-c", "<<EOF"]',
    'RUN cat <<<EOF',
    'RUN echo $((1<<EOF))',
    'RUN echo <<',
    'ENV A=<<EOF',
    'CMD cat <<EOF',
    'LABEL a=b <<EOF',
    '# RUN <<EOF',
    'RUN echo \\\n',
  ]) {
    const { directives } = readDirectives(`${start}\n# mypaas.service = a\nEOF`)
    assert.equal(directives.length, 1, start)
  }
})

test('a here-document without its end hides no directive either', () => {
  assert.deepEqual(read('RUN <<EOF\n# mypaas.service = a\n EOF\nEOF2'), ['2 service=a'])
  assert.deepEqual(read('RUN <<A <<B\n# mypaas.env=A=1\nA\n# mypaas.env=B=1'), ['2 env=A=1', '4 env=B=1'])
  assert.deepEqual(read('RUN <<EOF\n# mypaas.service = a\n\tEOF'), ['2 service=a'])
})

test('the escape character of the file decides which lines go on', () => {
  const text =
    '# escape=`\n# mypaas.service = a\nRUN dir C:\\\n# mypaas.port = 1\nRUN a `\n# mypaas.env=A=1\n  b <<EOF\n# mypaas.env=B=1\nEOF'
  assert.deepEqual(read(text), ['2 service=a', '4 port=1', '6 env=A=1'])
  assert.deepEqual(
    scanDockerfile(text).instructions.map(({ line }) => line),
    [3, 5],
  )
})

test('quotes around a value go as a pair, or stay', () => {
  const table: [text: string, value: string][] = [
    ['"https://example.com"', 'https://example.com'],
    ["'/status 10s 2s'", '/status 10s 2s'],
    ['"FOO=bar baz "', 'FOO=bar baz '],
    ['FOO="bar"', 'FOO="bar"'],
    ['"half', '"half'],
    ['half"', 'half"'],
    ['"', '"'],
    ['"a\'', '"a\''],
    ['"it\'s"', "it's"],
    ['say "hi"', 'say "hi"'],
  ]
  for (const [text, value] of table) {
    assert.deepEqual(read(`# mypaas.env = ${text}`), [`1 env=${value}`], text)
  }
  assert.deepEqual(read('# mypaas.env = "a" "b"'), [
    '1: mypaas.env: it is not clear which " belong to the value and which are around it',
  ])
})

test('a line without a value, or with nothing in its quotes, is a problem', () => {
  assert.deepEqual(
    read('# mypaas.url =\n# mypaas.url = ""\n# mypaas.url = " "\n# mypaas.url\n# mypaas.url: https://x'),
    [
      '1: mypaas.url: it has no value',
      '2: mypaas.url: it has no value',
      '3: mypaas.url: it has no value',
      '4: mypaas.url: the line has no = and no value',
      '5: mypaas.url: the line has no = and no value',
    ],
  )
})

test('the value goes from the first = on', () => {
  assert.deepEqual(read('#mypaas.env=A=b=c=='), ['1 env=A=b=c=='])
  assert.deepEqual(read('#mypaas.=x\n#mypaas.a b = x\n# mypaas. url = x'), ['1 =x', '2 a b=x', '3  url=x'])
})

test('a line that is off by capitals or by blanks of another kind is a problem, not a surprise', () => {
  assert.deepEqual(read('# MYPAAS.port = 80'), ['1: mypaas.port: "# MYPAAS.port" is not in lower case'])
  for (const blank of ['\u00a0', '\u200b', '\u3000', '\u202e', '\uFEFF']) {
    assert.match(read(`\n#${blank}mypaas.port = 80`)[0] ?? '', /^2: mypaas\.port: in ".*" is something like a blank/)
  }
})

test('characters that are no text are a problem, a tab is not', () => {
  assert.deepEqual(read('# mypaas.env = A=a\tb'), ['1 env=A=a\tb'])
  for (const [character, shown] of [
    ['\0', '\\u{0}'],
    ['\x1b', '\\u{1b}'],
    ['\x85', '\\u{85}'],
    ['\r', '\\u{d}'],
    ['\uD800', '\\u{d800}'],
    ['\uFFFD', '\uFFFD'],
  ]) {
    assert.deepEqual(read(`# mypaas.env = A=a${character}b`), [
      `1: mypaas.env: it has a character that is no text ("${shown}")`,
    ])
  }
})

test('a LABEL instruction must not set what tells our containers from others', () => {
  for (const instruction of [
    'LABEL mypaas.service=x',
    'label a=b "mypaas.server"="x"',
    "LABEL 'mypaas.image.spec'=x",
    'LABEL mypaas.service x',
    'LABEL a=b \\\n  mypaas.service=x',
    'ONBUILD LABEL mypaas.service=x',
  ]) {
    assert.match(read(`FROM x\n${instruction}`).join(), /^2: The label "mypaas\.[a-z.]+" can't be set/, instruction)
  }
  for (const instruction of [
    'LABEL about="see mypaas.service"',
    'LABEL note mypaas.service',
    'ENV mypaas.service=x',
    'LABEL',
  ]) {
    assert.deepEqual(read(`FROM x\n${instruction}`), [], instruction)
  }
})

test('the images that a build needs are found, however they are written; those named latest, or by no tag, may be newer', () => {
  const found = (text: string): string[] =>
    baseImages(text).map(
      ({ image, platform, newest }) => `${image}${platform ? ` ${platform}` : ''}${newest ? ' newest' : ''}`,
    )
  const rows: readonly [string, readonly string[]][] = [
    ['FROM nginx:latest', ['nginx:latest newest']],
    ['FROM nginx', ['nginx newest']],
    ['FROM nginx:1.27', ['nginx:1.27']],
    ['FROM a:latest-alpine', ['a:latest-alpine']],
    ['FROM r.io:5000/a', ['r.io:5000/a newest']],
    ['FROM r.io:5000/a:2', ['r.io:5000/a:2']],
    ['FROM a@sha256:0123', ['a@sha256:0123']],
    ['from  nginx:latest as web\nFROM web\nCOPY --from=web / /', ['nginx:latest newest']],
    [' FROM --platform=linux/amd64 r.io:5000/a:latest', ['r.io:5000/a:latest linux/amd64 newest']],
    ['FROM a:1\nFROM \\\n b:latest', ['a:1', 'b:latest newest']],
    ['FROM scratch\nCOPY --from=0 / /\nCOPY --from=tools:3 --chown=1:1 /x /x', ['tools:3']],
    ['FROM a:1\nRUN --mount=type=bind,from=tools:latest,target=/t /t/run', ['a:1', 'tools:latest newest']],
    ['ARG TAG=22\nFROM node:$\u007bTAG} AS x\nARG TAG=23\nFROM node:$TAG', ['node:22']],
    ['ARG BASE\nFROM $BASE\nFROM $\u007bOTHER:-b:1}', ['b:1']],
    ['# FROM a:latest\nFROM "b:1"\nRUN <<EOF\nFROM a:latest\nEOF', ['b:1']],
  ]
  for (const [text, images] of rows) assert.deepEqual(found(text), images, text)
})

test('a file of any shape is read in a time that grows as its length does', () => {
  const many = (text: string): string => text.repeat(Math.ceil(400_000 / text.length))
  for (const text of [
    many(' '),
    many('\t#'),
    `#${many(' ')}x`,
    `# mypaas.env =${many(' ')}x${many(' ')}x`,
    `# mypaas.${many('a')}=1`,
    many('RUN <<EOF\n'),
    `${many('RUN <<EOF\n')}\tEOF`,
    `RUN ${many('<<A ')}`,
    `RUN ${many('<<A"\'')}`,
    `RUN a${many(' ')}\\`,
    `LABEL ${many('"')}`,
    many('\\\n'),
    many('\r'),
    many('# mypaas.a=\n'),
    many('#\u00a0'),
  ]) {
    const started = performance.now()
    readDirectives(text)
    const ms = performance.now() - started
    assert.ok(ms < 2000, `${Math.round(ms)} ms for ${JSON.stringify(text.slice(0, 20))}…`)
  }
})
