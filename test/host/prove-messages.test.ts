import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { parseStatement, type Statement } from '../../src/push/statement.ts'
import { actions } from '../../src/server/actions.ts'
import { parseConfig } from '../../src/server/config.ts'
import { streams } from '../../src/server/streams.ts'
import { generatePrivateKey } from '../../src/ssh/private-key.ts'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, socketOf, startDaemon } from '../support/daemon.ts'
import { type Answer, kinds, type Message, Talker } from '../support/messages.ts'
import { mutate, pick, strange } from '../support/mutations.ts'
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
      const answer = await talker.send(mutated, false)
      judge(show(mutated), answer)
      const meant = answer.text.includes('"ok":true') ? statementOf(mutated) : undefined
      if (meant?.purpose === 'call' && meant.action === 'env-set')
        set.add(`${meant.args['service'] ?? ''} ${meant.args['name']}`)
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

/** What was signed, which may be another thing by now than it was, and be meant all the same. */
function statementOf({ body }: Message): Statement | undefined {
  try {
    return parseStatement((JSON.parse(body.toString()) as { statement: string }).statement)
  } catch {
    return undefined
  }
}

/** What lies in a home beside what is mypaas', and beside the home. */
async function outside(home: string): Promise<readonly string[]> {
  const own = (await readdir(home)).filter((name) => name !== '_mypaas')
  const parent = await readdir(dirname(home))
  return [...own, ...parent.filter((name) => /pwn|passwd|blog|shop/.test(name))].sort()
}

const placed: readonly RegExp[] = [
  /^(config\.(toml|lock)|server\.json|server[_-]key.*|authorized_keys|(audit|refused)\.log(\.\d)?|claims\.lock|daemon\.(sock|lock))$/,
  /^services(\/[a-z0-9._-]+(\.json|\.lock)?(\/(history\.jsonl|logs(\/r\d+-\d+\.log)?))?)?$/,
  /^push(\/(nonces?.*|used.*|key|jobs(\/[a-z0-9-]+\.ndjson)?|blobs(\/[a-z0-9._-]+(\/.*)?)?))?$/,
  /^traefik(\/.*)?$/,
]

function isPlaced(file: string): boolean {
  return placed.some((pattern) => pattern.test(file))
}
