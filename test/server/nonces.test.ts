import assert from 'node:assert/strict'
import test from 'node:test'
import { Nonces, nonceLifeMs } from '../../src/server/nonces.ts'

test('a nonce is good once, for five minutes, where it was made', () => {
  let now = 1000
  const nonces = new Nonces(() => now)
  const [used, late] = [nonces.make(), nonces.make()] as const
  assert.equal(nonces.use(used), true)
  assert.equal(nonces.use(used), false)
  assert.equal(new Nonces(() => now).use(late), false)
  now += nonceLifeMs
  assert.equal(nonces.isFresh(late), true)
  now += 1
  assert.equal(nonces.use(late), false)
})

test('no clock that is set, and no start of the daemon in between, makes a used nonce fresh again', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000_000 })
  const nonces = new Nonces()
  const used = nonces.make()
  assert.equal(nonces.use(used), true)
  for (const step of [7 * 60_000, -6 * 60_000, 86_400_000, -86_400_000 + 3000]) {
    t.mock.timers.setTime(Math.max(0, Date.now() + step))
    // What is used meanwhile makes others forgotten.
    for (let number = 0; number < 100; number += 1) assert.equal(nonces.use(nonces.make()), true)
    assert.equal(nonces.use(used), false)
    const anew = new Nonces()
    assert.equal(anew.use(anew.make()), true)
    assert.equal(anew.use(used), false)
  }
})

test('however many are used or spoilt, none of the used is forgotten while it would be fresh', () => {
  let now = 0
  const nonces = new Nonces(() => now)
  const used: { nonce: string; at: number }[] = []
  for (; now < 3 * nonceLifeMs; now += 1000) {
    const nonce = nonces.make()
    assert.equal(nonces.use(nonce), true)
    used.push({ nonce, at: now })
  }
  for (let number = 0; number < 10_000; number += 1) nonces.spoil(nonces.make())
  assert.deepEqual(
    used.filter(({ nonce }) => nonces.use(nonce)),
    [],
  )
})

test('the nonce of a wrong signature is not looked at again', () => {
  const nonces = new Nonces()
  const nonce = nonces.make()
  nonces.spoil(nonce)
  assert.equal(nonces.isFresh(nonce), false)
})

test('the first letters of a nonce are those of the process, the rest is nobody’s to guess', () => {
  const nonces = new Nonces()
  const [one, two] = [nonces.make(), nonces.make()] as const
  assert.equal(one.slice(0, 8), two.slice(0, 8))
  assert.notEqual(one, two)
  assert.notEqual(new Nonces().make().slice(0, 8), one.slice(0, 8))
  for (let at = 0; at < one.length; at += 1) {
    const other = `${one.slice(0, at)}${one[at] === 'A' ? 'B' : 'A'}${one.slice(at + 1)}`
    assert.equal(nonces.isFresh(other), false)
  }
})
