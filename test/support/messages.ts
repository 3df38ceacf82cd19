import { createHash, randomBytes } from 'node:crypto'
import http from 'node:http'
import { buildManifest } from '../../src/push/manifest.ts'
import { encodeFrame } from '../../src/push/packs.ts'
import { sessionProtocol } from '../../src/push/session-frames.ts'
import { formatStatement, namespace, type Statement } from '../../src/push/statement.ts'
import { parsePrivateKey } from '../../src/ssh/private-key.ts'
import { makeSignature } from '../../src/ssh/sshsig.ts'
import { chunksOf, tableOfFiles } from './table.ts'

export type Answer = Readonly<{ status: number; text: string }>

export type Message = Readonly<{
  method: string
  path: string
  headers: Readonly<Record<string, string>>
  body: Buffer
}>

/** A client that signs in this process, fast, and says whatever it is told to. */
export class Talker {
  readonly #agent: http.Agent
  readonly #socket: string
  readonly #key: ReturnType<typeof parsePrivateKey>
  /** Of the server, as its challenges say. */
  #server = ''

  constructor(socket: string, privateKey: string, connections: number) {
    this.#socket = socket
    this.#key = parsePrivateKey(privateKey)
    this.#agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }

  /**
   * @param agent `false` for a connection of its own: what is odd may leave one in no state for the next message
   * @returns status 0 for a connection that was cut without an answer
   */
  send({ method, path, headers, body }: Message, agent: http.Agent | false = this.#agent): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const cut = (error: NodeJS.ErrnoException): void => {
        // That nobody listens any more is for the caller to see.
        if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') reject(error)
        else resolve({ status: 0, text: error.message })
      }
      let request: http.ClientRequest
      try {
        request = http.request({ socketPath: this.#socket, agent, method, path, headers, timeout: 60_000 })
      } catch {
        // Node sends no such thing.
        return resolve({ status: 0, text: 'not sent' })
      }
      request.on('timeout', () => request.destroy(new Error('no answer within a minute')))
      request.on('error', cut)
      request.on('upgrade', (response, socket) => {
        socket.destroy()
        resolve({ status: response.statusCode ?? 0, text: '' })
      })
      request.on('response', (response) => {
        const parts: Buffer[] = []
        let bytes = 0
        // Of what is followed without an end, so much is enough.
        const enough = setTimeout(() => response.destroy(), 3_000)
        response.on('data', (part: Buffer) => {
          bytes += part.length
          if (bytes < 1024 ** 2) parts.push(part)
        })
        response.on('close', () => {
          clearTimeout(enough)
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() })
        })
        response.on('error', () => {})
      })
      request.end(body)
    })
  }

  async ask(method: string, path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send(message(method, path, typeof body === 'string' ? body : JSON.stringify(body), headers))
  }

  async nonce(): Promise<string> {
    const { text } = await this.ask('POST', '/v1/challenge', {})
    const { nonce, server } = JSON.parse(text) as { nonce: string; server: string }
    this.#server = server
    return nonce
  }

  sign(text: string): string {
    return makeSignature(text, namespace, this.#key.blob, this.#key.sign)
  }

  /** A statement as an honest client makes it. */
  async statement(
    fields: { action: string; args: Record<string, string>; body?: string } | { push: string; manifest: string },
  ): Promise<string> {
    const nonce = await this.nonce()
    const common = { server: this.#server, host: 'unix', nonce, timeMs: Date.now() }
    const own =
      'push' in fields
        ? { purpose: 'push', service: fields.push, manifest: fields.manifest, expect: undefined }
        : { purpose: 'call', action: fields.action, args: fields.args, body: fields.body && sha(fields.body) }
    return formatStatement({ ...common, ...own } as Statement)
  }

  async call(action: string, args: Record<string, string>, body?: string): Promise<Message> {
    const statement = await this.statement({ action, args, ...(body === undefined ? {} : { body }) })
    const signature = this.sign(statement)
    return message(
      'POST',
      '/v1/call',
      JSON.stringify({ statement, signature, ...(body === undefined ? {} : { body }) }),
    )
  }

  /** One valid message of a kind, with the state on the server that it needs. */
  async valid(kind: string, service: string): Promise<Message> {
    switch (kind) {
      case 'challenge':
        return message(
          'POST',
          '/v1/challenge',
          JSON.stringify({ host: 'unix', nonce: randomBytes(24).toString('base64url') }),
        )
      case 'push': {
        const { index, statement } = await this.#push(service)
        return message('POST', '/v1/push', JSON.stringify({ statement, signature: this.sign(statement), index }))
      }
      case 'missing': {
        const { id, auth } = await this.#begin(service)
        return message('GET', `/v1/push/${id}/missing`, '', auth)
      }
      case 'segments': {
        const { id, auth, manifest } = await this.#begin(service)
        const body = Buffer.concat(await encodeFrame({ indexes: [0], data: manifest.texts[0] as Buffer }, false))
        return message('POST', `/v1/push/${id}/segments`, body, auth)
      }
      case 'blobs': {
        const { id, auth } = await this.#withManifest(service)
        const body = Buffer.concat(await encodeFrame({ indexes: [0], data: content(service) }, false))
        return message('POST', `/v1/push/${id}/blobs`, body, auth)
      }
      case 'commit': {
        const { id, auth } = await this.#withManifest(service)
        return message('POST', `/v1/push/${id}/commit`, '{}', auth)
      }
      case 'events': {
        const { id, auth } = await this.#begin(service)
        return message('GET', `/v1/jobs/${id}/events?after=-1`, '', auth)
      }
      case 'session': {
        const granted = await this.send(await this.call('exec', { service }, '["true"]'))
        const { session = 'x'.repeat(12), token = 'x'.repeat(43) } = JSON.parse(granted.text) as Record<string, string>
        return message('GET', `/v1/sessions/${session}`, '', {
          authorization: `Bearer ${token}`,
          connection: 'Upgrade',
          upgrade: sessionProtocol,
        })
      }
      default:
        throw new Error(`there is no message ${kind}`)
    }
  }

  async #push(service: string) {
    const manifest = manifestOf(service)
    const statement = await this.statement({ push: service, manifest: manifest.digest })
    return { manifest, index: manifest.index.toString('latin1'), statement }
  }

  async #begin(service: string) {
    const { manifest, index, statement } = await this.#push(service)
    const { status, text } = await this.ask('POST', '/v1/push', { statement, signature: this.sign(statement), index })
    // A key may have a few pushes at a time only; then one that there is not does.
    const { push = 'x'.repeat(12), token = 'x'.repeat(43) } =
      status === 201 ? (JSON.parse(text) as { push: string; token: string }) : {}
    return { manifest, id: push, auth: { authorization: `Bearer ${token}` } }
  }

  async #withManifest(service: string) {
    const begun = await this.#begin(service)
    const body = Buffer.concat(await encodeFrame({ indexes: [0], data: begun.manifest.texts[0] as Buffer }, false))
    await this.send(message('POST', `/v1/push/${begun.id}/segments`, body, begun.auth))
    return begun
  }
}

export const kinds = ['challenge', 'push', 'missing', 'segments', 'blobs', 'commit', 'events', 'session'] as const

export function message(
  method: string,
  path: string,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Message {
  return { method, path, headers, body: Buffer.from(body as string) }
}

function content(service: string): Buffer {
  return Buffer.from(`# mypaas.service = ${service}\nFROM scratch\n`)
}

function manifestOf(service: string) {
  const data = content(service)
  const table = tableOfFiles([{ path: 'Dockerfile', size: data.length }])
  return buildManifest(
    'Dockerfile',
    table,
    chunksOf(['Dockerfile'], () => [sha(data)]),
  )
}

function sha(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}
