import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Slots } from '../../src/server/slots.ts'

const limits = { inAll: 3, perKey: 2 }

/** Lets a key ask for builds; they go on until `end`. */
function asking(slots: Slots, terms = limits) {
  const on: string[] = []
  const leave = new Map<string, () => void>()
  const told: string[] = []
  const controllers = new Map<string, AbortController>()
  return {
    on,
    told,
    async ask(key: string, name: string): Promise<void> {
      const controller = new AbortController()
      controllers.set(name, controller)
      slots.enter(key, terms, { told: (before) => told.push(`${name} ${before}`), signal: controller.signal }).then(
        (free) => {
          on.push(name)
          leave.set(name, free)
        },
        () => told.push(`${name} gone`),
      )
      await turn()
    },
    async end(name: string): Promise<void> {
      on.splice(on.indexOf(name), 1)
      leave.get(name)?.()
      leave.get(name)?.()
      await turn()
    },
    async abort(name: string): Promise<void> {
      controllers.get(name)?.abort()
      await turn()
    },
  }
}

test('a key has so many builds on at once, and all together so many', async () => {
  const a = asking(new Slots())
  for (const name of ['x1', 'x2', 'x3', 'x4']) await a.ask('x', name)
  assert.deepEqual(a.on, ['x1', 'x2'])
  await a.ask('y', 'y1')
  await a.ask('z', 'z1')
  assert.deepEqual(a.on, ['x1', 'x2', 'y1'])
  await a.end('y1')
  assert.deepEqual(a.on, ['x1', 'x2', 'z1'])
  await a.end('x1')
  assert.deepEqual(a.on, ['x2', 'z1', 'x3'])
})

test('who has none on goes before one who asked a hundred times', async () => {
  const a = asking(new Slots())
  await a.ask('w', 'w1')
  for (let n = 1; n <= 100; n += 1) await a.ask('x', `x${n}`)
  await a.ask('y', 'y1')
  assert.deepEqual(a.on, ['w1', 'x1', 'x2'])
  await a.end('w1')
  assert.deepEqual(a.on, ['x1', 'x2', 'y1'])
})

test('where there is one place keys take turns, however often one of them has asked before', async () => {
  const a = asking(new Slots(), { inAll: 1, perKey: 1 })
  for (const name of ['x1', 'x2', 'x3', 'x4']) await a.ask('x', name)
  await a.ask('y', 'y1')
  await a.ask('z', 'z1')
  await a.ask('y', 'y2')
  const order: string[] = []
  while (a.on.length > 0) {
    order.push(a.on[0] as string)
    await a.end(a.on[0] as string)
  }
  assert.deepEqual(order, ['x1', 'y1', 'z1', 'x2', 'y2', 'x3', 'x4'])
})

test('who waits is told how many go before, and who gives up leaves the queue', async () => {
  const a = asking(new Slots())
  for (const name of ['x1', 'x2', 'x3', 'x4', 'x5']) await a.ask('x', name)
  assert.deepEqual(a.told, ['x3 0', 'x4 1', 'x5 2'])
  await a.abort('x4')
  assert.deepEqual(a.told.slice(3).sort(), ['x4 gone', 'x5 1'])
  await a.end('x1')
  assert.deepEqual(a.on, ['x2', 'x3'])
  await a.end('x2')
  await a.end('x3')
  assert.deepEqual(a.on, ['x5'])
  await a.abort('x5')
  assert.deepEqual(a.on, ['x5'], 'who is in leaves by itself')
})
