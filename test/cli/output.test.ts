import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { showPreview } from '../../cli/commands/server/deploy.ts'
import { showReleases } from '../../cli/commands/server/releases.ts'
import { showStatus } from '../../cli/commands/server/status.ts'
import { print, printRaw, progress, styled } from '../../cli/output.ts'
import { renderError, renderer, statusLine, table } from '../../cli/render.ts'
import type { DeployEvent } from '../../src/deploy/events.ts'
import type { Preview } from '../../src/deploy/preview.ts'
import type { ReleaseInfo } from '../../src/deploy/releases.ts'
import { MypaasError } from '../../src/errors.ts'
import type { ServiceStatus } from '../../src/server/status.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const evil = 'x\u001b]0;owned\u0007\u001b[2J\u009b5m\u202e\u200b\b\r\u0000y'
/** All that may come of it: no control but line breaks, nothing invisible. */
const harmless = /^[\n\t\P{C}\p{Cn}\p{Co}]*$/u

test('cli/output.ts alone writes to stdout and stderr', () => {
  const writes =
    /\bstd(?:out|err)\s*\.\s*write\b|\bconsole\s*\.|writeSync\(\s*[12]\b|\bcreateConsola\b|\.pipe\(\s*process\b/
  const found = ['cli', 'src'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && join(folder, file) !== 'cli/output.ts')
      .flatMap((file) =>
        readFileSync(join(root, folder, file), 'utf8')
          .split('\n')
          .filter((line) => writes.test(line) && !/^\s*(?:\*|\/\/)/.test(line))
          .map((line) => `${folder}/${file}: ${line.trim()}`),
      ),
  )
  assert.deepEqual(found, [])
  assert.match('  process.stderr.write(name)', writes)
})

test('text of any kind is shown harmless: events, errors, tables, plans, whatever field it is in', (t) => {
  const { written, isTTY } = listen(t, { isTTY: false })
  const build = [
    { type: 'step', id: evil, name: `[1/2] ${evil}`, status: 'failed', error: evil },
    { type: 'log', id: evil, stream: 'stdout', text: `${evil}\n${evil}` },
    { type: 'progress', id: evil, name: evil, current: 1, total: 2 },
    { type: 'warning', text: evil },
  ].map((event) => ({ type: 'build', event }))
  const events = [
    { type: 'deploy', service: evil, release: 1, action: 'deploy' },
    ...build,
    { type: 'step', step: 'start', title: evil, state: 'started' },
    { type: 'step', step: 'start', title: evil, state: 'done', ms: 1, detail: evil },
    { type: 'step', step: 'start', title: evil, state: 'failed', ms: 1 },
    { type: 'taking-back', service: evil, release: 1 },
    { type: 'certificate', name: evil, state: 'asked' },
    { type: 'certificate', name: evil, state: 'issued', issuer: evil, ms: 1 },
    { type: 'warning', message: evil, hint: evil },
    { type: 'live', service: evil, release: 1, urls: [evil], ms: 1 },
  ] as unknown as DeployEvent[]
  for (const moves of [true, false]) {
    isTTY(moves)
    const show = renderer({ json: false, verbose: true, server: evil })
    for (const event of events) show.event(event)
    show.end()
    isTTY(false)
  }
  const report = { container: evil, lastLines: [evil, '\u001b[31mred'] }
  const options = { code: 'failed', hint: `${evil}\n${evil}` } as const
  renderError(Object.assign(new MypaasError(evil, options), { now: evil, report }))
  renderError(new Error(evil))
  showStatus([evilStatus], { json: false, deploy: evil })
  showReleases({ releases: [evilRelease], diskBytes: 1 }, { json: false, back: evil })
  showPreview(evilPreview, { json: false, deploy: evil })
  const status = statusLine()
  status.line(evil)
  status.end()
  print(evil)
  print(`${styled`${evil}`}`)
  progress(styled`${evil} ${1}`)
  // What moves on a terminal is cleared by this alone.
  const text = written().replaceAll('\r\u001b[2K', '')
  assert.ok(text.split('owned').length > 40, text)
  for (const line of text.split('\n')) assert.match(line, harmless, JSON.stringify(line))
})

test('a cell stays in its row, whatever is in it', () => {
  assert.deepEqual(
    table([
      ['a\nb\u001b[1m', 'c'],
      ['d', 'e'],
    ]),
    ['a␊b␛[1m  c', 'd        e'],
  )
})

test('what a service wrote is harmless on a terminal, and as it was in a pipe', (t) => {
  const { written, isTTY } = listen(t, { isTTY: false })
  const text = 'one\rtwo \u001b]0;owned\u0007\u001b[2Jthree'
  printRaw('stdout', 'r1-1 | ', text)
  isTTY(true)
  printRaw('stdout', 'r1-1 | ', text)
  isTTY(false)
  assert.equal(written(), `r1-1 | ${text}\nr1-1 | one\nr1-1 | two three\n`)
})

/** Takes what is written to stdout and stderr, as if these were a terminal or not. */
function listen(t: TestContext, options: { isTTY: boolean }): { written: () => string; isTTY: (is: boolean) => void } {
  let text = ''
  const before = { stdout: process.stdout.isTTY, stderr: process.stderr.isTTY }
  for (const name of ['stdout', 'stderr'] as const) {
    const write = process[name].write.bind(process[name])
    t.mock.method(process[name], 'write', (data: string | Uint8Array, ...more: unknown[]) => {
      // The test runner speaks through the same streams, by itself.
      if (typeof data !== 'string') return write(data, ...(more as []))
      text += data
      return true
    })
  }
  const isTTY = (is: boolean): void => {
    process.stdout.isTTY = is
    process.stderr.isTTY = is
  }
  isTTY(options.isTTY)
  t.after(
    () =>
      Object.assign(process.stdout, { isTTY: before.stdout }) &&
      Object.assign(process.stderr, { isTTY: before.stderr }),
  )
  return { written: () => text, isTTY }
}

const evilStatus = {
  service: evil,
  release: 1,
  running: 1,
  wanted: 1,
  replicas: [],
  deployedAt: evil,
  urls: [evil],
  problem: evil,
  stopped: false,
  changedSecrets: [evil],
  certificates: { [evil]: 'none' },
} as unknown as ServiceStatus

const evilRelease = {
  release: 1,
  current: true,
  entry: { action: 'deploy', from: evil, who: evil, at: evil, outcome: evil },
} as unknown as ReleaseInfo

const evilPreview = {
  plan: {
    id: evil,
    service: evil,
    order: 'first',
    steps: [],
    interruption: { kind: 'none', ms: 0, reason: evil },
  },
  changes: [evil],
  changedSecrets: [evil],
  warnings: [evil],
} as unknown as Preview
