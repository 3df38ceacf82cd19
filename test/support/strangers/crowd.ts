import { randomBytes } from 'node:crypto'
import type http from 'node:http'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatStatement } from '../../../src/push/statement.ts'
import { makeSignature } from '../../../src/ssh/sshsig.ts'
import { string } from '../../../src/ssh/wire.ts'
import { ask, type Target } from './world.ts'

export type CrowdOptions = Readonly<{
  strangers: number
  target: Target
  /** What the server is called there. */
  host: string
  /** `TYPE BASE64`, of ed25519: what they sign under, wrongly. */
  key: string
  /** Whose connections they come over. */
  agent: http.Agent
  /** So many addresses the router says that they come from. Default 0: none said. */
  addresses?: number
}>

/** Strangers of this process that try half a second after each answer, until the test ends. @returns what they are answered */
export function crowd(
  t: Pick<TestContext, 'after'>,
  options: CrowdOptions,
): { answers: Readonly<Record<string, number>> } {
  const { strangers, addresses = 0, agent } = options
  const answers: Record<string, number> = {}
  const count = (what: string | number): void => {
    answers[what] = (answers[what] ?? 0) + 1
  }
  let goOn = true
  const all = Array.from({ length: strangers }, async (_, number) => {
    await sleep((500 * number) / strangers)
    const at = number % Math.max(addresses, 1)
    const from = addresses === 0 ? '' : `10.0.${at >> 8}.${at & 255}`
    for (; goOn; await sleep(500)) await attempt(options, from).then(count, (error: Error) => count(error.message))
  })
  t.after(async () => {
    goOn = false
    agent.destroy()
    await Promise.all(all)
  })
  return { answers }
}

/** A challenge, and a call with a wrong signature. @returns the status of its answer */
async function attempt({ target, host, key, agent }: CrowdOptions, from: string): Promise<number> {
  const { text } = await ask(target, '/v1/challenge', '{}', from, agent)
  const { server, nonce, time: timeMs } = JSON.parse(text) as { server: string; nonce: string; time: number }
  const common = { server, host, nonce, timeMs }
  const statement = formatStatement({ purpose: 'call', ...common, action: 'status', args: {}, body: undefined })
  const blob = Buffer.from(key.split(' ')[1] ?? '', 'base64')
  const wrong = (): Buffer => Buffer.concat([string('ssh-ed25519'), string(randomBytes(64))])
  const signature = makeSignature(statement, 'statement@mypaas', blob, wrong)
  return (await ask(target, '/v1/call', JSON.stringify({ statement, signature }), from, agent)).status
}
