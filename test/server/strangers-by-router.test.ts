import assert from 'node:assert/strict'
import http from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { long } from '../support/prove.ts'
import { crowd } from '../support/strangers/crowd.ts'
import { daemon, honest, type Target } from '../support/strangers/world.ts'
import { until } from '../support/until.ts'

const host = 'paas.test'

/** The router's connections to the daemon: anybody's request takes the one that was used last, and idle ones end soon. */
const pool = (): http.Agent =>
  new http.Agent({ keepAlive: true, scheduling: 'lifo', maxFreeSockets: 200, timeout: 250 })

for (const { strangers, addresses } of [
  { strangers: 300, addresses: 1 },
  { strangers: 1000, addresses: 1000 },
]) {
  test(`${strangers} strangers of ${addresses} addresses keep nobody waiting who comes over the same connections`, async (t) => {
    const { port, key } = await daemon(t)
    const target: Target = { host: '127.0.0.1', port }
    const agent = pool()
    const { answers } = crowd(t, { strangers, addresses, target, host, key: key.public, agent })
    // Until the crowd is whole, and far behind what is refused without waiting.
    await until(() => (answers['401'] ?? 0) > strangers, { what: 'strangers to be refused', timeoutMs: 60_000 })
    const times: number[] = []
    const end = performance.now() + (long ? 30_000 : 0)
    for (let number = 0; number < 5 || performance.now() < end; number += 1) {
      // Some from where the strangers are, some from elsewhere. One that gets no answer is an error here.
      times.push(await honest(target, { host, key, from: number % 2 === 0 ? '10.0.0.0' : '192.0.2.7', agent }))
      await sleep(50)
    }
    const sorted = times.toSorted((a, b) => a - b)
    const [median, worst] = [sorted[sorted.length >> 1] as number, sorted.at(-1) as number]
    t.diagnostic(
      `${times.length} honest calls: median ${Math.round(median)} ms, worst ${Math.round(worst)} ms; answers to strangers ${JSON.stringify(answers)}`,
    )
    // How long something takes says nothing where a machine is busy with other tests.
    if (long) assert.ok(worst < 1000, `${worst} ms`)
  })
}
