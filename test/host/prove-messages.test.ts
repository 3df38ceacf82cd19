import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { actions } from '../../src/server/actions.ts'
import { parseConfig } from '../../src/server/config.ts'
import { streams } from '../../src/server/streams.ts'
import { generatePrivateKey } from '../../src/ssh/private-key.ts'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { type Answer, kinds, type Message, message, Talker } from '../support/messages.ts'
import { long } from '../support/prove.ts'
import { seeded } from '../support/seeded.ts'
import { world } from '../support/world.ts'

const count = long ? 10_000 : 300
const seed = Number(process.env['PROVE_SEED'] ?? Math.floor(Math.random() * 2 ** 32))
const atOnce = 8

test(`${count} mutated messages and ${count} arguments of somebody with every right (PROVE_SEED=${seed})`, async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, quick)
  const key = generatePrivateKey('prover')
  await w.ok(['server', 'key', 'add', `${key.public} prover`])
  await w.addSecrets({ SHARED: 'shared' })
  // Two services that never ran: what there is to stop, start and remove costs the engine next to nothing.
  const places = join(w.home, '_mypaas', 'services')
  const journal = (service: string) => ({ version: 1, service, server: 'x', lastRelease: 0 })
  for (const service of known)
    await writeFile(join(places, `${service}.json`), JSON.stringify(journal(service))).catch(() => {})
  const daemon = await startDaemon(t, w)
  using talker = new Talker(socketOf(w).slice('unix:'.length), key.text, atOnce)
  const random = seeded(seed)
  const config = join(w.home, '_mypaas', 'config.toml')
  const before = await outside(w.home)
  const settings = parseConfig(await readFile(config, 'utf8'))
  const statuses = new Map<number, number>()
  const set = new Set<string>()

  const judge = (what: string, { status, text }: Answer): void => {
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    assert.ok(status !== 500 && !text.includes('This is a bug'), `${what}: ${status} ${text.slice(0, 300)}`)
  }

  await t.test('messages', async () => {
    const bases: readonly (() => Promise<Message>)[] = [
      ...kinds.map((kind) => () => talker.valid(kind, pick(known, random))),
      ...Object.keys({ ...actions, ...streams, attach: 1 }).map(
        (action) => () => talker.call(action, validArguments(action, random), validBody(action)),
      ),
    ]
    await inParallel(count, async (turn) => {
      const base = await (bases[turn % bases.length] as () => Promise<Message>)()
      const mutated = mutate(base, random, (text) => talker.sign(text))
      judge(show(mutated), await talker.send(mutated))
    })
  })

  await t.test('arguments', async () => {
    const all = Object.entries({ ...actions, ...streams }).map(([action, { takes }]) => ({ action, takes }))
    await inParallel(count, async (turn) => {
      const { action, takes } = all[turn % all.length] as (typeof all)[number]
      const args = { ...validArguments(action, random) }
      const name = pick([...takes, 'service', 'name', 'path', '__proto__'].filter(isArgument), random)
      args[name] = strange(random)
      const answer = await talker.send(await talker.call(action, args, validBody(action)))
      judge(`${action} ${JSON.stringify(args)}`, answer)
      if (action === 'env-set' && answer.text.includes('"ok":true')) set.add(`${args['service'] ?? ''} ${args['name']}`)
    })
  })

  t.diagnostic([...statuses].map(([status, times]) => `${status}: ${times}`).join(', '))
  assert.ok((statuses.get(200) ?? 0) > 0 && (statuses.get(400) ?? 0) > 0, 'some went through, some were refused')
  assert.doesNotMatch(daemon.output, /a bug:/)
  assert.equal(process.kill(daemon.pid, 0), true, 'it is the same process')
  judge('an honest call afterwards', await talker.send(await talker.call('status', {})))

  assert.deepEqual(await outside(w.home), before)
  const odd = (await readdir(join(w.home, '_mypaas'), { recursive: true })).filter((file) => !isPlaced(file))
  assert.deepEqual(odd, [])
  const now = parseConfig(await readFile(config, 'utf8'))
  assert.deepEqual({ ...now, env: {}, services: {} }, { ...settings, env: {}, services: {} })
  const keys = [
    ...Object.keys(now.env).map((name) => ` ${name}`),
    ...Object.entries(now.services).flatMap(([service, { env }]) =>
      Object.keys(env).map((name) => `${service} ${name}`),
    ),
  ]
  const meant = new Set([...set, ' SHARED', ...known.map((service) => `${service} OWN`), ' OWN'])
  assert.deepEqual(
    keys.filter((found) => !meant.has(found)),
    [],
  )
  for (const { hardening } of Object.values(now.services)) assert.deepEqual(hardening, {})
})

const known = ['blog', 'shop.api'] as const

function validArguments(action: string, random: () => number): Record<string, string> {
  const service = pick(known, random)
  const one: Record<string, Record<string, string>> = {
    status: {},
    attach: { after: '-1' },
    rollback: { service, release: '1' },
    scale: { service, replicas: '2' },
    rm: { service, volumes: 'yes' },
    logs: { service, tail: '10', since: '10m' },
    exec: { service, replica: '1' },
    'env-set': { service, name: 'OWN' },
    'env-rm': { service, name: 'OWN' },
  }
  return { ...(one[action] ?? { service }) }
}

function validBody(action: string): string | undefined {
  if (action === 'plan') return '# mypaas.service = blog\nFROM scratch\n'
  if (action === 'env-set') return 'value'
  return action === 'exec' || action === 'run' ? '["true"]' : undefined
}

/** A statement has words only; what is none is not sent by anybody whose statement is read. */
function isArgument(name: string): boolean {
  return /^[a-z][a-z-]*$/.test(name)
}

const pieces = [
  '../',
  '../../../../tmp/pwn',
  '/etc/passwd',
  '/',
  '.',
  '..',
  '~',
  '"',
  "'",
  '`',
  '$(id)',
  '\n',
  '\r\n',
  '\0',
  '\t',
  ' ',
  '"]\n[server]\nvolume_roots = ["/"]\n[x."',
  ']',
  '[',
  '=',
  '#',
  '{{',
  '}}',
  '`)||Host(`',
  '%2e%2e%2f',
  '%00',
  '\\',
  '\u202e',
  'ａ',
  '\u{1F600}',
  '__proto__',
  'constructor',
  'blog',
  'shop.api',
  'blog.json',
  'blog.lock',
  '.x',
  '-x',
  '--help',
  'x'.repeat(41),
  'y'.repeat(1500),
  '0',
  '-1',
  '1e9',
  '99999999999999999999',
  'NaN',
  'yes',
  'no',
  'null',
  '2026-01-31',
  'r1',
] as const

function strange(random: () => number): string {
  return Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(pieces, random)).join('')
}

/** A message with one thing or a few changed; what is signed is signed again, mostly. */
function mutate(base: Message, random: () => number, sign: (text: string) => string): Message {
  const how = random()
  if (how < 0.1) return { ...base, path: splice(base.path, random).replace(/[^\x21-\x7e]/g, '%') }
  if (how < 0.15) return { ...base, method: pick(['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'], random) }
  if (how < 0.3) return { ...base, headers: { ...base.headers, ...oddHeaders(random) } }
  if (how < 0.45) return { ...base, body: Buffer.from(splice(base.body.toString('latin1'), random), 'latin1') }
  if (how < 0.5)
    return { ...base, body: Buffer.concat([base.body, Buffer.alloc(Math.floor(random() * 2_000_000), 'x')]) }
  const fields = fieldsOf(base.body)
  if (!fields) return { ...base, body: base.body.subarray(0, Math.floor(random() * base.body.length)) }
  const statement = fields['statement']
  if (how < 0.85 && typeof statement === 'string') {
    const lines = statement.split('\n')
    const at = Math.floor(random() * lines.length)
    if (random() < 0.2) lines.splice(at, random() < 0.5 ? 1 : 0, pick(pieces, random))
    else lines[at] = splice(lines[at] ?? '', random)
    const text = lines.join('\n')
    return json(base, { ...fields, statement: text, ...(random() < 0.9 ? { signature: sign(text) } : {}) })
  }
  const name = pick([...Object.keys(fields), 'more', '__proto__', 'sealed'], random)
  const values: readonly unknown[] = [
    null,
    1,
    true,
    [],
    {},
    '',
    strange(random),
    splice(String(fields[name] ?? ''), random),
    { toString: 1 },
  ]
  return json(base, { ...fields, [name]: pick(values, random) })
}

function json(base: Message, value: unknown): Message {
  return message(base.method, base.path, JSON.stringify(value), base.headers)
}

function fieldsOf(body: Buffer): Record<string, unknown> | undefined {
  try {
    return JSON.parse(body.toString()) as Record<string, unknown>
  } catch {
    return undefined
  }
}

function splice(text: string, random: () => number): string {
  const at = Math.floor(random() * (text.length + 1))
  const kind = random()
  if (kind < 0.4) return text.slice(0, at) + strange(random) + text.slice(at)
  if (kind < 0.7) return text.slice(0, at) + text.slice(at + 1 + Math.floor(random() * 4))
  if (kind < 0.9) return text.slice(0, at) + String.fromCharCode(Math.floor(random() * 256)) + text.slice(at + 1)
  return text.slice(0, at) + text.slice(at).repeat(2)
}

function oddHeaders(random: () => number): Record<string, string> {
  return pick(
    [
      { 'content-encoding': 'gzip' },
      { 'content-type': 'text/xml; charset=utf-16' },
      { authorization: `Bearer ${'A'.repeat(Math.floor(random() * 200))}` },
      { authorization: 'Basic OjE=' },
      { 'content-length': String(Math.floor(random() * 5)) },
      { 'transfer-encoding': 'chunked' },
      { expect: '100-continue' },
      { upgrade: 'websocket', connection: 'Upgrade' },
      { 'x-forwarded-for': 'x'.repeat(5000) },
      { host: 'other.test' },
      { cookie: 'y'.repeat(20_000) },
    ],
    random,
  )
}

function pick<T>(items: readonly T[], random: () => number): T {
  return items[Math.floor(random() * items.length)] as T
}

async function inParallel(times: number, work: (turn: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < times) await work(next++)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

function show({ method, path, headers, body }: Message): string {
  return `${method} ${path} ${JSON.stringify(headers)} ${body.toString('latin1').slice(0, 2000)}`
}

/** What lies in a home beside what is mypaas', and beside the home. */
async function outside(home: string): Promise<readonly string[]> {
  const own = (await readdir(home)).filter((name) => name !== '_mypaas')
  const parent = await readdir(dirname(home))
  return [...own, ...parent.filter((name) => /pwn|passwd|blog|shop/.test(name))].sort()
}

const placed: readonly RegExp[] = [
  /^(config\.(toml|lock)|server\.json|server[_-]key.*|authorized_keys|audit\.log(\.\d)?|claims\.lock|daemon\.(sock|lock))$/,
  /^services(\/[a-z0-9._-]+(\.json|\.lock)?(\/(history\.jsonl|logs(\/r\d+-\d+\.log)?))?)?$/,
  /^push(\/(nonces?.*|used.*|key|jobs(\/[a-z0-9-]+\.ndjson)?|blobs(\/[a-z0-9._-]+(\/.*)?)?))?$/,
  /^traefik(\/.*)?$/,
]

function isPlaced(file: string): boolean {
  return placed.some((pattern) => pattern.test(file))
}
