import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatStatement } from '../../src/push/statement.ts'
import { generatePrivateKey, type PrivateKey, parsePrivateKey } from '../../src/ssh/private-key.ts'
import { makeSignature } from '../../src/ssh/sshsig.ts'
import { long } from '../support/prove.ts'
import type { FloodOptions } from '../support/strangers/flood.ts'
import { until } from '../support/until.ts'

type Target = { path: string } | { host: string; port: number }

const crowd = long ? { garbage: 5000, silent: 1500, slow: 1500 } : { garbage: 500, silent: 150, slow: 150 }

/** Runs a program of ours, which ends with its input. @returns it and its first line */
async function start(t: TestContext, file: string, argument: string): Promise<{ child: ChildProcess; first: string }> {
  const path = new URL(`../support/strangers/${file}`, import.meta.url).pathname
  const child = spawn(process.execPath, ['--import', 'tsx', path, argument], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(async () => {
    if (child.exitCode !== null) return
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
  })
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  const first = once(lines, 'line')
  return { child, first: String((await first)[0]) }
}

async function daemon(t: TestContext) {
  const home = await mkdtemp(join(tmpdir(), 'mypaas-strangers-'))
  const directory = join(home, '_mypaas')
  await mkdir(join(directory, 'push', 'blobs'), { recursive: true, mode: 0o700 })
  await writeFile(join(directory, 'config.toml'), '[server]\ndomain = "paas.test"\n', { mode: 0o600 })
  const key = parsePrivateKey(generatePrivateKey('honest').text)
  await writeFile(join(directory, 'authorized_keys'), `${key.public} honest\n`, { mode: 0o600 })
  const { child, first } = await start(t, 'daemon.ts', home)
  // Behind the end of what writes there.
  t.after(() => rm(home, { recursive: true, force: true }))
  const { path, port } = JSON.parse(first) as { path: string; port: number }
  const proc = `/proc/${child.pid}`
  const rssMiB = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`${proc}/status`, 'utf8'))?.[1]) / 1024
  const descriptors = async () => (await readdir(`${proc}/fd`)).length
  return { directory, path, port, key, rssMiB, descriptors }
}

function ask(
  target: Target,
  path: string,
  body: string,
  from: string,
  agent: http.Agent,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const where = 'path' in target ? { socketPath: target.path } : target
    const headers = { 'content-length': Buffer.byteLength(body), ...(from === '' ? {} : { 'x-forwarded-for': from }) }
    const request = http.request({ ...where, agent, method: 'POST', path, headers, timeout: 30_000 }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part) => {
        text += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      response.on('error', reject)
    })
    request.on('timeout', () => request.destroy(new Error('no answer')))
    request.on('error', reject)
    request.end(body)
  })
}

/** What an honest client does: a challenge, a signed call, over a connection of its own. @returns how long it took */
async function honest(target: Target, host: string, key: PrivateKey, from: string): Promise<number> {
  const agent = new http.Agent({ keepAlive: true })
  const begin = performance.now()
  try {
    const challenge = JSON.parse((await ask(target, '/v1/challenge', '{}', from, agent)).text)
    const { server, nonce, time: timeMs } = challenge as { server: string; nonce: string; time: number }
    const common = { server, host, nonce, timeMs }
    // Larger than what may come unsigned.
    const body = 'x'.repeat(200_000)
    const { createHash } = await import('node:crypto')
    const digest = createHash('sha256').update(body).digest('hex')
    const statement = formatStatement({ purpose: 'call', ...common, action: 'nothing', args: {}, body: digest })
    const signature = makeSignature(statement, 'statement@mypaas', key.blob, key.sign)
    const { status, text } = await ask(target, '/v1/call', JSON.stringify({ statement, signature, body }), from, agent)
    // Let in, and told that there is no such thing.
    assert.equal(status, 400, text)
    assert.match(text, /This server knows no nothing/)
    return performance.now() - begin
  } finally {
    agent.destroy()
  }
}

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
      times.push(await honest(target, host, key, from[number % from.length] as string))
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
    assert.ok(most.files < 1_100 + before.files, `${most.files} descriptors`)
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
