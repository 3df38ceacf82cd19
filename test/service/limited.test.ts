// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Dockerfiles
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { baseImages, readLimited, triggerProblem } from '../../src/service/dockerfile.ts'

const text = (...lines: string[]): string => lines.join('\n')

/** The images and remotes of a file that is taken. */
function taken(...lines: string[]): string[] {
  const { images, remotes, problems } = readLimited(text(...lines))
  assert.deepEqual(problems, [], text(...lines))
  return [
    ...images.map(({ line, reference }) => `${line} ${reference}`),
    ...remotes.map(({ line, url }) => `${line} ${url}`),
  ]
}

test('every image that a Dockerfile names is found with its line, the ARGs above the first FROM filled in', () => {
  assert.deepEqual(
    taken(
      '# syntax=docker/dockerfile:1.7',
      'ARG BASE=debian',
      'ARG TAG=12 FULL="${BASE}:${TAG}"',
      'FROM --platform=linux/amd64 $FULL AS Build',
      'FROM ${BASE:-x}:${NO_SUCH:-slim}',
      'COPY --from=build /a /a',
      'COPY --chown=1:1 --from=shop:r7 /a /a',
      'COPY --from=0 /a /a',
      'RUN --mount=type=bind,from=node:20,source=/x,target=/y --network=none true --from=no',
      'RUN --mount=type=cache,target=/root/.cache,id=anything,from=seed:1 --mount=type=secret,id=x true',
      'ONBUILD COPY --from=evil:r1 / /',
      'from scratch',
      'FROM build',
      'ADD https://example.com/$X/a.tgz git@example.com:a/b.git ./a.tgz b.tgz /x/',
      'ADD ["https://example.com/c d", "/y"]',
    ),
    [
      '4 debian:12',
      '5 debian:slim',
      '7 shop:r7',
      '9 node:20',
      '10 seed:1',
      '11 evil:r1',
      '14 https://example.com/$X/a.tgz',
      '14 git@example.com:a/b.git',
      '15 https://example.com/c d',
    ],
  )
})

test('bytes of comments, commands, labels and here-documents are free', () => {
  assert.deepEqual(
    taken(
      '# \u00a0\u2028 \\',
      'FROM a',
      'LABEL maintainer="Jörg \u00a0 <j@example.com>" x=\\"y',
      'RUN echo "\u2014\u00a0\0\v\f\x1b[0m \\" \'--from=shop\' `x` $((1+1)) <<< "y" \\',
      '# a note, with \u00a0',
      '\t && printf \'%s\\n\' "ä"',
      'RUN python3 - <<EOF',
      'from os import path',
      '\u00a0--from=shop \v <<X',
      'print("ä")',
      'EOF',
      'COPY --chown="$U:$G" --chmod=755 grün.txt <<-"x.conf" /etc/',
      'user nginx;',
      '\tx.conf',
      'CMD ["sh", "-c", "cat <<x"]',
    ),
    ['2 a'],
  )
})

/** Each was read by a builder in another way than by an earlier reader of ours, or could be. */
const unclear: readonly [what: string, lines: readonly string[], line: number, message: RegExp][] = [
  ['two backslashes', ['FROM x', 'RUN echo hello \\\\', 'COPY --from=shop:r7 / /'], 2, /ends with \\\\/],
  ['two backslashes and a blank', ['FROM x', 'RUN echo hello \\\\ ', 'COPY --from=shop:r7 / /'], 2, /ends with \\\\/],
  ['a backslash and a blank of another kind', ['FROM x', 'RUN a \\\u00a0', 'COPY --from=shop / /'], 2, /not seen/],
  ['a backslash and a carriage return', ['FROM x', 'RUN a \\\r\r', 'COPY --from=shop / /'], 2, /not seen/],
  ['a backslash in a flag', ['FROM x', 'COPY --fr\\om=shop:r7 / /'], 2, /not plain/],
  ['quotes in a flag', ['FROM x', 'COPY --"from"=shop:r7 / /'], 2, /not plain/],
  ['quotes around an image', ['FROM x', 'COPY --from="shop:r7" / /'], 2, /not plain/],
  ['a quote before a flag', ['FROM x', 'COPY "--from=shop:r7" / /'], 2, /quotes, backslashes/],
  ['a continuation in a flag', ['FROM x', 'COPY --fr\\', 'om="shop" / /'], 2, /not plain/],
  ['a flag in capitals', ['FROM x', 'COPY --FROM=shop:r7 / /'], 2, /not plain|not known/],
  ['a flag twice', ['FROM x', 'COPY --from=x --from=shop:r7 / /'], 2, /twice/],
  ['a flag that is none', ['FROM x', 'COPY --form=shop:r7 / /'], 2, /not known/],
  ['a flag without a value', ['FROM x', 'COPY --from / /'], 2, /can't be told/],
  ['the end of flags', ['FROM x', 'RUN -- --mount=from=shop,target=/x true'], 2, /not plain/],
  ['a vertical tab before a flag', ['FROM x', 'COPY \v--from=shop / /'], 2, /not seen/],
  ['a form feed behind RUN', ['FROM x', 'RUN\f--mount=from=shop,target=/x true'], 2, /no instruction/],
  [
    'a no-break space between flags',
    ['FROM x', 'RUN --network=none\u00a0--mount=from=shop,target=/x true'],
    2,
    /something else/,
  ],
  ['a no-break space before the instruction', ['FROM x', '\u00a0COPY --from=shop / /'], 2, /another kind/],
  [
    'a no-break space before a comment sign',
    ['FROM x', 'RUN a \\', '\u00a0# b', 'COPY --from=shop / /'],
    3,
    /another kind/,
  ],
  ['a mount with a field twice', ['FROM x', 'RUN --mount=type=bind,from=x,from=shop true'], 2, /its from twice/],
  ['a mount with a field in two spellings', ['FROM x', 'RUN --mount=target=/a,dst=/b true'], 2, /its target twice/],
  ['a mount with FROM', ['FROM x', 'RUN --mount=type=bind,FROM=shop true'], 2, /not known here/],
  ['a mount with quotes', ['FROM x', 'RUN --mount=type=bind,"from=shop" true'], 2, /not plain/],
  ['a mount of TYPE', ['FROM x', 'RUN --mount=type=CACHE,id=shop-npm,target=/c true'], 2, /the type "CACHE"/],
  ['a mount from a number', ['FROM x', 'FROM y', 'RUN --mount=from=0,target=/x true'], 3, /take for an image/],
  ['a mount from a variable', ['FROM x', 'ENV I=shop', 'RUN --mount=from=${I},target=/y true'], 3, /can't be told/],
  ['a copy from a variable', ['FROM x', 'ARG I=shop', 'COPY --from=$I / /'], 3, /can't be told/],
  ['a stage that is not there', ['FROM x', 'COPY --from=5 / /'], 2, /no stage "5"/],
  ['an odd number', ['FROM x', 'FROM y', 'COPY --from=+0 / /'], 3, /no stage/],
  ['a stage of its own', ['FROM x', 'COPY --from=0 / /'], 2, /no stage/],
  ['quotes in FROM', ['FROM "shop:r7"'], 1, /can't be told/],
  ['an escape in FROM', ['FROM sh\\op'], 1, /can't be told/],
  ['a variable with another modifier', ['ARG A=shop.x', 'FROM ${A%.x}'], 2, /can't be told/],
  ['a modifier that older builders do not know', ['ARG X=${Y-1}', 'FROM a:${X}'], 2, /can't be told/],
  ['a variable in a variable', ['ARG A=shop', 'FROM ${B:-${A}}'], 2, /can't be told/],
  ['a variable of the builder', ['FROM ${TARGETOS:+shop:r7}'], 1, /can't be told/],
  ['a variable of the builder, set', ['ARG TARGETOS=', 'FROM ${TARGETOS:+shop:r7}'], 2, /can't be told/],
  ['a variable of the builder, declared', ['ARG HTTP_PROXY', 'FROM ${HTTP_PROXY:-python}'], 2, /can't be told/],
  ['an ARG with an escape', ['ARG A=\\shop', 'FROM $A'], 2, /can't be told/],
  ['an ARG hidden in quotes', ['ARG A=x B="c D=shop', 'FROM $A'], 2, /can't be told/],
  ['an ARG twice', ['ARG A=x', 'ARG A', 'FROM $A'], 3, /can't be told/],
  ['no image', ['FROM'], 1, /more than an image/],
  ['a name that is more', ['FROM x AS a b'], 1, /more than an image/],
  ['a name that is a number', ['FROM x AS 0'], 1, /more than an image/],
  ['another frontend', ['# syntax=evil/frontend', 'FROM x'], 1, /not Docker's own/],
  ['another frontend, with blanks', ['#syntax = docker.io/evil/frontend:1', 'FROM x'], 1, /not Docker's own/],
  ['another frontend, in capitals', ['#SYNTAX=evil/frontend', 'FROM x'], 1, /not Docker's own/],
  ['another frontend, below other lines', ['# x=y', '# syntax=evil/frontend', 'FROM x'], 2, /not Docker's own/],
  ['another frontend, below a shebang', ['#!/bin/x', '# syntax=evil/frontend', 'FROM x'], 2, /not Docker's own/],
  ['a frontend of a digest', ['# syntax=docker/dockerfile@sha256:00', 'FROM x'], 1, /not Docker's own/],
  ['a frontend with more', ['# syntax=docker/dockerfile:1 x', 'FROM x'], 1, /not Docker's own/],
  ['an old frontend', ['# syntax=docker/dockerfile:1.0', 'FROM x'], 1, /1\.2 or newer/],
  ['an old frontend, in full', ['#', '# syntax=docker.io/docker/dockerfile:1.1.7', 'FROM x'], 2, /1\.2 or newer/],
  ['an experimental frontend', ['# syntax=docker/dockerfile:1.0-experimental', 'FROM x'], 1, /1\.2 or newer/],
  ['a frontend of another name', ['# syntax=docker/dockerfile:master', 'FROM x'], 1, /1\.2 or newer/],
  ['the syntax in another spelling', ['// syntax=evil/frontend', 'FROM x'], 1, /no instruction/],
  ['the syntax in JSON', ['{"syntax": "evil/frontend"}', 'FROM x'], 1, /no instruction/],
  ['an escape line twice', ['# escape=`', '# escape=\\', 'FROM x'], 2, /second/],
  [
    'an escape line below others',
    ['# x', '# escape=`', 'FROM x', 'RUN a `', 'COPY --from=shop / /'],
    2,
    /below something else/,
  ],
  ['an escape line below check', ['# check=skip=all', '# escape=`', 'FROM x'], 2, /below something else/],
  ['an escape line of another mark', ['# escape=^', 'FROM x'], 1, /not plain/],
  ['an escape line in capitals', ['# ESCAPE=`', 'FROM x'], 1, /not plain/],
  ['a byte order mark', ['\uFEFFFROM x'], 1, /byte order mark/],
  ['what is no instruction', ['FROM x', 'COPYX --from=shop / /'], 2, /no instruction/],
  ['ONBUILD with a flag', ['FROM x', 'ONBUILD --x COPY --from=shop / /'], 2, /not known here/],
  ['ONBUILD twice', ['FROM x', 'ONBUILD ONBUILD COPY --from=shop / /'], 2, /can't have "ONBUILD"/],
  ['ONBUILD with a here-document', ['FROM x', 'ONBUILD RUN <<EOF', 'x', 'EOF'], 2, /ONBUILD has a here/],
  ['a flag behind the files', ['FROM x', 'COPY a --from=shop /'], 2, /behind what it copies/],
  ['a here-document without an end', ['FROM x', 'RUN <<EOF', 'x'], 2, /has no end/],
  [
    'a here-document in quotes',
    ['FROM x', 'RUN sh -c "cat <<EOF"', 'COPY --from=shop / /', 'EOF'],
    2,
    /not clear whether/,
  ],
  ['a here-document in a variable', ['FROM x', 'RUN ${x:-a <<EOF}', 'a', 'EOF}'], 2, /not clear/],
  ['a here-document with a blank', ['FROM x', 'RUN cat << EOF', 'a', 'EOF'], 2, /not clear/],
  ['a here-document with an odd end', ['FROM x', 'RUN cat <<E\\OF', 'a', 'E\\OF'], 2, /not clear/],
  [
    'a here-document behind a blank of another kind',
    ['FROM x', 'RUN cat\u2003<<EOF', 'a', 'EOF; x'],
    2,
    /not clear|no end/,
  ],
  [
    'a here-document that ends with an instruction',
    ['FROM x', 'RUN <<RUN', 'COPY --from=shop / /', 'RUN'],
    2,
    /name of an instruction/,
  ],
  ['a here-document of instructions', ['FROM x', 'RUN <<EOF', 'FROM shop:r7', 'EOF'], 2, /reads as instructions/],
  ['a here-document that hides its end', ['FROM x', 'COPY <<EOF /a', 'USER \\', 'EOF'], 2, /reads as instructions/],
  [
    'two here-documents, one in quotes',
    ['FROM x', 'RUN sh -c "x <<A y" <<B', 'a', 'B', 'COPY --from=shop / /', 'A', 'B'],
    2,
    /not clear/,
  ],
  ['two here-documents and a quote', ['FROM x', 'RUN a "b" <<A <<B', 'a', 'A', 'b', 'B'], 2, /more than one/],
  ['an address of a variable', ['FROM x', 'ADD $URL /x'], 2, /from the context or from elsewhere/],
  ['an address with a variable host', ['FROM x', 'ADD https://$HOST/x /x'], 2, /from the context or from elsewhere/],
  ['an address in quotes', ['FROM x', 'ADD "http"://127.0.0.1/ /x'], 2, /quotes|from the context/],
  ['an address with an escape', ['FROM x', 'ADD http:\\//127.0.0.1/ /x'], 2, /from the context or from elsewhere/],
  [
    'an address in JSON with an escape',
    ['FROM x', 'ADD ["http:\\/\\/127.0.0.1/", "/x"]'],
    2,
    /from the context or from elsewhere/,
  ],
]

for (const [what, lines, line, message] of unclear) {
  test(`${what} is a problem of its line, with what to write instead`, () => {
    const { problems } = readLimited(text(...lines))
    assert.equal(problems[0]?.line, line, JSON.stringify(problems))
    assert.match(problems[0]?.message ?? '', message)
    assert.ok((problems[0]?.hint ?? '').length > 10)
  })
}

test('one fault is one problem', () => {
  for (const line of [
    'COPY --fr\\om=shop:r7 / /',
    'COPY --from="shop:r7" / /',
    'RUN --mo\\unt=from=shop,target=/x true',
    'RUN --mount=type=bind,FROM=shop,target=/x true',
    "RUN --mount='type=bind,from=shop:r7,target=/y' true",
    'RUN --mount=from=$X,from=3,target=/x true',
  ]) {
    const { problems } = readLimited(text('FROM x', line))
    assert.equal(problems.length, 1, `${line}: ${JSON.stringify(problems)}`)
  }
})

test('every version of the frontend that is known is taken', () => {
  for (const version of ['', ':1', ':latest', ':labs', ':1-labs', ':1.2', ':1.10.0', ':1.7-labs'])
    assert.deepEqual(taken(`# syntax=docker/dockerfile${version}`, 'FROM x'), ['2 x'])
})

test('a here-document that no builder can take for instructions is taken, whatever it has', () => {
  assert.deepEqual(taken('FROM x', 'RUN <<EOF', 'set -e', 'COPY --from=shop:r7 / /', 'EOF'), ['1 x'])
  assert.deepEqual(taken('FROM x', 'RUN <<EOF', 'env', 'EOF'), ['1 x'])
  assert.deepEqual(taken('FROM x', 'COPY <<a.txt <<b.txt /x/', '1', 'a.txt', '2', 'b.txt', 'RUN true'), ['1 x'])
})

test('a reading is plain data: lines with what they name', () => {
  assert.deepEqual(readLimited('FROM a:1\nADD https://example.com/b /c'), {
    images: [{ line: 1, reference: 'a:1' }],
    remotes: [{ line: 2, url: 'https://example.com/b' }],
    problems: [],
  })
})

test('an image without a name is none, which the builder refuses, and a stage or scratch is none', () => {
  assert.deepEqual(taken('ARG X', 'FROM $X'), [])
  assert.deepEqual(taken('ARG V', 'FROM node:22$V'), ['2 node:22'])
  assert.deepEqual(taken('FROM a AS b', 'FROM b', 'COPY --from=B / /', 'COPY --from=scratch / /'), ['1 a'])
  assert.deepEqual(taken('FROM a', 'COPY --from=later / /', 'FROM b AS later'), ['1 a', '2 later', '3 b'])
})

test('what is unclear does not keep the images from being pulled', () => {
  const images = (...lines: string[]): string[] => baseImages(text(...lines)).map(({ image }) => image)
  assert.deepEqual(images('FROM \\', '  "shop:r7" \\', '# a comment', '  AS x'), ['shop:r7'])
  assert.deepEqual(images('# escape=`', 'FROM `', 'shop:r7'), ['shop:r7'])
  assert.deepEqual(images('FROM x', "RUN --mount='type=bind,from=shop:r7,target=/y' true"), ['x', 'shop:r7'])
  assert.deepEqual(images('FROM x', 'RUN echo hello \\\\', 'COPY --from=tools:1 / /'), ['x', 'tools:1'])
  assert.deepEqual(images('\uFEFFFROM x', 'ONBUILD COPY --from=y / /', 'COPY --from=z --from=z / /'), ['x', 'z'])
})

test('an ONBUILD instruction of a base image is harmless only if it plainly names nothing', () => {
  assert.equal(triggerProblem('RUN npm ci'), undefined)
  assert.equal(triggerProblem('COPY --chown=1:1 . /app'), undefined)
  assert.equal(triggerProblem('COPY --from=shop:r7 / /'), 'it names shop:r7')
  assert.equal(triggerProblem('ADD http://127.0.0.1/ /'), 'it names http://127.0.0.1/')
  assert.match(triggerProblem('COPY --fr\\om=shop:r7 / /') ?? '', /not plain/)
  assert.match(triggerProblem('RUN x\nCOPY --from=shop / /') ?? '', /more than one line/)
  assert.match(triggerProblem('# escape=`') ?? '', /not plain/)
})

test('a file of any shape is read in a time that grows as its length does', () => {
  const many = (piece: string): string => piece.repeat(Math.ceil(400_000 / piece.length))
  for (const shape of [
    many(' '),
    `# syntax =${many(' ')}x`,
    `FROM ${many('$')}`,
    `FROM ${many('${X')}`,
    `ARG ${many('A=1 ')}"`,
    `ARG ${many('A="')}`,
    `FROM x\nRUN ${many('--mount=a ')}`,
    `FROM x\nRUN --mount=${many(',')}`,
    `FROM x\nCOPY --${many('"\\')}`,
    `FROM x\nRUN ${many('1<<')}`,
    `FROM x\nRUN ${many(' <<A')}\nA`,
    `FROM x\n${many('RUN <<A\nUSER\nA\n')}`,
    `FROM x\nRUN a${many(' ')}\\`,
    `FROM x\nADD ${many('a@')} x`,
    `FROM x\n${many('ONBUILD ')}`,
    many('\u00a0'),
    many('\u00a0\n'),
  ]) {
    const started = performance.now()
    readLimited(shape)
    baseImages(shape)
    const ms = performance.now() - started
    assert.ok(ms < 20_000, `${Math.round(ms)} ms for ${JSON.stringify(shape.slice(0, 20))}…`)
  }
})
