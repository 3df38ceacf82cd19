import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { sign } from '../../src/push/signature.ts'
import { formatStatement, type Statement } from '../../src/push/statement.ts'
import { Api } from '../../src/server/api.ts'
import { Audit } from '../../src/server/audit.ts'
import { Challenges } from '../../src/server/challenges.ts'
import { httpServer } from '../../src/server/http-server.ts'
import { Jobs } from '../../src/server/jobs.ts'
import { AuthorizedKeys } from '../../src/server/keys.ts'
import { LiveSettings } from '../../src/server/live-settings.ts'
import { Nonces } from '../../src/server/nonces.ts'
import { type PushQuota, pushQuota } from '../../src/server/push-quota.ts'
import { Pushes } from '../../src/server/pushes.ts'
import { LiveServerKey } from '../../src/server/server-key.ts'
import { auditLines } from './audit.ts'
import { fileKeyOf } from './keys.ts'

export const serverId = '0123456789abcdef'

export type Reply = Readonly<{ status: number; text: string }>

export type TestApi = Readonly<{
  home: string
  socket: string
  /** A private key file whose public half is in authorized_keys. */
  key: string
  keyLine: string
  /** What clients are told to expect of this server's own key. */
  expected: { keys: readonly string[]; from: string }
  jobs: Jobs
  pushes: Pushes
  logged: string[]
  /** Moves the server's clock. */
  clock: { offsetMs: number }
  setKeys: (...lines: string[]) => Promise<void>
  ask: (
    method: string,
    path: string,
    body?: string | Buffer,
    headers?: Record<string, string>,
    agent?: http.Agent,
  ) => Promise<Reply>
  /** A statement as an honest client makes it, with changes. */
  statement: (fields?: Partial<Statement>) => Promise<string>
  /** Signs it and sends it. */
  send: (statement: string, extra?: Record<string, unknown>, key?: string, agent?: http.Agent) => Promise<Reply>
  audit: () => Promise<Record<string, string>[]>
}>

/** The daemon's HTTP side in this process, on a socket, with no engine behind it: for what ends before a deploy. */
export async function testApi(t: TestContext, quota: Partial<PushQuota> = {}): Promise<TestApi> {
  const home = await mkdtemp(join(tmpdir(), 'mypaas-api-'))
  const directory = join(home, '_mypaas')
  await mkdir(join(directory, 'push', 'blobs'), { recursive: true, mode: 0o700 })
  await writeFile(join(directory, 'config.toml'), '[server]\ndomain = "paas.test"\n', { mode: 0o600 })
  await writeFile(
    join(directory, 'server.json'),
    JSON.stringify({ version: 1, id: serverId, adminPassword: 'x'.repeat(43) }),
  )
  const key = join(home, 'key')
  const keyLine = await fileKeyOf(key)
  const setKeys = (...lines: string[]): Promise<void> =>
    writeFile(join(directory, 'authorized_keys'), `${lines.join('\n')}\n`, { mode: 0o600 })
  await setKeys(keyLine)
  const clock = { offsetMs: 0 }
  const now = (): number => Date.now() + clock.offsetMs
  const logged: string[] = []
  const jobs = await Jobs.open(join(directory, 'push', 'jobs'), async () => '')
  const settings = new LiveSettings(directory, (line) => logged.push(line))
  const many = { reserveBytes: 0, perKey: 1000, inAll: 1000, waitingPerKey: 1000 }
  const pushes = await Pushes.open(join(directory, 'push', 'blobs'), async () => ({
    ...pushQuota(await settings.now()),
    ...many,
    ...quota,
  }))
  const own = await LiveServerKey.open(directory, () => {})
  const expected = { keys: [(await own.current()).fingerprint], from: 'the test' }
  const nonces = new Nonces(now)
  const limits = () => pushes.limits()
  const api = new Api({
    home,
    directory,
    server: serverId,
    settings,
    keys: new AuthorizedKeys(directory),
    challenges: new Challenges({ server: serverId, key: () => own.current(), nonces, limits, now }),
    nonces,
    pushes,
    jobs,
    audit: new Audit(directory, { mergeMs: 0 }),
    log: (line) => logged.push(line),
    now,
  })
  const server = httpServer(api, 'socket')
  const socket = join(home, 'd.sock')
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  t.after(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await jobs.finish(0)
    await api.idle()
    await pushes.close()
    await rm(home, { recursive: true, force: true })
  })
  const few = new http.Agent({ keepAlive: true, maxSockets: 4 })
  t.after(() => few.destroy())

  const ask: TestApi['ask'] = (method, path, body, headers = {}, agent = few) =>
    new Promise((resolve, reject) => {
      const request = http.request(
        {
          socketPath: socket,
          agent,
          method,
          path,
          headers: { ...headers, ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }) },
        },
        (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (part: string) => {
            text += part
          })
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
          response.on('error', reject)
        },
      )
      request.on('error', reject)
      request.end(body)
    })
  const statement: TestApi['statement'] = async (fields = {}) => {
    const { nonce } = JSON.parse((await ask('POST', '/v1/challenge', '{}')).text) as { nonce: string }
    const common = { server: serverId, host: 'unix', nonce, timeMs: now() }
    return formatStatement({
      ...common,
      ...(fields.purpose === 'call'
        ? { action: 'status', args: {}, body: undefined }
        : { purpose: 'push', service: 'blog', manifest: 'a'.repeat(64), expect: undefined }),
      ...fields,
    } as Statement)
  }
  const send: TestApi['send'] = async (text, extra = {}, keyFile = key, agent = few) => {
    const signature = await sign(text, keyFile)
    const path = text.includes('\npurpose call\n') ? '/v1/call' : '/v1/push'
    return ask('POST', path, JSON.stringify({ statement: text, signature, ...extra }), {}, agent)
  }
  const audit: TestApi['audit'] = () => auditLines(directory)
  return { home, socket, key, keyLine, expected, jobs, pushes, logged, clock, setKeys, ask, statement, send, audit }
}
