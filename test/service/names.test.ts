import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  containerName,
  gateAlias,
  imageReference,
  maxNameLength,
  networkAliases,
  parseServiceName,
} from '../../src/service/names.ts'

/** The name, or the problems with it. */
function read(text: string): string | string[] {
  const problems: string[] = []
  return parseServiceName(text, (message, hint) => problems.push(hint ? `${message}. ${hint}` : message)) ?? problems
}

test('a name has lower-case letters and digits, with single separators between them', () => {
  const good = [
    'a',
    '7',
    'blog',
    'hello-world',
    'blog.api',
    'blog_api',
    'blog__api',
    'example.com',
    'a.b-c_d',
    'up-time',
    'r7-1',
    '2048',
  ]
  for (const name of [...good, 'x'.repeat(maxNameLength), 'blog-r7', 'a-r1-x1']) assert.equal(read(name), name)
})

test('a name that Docker would refuse for an image is refused, with the reason and a better one', () => {
  const grammar = 'between two letters or digits may be one . or - or _ (or __), not more'
  const edge = 'it has to begin and end with a letter or a digit'
  const characters = 'only a-z, 0-9 and . _ - may be in it'
  const table: [text: string, why: string, better: string | undefined][] = [
    ['a..b', grammar, 'a.b'],
    ['a___b', grammar, 'a_b'],
    ['a.-b', grammar, 'a.b'],
    ['a--b', grammar, 'a-b'],
    ['a-', edge, 'a'],
    ['-a', edge, 'a'],
    ['.a', edge, 'a'],
    ['...', edge, undefined],
    ['Blog', characters, 'blog'],
    ['-My App/api.v2:1', characters, 'my-app-api.v2-1'],
    ['bücher', characters, 'b-cher'],
    ['\u212Aelvin', characters, 'elvin'],
    ['a/b', characters, 'a-b'],
    ['{{env "X"}}', characters, 'env-x'],
    ['ÄÖÜ', characters, undefined],
    ['x'.repeat(41), 'it is 41 characters long, at most 40 are allowed', 'x'.repeat(40)],
    ['x'.repeat(5000), 'it is 5000 characters long, at most 40 are allowed', 'x'.repeat(40)],
  ]
  for (const [text, why, better] of table) {
    const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text.replace('\u212A', '\u212A')
    const [problem, ...more] = read(text)
    const hint = better === undefined ? '' : `. For example: mypaas.service = ${better}`
    assert.equal(
      problem,
      `${JSON.stringify(shown).replaceAll('\\"', '"')} can't be the name of a service: ${why}${hint}`,
    )
    assert.deepEqual(more, [])
    if (better !== undefined) assert.equal(read(better), better)
  }
})

test('names that mypaas uses itself are refused', () => {
  for (const name of [
    'all',
    'traefik',
    'router',
    'daemon',
    'stats',
    'localhost',
    'mypaas',
    'mypaas-net',
    'mypaas.x',
    'mypaasx',
  ]) {
    assert.match(read(name)[0] ?? '', /mypaas itself uses that name/, name)
  }
  for (const name of ['traefik2', 'my-router', 'statsd', 'my-paas']) assert.equal(read(name), name)
})

test('no service can be called like a container, or like a file that the server keeps for another service', () => {
  for (const name of ['a-r1-1', 'blog-r7-12', 'a.b-r1-1'])
    assert.match(read(name)[0] ?? '', /is for the containers of a service/)
  for (const name of ['blog.json', 'blog.lock', 'blog.log', 'a.yml', 'a.tmp']) {
    assert.match(read(name)[0] ?? '', /is for files that the server keeps/)
  }
})

test('image and containers are called after service, release and replica', () => {
  assert.equal(imageReference('blog.api', 7), 'blog.api:r7')
  assert.equal(containerName('blog.api', 7, 1), 'blog.api-r7-1')
})

test('a service is called by its name; the dots of a name become two dashes', () => {
  assert.deepEqual(networkAliases('blog'), ['blog'])
  assert.deepEqual(networkAliases('blog_api'), ['blog_api'])
  assert.deepEqual(networkAliases('blog.api'), ['blog--api'])
  assert.deepEqual(networkAliases('api.stripe.com'), ['api--stripe--com'])
})

test('a gate alias shows service, release and replica', () => {
  assert.equal(gateAlias('blog', 7, 1), 'up-blog-r7-x1')
  assert.equal(gateAlias('blog-api', 7, 1), 'up-blog-api-r7-x1')
  assert.equal(gateAlias('blog.api', 7, 1), 'up-blog-api-r7-x1s1')
  assert.equal(gateAlias('blog_api', 7, 1), 'up-blog-api-r7-x1s2')
  assert.equal(gateAlias('blog__api', 7, 1), 'up-blog-api-r7-x1s3')
})

/** Names near each other: few letters, all separators, and pieces of what is put behind them. */
const piece = fc.oneof(
  fc.constantFrom('a', 'b', 'r1', 'r7', '1', '7', 'x1', 'x7', 's1', 'x1s1', 'up'),
  fc.stringMatching(/^[a-z0-9]{1,8}$/),
)
const name = fc
  .array(fc.tuple(piece, fc.constantFrom('-', '.', '_', '__')), { minLength: 1, maxLength: 14 })
  .map((pieces) =>
    pieces
      .map(([text, separator]) => text + separator)
      .join('')
      .replace(/[-._]+$/, ''),
  )
  .filter((text) => read(text) === text)
const replica = fc.record({
  service: name,
  release: fc.integer({ min: 1, max: 12 }),
  replica: fc.integer({ min: 1, max: 12 }),
})

test('one gate alias, one container and one image for each (service, release, replica), one network alias for each service', () => {
  const gates = new Map<string, string>()
  const containers = new Map<string, string>()
  const aliases = new Map<string, string>()
  const claim = (map: Map<string, string>, alias: string, owner: string): void => {
    assert.equal(map.get(alias) ?? owner, owner, `${alias} is of ${map.get(alias)} and of ${owner}`)
    map.set(alias, owner)
  }
  fc.assert(
    fc.property(fc.array(replica, { minLength: 1, maxLength: 20 }), (all) => {
      for (const one of all) {
        const owner = JSON.stringify(one)
        claim(gates, gateAlias(one.service, one.release, one.replica), owner)
        claim(containers, containerName(one.service, one.release, one.replica), owner)
        for (const alias of networkAliases(one.service)) claim(aliases, alias, one.service)
      }
    }),
    { numRuns: 3000 },
  )
  assert.ok(gates.size > 10_000, `only ${gates.size} different ones were tried`)
  for (const gate of gates.keys()) assert.ok(!containers.has(gate) && !aliases.has(gate), gate)
  for (const alias of aliases.keys()) assert.ok(!containers.has(alias), alias)
})

test('names that differ only in their separators stay apart', () => {
  const separators = ['-', '.', '_', '__']
  const names = separators.flatMap((a) => separators.flatMap((b) => separators.map((c) => `w${a}x${b}y${c}z`)))
  assert.equal(new Set(names.map((service) => gateAlias(service, 1, 1))).size, 64)
  assert.equal(new Set(names.flatMap(networkAliases)).size, 64)
})

test('a gate alias is one DNS label and never looks like a container, whatever the release', () => {
  fc.assert(
    fc.property(
      name,
      fc.integer({ min: 1, max: 9_999_999 }),
      fc.integer({ min: 0, max: 100 }),
      (service, release, replica) => {
        const alias = gateAlias(service, release, replica)
        assert.match(alias, /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])$/)
        assert.doesNotMatch(alias, /-r\d+-\d+$/)
        assert.ok(networkAliases(service).every((alias) => /^[a-z0-9][a-z0-9_-]{0,62}$/.test(alias)))
      },
    ),
    { numRuns: 5000 },
  )
})

test('a name whose aliases would be too long for DNS is refused', () => {
  assert.match(read(Array.from({ length: 20 }, () => 'a').join('_'))[0] ?? '', /too many dots and underscores/)
  assert.equal(read(`${'a-'.repeat(19)}a`), `${'a-'.repeat(19)}a`)
})

test('no text makes the check throw, and what it lets through is in the grammar of Docker', () => {
  const near = fc.stringMatching(/^[a-cA-C0-2._-]{0,42}$/)
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ unit: 'binary', maxLength: 60 })), (text) => {
      const result = read(text)
      if (typeof result === 'string') assert.match(result, /^(?=.{1,40}$)[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/)
      else assert.equal(result.length, 1)
    }),
    { numRuns: 10_000 },
  )
})
