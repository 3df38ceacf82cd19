import assert from 'node:assert/strict'
import test from 'node:test'
import { type CertifyWorld, certify, type NameStates, tlsOf } from '../../src/router/certificates.ts'
import type { ServedCertificate } from '../../src/router/handshake.ts'
import { findAcmeError } from '../../src/router/log.ts'
import { renewBeforeMs } from '../../src/router/static-file.ts'

const day = 24 * 3_600_000
const unauthorized = 'acme: error: 403 :: urn:ietf:params:acme:error:unauthorized :: no such page'

test('a name that leads here is asked for, and trusted once it is served', async () => {
  const w = fake({})
  assert.deepEqual(await states(w, 'a.test'), ['waiting'])
  assert.deepEqual(w.tls('a.test'), { ask: true })
  w.serve('a.test')
  assert.deepEqual(await states(w, 'a.test'), ['trusted'])
  assert.deepEqual(w.tls('a.test'), { ask: true, trusted: true })
})

test('a name that leads elsewhere is not asked for, however often it is looked at, until it leads here', async () => {
  const w = fake({ elsewhere: ['b.test'] })
  for (let times = 0; times < 3; times += 1)
    assert.deepEqual(await states(w, 'a.test', 'b.test'), ['waiting', 'blocked'])
  assert.deepEqual(w.tls('b.test'), {})
  w.elsewhere.clear()
  assert.deepEqual(await states(w, 'b.test'), ['waiting'])
})

test('after a no of the authority a name is left alone for a quarter of an hour, then twice as long each time', async () => {
  const w = fake({})
  for (const minutes of [15, 30, 60, 120, 240, 480, 720, 720]) {
    await certify(w.world, { hosts: ['a.test'] })
    w.say('a.test', unauthorized)
    const [report] = await certify(w.world, { hosts: ['a.test'] })
    assert.equal(report?.state, 'refused')
    assert.equal(report.problem, unauthorized)
    assert.equal(new Date(report.retryAt ?? '').getTime() - w.now(), minutes * 60_000)
    assert.deepEqual(w.tls('a.test'), {}, 'the router must not try at the next change of any route')
    w.pass(minutes * 60_000 - 1)
    assert.deepEqual(await states(w, 'a.test'), ['refused'])
    w.pass(1)
    w.silence('a.test')
  }
})

test('who asks for it explicitly gets another try at once', async () => {
  const w = fake({})
  await certify(w.world, { hosts: ['a.test'] })
  w.say('a.test', unauthorized)
  assert.deepEqual(await states(w, 'a.test'), ['refused'])
  w.silence('a.test')
  const [report] = await certify(w.world, { hosts: ['a.test'], retry: true })
  assert.equal(report?.state, 'waiting')
})

test('an authority that is not reached is asked again the next time: that counts against no limit', async () => {
  const w = fake({})
  await certify(w.world, { hosts: ['a.test'] })
  w.say('a.test', 'cannot get ACME client: dial tcp: connect: connection refused')
  const [report] = await certify(w.world, { hosts: ['a.test'] })
  assert.deepEqual([report?.state, report?.retryAt], ['refused', undefined])
  w.silence('a.test')
  assert.deepEqual(await states(w, 'a.test'), ['waiting'])
})

test('an authority that says nothing for ten minutes has failed', async () => {
  const w = fake({})
  assert.deepEqual(await states(w, 'a.test'), ['waiting'])
  w.pass(10 * 60_000)
  assert.deepEqual(await states(w, 'a.test'), ['waiting'])
  w.pass(1)
  assert.deepEqual(await states(w, 'a.test'), ['refused'])
})

test('a wildcard is asked for by DNS only', async () => {
  const [report] = await certify(fake({}).world, { hosts: ['*.a.test'] })
  assert.equal(report?.state, 'blocked')
  assert.match(report.hint ?? '', /challenge = "dns"/)
  assert.deepEqual(await states(fake({ challenge: 'dns', elsewhere: ['*.a.test'] }), '*.a.test'), ['waiting'])
})

test("a person's own certificate is never asked for, and has browsers come by https only if they trust it", async () => {
  const w = fake({ own: ['mine.test'] })
  assert.deepEqual(await states(w, 'mine.test'), ['none'])
  w.serve('mine.test', { trusted: false })
  assert.deepEqual(await states(w, 'mine.test'), ['untrusted'])
  assert.deepEqual(w.tls('mine.test'), {})
  w.serve('mine.test')
  assert.deepEqual(await states(w, 'mine.test'), ['trusted'])
  assert.deepEqual(w.tls('mine.test'), { trusted: true })
})

test('without an authority nothing is asked, and nobody is told to come by https only', async () => {
  const w = fake({})
  w.serve('a.test')
  await certify(w.world, { hosts: ['a.test'] })
  assert.deepEqual(tlsOf((await w.world.states())['a.test'], false), {})
  assert.deepEqual(await states(fake({ challenge: 'none' }), 'a.test'), ['none'])
})

test('a good certificate is looked at once, unless everything is to be', async () => {
  const w = fake({})
  w.serve('a.test')
  await certify(w.world, { hosts: ['a.test'] })
  await certify(w.world, { hosts: ['a.test'] })
  assert.equal(w.looks(), 1)
  const [report] = await certify(w.world, { hosts: ['a.test'], thorough: true })
  assert.equal(w.looks(), 2)
  assert.equal(report?.renewAt, '2026-02-01T00:00:00.000Z')
})

test('certificates are renewed as early as their life is long', () => {
  const hours = [365 * 24, 90 * 24, 30 * 24, 6 * 24, 24, 1]
  assert.deepEqual(
    hours.map((life) => renewBeforeMs(life * 3_600_000) / day),
    [120, 30, 10, 2, 0.25, 20 / 60 / 24],
  )
})

test("the last failure of a name is found in the router's log, without the colours", () => {
  const line = (host: string, error: string): string =>
    `\u001b[90m2026-11-23T14:38:05Z\u001b[0m \u001b[31mERR\u001b[0m \u001b[1mUnable to obtain ACME certificate for domains\u001b[0m ` +
    `\u001b[36merror=\u001b[0m"unable to generate a certificate for the domains [${host}]: ${error}" ACME CA=https://x domains=["${host}"] rule=Host(\`${host}\`)`
  const log = [
    line('a.test', 'first'),
    line('a.test', 'Head \\"https://x\\": refused'),
    line('aa.test', 'other'),
    'INF renewing certificate',
  ].join('\n')
  assert.equal(findAcmeError(log, 'a.test'), 'Head "https://x": refused')
  assert.equal(findAcmeError(log, 'b.test'), undefined)
})

async function states(w: ReturnType<typeof fake>, ...hosts: string[]): Promise<string[]> {
  return (await certify(w.world, { hosts })).map(({ state }) => state)
}

function fake(options: { elsewhere?: string[]; own?: string[]; challenge?: 'dns' | 'none' }) {
  let kept: NameStates = {}
  let now = new Date('2026-01-01T00:00:00Z').getTime()
  let looks = 0
  const served = new Map<string, ServedCertificate>()
  const errors = new Map<string, string>()
  const elsewhere = new Set(options.elsewhere)
  const challenge = options.challenge === 'dns' ? 'dns' : 'http'
  const world: CertifyWorld = {
    acme: options.challenge === 'none' ? undefined : { challenge, lifetimeMs: 90 * day },
    isOwn: (host) => options.own?.includes(host) === true,
    states: async () => kept,
    change: async (states) => {
      kept = { ...kept, ...states }
    },
    look: async (host) => {
      looks += 1
      return served.get(host)
    },
    reach: async (host) => (elsewhere.has(host) ? { here: false, problem: 'no', hint: 'set it' } : { here: true }),
    lastError: async (host) => errors.get(host),
    now: () => new Date(now),
  }
  return {
    world,
    elsewhere,
    tls: (host: string) => tlsOf(kept[host], true),
    serve: (host: string, how: { trusted: boolean } = { trusted: true }) =>
      served.set(host, { issuer: 'CA', serial: '1', notBefore: '', notAfter: '2026-03-03T00:00:00.000Z', ...how }),
    say: (host: string, error: string) => errors.set(host, error),
    silence: (host: string) => errors.delete(host),
    pass: (ms: number) => {
      now += ms
    },
    now: () => now,
    looks: () => looks,
  }
}
