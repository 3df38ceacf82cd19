/** Dockerfiles for a builder to read in its way and for us in ours: plain ones, and what can be done to them. */

type Random = () => number

/** Bytes, one a character. */
export type Bytes = string

/** A Dockerfile that names images in many ways, changed here and there; most can be built. */
export function mutatedDockerfile(random: Random): Bytes {
  let text = plainDockerfile(random)
  const changes = Math.floor(random() * 4)
  for (let i = 0; i < changes; i += 1) text = pick(mutators, random)(text, random)
  return text
}

export function pick<T>(items: readonly T[], random: Random): T {
  return items[Math.floor(random() * items.length)] as T
}

const images = ['victim', 'victim:1', 'shop:r7', 'r.io:5000/a/b:2', 'node', 'base:1', 'scratch']
const stages = ['a', 'b', 'build', 'node', 'A', 'Build', 'x-1.2_z']

function plainDockerfile(random: Random): Bytes {
  const lines: string[] = []
  const some = (count: number, of: readonly ((random: Random) => string)[]): void => {
    for (let i = Math.floor(random() * (count + 1)); i > 0; i -= 1) lines.push(pick(of, random)(random))
  }
  if (random() < 0.15) some(3, heads)
  if (random() < 0.5) some(3, args)
  for (let stage = 1 + Math.floor(random() * 3); stage > 0; stage -= 1) {
    lines.push(from(random))
    some(4, steps)
  }
  const end = random() < 0.1 ? '\r\n' : '\n'
  return bytes(lines.join('\n').split('\n').join(end)) + (random() < 0.8 ? end : '')
}

const heads = [
  () => '# syntax=docker/dockerfile:1',
  () => '# escape=`',
  () => '# escape=\\',
  () => '# check=skip=all',
  () => '# a comment',
  () => '#key=value',
  () => '',
  () => '# syntax=victim/frontend:1',
  () => '//syntax=victim/frontend:1',
  () => '#!/bin/sh',
  () => '# ESCAPE = `',
]

const args = [
  (random: Random) => `ARG ${pick(['X', 'Y', 'Z'], random)}=${value(random)}`,
  (random: Random) =>
    `ARG ${pick(['X', 'Y', 'Z'], random)}=${value(random)} ${pick(['X', 'Y', 'Z'], random)}=${value(random)}`,
  (random: Random) => `ARG ${pick(['X', 'Y', 'TARGETOS', 'BUILDPLATFORM', 'HTTP_PROXY', 'SOURCE_DATE_EPOCH'], random)}`,
  (random: Random) => `ARG TARGETARCH=${value(random)}`,
]

function value(random: Random): string {
  const text = random() < 0.3 ? variable(random) : pick(['', ...images, 'ictim', 'victim:1.0', 'a'], random)
  return pick([text, text, text, `"${text}"`, `'${text}'`, `${text}"${text}"`], random)
}

function variable(random: Random): string {
  const name = pick(
    ['X', 'X', 'X', 'Y', 'Z', 'Z', random() < 0.3 ? pick(['W', 'TARGETOS', 'HTTP_PROXY', 'FROM_IMAGE'], random) : 'Y'],
    random,
  )
  const other = random() < 0.2 ? variable(random) : pick(['', 'victim', 'node:1', '*', 'v?ctim', 'a b', "'q'"], random)
  return pick(
    [
      `$${name}`,
      `$\{${name}}`,
      `v$${name}`,
      `$\{${name}}:1`,
      ...['-', ':-', '+', ':+', '?', ':?', '#', '##', '%', '%%', '/v/', '//i/'].map(
        (how) => `$\{${name}${how}${other}}`,
      ),
    ],
    random,
  )
}

function from(random: Random): string {
  const image = pick(
    [
      () => pick(images, random),
      () => pick(images, random),
      () => pick(stages, random).toLowerCase(),
      () => variable(random),
    ],
    random,
  )()
  const platform = random() < 0.2 ? pick(['--platform=linux/amd64 ', '--platform=$BUILDPLATFORM '], random) : ''
  const name = random() < 0.5 ? ` ${pick(['AS', 'as', 'As'], random)} ${pick(stages, random)}` : ''
  return `${pick(['FROM', 'FROM', 'from'], random)} ${platform}${image}${name}`
}

function source(random: Random): string {
  return pick(
    [
      () => pick(images, random),
      () => pick(stages, random),
      () => pick(['0', '1', '2', '00', '+1', '-1', '1e0'], random),
      () => variable(random),
    ],
    random,
  )()
}

const steps: readonly ((random: Random) => string)[] = [
  (random) => `COPY --from=${source(random)} /x /y`,
  (random) => `copy --chown=1:1 --from=${source(random)} --link /x /y`,
  (random) => `COPY ["--from=${source(random)}", "/x", "/y"]`,
  (random) => `RUN --mount=type=bind,from=${source(random)},target=/v true`,
  (random) =>
    `RUN --mount=type=${pick(['bind', 'cache', 'tmpfs'], random)},target=/v,from=${source(random)} --network=none true`,
  (random) => `RUN --mount=from=${source(random)},dst=/v,ro --mount=type=cache,id=c,target=/c cat /v`,
  (random) => `RUN --mount=type=cache,target=/c,from=node,from=${source(random)} true`,
  (random) =>
    `RUN echo hello \\\n  && echo --from=victim \\\n# ${pick(['note', 'note \\', 'escape=`'], random)}\n  && true`,
  (random) => `RUN echo a \\\\\nCOPY --from=${source(random)} / /`,
  (random) => hereDocument('RUN', random),
  (random) => hereDocument('COPY', random),
  (random) => `ONBUILD COPY --from=${source(random)} / /`,
  (random) => `ONBUILD RUN --mount=from=${source(random)},target=/v true`,
  (random) =>
    `ADD ${pick(['https://example.com/a', 'git@example.com:a/b.git', './a', 'a.tar', '$X', 'https://$X/a', '["https://example.com/b",'], random)} /x${random() < 0.1 ? ']' : ''}`,
  () => 'ENV X=victim Y="a b" Z=\\"',
  () => 'LABEL maintainer="J\u00f6rg <j@x>" a=b',
  () => 'CMD ["sleep", "1"]',
  () => 'HEALTHCHECK --interval=5s CMD true',
  () => 'ARG X=node',
  () => '# RUN a comment \\',
  () => '',
  () => 'SHELL ["/bin/sh", "-c"]',
]

function hereDocument(keyword: string, random: Random): string {
  const name = pick(['EOF', 'EOT', 'RUN', 'A.B', 'a-b'], random)
  const start = pick(
    [name, name, `-${name}`, `"${name}"`, `'${name}'`, ` ${name}`, `\\${name}`, `${name};`, `$${name}`],
    random,
  )
  const before = pick(['', 'cat ', 'sh -c "x" ', '"', "'", '3', '\\', '$', '${x:y', '${x:- ', '# ', '<', 'a'], random)
  const after = keyword === 'COPY' ? ' /x' : pick(['', ' > /x', '"', "'", '}', ' <<B', ' && true'], random)
  const line = pick(
    [
      'set -e',
      'COPY --from=victim / /',
      `COPY --from=${source(random)} / /`,
      'FROM victim',
      'RUN true',
      '# note',
      '',
      'USER \\',
      `RUN <<${name}`,
      'B',
      'from os import path',
    ],
    random,
  )
  const line2 = pick(['true', 'COPY --from=victim / /', 'FROM victim', 'B', '\\', ''], random)
  return `${keyword} ${before}<<${start}${after}\n${line}\n${line2}\n${pick(['', '\t', ''], random)}${name}${pick(['', '', '', '\r', ' ', '\nB'], random)}`
}

type Mutator = (text: Bytes, random: Random) => Bytes

const marks = [
  '\\',
  '\\',
  '"',
  "'",
  '`',
  '\t',
  '\v',
  '\f',
  '\r',
  '\0',
  ' ',
  '  ',
  '#',
  '$',
  '{',
  '}',
  ',',
  '=',
  '-',
  '--',
  '<',
  '<<',
  ':',
  '@',
  '/',
  '+',
  '\\\\',
  '\\\n',
  '\\ \n',
  '\\\t\n',
  '`\n',
  '\\\r\n',
  '\\\r\r\n',
  '\\\n#\\\n',
  '\\\n\n',
  '\n',
  '\r\n',
  '\x85',
  '\xa0',
  '\x1b',
  '\x7f',
  '\xff',
  '\xc2',
  '"\\\n"',
  '${',
  '[',
  ']',
  '!',
  ';',
  '&',
  '(',
  '~',
  '%',
  '*',
  '?',
  ...[
    '\u00a0',
    '\u0085',
    '\u1680',
    '\u2003',
    '\u2028',
    '\u202f',
    '\u3000',
    '\ufeff',
    '\u200b',
    '\u017f',
    '\u0130',
    '\u00e9',
  ].map(bytes),
]

/** Places where a slip would matter: before and after words, flags, fields, at the ends of lines. */
function place(text: Bytes, random: Random): number {
  if (random() < 0.3) return Math.floor(random() * (text.length + 1))
  const places: number[] = []
  for (const match of text.matchAll(/--|from|mount|type|<<|victim|[ \t]+|\n|,|=|^\w+|\$|EOF|ARG|AS/gim)) {
    places.push(match.index, match.index + match[0].length)
  }
  return places.length === 0 ? 0 : pick(places, random)
}

const replace: Mutator = (text, random) => {
  const at = place(text, random)
  return text.slice(0, at) + pick(marks, random) + text.slice(at + 1)
}

const insert: Mutator = (text, random) => {
  const at = place(text, random)
  return text.slice(0, at) + pick(marks, random) + text.slice(at)
}

const eachLine = (change: (line: string, random: Random) => string): Mutator => {
  return (text, random) => {
    const lines = text.split('\n')
    const index = Math.floor(random() * lines.length)
    lines[index] = change(lines[index] ?? '', random)
    return lines.join('\n')
  }
}

const mutators: readonly Mutator[] = [
  insert,
  insert,
  insert,
  insert,
  replace,
  (text, random) => {
    const at = place(text, random)
    return text.slice(0, at) + text.slice(at + 1)
  },
  // Cases of words
  (text, random) => {
    const words = [...text.matchAll(/[A-Za-z]+/g)]
    if (words.length === 0) return text
    const { index, 0: word } = pick(words, random)
    const changed = pick([word.toUpperCase(), word.toLowerCase(), word[0]?.toUpperCase() + word.slice(1)], random)
    return text.slice(0, index) + changed + text.slice(index + word.length)
  },
  // Quotes around words, or within them
  (text, random) => {
    const words = [...text.matchAll(/[^\s"']+/g)]
    if (words.length === 0) return text
    const { index, 0: word } = pick(words, random)
    const quote = pick(['"', "'", '\\"', '""'], random)
    const start = Math.floor(random() * word.length)
    const inner = random() < 0.5 ? quote + word + quote : word.slice(0, start) + quote + word.slice(start) + quote
    return text.slice(0, index) + inner + text.slice(index + word.length)
  },
  // Lines twice, gone, elsewhere
  (text, random) => {
    const lines = text.split('\n')
    const [line = ''] = lines.splice(Math.floor(random() * lines.length), random() < 0.5 ? 1 : 0)
    lines.splice(Math.floor(random() * lines.length), 0, line)
    return lines.join('\n')
  },
  eachLine((line, random) => `${pick(['ONBUILD ', 'ONBUILD --x ', 'ONBUILD ONBUILD ', 'onbuild\t'], random)}${line}`),
  eachLine((line, random) => line + pick([' \\', ' \\\\', '\\', ' \\\\\\', '\\ ', '\\\v', '`', ' ``'], random)),
  eachLine((line, random) => pick(['#', ' #', '\\', '\\\n', '\u00a0#', '\v', ' ', '\t'], random) + line),
  eachLine((line, random) =>
    line.replace(/ +/, pick(['\t', '\v', '\f', '\r', ' \\\n', '\\\n ', '  ', '\xa0', '\x85', bytes('\u00a0')], random)),
  ),
  // Flags and fields again, and others
  eachLine((line, random) =>
    line.replace(
      / (--[a-z]+=\S*)/,
      pick(
        [
          ' $1 $1',
          ' --',
          ' -- $1',
          ' --from=victim $1',
          ' $1 --from=victim',
          ' $1 --mount=from=victim,target=/z',
          ' "$1"',
          ' \\$1',
        ],
        random,
      ),
    ),
  ),
  eachLine((line, random) =>
    line.replace(
      /(--mount=)(\S*)/,
      pick(
        [
          '$1"$2"',
          '$1$2,from=victim',
          '$1from=victim,$2',
          '$1"from=victim",$2',
          '$1$2,"from=victim"',
          '$1$2,FROM=victim',
          '$1 $2',
          '$1$2, from=victim',
          "$1'$2'",
          '$1$2,\\from=victim',
          '$1$2,""from""=victim',
          '$1"$2,from=vic""tim"',
        ],
        random,
      ),
    ),
  ),
  eachLine((line, random) =>
    line.replace(
      /--from=/,
      pick(
        [
          '--from="',
          '--fr\\om=',
          '--FROM=',
          '--"from"=',
          "--from=''",
          '--from',
          '--from==',
          '--from= ',
          '--fro\\\nm=',
          '-\\-from=',
          '--from=\\',
          '--from=$',
        ],
        random,
      ),
    ),
  ),
  (text, random) =>
    pick(
      [
        bytes('\ufeff'),
        '\n',
        ' ',
        '#\n',
        '# syntax=victim/f\n',
        '# escape=`\n',
        '#escape=\\\n',
        ' # escape=`\n',
        '# escape=` \n',
        '#!/x\n',
        '# check=x\n# escape=`\n',
        '//syntax=victim/f\n',
        '{"syntax":"victim/f"}\n',
        '# x=y\n# syntax=victim/f\n',
        '#\tsyntax\t=\tvictim/f\n',
        '# syntax=docker/dockerfile:1 x\n',
        '# Syntax=docker/dockerfile:1\n',
        `#${bytes('\u00a0')}escape=\`\n`,
      ],
      random,
    ) + text,
  (text) => text.replaceAll('\n', '\r\n'),
  (text) => text.replaceAll('\\\n', '`\n'),
  (text, random) => text.replace(/victim/, () => variable(random)),
  (text, random) =>
    text.replace(
      /FROM (\S+)/,
      pick(
        [
          'FROM "$1"',
          'FROM \\$1',
          'FROM $1 #',
          'FROM $1$$',
          'FROM $1 AS 0',
          'FROM $1 AS victim',
          "FROM ''$1",
          'FROM --platform=x --platform=y $1',
          'FROM \\\n$1',
          'FROM $1\\\n:2',
        ],
        random,
      ),
    ),
]

function bytes(text: string): Bytes {
  return Buffer.from(text, 'utf8').toString('latin1')
}
