import assert from 'node:assert/strict'
import http from 'node:http'
import https from 'node:https'
import { test } from 'node:test'
import { deployEcho, type Seen } from '../support/echo.ts'
import { climbs, isBelow, oddPath, passedOn, readers } from '../support/paths.ts'
import { long } from '../support/prove.ts'
import { seeded } from '../support/seeded.ts'
import { type World, world } from '../support/world.ts'

const seed = Number(process.env['PROVE_SEED'] ?? Date.now() % 1_000_000)
const count = long ? 100_000 : 2_000
const atOnce = 16

/** Where paths are asked for: what is below `prefix` is `inner`'s, all else `root`'s, or nobody's. */
const places = [
  { base: 'http://one.test', prefix: '/docs', root: 'root' },
  { base: 'http://only.test', prefix: '/public/v1', root: undefined },
  { base: 'https://sec.test', prefix: '/app', root: undefined },
] as const

test(`no path leads around a rule, and each is passed on as it was asked (seed ${seed})`, {
  timeout: 1_800_000,
}, async (t) => {
  const w = await world(t)
  await w.init()
  await deployEcho(w, 'root', ['http://one.test'])
  await deployEcho(
    w,
    'inner',
    places.map(({ base, prefix }) => base + prefix),
  )
  const agents = {
    http: new http.Agent({ keepAlive: true, maxSockets: atOnce }),
    https: new https.Agent({ keepAlive: true, maxSockets: atOnce }),
  }
  t.after(() => {
    agents.http.destroy()
    agents.https.destroy()
  })
  const random = seeded(seed)
  const tally = { inner: 0, root: 0, nobody: 0, redirected: 0 }
  let left = count
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const place = places[Math.floor(random() * places.length)] ?? places[0]
      const path = oddPath(random, [place.prefix])
      await checkServed(place, path)
      if (place.base.startsWith('https:')) await checkRedirected(place, path)
    }
  }

  async function checkServed({ base, prefix, root }: (typeof places)[number], path: string): Promise<void> {
    const { status, seen, where } = await ask(w, agents, base, path)
    const passed = passedOn(path)
    const isInner = isBelow(passed, prefix) && !climbs(passed)
    assert.equal(seen?.service, isInner ? 'inner' : root, where)
    assert.equal(status, seen === undefined ? 404 : 200, where)
    if (seen) assert.equal(seen.url, passed, where)
    if (seen?.service === 'inner')
      for (const [name, read] of Object.entries(readers)) {
        const as = read(seen.url)
        assert.ok(isBelow(as, prefix) || as === `${prefix}/`, `${where}: ${name} reads it as ${as}`)
      }
    tally[seen === undefined ? 'nobody' : seen.service === 'inner' ? 'inner' : 'root'] += 1
  }

  async function checkRedirected({ base, prefix }: (typeof places)[number], path: string): Promise<void> {
    const { status, location, where } = await ask(w, agents, base.replace('https:', 'http:'), path)
    const passed = passedOn(path)
    const isInner = isBelow(passed, prefix) && !climbs(passed)
    assert.deepEqual([status, location], isInner ? [301, `${base}:${w.ports.https}${passed}`] : [404, undefined], where)
    if (isInner) tally.redirected += 1
  }

  await Promise.all(Array.from({ length: atOnce }, worker))
  t.diagnostic(`${count} paths: ${JSON.stringify(tally)}`)
  for (const what of ['inner', 'root', 'nobody', 'redirected'] as const)
    assert.ok(tally[what] > count / 200, `too few of one kind prove nothing: ${JSON.stringify(tally)}`)
})

async function ask(w: World, agents: { http: http.Agent; https: https.Agent }, base: string, path: string) {
  const { protocol, hostname } = new URL(base)
  const secure = protocol === 'https:'
  const options: https.RequestOptions = {
    host: '127.0.0.1',
    port: secure ? w.ports.https : w.ports.http,
    path,
    agent: secure ? agents.https : agents.http,
    headers: { host: hostname },
    ...(secure ? { servername: hostname, rejectUnauthorized: false } : {}),
    timeout: 20_000,
  }
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const request = (secure ? https : http).get(options, resolve)
    request.on('timeout', () => request.destroy(new Error('no answer')))
    request.on('error', reject)
  })
  const body = (await response.setEncoding('utf8').toArray()).join('')
  const seen = body.startsWith('{') ? (JSON.parse(body) as Seen) : undefined
  return { status: response.statusCode, location: response.headers.location, seen, where: `${base} ${path}` }
}
