import { type ChildProcess, fork } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from './until.ts'

/** How many clients of each kind run at the same time. Each sends one request after another, never two at once. */
export type LoadClients = Readonly<{
  /** GET on a connection that is kept. */
  get?: number
  /** POST of `bodyBytes` random bytes on a connection that is kept; the answer must have their SHA-256. */
  post?: number
  /** GET on a new connection each time. */
  fresh?: number
  /** GET on one HTTP/2 connection each (https only). */
  http2?: number
  /** Reads `/stream?seconds=` of the test app to its last line. */
  stream?: number
  /** Sends a message on `/ws` of the test app, waits for its echo. */
  webSocket?: number
}>

export type LoadOptions = Readonly<{
  /** As its users would write it; its host is only a header (and SNI). */
  url: string
  port: number
  /** Of this machine only. Default `127.0.0.1`. */
  address?: string
  /** Default: 4 get, 2 post, 1 fresh. */
  clients?: LoadClients
  /** Of all clients together, at most: a slow answer slows its client down. Default 200, at most 1000. */
  requestsPerSecond?: number
  /** Default 2000. */
  bodyBytes?: number
  /** Default 2. */
  streamSeconds?: number
  /** Per request with its whole answer. Default 30,000: requests may have to wait for a container that starts. */
  timeoutMs?: number
  /** It stops by itself after that long (default 120, at most 600) or that many requests (default and at most 200,000). */
  maxSeconds?: number
  maxRequests?: number
}>

export type LoadRecord = Readonly<{
  kind: keyof LoadClients
  /** When it was sent, in ms after the start of the load. */
  at: number
  /** Until the last byte of the answer. */
  ms: number
  status?: number
  /** What answered, by the answer's `x-release` header, or `release` in its JSON. */
  release?: string
  /** `ECONNRESET`, `TIMEOUT`, `BODY_DIFFERS`, `STREAM_CUT`, … */
  error?: string
  detail?: string
}>

export type LoadResult = Readonly<{
  requests: number
  /** No answer, not the whole answer, or a status that is not 2xx (101 for a WebSocket). */
  failed: number
  /** The first 20 of them. */
  failures: readonly LoadRecord[]
  byKind: Readonly<Record<string, number>>
  byStatus: Readonly<Record<string, number>>
  byRelease: Readonly<Record<string, number>>
  longestMs: number
  p50: number
  p99: number
  /** No request that was sent after an answer of a newer release got an older one. */
  releasesInOrder: boolean
  /** A WebSocket that its server closes between two messages is no failed request: the end of a drain does that. */
  webSockets: Readonly<{ opened: number; echoed: number; closedByServer: number }>
  records: readonly LoadRecord[]
}>

export interface Load extends AsyncDisposable {
  /** Done when `count` more requests have ended, well or not. @throws when that takes longer than `timeoutMs` (30,000) */
  more(count: number, timeoutMs?: number): Promise<void>
  /** Lets the requests under way end and gives the result; the same one however often it is called. */
  stop(): Promise<LoadResult>
}

/**
 * Sends paced requests to this machine from a process of its own, until `stop`.
 *
 * ```ts
 * await using load = await startLoad({ url: 'http://site.test/', port: world.ports.http })
 * await world.deploy(directory)
 * assert.equal((await load.stop()).failed, 0)
 * ```
 */
export async function startLoad(options: LoadOptions): Promise<Load> {
  const child = fork(program, [JSON.stringify(settings(options))], {
    execArgv: [],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let requests = 0
  child.on('message', (message: { requests?: number }) => {
    requests = message.requests ?? requests
  })
  const result = resultOf(child)
  result.catch(() => {}) // stop() tells
  const load: Load = {
    async more(count, timeoutMs = 30_000) {
      const goal = requests + count
      await until(() => requests >= goal, { what: `${count} more requests`, timeoutMs, everyMs: 20 })
    },
    stop() {
      if (child.connected) child.send('stop', () => {})
      return result
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await result.catch(() => {})
    },
  }
  await load.more(1)
  return load
}

const program = join(dirname(fileURLToPath(import.meta.url)), 'load-child.mjs')

function settings(options: LoadOptions): object {
  const address = options.address ?? '127.0.0.1'
  if (!/^127\.\d+\.\d+\.\d+$|^::1$/.test(address)) throw new Error(`Load goes to this machine only, not to ${address}`)
  return {
    url: options.url,
    port: options.port,
    address,
    clients: options.clients ?? { get: 4, post: 2, fresh: 1 },
    requestsPerSecond: Math.min(options.requestsPerSecond ?? 200, 1000),
    bodyBytes: options.bodyBytes ?? 2000,
    streamSeconds: options.streamSeconds ?? 2,
    timeoutMs: options.timeoutMs ?? 30_000,
    maxSeconds: Math.min(options.maxSeconds ?? 120, 600),
    maxRequests: Math.min(options.maxRequests ?? 200_000, 200_000),
  }
}

function resultOf(child: ChildProcess): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: { result?: Pick<LoadResult, 'records' | 'webSockets'> }) => {
      if (message.result) resolve(summarize(message.result.records, message.result.webSockets))
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`The load generator ended with ${signal ?? `code ${code}`}`)))
  })
}

function summarize(records: readonly LoadRecord[], webSockets: LoadResult['webSockets']): LoadResult {
  const inOrder = records.toSorted((a, b) => a.at - b.at)
  const failures = inOrder.filter(failed)
  const times = records.map((record) => record.ms).sort((a, b) => a - b)
  const quantile = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0
  return {
    requests: records.length,
    failed: failures.length,
    failures: failures.slice(0, 20),
    byKind: countBy(inOrder, (record) => record.kind),
    byStatus: countBy(inOrder, (record) => `${record.status ?? record.error}`),
    byRelease: countBy(inOrder, (record) => record.release ?? 'none'),
    longestMs: times.at(-1) ?? 0,
    p50: quantile(0.5),
    p99: quantile(0.99),
    releasesInOrder: releasesInOrder(inOrder),
    webSockets,
    records: inOrder,
  }
}

function failed(record: LoadRecord): boolean {
  const { error, status = 0 } = record
  return error !== undefined || !(record.kind === 'webSocket' ? status === 101 : status >= 200 && status <= 299)
}

function countBy(records: readonly LoadRecord[], key: (record: LoadRecord) => string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const record of records) counts[key(record)] = (counts[key(record)] ?? 0) + 1
  return counts
}

/** A WebSocket keeps the release that it was opened on, so only requests count. */
function releasesInOrder(sent: readonly LoadRecord[]): boolean {
  const answers = sent
    .filter((record) => record.kind !== 'webSocket')
    .flatMap((record) => {
      const number = /^r?(\d+)$/.exec(record.release ?? '')?.[1]
      return number === undefined ? [] : [{ at: record.at, end: record.at + record.ms, number: Number(number) }]
    })
  const ended = answers.toSorted((a, b) => a.end - b.end)
  let newest = 0
  let next = 0
  for (const answer of answers) {
    for (; (ended[next]?.end ?? Number.POSITIVE_INFINITY) < answer.at; next++)
      newest = Math.max(newest, ended[next]?.number ?? 0)
    if (answer.number < newest) return false
  }
  return true
}
