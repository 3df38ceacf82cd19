import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

export type Registry = {
  /** `localhost:PORT`: engines speak plain HTTP to that. */
  host: string
  /** `METHOD /path`, for those that had the right credentials. */
  requests: string[]
}

/**
 * A registry that keeps what is pushed to it in memory and wants a login: as much of the distribution API as the engine
 * uses to push, pull and inspect.
 */
export async function registry(t: TestContext, login: { username: string; password: string }): Promise<Registry> {
  const blobs = new Map<string, Buffer>()
  const manifests = new Map<string, { type: string; body: Buffer }>()
  const uploads = new Map<string, Buffer[]>()
  const requests: string[] = []
  const expected = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '', 'http://registry')
    const { method = '' } = request
    const send = (status: number, headers: Record<string, string> = {}, body: Buffer | string = '') => {
      response.writeHead(status, { 'Docker-Distribution-API-Version': 'registry/2.0', ...headers })
      response.end(method === 'HEAD' ? undefined : body)
    }
    if (request.headers.authorization !== expected) {
      request.resume()
      send(
        401,
        { 'WWW-Authenticate': 'Basic realm="test"' },
        '{"errors":[{"code":"UNAUTHORIZED","message":"login wanted"}]}',
      )
      return
    }
    requests.push(`${method} ${url.pathname}`)
    const [, name = '', kind, reference = ''] = /^\/v2\/(.+)\/(blobs|manifests)\/(.+)$/.exec(url.pathname) ?? []
    if (url.pathname === '/v2/') send(200)
    else if (kind === 'blobs' && reference.startsWith('uploads/')) await upload(reference.slice(8), name)
    else if (kind === 'blobs') {
      const blob = blobs.get(reference)
      if (blob) send(200, { 'Content-Length': String(blob.length), 'Docker-Content-Digest': reference }, blob)
      else send(404)
    } else if (kind === 'manifests' && method === 'PUT') {
      const body = await read(request)
      const type = request.headers['content-type'] ?? ''
      const digest = digestOf(body)
      for (const key of [reference, digest]) manifests.set(`${name}:${key}`, { type, body })
      send(201, { 'Docker-Content-Digest': digest })
    } else {
      const manifest = manifests.get(`${name}:${reference}`)
      if (!manifest) {
        send(
          404,
          { 'Content-Type': 'application/json' },
          '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}',
        )
        return
      }
      const length = String(manifest.body.length)
      const headers = { 'Content-Type': manifest.type, 'Content-Length': length }
      send(200, { ...headers, 'Docker-Content-Digest': digestOf(manifest.body) }, manifest.body)
    }

    async function upload(id: string, repository: string): Promise<void> {
      if (method === 'POST') {
        const next = String(uploads.size + 1)
        uploads.set(next, [])
        send(202, { Location: `/v2/${repository}/blobs/uploads/${next}`, 'Docker-Upload-UUID': next, Range: '0-0' })
        return
      }
      const parts = uploads.get(id) ?? []
      parts.push(await read(request))
      const blob = Buffer.concat(parts)
      const digest = url.searchParams.get('digest')
      if (method === 'PUT' && digest === digestOf(blob)) {
        blobs.set(digest, blob)
        send(201, { 'Docker-Content-Digest': digest, Location: `/v2/${repository}/blobs/${digest}` })
      } else if (method === 'PATCH') {
        const range = `0-${Math.max(0, blob.length - 1)}`
        send(202, { Location: `/v2/${repository}/blobs/uploads/${id}`, 'Docker-Upload-UUID': id, Range: range })
      } else send(400)
    }
  }
  const server = createServer((request, response) => void answer(request, response).catch(() => request.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { host: `localhost:${(server.address() as AddressInfo).port}`, requests }
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
