import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { testApi } from '../support/api.ts'

test('whoever goes on sending after what was no request leaves one timer, not one for each piece', async (t) => {
  const api = await testApi(t)
  const warnings: string[] = []
  const warned = (warning: Error): unknown => warnings.push(warning.message)
  process.on('warning', warned)
  t.after(() => process.off('warning', warned))
  const socket = net.connect({ path: api.socket, allowHalfOpen: true })
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  for (let piece = 0; piece < 40; piece += 1) {
    socket.write('no request\r\n'.repeat(100))
    await sleep(5)
  }
  assert.deepEqual(warnings, [])
})
