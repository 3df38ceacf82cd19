import http from 'node:http'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'

export type Answer = Record<string, unknown>

export type FakeDaemon = Readonly<{
  /** What came to it besides questions who it is. */
  got: { path: string; body: string }[]
  /** The answers of the true daemon to those, as they went by. */
  challenges: Answer[]
  /** From now on it answers so: with the true daemon's answer, changed. */
  answer: (change: (answer: Answer, asked: string) => Answer | Promise<Answer>) => void
  /** From now on it passes on what comes so changed. */
  request: (change: (body: string) => string) => void
}>

/**
 * Listens in place of a daemon, and asks the true one who it is, as somebody on the way could. All else that comes is
 * kept, and passed on.
 * @param where a socket, or an address
 * @param target the true one's socket; without one it has nothing to pass on
 */
export async function fakeDaemon(
  t: TestContext,
  where: string | { host: string; port: number },
  target?: string,
): Promise<FakeDaemon> {
  const got: FakeDaemon['got'] = []
  const challenges: Answer[] = []
  let change: Parameters<FakeDaemon['answer']>[0] = (answer) => answer
  let changeRequest: Parameters<FakeDaemon['request']>[0] = (body) => body
  const server = http.createServer(async (request, response) => {
    const body = await text(request)
    const path = request.url ?? ''
    const isAsked = path === '/v1/challenge'
    if (!isAsked) got.push({ path, body })
    const passed = isAsked ? body : changeRequest(body)
    const { status, text: answer } = target ? await passOn(target, request, passed) : { status: 200, text: '{}' }
    response.statusCode = status
    response.setHeader('content-type', 'application/json')
    if (!isAsked) return void response.end(answer)
    const value = JSON.parse(answer) as Answer
    challenges.push(value)
    const changed = await change(value, body)
    if ('error' in changed) response.statusCode = 400
    response.end(JSON.stringify(changed))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    if (typeof where === 'string') server.listen(where, resolve)
    else server.listen(where.port, where.host, resolve)
  })
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    got,
    challenges,
    answer(other) {
      change = other
    },
    request(other) {
      changeRequest = other
    },
  }
}

function passOn(
  socketPath: string,
  { method, url: path }: http.IncomingMessage,
  body: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, method, path, agent: false }, (response) => {
      text(response).then((all) => resolve({ status: response.statusCode ?? 0, text: all }), reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}
