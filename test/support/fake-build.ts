import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

/** What a build was given: the digest and the size of the archive. */
export type Seen = Readonly<{ digest: string; bytes: number }>

/**
 * A server on a socket that acts as an engine with nothing on it. Its builds read the whole archive and fail then: a
 * deploy goes as far as that.
 * @param options.buildMs how long a build takes after it has read everything
 * @returns `host` for DOCKER_HOST, and what builds have seen
 */
export async function fakeBuilder(
  t: TestContext,
  options: { buildMs?: number } = {},
): Promise<{ host: string; seen: Seen[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'mypaas-engine-'))
  const seen: Seen[] = []
  const server = http.createServer(async (request, response) => {
    const path = (request.url ?? '').replace(/^\/v[\d.]+/, '').split('?')[0]
    const json = (value: unknown, status = 200): void => {
      response.writeHead(status, { 'content-type': 'application/json', 'api-version': '1.41' })
      response.end(JSON.stringify(value))
    }
    if (path === '/_ping') return json('OK')
    if (path === '/version') return json({ Version: '20.10.24', ApiVersion: '1.41', MinAPIVersion: '1.12' })
    if (path === '/events') {
      // Nothing happens on it.
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
      return
    }
    if (path === '/info') return json({ NCPU: 2, MemTotal: 4e9 })
    if (path === '/build') {
      const hash = createHash('sha256')
      let bytes = 0
      for await (const part of request) {
        hash.update(part as Buffer)
        bytes += (part as Buffer).length
      }
      seen.push({ digest: hash.digest('hex'), bytes })
      response.writeHead(200, { 'content-type': 'application/json' })
      response.flushHeaders()
      await sleep(options.buildMs ?? 0, undefined, { ref: false })
      response.end(
        `${JSON.stringify({ errorDetail: { message: 'this engine only looks' }, error: 'this engine only looks' })}\n`,
      )
      return
    }
    if (path === '/containers/json' || path === '/images/json' || path === '/networks') return json([])
    return json({ message: `there is no ${path}` }, 404)
  })
  const socket = join(folder, 'engine.sock')
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  t.after(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await rm(folder, { recursive: true, force: true })
  })
  return { host: `unix://${socket}`, seen }
}
