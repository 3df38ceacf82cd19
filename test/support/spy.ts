import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { findEngine } from '../../src/docker/index.ts'

export type Spy = Readonly<{
  /** For `env` of a command: it talks to the engine through the spy. */
  env: Readonly<Record<string, string>>
  /** `GET /v1.41/containers/json?all=true`, in the order of arrival. */
  requests: readonly string[]
  /** Those that change something. */
  changes(): readonly string[]
}>

/** Stands between commands and the engine, passes everything on, and notes every request. */
export async function spyOnEngine(t: TestContext): Promise<Spy> {
  const endpoint = await findEngine(process.env)
  if (endpoint.kind !== 'unix') throw new Error('The spy stands before a unix socket only')
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-test-'))
  const requests: string[] = []
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const engine = connect({ path: endpoint.path, allowHalfOpen: true })
    for (const [from, to] of [
      [client, engine],
      [engine, client],
    ] as const) {
      open.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => open.delete(from))
      from.pipe(to)
    }
    client.on('data', (chunk) => {
      const head = /^(?:GET|HEAD|POST|PUT|DELETE) \S+(?= HTTP\/1\.1\r\n)/.exec(chunk.toString('latin1'))
      if (head) requests.push(head[0])
    })
  })
  const path = join(folder, 'docker.sock')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(async () => {
    server.close()
    for (const socket of open) socket.destroy()
    await rm(folder, { recursive: true, force: true })
  })
  return {
    env: { DOCKER_HOST: `unix://${path}` },
    requests,
    changes: () => requests.filter((request) => !/^(?:GET|HEAD) /.test(request)),
  }
}
