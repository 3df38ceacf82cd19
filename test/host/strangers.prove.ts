import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import https from 'node:https'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { generatePrivateKey, parsePrivateKey } from '../../src/ssh/private-key.ts'
import { certify } from '../support/certificates.ts'
import { compiledProgram } from '../support/compiled.ts'
import { initWith, quick, startDaemon } from '../support/daemon.ts'
import { honest, start } from '../support/strangers/world.ts'
import { until } from '../support/until.ts'
import { freePort, world } from '../support/world.ts'

test('300 strangers with wrong signatures keep nobody waiting, through the router itself', async (t) => {
  const w = await world(t, { program: await compiledProgram(t) })
  await initWith(w, { ...quick, domain: 'localhost', daemon_port: await freePort() })
  const ca = await readFile(await certify(w, 'localhost'), 'utf8')
  const key = parsePrivateKey(generatePrivateKey('honest').text)
  await w.ok(['server', 'key', 'add', `${key.public} honest`])
  await startDaemon(t, w, { gateway: true })
  const target = { host: 'localhost', port: w.ports.https, base: '/daemon' }
  const from = ''
  const agent = new https.Agent({ ca, keepAlive: true })
  t.after(() => agent.destroy())
  await until(() => honest(target, { host: 'localhost', key, from, agent }), {
    what: 'the router to have the certificate',
    timeoutMs: 15_000,
  })
  const calls = async (ms: number): Promise<number[]> => {
    const times: number[] = []
    for (const end = performance.now() + ms; performance.now() < end; await sleep(50)) {
      times.push(await honest(target, { host: 'localhost', key, from, agent }))
    }
    return times.toSorted((a, b) => a - b)
  }
  const show = (times: number[]): string =>
    `${times.length} honest calls: median ${Math.round(times[times.length >> 1] as number)} ms, worst ${Math.round(times.at(-1) as number)} ms`
  t.diagnostic(`alone: ${show(await calls(5_000))}`)
  // All of them from one address: it is this machine's.
  const options = { strangers: 300, target, host: 'localhost', key: key.public, ca }
  const { child } = await start(t, 'crowd-by-https.ts', JSON.stringify(options))
  let answers: Record<string, number> = {}
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    answers = JSON.parse(line) as Record<string, number>
  })
  await until(() => (answers['401'] ?? 0) > 300, { what: 'strangers to be refused', timeoutMs: 30_000 })
  const times = await calls(20_000)
  t.diagnostic(`${show(times)}; answers to strangers ${JSON.stringify(answers)}`)
  const worst = times.at(-1) as number
  assert.ok(worst < 1000, `${worst} ms`)
})
