import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSpec } from '../../src/service/parse.ts'
import { DirectiveError, type Problem } from '../../src/service/problems.ts'
import type { Mount, ServiceSpec } from '../../src/service/spec.ts'
import { formatVolume } from '../../src/service/volume.ts'
import { wrong } from './wrong.ts'

function spec(...lines: string[]): ServiceSpec {
  return parseSpec(['# mypaas.service = blog', ...lines.map((line) => `# mypaas.${line}`), 'FROM nginx'].join('\n'))
}

/** The problems of these directives, each as its line's number (the first is 1), message and hint. */
function problems(...lines: string[]): string[] {
  try {
    spec(...lines)
    return []
  } catch (error) {
    assert.ok(error instanceof DirectiveError)
    return error.problems.map(({ line, message, hint }) => `${line - 1}: ${message}${hint ? `. ${hint}` : ''}`)
  }
}

test('the example of the manual is a service with two URLs and all defaults', () => {
  const dockerfile = `# mypaas.service=hello-world
# mypaas.url=https://example.com
# mypaas.url=https://www.example.com

FROM python:3.8-slim-buster

RUN apt update \\
    && pip --no-cache-dir install pip --upgrade \\
    && pip --no-cache-dir install uvicorn uvloop httptools \\
    && pip --no-cache-dir install asgineer

WORKDIR /root
COPY . .
CMD python server.py
`
  assert.deepEqual(parseSpec(dockerfile), {
    service: 'hello-world',
    urls: [
      { scheme: 'https', host: 'example.com', path: '/' },
      { scheme: 'https', host: 'www.example.com', path: '/' },
    ],
    volumes: [],
    env: [],
    port: 80,
    publish: [],
    scale: undefined,
    rollout: 'stop-first',
    healthcheck: undefined,
    startTimeoutMs: undefined,
    graceMs: undefined,
    maxCpu: undefined,
    maxMemoryBytes: undefined,
  })
})

test('every directive has its place in the spec', () => {
  assert.deepEqual(
    parseSpec(`FROM registry.example.com/your/image:tag
# mypaas.service = shop
# mypaas.url = "https://Shop.example.com/"
# mypaas.url = http://shop.example.com/admin/
# mypaas.volume = ~/shop/data:/data
# mypaas.volume = shop-cache:/cache
# mypaas.volume = /srv/media:/media:ro
# mypaas.env = "FOO=bar"
# mypaas.env = TOKEN
# mypaas.port = 8000
# mypaas.publish = 127.0.0.1:9000-9001:9000-9001/udp
# mypaas.scale = 1
# mypaas.healthcheck = "/status 10s 2s"
# mypaas.start_timeout = 2m
# mypaas.grace = 1.5m
# mypaas.maxcpu = 1.5
# mypaas.maxmem = 500m
#--- mypaas.maxmem = 1g`),
    {
      service: 'shop',
      urls: [
        { scheme: 'https', host: 'shop.example.com', path: '/' },
        { scheme: 'http', host: 'shop.example.com', path: '/admin' },
      ],
      volumes: [
        { kind: 'home', path: 'shop/data', target: '/data', readOnly: false },
        { kind: 'named', name: 'shop-cache', target: '/cache', readOnly: false },
        { kind: 'host', path: '/srv/media', target: '/media', readOnly: true },
      ],
      env: [{ key: 'FOO', value: 'bar' }, { key: 'TOKEN' }],
      port: 8000,
      publish: [
        { hostIp: '127.0.0.1', hostPort: 9000, containerPort: 9000, protocol: 'udp' },
        { hostIp: '127.0.0.1', hostPort: 9001, containerPort: 9001, protocol: 'udp' },
      ],
      scale: 1,
      rollout: 'roll',
      healthcheck: { path: '/status', intervalMs: 10_000, timeoutMs: 2000 },
      startTimeoutMs: 120_000,
      graceMs: 90_000,
      maxCpu: 1.5,
      maxMemoryBytes: 524_288_000,
    },
  )
})

assert.ok(wrong.length >= 20)
for (const { title, dockerfile, errors } of wrong) {
  test(`wrong, and told line by line what would be right: ${title}`, () => {
    assert.throws(
      () => parseSpec(dockerfile),
      (error) => {
        assert.ok(error instanceof DirectiveError)
        assert.deepEqual(error.message.split('\n'), errors)
        assert.equal(error.code, 'directives')
        return true
      },
    )
  })
}

test('the error has every problem as data, in the order of the lines, and says that nothing was changed', () => {
  const error = new DirectiveError(
    [
      { line: 9, message: 'b' },
      { line: 2, message: 'a', hint: 'c' },
    ],
    { file: 'web/Dockerfile' },
  )
  assert.equal(error.message, 'web/Dockerfile:2: a. c\nweb/Dockerfile:9: b')
  assert.deepEqual(error.problems, [
    { line: 2, message: 'a', hint: 'c' },
    { line: 9, message: 'b' },
  ] satisfies Problem[])
  assert.equal(error.hint, 'Nothing was changed. Correct these lines and try again.')
  assert.equal(error.name, 'DirectiveError')
  assert.throws(() => parseSpec('FROM x', { file: 'api.Dockerfile' }), /^DirectiveError: api\.Dockerfile:1: /)
})

test('the message stops after 100 problems and says how many more there are; as data they are all there', () => {
  assert.throws(
    () => parseSpec('# mypaas.port = x\n'.repeat(250)),
    (error) => {
      assert.ok(error instanceof DirectiveError)
      assert.deepEqual([error.message.split('\n').length, error.problems.length], [101, 251])
      assert.match(error.message, /\nDockerfile: and 151 more$/)
      return true
    },
  )
})

test('a comment behind a value is no comment', () => {
  for (const line of [
    'url = https://a.b # ours',
    'volume = ~/a:/b # data',
    'volume = ~/a #:/b',
    'port = 80 # web',
    'service = b # c',
  ]) {
    assert.notDeepEqual(problems(line), [], line)
  }
  assert.match(
    problems('url = https://a.b # ours').join(),
    /^1: .* has a blank in it\. Write nothing behind the URL, not even a comment$/,
  )
  assert.deepEqual(spec('env = A=b # c').env, [{ key: 'A', value: 'b # c' }])
})

test('what a stranger wrote can not write to the terminal of who reads the error', () => {
  const [problem] = problems(`port = \u202e${'8'.repeat(5000)}\u200b`)
  assert.ok(problem && problem.length < 300 && /^[ -~…]*$/.test(problem), problem)
  assert.match(problem, /"\\u\{202e\}888/)
})

test('a misspelt key is told the nearest one', () => {
  const table: [written: string, meant: string][] = [
    ['servce', 'service'],
    ['urls', 'url'],
    ['ulr', 'url'],
    ['Port', 'port'],
    ['prot', 'port'],
    ['volumes', 'volume'],
    ['enviroment', 'env'],
    ['evn', 'env'],
    ['health-check', 'healthcheck'],
    ['heathcheck', 'healthcheck'],
    ['stop_timeout', 'grace'],
    ['stop-grace-period', 'grace'],
    ['max_mem', 'maxmem'],
    ['start-timeout', 'start_timeout'],
    ['starttimeout', 'start_timeout'],
    ['timeout', 'start_timeout'],
    ['maxmemory', 'maxmem'],
    ['memory', 'maxmem'],
    ['cpus', 'maxcpu'],
    ['replicas', 'scale'],
    ['scales', 'scale'],
    ['publsih', 'publish'],
    ['ports', 'publish'],
    ['domain', 'url'],
  ]
  for (const [written, meant] of table) {
    assert.match(problems(`${written} = 1`).join(), new RegExp(`Did you mean mypaas\\.${meant}\\?`), written)
  }
  assert.equal(problems('constructor = 1').length, 1)
  assert.equal(problems('__proto__ = 1').length, 1)
  assert.ok(problems(`${'x'.repeat(100_000)} = 1`).join().length < 400)
})

test('hosts and paths are lower-cased, cleaned, and compared as what they are', () => {
  const table: [text: string, url: string][] = [
    ['https://example.com', 'https example.com /'],
    ['HTTPS://Example.COM/', 'https example.com /'],
    ['http://localhost', 'http localhost /'],
    ['http://hello.localhost/Docs/', 'http hello.localhost /Docs'],
    ['https://xn--bcher-kva.example', 'https xn--bcher-kva.example /'],
    ['https://*.example.com', 'https *.example.com /'],
    ['http://10.0.0.1/a', 'http 10.0.0.1 /a'],
    ['https://a.b/~me/v1.0_x-y', 'https a.b /~me/v1.0_x-y'],
    ['https://a.b/...', 'https a.b /...'],
    [`https://${'a'.repeat(63)}.example`, `https ${'a'.repeat(63)}.example /`],
    ['https://3com.com', 'https 3com.com /'],
    ['https://example.c0', 'https example.c0 /'],
  ]
  for (const [text, url] of table) {
    assert.deepEqual(
      spec(`url = ${text}`).urls.map(({ scheme, host, path }) => `${scheme} ${host} ${path}`),
      [url],
    )
  }
  assert.equal(spec('url = http://a.b', 'url = https://a.b', 'url = https://a.b/c').urls.length, 3)
  assert.deepEqual(problems('url = https://a.b/c/', 'url = https://A.b/c'), [
    '2: mypaas.url: https://a.b/c is in line 2 already. Keep one of them',
  ])
})

test('what is no host or path of a route is refused, whatever it tries', () => {
  for (const text of [
    'https://',
    'https:///x',
    'https://.',
    'https://a..b',
    'https://.a',
    'https://a.',
    'https://-a.b',
    'https://a-.b',
    'https://a_b.c',
    'https://a b.c',
    'https://a,b.c',
    'https://*',
    'https://*.',
    'https://**.a',
    'https://a.*.b',
    'https://*a.b',
    'https://1.2.3',
    'https://1.2.3.4',
    'http://1.2.3.256',
    'http://01.2.3.4',
    'http://1.2.3.4.',
    'http://2130706433',
    'http://0x7f.1',
    'http://a.0x',
    'http://*.2.3.4',
    'http://[::1]',
    'https://a.b:443',
    'https://a.b:',
    'https://a@b.c',
    'https://a.b?',
    'https://a.b#',
    'https://a.b/?x',
    'https://a.b//c',
    'https://a.b/../c',
    'https://a.b/./c',
    'https://a.b/%2e%2e/c',
    'https://a.b/ä',
    'https://a.b/c d',
    'https://a.b/`',
    "https://a.b/'",
    'https://a.b/{{env}}',
    'https://a.b/{x}',
    'https://a.b/$x',
    'https://a.b\\c',
    'https://a.b/\\',
    'https://\u212A.com',
    'https://a\u200b.com',
    'https://\u0130.com',
    'https://xn--p1ai80',
    'https://xn--.de',
    '//a.b',
    'https:a.b',
    'ttps://a.b',
    `https://${'a'.repeat(64)}.b`,
    `https://${'a.'.repeat(127)}b`,
    `https://a.b/${'c'.repeat(300)}`,
  ]) {
    assert.notDeepEqual(problems(`url = ${text}`), [], text)
  }
})

test('the hint for a URL is a URL that would do', () => {
  const table: [text: string, hint: RegExp][] = [
    ['example.com', /mypaas\.url = https:\/\/example\.com$/],
    ['example.com/a/', /mypaas\.url = https:\/\/example\.com\/a$/],
    ['http//example.com', /starts with neither/],
    ['https:/example.com', /mypaas\.url = https:\/\/example\.com$/],
    ['//example.com', /mypaas\.url = https:\/\/example\.com$/],
    ['https://example.com:443/', /Write https:\/\/example\.com$/],
    ['https://example.com?a=1', /has a query \("\?a=1"\)\. Write https:\/\/example\.com$/],
    ['http://example.com/a//b', /Write \/a\/b$/],
    ['https://bücher.example', /on the wire: xn--bcher-kva\.example$/],
  ]
  for (const [text, hint] of table) assert.match(problems(`url = ${text}`).join(), hint, text)
})

test('a volume is a place below the home, a named one, or a path that the server decides about', () => {
  const table: [text: string, mount: ServiceSpec['volumes'][number]][] = [
    ['~/data:/data', { kind: 'home', path: 'data', target: '/data', readOnly: false }],
    ['~/a/b/:/c/d/', { kind: 'home', path: 'a/b', target: '/c/d', readOnly: false }],
    ['~/a:/c:ro', { kind: 'home', path: 'a', target: '/c', readOnly: true }],
    ['~/a:/c:rw', { kind: 'home', path: 'a', target: '/c', readOnly: false }],
    ['~/my data:/my data', { kind: 'home', path: 'my data', target: '/my data', readOnly: false }],
    ['~/x/bin:/c', { kind: 'home', path: 'x/bin', target: '/c', readOnly: false }],
    ['~/_mypaas2:/c', { kind: 'home', path: '_mypaas2', target: '/c', readOnly: false }],
    ['~/a...:/c', { kind: 'home', path: 'a...', target: '/c', readOnly: false }],
    ['pg-data:/c', { kind: 'named', name: 'pg-data', target: '/c', readOnly: false }],
    ['PG_data.1:/c', { kind: 'named', name: 'PG_data.1', target: '/c', readOnly: false }],
    ['/srv/x/:/c', { kind: 'host', path: '/srv/x', target: '/c', readOnly: false }],
    ['/home/me/x:/c', { kind: 'host', path: '/home/me/x', target: '/c', readOnly: false }],
  ]
  for (const [text, mount] of table) assert.deepEqual(spec(`volume = ${text}`).volumes, [mount], text)
})

test("a volume has docker's options", () => {
  const table: [text: string, readOnly: boolean, ...options: string[]][] = [
    ['~/x:/y:z', false, 'z'],
    ['/srv/x:/y:ro,Z', true, 'Z'],
    ['data:/y:nocopy,ro', true, 'nocopy'],
    ['data:/y:rw,z,nocopy', false, 'z', 'nocopy'],
    ['~/x:/y:cached', false, 'cached'],
    ['~/x:/y:delegated,ro', true, 'delegated'],
    ['~/x:/y:consistent,z,rslave', false, 'consistent', 'z', 'rslave'],
    ...['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'].map((option): [string, boolean, string] => [
      `~/x:/y:${option}`,
      false,
      option,
    ]),
  ]
  for (const [text, readOnly, ...options] of table) {
    const [mount] = spec(`volume = ${text}`).volumes
    assert.deepEqual([mount?.readOnly, ...(mount?.options ?? [])], [readOnly, ...options], text)
    assert.deepEqual(spec(`volume = ${formatVolume(mount as Mount)}`).volumes, [mount], text)
  }
  assert.match(problems('volume = ~/x:/y:delgated').join(), /Did you mean delegated\?/)
  assert.match(problems('volume = ~/x:/y:nocopy').join(), /nocopy is for volumes of Docker/)
})

test('a volume can not be what gives the server away, nor be unclear', () => {
  for (const text of [
    '~:/x',
    '~/:/x',
    '~/.:/x',
    '~/..:/x',
    '~/./.ssh:/x',
    '~//.ssh:/x',
    '~/.ssh:/x',
    '~/.ssh/:/x',
    '~/.ssh/id:/x',
    '~/_mypaas/config.toml:/x',
    '~/a/../_mypaas:/x',
    '~/.bashrc:/x',
    '~/.docker/config.json:/x',
    '~/.config:/x',
    '~/.local/bin:/x',
    '~root/x:/x',
    '~root:/x',
    '/:/x',
    '//:/x',
    '/..:/x',
    '/home/me/../x:/x',
    './x:/x',
    '../x:/x',
    'a/b:/x',
    '-ab:/x',
    '.ab:/x',
    'a:/x',
    '$HOME/x:/x',
    '{HOME}:/x',
    ':/x',
    '~/x',
    '/x',
    'x',
    '~/x:',
    '~/x:y',
    '~/x:~/y',
    '~/x:/',
    '~/x://y',
    '~/x:/y/../z',
    '~/x:/proc',
    '~/x:/proc/1',
    '~/x:/y:',
    '~/x:/y:x',
    '~/x:/y:ro,',
    '~/x:/y:ro,rw',
    '~/x:/y:z,Z',
    '~/x:/y:z,z',
    '~/x:/y:cached,delegated',
    '~/x:/y:shared,rslave',
    'xx:/y:shared',
    '~/x:/y:RO',
    '~/x:/y:ro:rw',
    '~/x:/y:nocopy',
    '~/x :/y',
    '~/x/ /z:/y',
    '~/x\u202e:/y',
    '~/x:/y\u200b',
    '~/x\u00a0y:/y',
    `~/${'x'.repeat(2000)}:/y`,
    `${'x'.repeat(300)}:/y`,
  ]) {
    assert.notDeepEqual(problems(`volume = ${text}`), [], text)
  }
})

test('a variable is KEY=value, with the quotes around the value taken off as a pair, or a KEY of the server', () => {
  const table: [text: string, key: string, value: string | undefined][] = [
    ['FOO=bar', 'FOO', 'bar'],
    ['FOO', 'FOO', undefined],
    ['FOO=', 'FOO', ''],
    ['FOO=""', 'FOO', ''],
    ['"FOO=bar"', 'FOO', 'bar'],
    ['"FOO"', 'FOO', undefined],
    ['FOO="bar"', 'FOO', 'bar'],
    ["FOO='  bar '", 'FOO', '  bar '],
    ['"FOO= bar "', 'FOO', ' bar '],
    [`'FOO="bar"'`, 'FOO', '"bar"'],
    ['FOO="half', 'FOO', '"half'],
    ['FOO={"a": "b"}', 'FOO', '{"a": "b"}'],
    ['FOO=a=b==', 'FOO', 'a=b=='],
    ['FOO=$HOME `x` {{y}} ü', 'FOO', '$HOME `x` {{y}} ü'],
    ['discovery.type=single-node', 'discovery.type', 'single-node'],
    ['_x-1=', '_x-1', ''],
    ['mypaas_x=1', 'mypaas_x', '1'],
  ]
  for (const [text, key, value] of table) {
    assert.deepEqual(spec(`env = ${text}`).env, [value === undefined ? { key } : { key, value }], text)
  }
  for (const text of ['=x', '1A=x', 'A B=x', 'A =x', 'Ä=x', 'MYPAAS_SERVICE=x', 'MYPAAS_', 'A="b"c"', '-A=x']) {
    assert.notDeepEqual(problems(`env = ${text}`), [], text)
  }
})

test('the value of a variable is in no message', () => {
  for (const text of ['A B=hunter2', 'MYPAAS_X=hunter2', 'A="hunter2"x"', '=hunter2', '1=hunter2']) {
    const [problem = ''] = problems(`env = ${text}`)
    assert.ok(problem !== '' && !problem.includes('hunter2'), problem)
  }
  assert.doesNotMatch(problems('env = A=hunter2', 'env = A=hunter3').join(), /hunter/)
})

test('the port is a whole number from 1 to 65535', () => {
  assert.equal(spec('port = 1').port, 1)
  assert.equal(spec('port = 65535').port, 65_535)
  for (const text of [
    '0',
    '65536',
    '080',
    '-1',
    '+80',
    '8e1',
    '80.0',
    '80/tcp',
    '8000-8010',
    'http',
    '٨٠',
    '99999999999',
  ]) {
    assert.equal(problems(`port = ${text}`).length, 1, text)
  }
})

test("a port is published in every form of docker's --publish, ranges spread", () => {
  const tcp = (containerPort: number, more: object = {}) => ({ containerPort, protocol: 'tcp', ...more })
  const table: [text: string, ports: object[]][] = [
    ['80', [tcp(80)]],
    [':80', [tcp(80)]],
    ['0:80', [tcp(80)]],
    ['80/tcp', [tcp(80)]],
    ['53/UDP', [{ containerPort: 53, protocol: 'udp' }]],
    ['9/sctp', [{ containerPort: 9, protocol: 'sctp' }]],
    ['8080:80', [tcp(80, { hostPort: 8080 })]],
    [':8080:80', [tcp(80, { hostPort: 8080 })]],
    ['127.0.0.1:8080:80', [tcp(80, { hostIp: '127.0.0.1', hostPort: 8080 })]],
    ['127.0.0.1::80', [tcp(80, { hostIp: '127.0.0.1' })]],
    ['0.0.0.0:8080:80', [tcp(80, { hostIp: '0.0.0.0', hostPort: 8080 })]],
    ['[::1]:8080:80', [tcp(80, { hostIp: '::1', hostPort: 8080 })]],
    ['::1:8080:80', [tcp(80, { hostIp: '::1', hostPort: 8080 })]],
    ['[2001:DB8:0:0::1]::80', [tcp(80, { hostIp: '2001:db8::1' })]],
    ['7000-7001:8000-8001', [tcp(8000, { hostPort: 7000 }), tcp(8001, { hostPort: 7001 })]],
    ['7000-7001', [tcp(7000), tcp(7001)]],
    ['7000-7000:80', [tcp(80, { hostPort: 7000 })]],
    ['8000-8010:80', [tcp(80, { hostPort: 8000, hostPortEnd: 8010 })]],
  ]
  for (const [text, ports] of table) assert.deepEqual(spec(`publish = ${text}`).publish, ports, text)
  assert.equal(spec('publish = 10000-10999:10000-10999/udp').publish.length, 1000)
})

test('what is no published port is refused', () => {
  for (const text of [
    'a',
    '80/',
    '80/http',
    '80/tcp/udp',
    '80:',
    '80:80:',
    '65536:80',
    '80:0',
    '9-5:80',
    '1-2:1-3',
    '1-3:1-2',
    '127.0.0.1:80',
    'localhost:80:80',
    '127.0.0.256:80:80',
    '1.2.3:80:80',
    '[::1:80:80',
    '[:::1]:80:80',
    '[fe80::1%eth0]:80:80',
    '[]:80:80',
    '1:2:3:4',
    '80 : 80',
    '-80:80',
    '1-65535:1-65535',
  ]) {
    assert.notDeepEqual(problems(`publish = ${text}`), [], text)
  }
  assert.match(problems('publish = 1-600:1-600', 'publish = 2000-2600:2000-2600').join(), /^2: .*more than 1000 ports/)
})

test('two entries clash when they want the same port of the same address', () => {
  const clash: [a: string, b: string][] = [
    ['80:80', '80:81'],
    ['80:80', '127.0.0.1:80:81'],
    ['127.0.0.1:80:80', '0.0.0.0:80:81'],
    ['0.0.0.0:80:80', '80:80'],
    ['[::]:80:80', '[::1]:80:80'],
    ['[::]:80:80', '80:80'],
    ['80-82:80-82', '82:82'],
    ['127.0.0.1:80:80', '127.0.0.1:80:80'],
  ]
  const peace: [a: string, b: string][] = [
    ['80:80', '80:80/udp'],
    ['127.0.0.1:80:80', '127.0.0.2:80:80'],
    ['0.0.0.0:80:80', '[::]:80:80'],
    ['80:80', '81:80'],
    ['80', '80'],
    ['127.0.0.1::80', '80:80'],
    ['8000-8010:80', '8000-8010:81'],
  ]
  for (const [a, b] of clash) assert.equal(problems(`publish = ${a}`, `publish = ${b}`).length, 1, `${a} ${b}`)
  for (const [a, b] of peace) assert.deepEqual(problems(`publish = ${a}`, `publish = ${b}`), [], `${a} ${b}`)
})

test('one port of the server can not be for several replicas, wherever the two lines stand', () => {
  assert.equal(problems('scale = 2', 'publish = 80:80').length, 1)
  assert.equal(problems('publish = 127.0.0.1:80:80', 'scale = 2 safe').length, 1)
  assert.equal(problems('publish = 8000-8001:80', 'scale = 3').length, 1)
  for (const scale of ['0', '1', '1 safe']) assert.deepEqual(problems(`scale = ${scale}`, 'publish = 80:80'), [])
  assert.deepEqual(problems('scale = 3', 'publish = 80'), [])
  assert.deepEqual(problems('scale = 3', 'publish = 8000-8002:80'), [])
})

test('scale says how many, and how one release takes over from the other', () => {
  const table: [text: string, scale: number, rollout: string][] = [
    ['0', 0, 'stop-first'],
    ['0 safe', 0, 'stop-first'],
    ['1', 1, 'roll'],
    ['3', 3, 'roll'],
    ['3 roll', 3, 'roll'],
    ['roll 3', 3, 'roll'],
    ['3 \t safe', 3, 'safe'],
    ['safe 3', 3, 'safe'],
    ['100', 100, 'roll'],
  ]
  for (const [text, scale, rollout] of table) {
    const { scale: readScale, rollout: readRollout } = spec(`scale = ${text}`)
    assert.deepEqual([readScale, readRollout], [scale, rollout], text)
  }
  for (const text of [
    'safe',
    'roll',
    '2 3',
    '2 safe roll',
    '0 roll',
    '-1',
    '1.5',
    '2safe',
    'two',
    '101',
    '9'.repeat(400),
    '2 SAFE',
    '2,safe',
  ]) {
    assert.equal(problems(`scale = ${text}`).length, 1, text)
  }
  assert.match(problems('scale = 2safe').join(), /Write 2 safe$/)
})

test('a health check is a path, an interval and a timeout in ms, s, m or h', () => {
  const table: [text: string, healthcheck: object][] = [
    ['/status 10s 2s', { path: '/status', intervalMs: 10_000, timeoutMs: 2000 }],
    ['/ 1m 1m', { path: '/', intervalMs: 60_000, timeoutMs: 60_000 }],
    ['/up?full=1&x=%20  1h\t500ms', { path: '/up?full=1&x=%20', intervalMs: 3_600_000, timeoutMs: 500 }],
    ['/a/b/ 1.5s 1s', { path: '/a/b/', intervalMs: 1500, timeoutMs: 1000 }],
  ]
  for (const [text, healthcheck] of table)
    assert.deepEqual(spec(`healthcheck = ${text}`).healthcheck, healthcheck, text)
  for (const text of [
    '/s',
    '/s 5s',
    '/s 5s 2s 1s',
    's 5s 2s',
    '/s 5 2s',
    '/s 5s 2',
    '/s 5mh 2s',
    '/s 2s 5s',
    '/s 0s 0s',
    '/s 1ms 1ms',
    '/s 999999h 1s',
    '//169.254.169.254/x 5s 2s',
    '/a//b 5s 2s',
    '/a/../b 5s 2s',
    '/{{x}} 5s 2s',
    '/` 5s 2s',
    '/" 5s 2s',
    '/ä 5s 2s',
    '/% 5s 2s',
    '/a#b 5s 2s',
    'http://x/ 5s 2s',
    `/${'a'.repeat(300)} 5s 2s`,
  ]) {
    assert.notDeepEqual(problems(`healthcheck = ${text}`), [], text)
  }
})

test('a time to start is a duration from a second to an hour', () => {
  assert.equal(spec('port = 80').startTimeoutMs, undefined)
  assert.equal(spec('start_timeout = 1s').startTimeoutMs, 1_000)
  assert.equal(spec('start_timeout = 1.5m').startTimeoutMs, 90_000)
  assert.equal(spec('start_timeout = 1h').startTimeoutMs, 3_600_000)
  for (const text of ['0s', '999ms', '61m', '2h', '90', 'm', '-1m', '2 m', '2m 3m', '1d'])
    assert.equal(problems(`start_timeout = ${text}`).length, 1, text)
})

test('a grace is whole seconds, from one to an hour', () => {
  assert.equal(spec('grace = 30s').graceMs, 30_000)
  assert.equal(spec('grace = "1000ms"').graceMs, 1_000)
  assert.equal(spec('grace = 1h').graceMs, 3_600_000)
  for (const text of ['0', '0s', '30', '999ms', '1500ms', '61m', '2h', '-1s', 'ten', '1s 2s']) {
    assert.equal(problems(`grace = ${text}`).length, 1, text)
  }
  assert.match(problems('grace = 30').join(), /"30" is no duration\. For example: mypaas\.grace = 30s$/)
  assert.match(problems('grace = 1500ms').join(), /whole seconds\. For example: mypaas\.grace = 2s$/)
  assert.match(problems('grace = 2h').join(), /between 1s and 1h$/)
})

test('limits are what docker run takes, from its minimum up', () => {
  assert.equal(spec('maxcpu = 0.01').maxCpu, 0.01)
  assert.equal(spec('maxcpu = 1.5').maxCpu, 1.5)
  assert.equal(spec('maxmem = 6m').maxMemoryBytes, 6_291_456)
  assert.equal(spec('maxmem = 6291456').maxMemoryBytes, 6_291_456)
  assert.equal(spec('maxmem = 1.5G').maxMemoryBytes, 1_610_612_736)
  assert.equal(spec('maxmem = 500MB').maxMemoryBytes, 524_288_000)
  for (const text of ['0', '0.001', 'nan', 'inf', '1e3', '-1', '.5', '1,5', '50%', '2000', '1.2345', '1 cpu']) {
    assert.equal(problems(`maxcpu = ${text}`).length, 1, text)
  }
  for (const text of ['0', '5m', '500', '6291455', 'm', '-1g', '500 m', '500x', '1e9', '99999t']) {
    assert.equal(problems(`maxmem = ${text}`).length, 1, text)
  }
  assert.match(
    problems('maxmem = 512').join(),
    /"512" is 512 B, and the minimum is 6m\. For example: mypaas\.maxmem = 512m$/,
  )
})

test('what stands once may stand once, also when it says the same', () => {
  for (const line of [
    'service = blog',
    'port = 80',
    'scale = 1',
    'healthcheck = / 2s 1s',
    'grace = 30s',
    'maxcpu = 1',
    'maxmem = 6m',
  ]) {
    assert.match(problems(line, line).join(), /line \d has it already\. Keep one of them$/, line)
  }
})

test('what may repeat may not say the same thing twice', () => {
  for (const [a, b] of [
    ['url = https://a.b', 'url = https://a.b/'],
    ['volume = ~/a:/x', 'volume = ~/b:/x/'],
    ['env = A=1', 'env = A'],
  ] as const) {
    assert.match(problems(a, b).join(), /^2: .* is in line 2 already\. Keep one of them$/, a)
  }
  assert.deepEqual(problems('volume = ~/a:/x', 'volume = ~/a:/y', 'env = A=1', 'env = a=1'), [])
})
