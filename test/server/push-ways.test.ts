import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseConfig } from '../../src/server/config.ts'
import { daemonSocket, isDaemonUp } from '../../src/server/daemon-socket.ts'
import { pushWays } from '../../src/server/push-ways.ts'

const ways = (config: string): readonly string[] => pushWays('/home/anna/_mypaas', parseConfig(config))
const own = '[[router.certificates]]\ncert = "/c.pem"\nkey = "/k.pem"\n'

test('what init says of pushes leads to where the router listens, and names the certificate that is missing', () => {
  const socket = 'Push from this machine: mypaas push unix:/home/anna/_mypaas/daemon.sock DIR'
  const local = '[server]\ndomain = "localhost"\n[router]\nbind = "127.0.0.1"\nhttps_port = 28443\n'
  assert.deepEqual(ways(local), [
    socket,
    'Push by https, once there is a certificate for localhost in [[router.certificates]]: mypaas push localhost:28443 DIR',
  ])
  assert.deepEqual(ways(`${local}${own}`), [socket, 'Push by https: mypaas push localhost:28443 DIR'])
  const public_ = '[server]\ndomain = "paas.example.com"\n[router]\n'
  assert.deepEqual(ways(`${public_}email = "ops@example.com"\n`), [
    'Push from elsewhere: mypaas push paas.example.com DIR',
  ])
  assert.deepEqual(ways(public_), [
    'Push from elsewhere by ssh: mypaas push USER@HOST DIR',
    "Push by https, once there is a certificate: --email for Let's Encrypt, or [[router.certificates]]: mypaas push paas.example.com DIR",
  ])
  assert.deepEqual(ways(''), [])
})

test('whether the daemon runs is told by who listens, not by a file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-up-'))
  t.after(() => rm(folder, { recursive: true }))
  assert.equal(await isDaemonUp(folder), false)
  const server = createServer().listen(daemonSocket(folder))
  await new Promise((resolve) => server.once('listening', resolve))
  assert.equal(await isDaemonUp(folder), true)
  server.close()
})
