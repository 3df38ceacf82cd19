import assert from 'node:assert/strict'
import { createHook } from 'node:async_hooks'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { testApi } from '../support/api.ts'
import { until } from '../support/until.ts'

/** How long the daemon waits for a peer to close its half, as `destroySoon` says. */
const endMs = 5_000

test('whoever goes on sending after what was no request leaves one timer, not one for each piece', async (t) => {
  const api = await testApi(t)
  const timers: { _idleTimeout?: number }[] = []
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === 'Timeout') timers.push(resource)
    },
  })
  const ended = (): number => timers.filter(({ _idleTimeout }) => _idleTimeout === endMs).length
  hook.enable()
  t.after(() => hook.disable())
  const socket = net.connect({ path: api.socket, allowHalfOpen: true })
  t.after(() => socket.destroy())
  socket.on('error', () => {}).resume()
  await once(socket, 'connect')
  for (let piece = 0; piece < 40; piece += 1) {
    socket.write('no request\r\n'.repeat(100))
    await sleep(5)
  }
  await until(() => ended() > 0, { what: 'the daemon to see it' })
  assert.equal(ended(), 1)
})
