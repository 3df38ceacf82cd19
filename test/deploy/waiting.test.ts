import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Patience } from '../../src/deploy/patience.ts'
import { explainReach, explainWaiting, type WaitingState, wrongWith } from '../../src/deploy/waiting.ts'
import { parseSpec } from '../../src/service/parse.ts'

const spec = parseSpec('# mypaas.service = web\n# mypaas.port = 8080\nFROM x')
const found = (listening?: readonly string[]) => ({
  container: 'web-r2-1',
  lastLines: [],
  ...(listening ? { listening } : {}),
})

test('each answer that is no "not yet" looks wrong, and is told with what to look at', () => {
  const table: readonly [status: number, hint: RegExp | undefined][] = [
    [404, /There is no \/up: is the path of # mypaas\.healthcheck right\?/],
    [410, /There is no \/up/],
    [401, /a path that needs no login/],
    [403, /a path that needs no login/],
    [400, /It was asked as web\.test: does it take requests for that host\?/],
    [421, /It was asked as web\.test/],
    [405, /Is \/up the right path/],
    [500, /^If it only needs longer/],
    [429, undefined],
    [502, undefined],
    [503, undefined],
    [504, undefined],
  ]
  for (const [status, hint] of table) {
    const state: WaitingState = { kind: 'answers', path: '/up', status, host: 'web.test' }
    assert.equal(wrongWith(state), hint && `answers ${status}`)
    const text = explainWaiting(state, found(), spec, new Patience({ timeoutMs: 60_000, isSet: true }))
    assert.equal(text.soFar.message, `web-r2-1 answers ${status} on /up (healthcheck); waiting until 60 s.`)
    assert.match(text.hint, hint ?? /^If it only needs longer, raise start_timeout: # mypaas\.start_timeout = 2m,/)
  }
})

test('a port that is closed looks wrong only when another is open', () => {
  assert.equal(wrongWith({ kind: 'closed', listening: undefined }), undefined)
  assert.equal(wrongWith({ kind: 'closed', listening: [] }), undefined)
  assert.equal(wrongWith({ kind: 'closed', listening: ['127.0.0.1:9229'] }), 'listens on 127.0.0.1:9229')
})

test('why the router does not reach a container is told from where it listens', () => {
  const explain = (...ends: string[]): readonly [why: string, hint: string] => {
    const way = { url: 'http://web.test', own: '172.18.0.5', network: 'mypaas-gate' }
    const { message, hint } = explainReach(found(ends), spec, way)
    const [, why = ''] =
      /^web-r2-1 does not answer on http:\/\/web\.test by the router's network mypaas-gate(.*)$/.exec(
        message,
      ) as RegExpExecArray
    return [why, hint]
  }
  const bind = 'Make it listen on all addresses, 0.0.0.0:8080.'
  const hostname = `${bind} What listens on $HOSTNAME needs this line: # mypaas.env = HOSTNAME=0.0.0.0`
  assert.deepEqual(explain('172.18.0.5:8080', '0.0.0.0:22'), [': it listens on 172.18.0.5:8080 only.', hostname])
  assert.deepEqual(explain('10.0.0.1:8080'), [': it listens on 10.0.0.1:8080 only.', bind])
  // Elsewhere nothing tells, and this is the most likely.
  assert.deepEqual(explain(), ['.', hostname])
  for (const end of ['0.0.0.0:8080', '[::]:8080']) assert.match(explain(end)[1], /^It turns away who comes by another/)
  assert.deepEqual(explain('172.18.0.5:8080', '[::]:8080'), [
    ': it listens on 172.18.0.5:8080, [::]:8080 only.',
    hostname,
  ])
})
