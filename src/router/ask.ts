import http from 'node:http'
import https from 'node:https'
import type { ServiceUrl } from '../service/spec.ts'
import { concreteHost } from './health-request.ts'
import type { Answer } from './router.ts'

const requestTimeoutMs = 10_000

/** Requests a URL as a user would, but of the address and port that are given. Never rejects; redirects are not followed. */
export function ask(call: {
  address: string
  port: number
  secure: boolean
  url: ServiceUrl
  headers: Readonly<Record<string, string>>
  signal: AbortSignal | undefined
  /** Default 10,000. */
  timeoutMs?: number
}): Promise<Answer> {
  const timeoutMs = call.timeoutMs ?? requestTimeoutMs
  const host = concreteHost(call.url)
  const options: https.RequestOptions = {
    host: call.address,
    port: call.port,
    path: call.url.path,
    agent: false,
    // Before the first certificate is there the router serves its own; what is asked here is whether it routes.
    rejectUnauthorized: false,
    headers: { host, 'user-agent': 'mypaas', connection: 'close', ...call.headers },
    ...(call.secure && !/^[\d.]+$/.test(host) ? { servername: host } : {}),
    ...(call.signal ? { signal: call.signal } : {}),
  }
  return new Promise((resolve) => {
    const request = (call.secure ? https : http).get(options, (response) => {
      const { statusCode = 0, headers } = response
      const { location } = headers
      const sendsOn = statusCode >= 300 && statusCode < 400 && location !== undefined
      const redirect = sendsOn ? { redirect: { location, setsCookie: headers['set-cookie'] !== undefined } } : {}
      resolve({ status: statusCode, ...redirect })
      response.destroy()
    })
    // For the whole answer: one that comes byte by byte, or is announced again and again (103), would never be late.
    const late = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs)
    request.on('error', (error) => resolve({ error: error.message }))
    // An answer that changes the protocol (101) is neither a response nor an error to Node.
    request.on('close', () => {
      clearTimeout(late)
      resolve({ error: 'it closed the connection without an answer' })
    })
  })
}

const adminTimeoutMs = 2_000
const maxBodyBytes = 4 * 1024 * 1024

/** The router's own API, behind its admin entry point. */
export class AdminApi {
  readonly authorization: { authorization: string }
  readonly #address: string
  readonly #port: number
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 4, timeout: 2 * adminTimeoutMs })

  constructor(address: string, port: number, password: string) {
    this.#address = address
    this.#port = port
    this.authorization = { authorization: `Basic ${Buffer.from(`mypaas:${password}`).toString('base64')}` }
  }

  /** @throws when there is no answer within 2 s, or one of more than 4 MiB */
  get(path: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const options = { host: this.#address, port: this.#port, path, agent: this.#agent, timeout: adminTimeoutMs }
      const request = http.get({ ...options, headers: this.authorization }, (response) => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (text: string) => {
          body += text
          if (body.length > maxBodyBytes) request.destroy(new Error('the router API answers more than 4 MiB'))
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
        response.on('error', reject)
      })
      request.on('timeout', () =>
        request.destroy(new Error(`the router API does not answer within ${adminTimeoutMs / 1000} s`)),
      )
      request.on('error', reject)
    })
  }
}
