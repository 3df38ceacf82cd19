import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { directiveKeys } from '../../src/service/keys.ts'
import { specFromLabels, specToLabels } from '../../src/service/labels.ts'
import { parseSpec } from '../../src/service/parse.ts'
import { DirectiveError } from '../../src/service/problems.ts'
import type { Mount, PublishedPort, ServiceSpec } from '../../src/service/spec.ts'

/** The spec of a file, or `undefined` if it was refused in the one way that is allowed. */
function tryParse(dockerfile: string): ServiceSpec | undefined {
  try {
    return parseSpec(dockerfile)
  } catch (error) {
    assert.ok(error instanceof DirectiveError, String(error))
    const lines = dockerfile.split('\n').length
    assert.ok(error.problems.length > 0)
    assert.equal(error.message.split('\n').length, error.problems.length)
    for (const [index, { line, message, hint }] of error.problems.entries()) {
      assert.ok(
        line >= 1 && line <= lines && line >= (error.problems[index - 1]?.line ?? 1),
        `line ${line} of ${lines}`,
      )
      assert.ok(message.length > 0 && message.length < 1000)
      assert.doesNotMatch(`${message}${hint}`, /\p{Cc}|\p{Cs}|[\u200b-\u200f\u202a-\u202e]/u)
    }
    return undefined
  }
}

/** Every piece of text in a spec, against a grammar of its own: written here again, so that a slip there shows here. */
function assertChecked(spec: ServiceSpec): void {
  assert.match(spec.service, /^(?=.{1,40}$)[a-z0-9]+(?:(?:\.|__?|-)[a-z0-9]+)*$/)
  assert.doesNotMatch(spec.service, /-r\d+-\d+$|^mypaas|^(?:traefik|router|daemon|stats|localhost)$/)
  for (const { scheme, host, path } of spec.urls) {
    assert.ok(scheme === 'http' || scheme === 'https')
    assert.match(host, /^(?=.{1,253}$)(?:\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/)
    assert.match(path, /^(?:\/|(?:\/[A-Za-z0-9._~-]+)+)$/)
    assert.ok(!path.split('/').some((segment) => segment === '.' || segment === '..'))
    assert.equal(
      new URL(`${scheme}://${host}${path}`).href,
      `${scheme}://${host}${path}`,
      'a browser reads it as we do',
    )
  }
  for (const mount of spec.volumes) assertMount(mount)
  for (const { key, value = '' } of spec.env) {
    assert.match(key, /^(?!MYPAAS_)[A-Za-z_][\w.-]*$/)
    assert.doesNotMatch(value.replaceAll('\t', ''), /\p{Cc}|\p{Cs}/u)
  }
  for (const port of spec.publish) assertPort(port)
  assert.ok(Number.isInteger(spec.port) && spec.port >= 1 && spec.port <= 65_535)
  assert.ok(spec.scale === undefined || (Number.isInteger(spec.scale) && spec.scale >= 0 && spec.scale <= 100))
  assert.equal(spec.rollout === 'stop-first', (spec.scale ?? 0) === 0)
  if (spec.healthcheck) {
    const { path, intervalMs, timeoutMs } = spec.healthcheck
    assert.doesNotMatch(path, /[^!-~]|[`"'\\{}<>^|#]|^\/\//)
    assert.equal(new URL(path, 'http://upstream:80').host, 'upstream')
    assert.ok(Number.isInteger(timeoutMs) && timeoutMs >= 10 && timeoutMs <= intervalMs && intervalMs <= 86_400_000)
  }
  const startMs = spec.startTimeoutMs ?? 1_000
  assert.ok(Number.isInteger(startMs) && startMs >= 1_000 && startMs <= 3_600_000)
  assert.ok(
    spec.graceMs === undefined || (spec.graceMs % 1000 === 0 && spec.graceMs >= 1000 && spec.graceMs <= 3_600_000),
  )
  assert.ok(spec.maxCpu === undefined || (spec.maxCpu >= 0.01 && spec.maxCpu <= 1024))
  assert.ok(
    spec.maxMemoryBytes === undefined ||
      (Number.isSafeInteger(spec.maxMemoryBytes) && spec.maxMemoryBytes >= 6 * 1024 ** 2),
  )
}

function assertMount(mount: Mount): void {
  const clean = /^(?:\/(?!\.{1,2}(?:\/|$))[^/:\p{Cc}\p{Cf}\p{Cs}]+)+$/u
  assert.match(mount.target, clean)
  if (mount.kind === 'named') assert.match(mount.name, /^[A-Za-z0-9][\w.-]+$/)
  else assert.match(mount.kind === 'home' ? `/${mount.path}` : mount.path, clean)
  if (mount.kind === 'home') assert.doesNotMatch(mount.path, /(?:^|\/)\.|^(?:_mypaas|bin)(?:\/|$)/i)
}

function assertPort({ hostIp, hostPort, hostPortEnd, containerPort, protocol }: PublishedPort): void {
  for (const port of [hostPort, hostPortEnd, containerPort]) {
    assert.ok(port === undefined || (Number.isInteger(port) && port >= 1 && port <= 65_535))
  }
  assert.ok(hostPortEnd === undefined || (hostPort !== undefined && hostPort < hostPortEnd))
  assert.ok(hostIp === undefined || /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]+)$/.test(hostIp))
  assert.match(protocol, /^(?:tcp|udp|sctp)$/)
}

/** Pieces that values are made of, good ones, bad ones, and what would do harm in a rule, a template or a shell. */
const pieces = [
  ...[
    'https://',
    'http://',
    'HTTPS://',
    'example.com',
    'Example.COM',
    'a.b',
    'xn--p1ai',
    '*.',
    'localhost',
    '127.0.0.1',
    '/',
    '/docs',
    '/a/b/',
  ],
  ...['..', '.', '~', '~/', '~/data', ':', '::1', '[::1]', '/srv', 'data', ':ro', ':rw', '.ssh', '_mypaas', '$HOME'],
  ...[
    'FOO=bar',
    'FOO',
    '=',
    '"',
    "'",
    '\\',
    ' ',
    '\t',
    '`',
    '`)||HostRegexp(`.+`)',
    '{{env "HOME"}}',
    '$X',
    ';',
    '|',
    '&&',
    '%2e',
    '?',
    '#',
    '@',
  ],
  ...[
    '80',
    '8080:80',
    '7000-7005',
    '/udp',
    '/tcp',
    '0',
    '1',
    '3',
    '65536',
    '-1',
    'safe',
    'roll',
    '10s',
    '2s',
    '500ms',
    '1h',
    '/status',
  ],
  ...[
    '1.5',
    '500m',
    '6m',
    '1g',
    'nan',
    '50%',
    'blog',
    'my-app',
    'blog.api',
    'traefik',
    'mypaas',
    '-r1-1',
    '..',
    '__',
    '--',
  ],
  ...['\u00a0', '\u200b', '\u202e', '\u212a', 'ü', '\uFEFF', '\r', '\0', '\x1b[31m', '\uD800', '💥'],
]
const value = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.array(fc.constantFrom(...pieces), { minLength: 0, maxLength: 5 }).map((parts) => parts.join('')),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
)
const valid: Readonly<Record<string, readonly string[]>> = {
  service: ['blog', 'blog.api', 'my-app_2'],
  url: ['https://example.com', 'http://a.b/c', 'https://*.example.com/x', '"https://q.example"'],
  volume: ['~/data:/data', 'vol:/v:ro', '/srv/x:/x'],
  env: ['A=1', 'B', 'C="c"', '"D= d "'],
  port: ['8080'],
  publish: ['80', '127.0.0.1:81:80/udp', '7000-7003:7000-7003', '[::1]:9:9', '8000-8010:80'],
  scale: ['0', '1', '3', '2 safe', 'roll 2'],
  healthcheck: ['/status 10s 2s', '/up?x=1 1m 500ms'],
  start_timeout: ['90s', '2m'],
  grace: ['30s', '2m'],
  maxcpu: ['1.5'],
  maxmem: ['500m'],
}
const key = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(...directiveKeys) },
  { weight: 1, arbitrary: fc.constantFrom('prot', 'Url', '', 'service ') },
)
/** What stands before a key: on, off, and nearly on. */
const before = fc.constantFrom(
  '# mypaas.',
  '#mypaas.',
  ' \t#\tmypaas.',
  '# mypaas.',
  '# mypaas.',
  '#--- mypaas.',
  '## mypaas.',
  '# Mypaas.',
  '#\u00a0mypaas.',
)
const good = fc
  .constantFrom(...directiveKeys)
  .chain((name) => fc.constantFrom(...(valid[name] ?? [])).map((text) => `# mypaas.${name} = ${text}`))
const odd = fc.tuple(before, key, fc.constantFrom('=', ' = ', '', ':'), value).map((parts) => parts.join(''))
const instruction = fc.constantFrom(
  'FROM nginx',
  'RUN a \\',
  '  && b',
  'RUN cat <<EOF',
  'EOF',
  'COPY <<-"X Y" /z',
  '\tX Y',
  'LABEL mypaas.x=1',
  '',
  '# note',
  '# escape=`',
  'RUN c `',
)
const grammatical = fc
  .tuple(
    fc.constantFrom('# mypaas.service = blog', '# mypaas.service=blog.api', '', 'FROM x'),
    fc.array(
      fc.oneof({ weight: 12, arbitrary: good }, { weight: 1, arbitrary: odd }, { weight: 4, arbitrary: instruction }),
      { maxLength: 8 },
    ),
    fc.constantFrom('\n', '\n', '\r\n'),
  )
  .map(([first, lines, end]) => [first, ...lines].join(end))
const mostlyOdd = fc
  .array(fc.oneof(odd, instruction, good), { maxLength: 12 })
  .map((lines) => ['# mypaas.service = blog', ...lines].join('\n'))

/** One character of a file changed, dropped or doubled. */
const mutated = fc
  .tuple(grammatical, fc.nat(), fc.constantFrom(...pieces, ''), fc.integer({ min: 0, max: 2 }))
  .map(
    ([text, at, piece, drop]) =>
      text.slice(0, at % (text.length + 1)) + piece + text.slice((at % (text.length + 1)) + drop),
  )

test('10,000 arbitrary files are refused with their problems, or give a spec of checked tokens that survives its labels', () => {
  let accepted = 0
  fc.assert(
    fc.property(
      fc.oneof(grammatical, mostlyOdd, mutated, fc.string({ unit: 'binary', maxLength: 200 })),
      (dockerfile) => {
        const spec = tryParse(dockerfile)
        if (!spec) return
        accepted += 1
        assertChecked(spec)
        assert.deepEqual(specFromLabels(specToLabels(spec)), spec)
      },
    ),
    { numRuns: 10_000 },
  )
  assert.ok(accepted > 500, `only ${accepted} were accepted: the other half of the claim was hardly tried`)
})

/** A directive whose value is right but for one place, or is made of pieces. */
const oneOdd = fc.constantFrom(...directiveKeys).chain((name) => {
  const rightButFor = fc
    .tuple(
      fc.constantFrom(...(valid[name] ?? [])),
      fc.nat(),
      fc.constantFrom(...pieces),
      fc.integer({ min: 0, max: 1 }),
    )
    .map(([text, at, piece, drop]) => {
      const place = at % (text.length + 1)
      return text.slice(0, place) + piece + text.slice(place + drop)
    })
  return fc.tuple(fc.constant(name), fc.oneof(rightButFor, value))
})

test('a directive with one odd value, 20,000 times', () => {
  let accepted = 0
  fc.assert(
    fc.property(oneOdd, ([name, text]) => {
      const first = name === 'service' ? '' : '# mypaas.service = blog\n'
      const spec = tryParse(`${first}# mypaas.${name} = ${text}\nFROM x`)
      if (!spec) return
      accepted += 1
      assertChecked(spec)
      assert.deepEqual(specFromLabels(specToLabels(spec)), spec)
    }),
    { numRuns: 20_000 },
  )
  assert.ok(accepted > 1000, `only ${accepted} were accepted`)
})
