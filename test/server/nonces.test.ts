import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Nonces } from '../../src/server/nonces.ts'

test('no used nonce is forgotten while the file of them is made shorter', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-nonces-'))
  t.after(() => rm(folder, { recursive: true }))
  const nonces = await Nonces.open(folder)
  const used = Array.from({ length: 1100 }, () => nonces.make())
  assert.ok((await Promise.all(used.map((nonce) => nonces.use(nonce)))).every(Boolean))
  const lines = (await readFile(join(folder, 'nonces.used'), 'utf8')).split('\n').map((line) => line.split(' ')[0])
  assert.deepEqual(
    used.filter((nonce) => !lines.includes(nonce)),
    [],
  )
  const later = await Nonces.open(folder)
  assert.deepEqual(
    await Promise.all(used.map((nonce) => later.use(nonce))),
    used.map(() => false),
  )
})
