import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { unixAgent } from '../../src/unix-socket.ts'
import { long } from '../support/prove.ts'
import type { FloodOptions } from '../support/strangers/flood.ts'
import { daemon, honest, start, type Target } from '../support/strangers/world.ts'
import { until } from '../support/until.ts'

const crowd = long ? { garbage: 5000, silent: 1500, slow: 1500 } : { garbage: 500, silent: 150, slow: 150 }

/** The ways in which strangers come, and where an honest client comes from beside them. */
const ways: Record<string, { of: 'path' | 'port'; addresses: number; from: readonly string[] }> = {
  'on the socket': { of: 'path', addresses: 0, from: [''] },
  'by the router, from one address that the client has too': { of: 'port', addresses: 1, from: ['10.0.0.0'] },
  'by the router, from 5,000 addresses': {
    of: 'port',
    addresses: 5000,
    from: ['10.0.0.7', '192.0.2.7', '2001:db8::7'],
  },
}

for (const [way, { of, addresses, from }] of Object.entries(ways)) {
  test(`${crowd.garbage} strangers with wrong signatures, ${crowd.silent} silent and ${crowd.slow} slow ones, ${way}, keep no honest client waiting`, async (t) => {
    const { directory, path, port, key, rssMiB, descriptors } = await daemon(t)
    const target: Target = of === 'path' ? { path } : { host: '127.0.0.1', port }
    const host = of === 'path' ? 'unix' : 'paas.test'
    const before = { rss: await rssMiB(), files: await descriptors() }
    const options: FloodOptions = { ...crowd, target, key: key.public, host, addresses }
    const { child } = await start(t, 'flood.ts', JSON.stringify(options))
    let answered: Record<string, number> = {}
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      answered = JSON.parse(line) as Record<string, number>
    })
    await until(() => (answered['401'] ?? 0) > 0, { what: 'strangers to be refused', timeoutMs: 30_000 })
    const times: number[] = []
    let most = { rss: 0, files: 0 }
    const end = performance.now() + (long ? 30_000 : 1_500)
    for (let number = 0; number < 5 || performance.now() < end; number += 1) {
      const agent = of === 'path' ? unixAgent(path, { keepAlive: true }) : new http.Agent({ keepAlive: true })
      try {
        times.push(await honest(target, { host, key, from: from[number % from.length] as string, agent }))
      } finally {
        agent.destroy()
      }
      most = { rss: Math.max(most.rss, await rssMiB()), files: Math.max(most.files, await descriptors()) }
      await sleep(10)
    }
    const log = await readFile(join(directory, 'audit.log'), 'utf8').catch(() => '')
    const sorted = times.toSorted((a, b) => a - b)
    const [median, worst] = [sorted[sorted.length >> 1] as number, sorted.at(-1) as number]
    t.diagnostic(
      `${times.length} honest calls: median ${Math.round(median)} ms, worst ${Math.round(worst)} ms; RSS ${Math.round(before.rss)} → ${Math.round(most.rss)} MiB, descriptors ${before.files} → ${most.files}; answers to strangers ${JSON.stringify(answered)}`,
    )
    // The daemon as it is installed has less than 70 MiB when nobody comes.
    assert.ok(most.rss - before.rss < 130, `${before.rss} → ${most.rss} MiB`)
    const kept = of === 'path' ? 4096 : 4096 + 2048
    assert.ok(most.files < kept + 100 + before.files, `${most.files} descriptors`)
    // Nothing of strangers is in the log of what keys did: these failed, and are the client's.
    assert.equal(log.trimEnd().split('\n').length, times.length)
    assert.ok(
      log
        .trimEnd()
        .split('\n')
        .every((line) => (JSON.parse(line) as { who?: string }).who === 'honest'),
    )
    // How long something takes says nothing where a machine is busy with other tests.
    if (long) assert.ok(worst < 1000, `${worst} ms`)
  })
}
