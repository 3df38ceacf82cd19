import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { daemonLock } from '../../src/server/daemon-age.ts'
import { holderOfPort } from '../../src/server/daemon-port.ts'
import { daemonSocket } from '../../src/server/daemon-socket.ts'

test("whoever can't be looked at is taken for somebody else only where no daemon runs", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'mypaas-port-'))
  t.after(() => rm(directory, { recursive: true }))
  const listening = async (where: object): Promise<ReturnType<typeof createServer>> => {
    const server = createServer((socket) => socket.destroy())
    await new Promise<void>((resolve) => server.listen(where, resolve))
    t.after(() => server.close())
    return server
  }
  const listener = await listening({ host: '127.0.0.1', port: 0 })
  const { port } = listener.address() as AddressInfo
  const asked = (): Promise<string> => holderOfPort(directory, '127.0.0.1', port)
  const lock = (pid: number | undefined): Promise<void> =>
    writeFile(
      daemonLock(directory),
      pid === undefined ? '' : `the daemon (process ${pid}, since 2026-01-01T00:00:00.000Z)`,
    )

  const nobodys = 2 ** 22 + 1
  assert.equal(await asked(), 'other')
  // It ended in order, or was killed.
  for (const pid of [undefined, nobodys]) {
    await lock(pid)
    assert.equal(await asked(), 'other', `${pid}`)
  }
  // It runs; which process it is can't be read, or that one can't be seen by this user.
  const socket = await listening({ path: daemonSocket(directory) })
  for (const pid of [undefined, nobodys]) {
    await lock(pid)
    assert.equal(await asked(), 'unknown', `${pid}`)
  }
  await lock(process.ppid)
  assert.equal(await asked(), 'other')
  await lock(process.pid)
  assert.equal(await asked(), 'daemon')
  socket.close()
  await new Promise((resolve) => listener.close(resolve))
  assert.equal(await asked(), 'nobody')
})
