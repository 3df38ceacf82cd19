import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Docker, type DockerOptions } from '../../src/docker/index.ts'

export type RawEngine = { docker: Docker; socket: string; connections(): number; opened(): number; requests: string[] }

/**
 * A server on a unix socket that answers pings, and leaves every other request to `behave`: it may write any bytes, or
 * none, and close when it likes. It gets the head of the request; what comes after stays unread.
 */
export async function rawEngine(
  t: TestContext,
  behave: (socket: Socket, head: string) => void,
  options: DockerOptions = {},
): Promise<RawEngine> {
  const directory = await mkdtemp(join(tmpdir(), 'raw-engine-'))
  const path = join(directory, 'docker.sock')
  const sockets = new Set<Socket>()
  const requests: string[] = []
  let opened = 0
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    opened++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    let text = ''
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      const head = text.slice(0, end)
      text = ''
      if (/^\w+ \/_ping /.test(head)) {
        const body = head.startsWith('HEAD') ? '' : 'OK'
        socket.write(`HTTP/1.1 200 OK\r\nApi-Version: 1.56\r\nContent-Length: 2\r\n\r\n${body}`)
        return
      }
      requests.push(head)
      socket.removeAllListeners('data')
      socket.on('data', () => {})
      behave(socket, head)
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const docker = new Docker({ host: `unix://${path}`, env: { HOME: directory }, ...options })
  t.after(async () => {
    docker.close()
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
    await rm(directory, { recursive: true, force: true })
  })
  return { docker, socket: path, connections: () => sockets.size, opened: () => opened, requests }
}
