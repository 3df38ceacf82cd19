// The daemon's side that strangers reach, in a process of its own: on a socket and on a port as the router would reach it,
// with no engine behind it. Says where, and ends with its input.
import { join } from 'node:path'
import { defaultLimits } from '../../../src/push/manifest.ts'
import { Api } from '../../../src/server/api.ts'
import { Audit } from '../../../src/server/audit.ts'
import { Challenges } from '../../../src/server/challenges.ts'
import { httpServer, maxWaiting } from '../../../src/server/http-server.ts'
import { Jobs } from '../../../src/server/jobs.ts'
import { AuthorizedKeys } from '../../../src/server/keys.ts'
import { LiveSettings } from '../../../src/server/live-settings.ts'
import { Nonces } from '../../../src/server/nonces.ts'
import { Pushes } from '../../../src/server/pushes.ts'
import { LiveServerKey } from '../../../src/server/server-key.ts'
import { keepHeapSmall } from '../../../src/server/small-heap.ts'
import { routerWord } from './as-router.ts'

keepHeapSmall()
const home = process.argv[2] as string
const directory = join(home, '_mypaas')
const quota = {
  storeBytes: 1e9,
  serviceBytes: 1e9,
  reserveBytes: 0,
  perKey: 1000,
  inAll: 1000,
  waitingPerKey: 1000,
  idleMs: 600_000,
}
const log = (line: string): void => console.error(line)
const settings = new LiveSettings(directory, log)
await settings.now()
const own = await LiveServerKey.open(directory, log)
const server = '0123456789abcdef'
const nonces = new Nonces()
const limits = defaultLimits
const api = new Api({
  home,
  directory,
  server,
  settings,
  keys: new AuthorizedKeys(directory),
  challenges: new Challenges({ server, key: () => own.current(), nonces, limits: async () => limits, now: Date.now }),
  nonces,
  pushes: await Pushes.open(join(directory, 'push', 'blobs'), async () => ({ limits, ...quota })),
  jobs: await Jobs.open(join(directory, 'push', 'jobs'), async () => ''),
  audit: new Audit(directory),
  log,
})
const path = join(home, 'd.sock')
const local = httpServer(api, 'socket').listen({ path, backlog: maxWaiting.socket })
const router = httpServer(api, 'router', routerWord).listen({ port: 0, host: '127.0.0.1', backlog: maxWaiting.router })
await Promise.all([local, router].map((server) => new Promise<void>((resolve) => server.once('listening', resolve))))
const { port } = router.address() as { port: number }
console.log(JSON.stringify({ path, port }))
process.stdin.resume().on('end', () => process.exit())
