import { randomBytes } from 'node:crypto'
import { MypaasError } from '../errors.ts'
import type { PushLimits } from './manifest.ts'
import { type EarlierKey, isSignedBy } from './server-key.ts'

/** What a client asks a server to put its name to: something that was never asked before. */
export type Asked = Readonly<{
  /** How the client reaches the server: its domain, or `ssh` or `unix` for its socket. */
  host: string
  nonce: string
}>

/** What a server tells a client, and all that the client acts upon. The server's key signs its text. */
export type Challenge = Readonly<{
  /** The server's id. */
  server: string
  /** As the client had it. */
  host: string
  /** The client's nonce. */
  asked: string
  /** The server's, for one statement. */
  nonce: string
  /** Milliseconds since 1970 by the server's clock. */
  timeMs: number
  limits: PushLimits
  /** What is not for others on the way is sealed to this key. */
  seal: string
  /** What statements may say besides, as the server says without a signature: {@link commitField}. */
  takes?: readonly string[]
}>

/** A push may say which commit it is of. Servers before know no such line in a statement. */
export const commitField = 'commit'

/** A challenge, and the key that signed it. */
export type SignedChallenge = Readonly<{ challenge: Challenge; key: string; earlier: readonly EarlierKey[] }>

export function ask(host: string): Asked {
  return { host, nonce: randomBytes(32).toString('base64url') }
}

/** The question in a request's body; `undefined` when nothing is asked, as clients before did. @throws {MypaasError} `usage` */
export function parseAsked(text: string): Asked | undefined {
  let found: { nonce?: unknown; host?: unknown } | null | undefined
  try {
    found = JSON.parse(text)
  } catch {
    return undefined
  }
  const { nonce, host } = found ?? {}
  if (nonce === undefined) return undefined
  const isRight =
    typeof nonce === 'string' && typeof host === 'string' && nonceGrammar.test(nonce) && hostGrammar.test(host)
  if (!isRight) throw new MypaasError('This asks for no challenge of mypaas.', { code: 'usage' })
  return { nonce, host }
}

/** What is signed: a line per field, always the same ones in the same order. */
export function formatChallenge(challenge: Challenge): string {
  const { server, host, asked, nonce, timeMs, limits, seal } = challenge
  return [
    title,
    `server ${server}`,
    `host ${host}`,
    `asked ${asked}`,
    `nonce ${nonce}`,
    `time ${new Date(timeMs).toISOString()}`,
    ...limitNames.map((name) => `limit ${name} ${limits[name]}`),
    `seal ${seal}`,
    '',
  ].join('\n')
}

/**
 * Reads a server's answer. Nothing counts but what is signed, for this very question.
 * @param name what the server is called, for what is said about it
 * @throws {MypaasError} `unreachable` when that is no server of mypaas, `unauthorised` when it does not sign as it should
 */
export function readChallenge(answer: Record<string, unknown>, asked: Asked, name: string): SignedChallenge {
  const { challenge: text, key, signature, earlier, takes } = answer
  if (text === undefined && signature === undefined) {
    if (typeof answer['protocol'] === 'number' && typeof answer['nonce'] === 'string') throw unsigned(name)
    throw new MypaasError(`${name} is no mypaas server, or one of another version.`, {
      code: 'unreachable',
      hint: same,
    })
  }
  if (typeof text !== 'string' || typeof key !== 'string' || typeof signature !== 'string') throw notSo(name, 'garbled')
  if (!isSignedBy(key, text, signature)) throw notSo(name, 'not signed by the key that it names')
  const challenge = parseChallenge(text)
  if (!challenge) {
    throw new MypaasError(`${name} has a mypaas of another version: ${nothing}`, { code: 'unauthorised', hint: same })
  }
  if (challenge.asked !== asked.nonce) throw notSo(name, 'for somebody else, or from an earlier time')
  if (challenge.host !== asked.host) throw notSo(name, `for ${challenge.host}, not for ${asked.host}`)
  return {
    challenge: { ...challenge, ...(Array.isArray(takes) ? { takes } : {}) },
    key,
    earlier: Array.isArray(earlier) ? earlier.flatMap(earlierKey) : [],
  }
}

/** What no error leaves open. */
export const nothing = 'nothing was signed for it, and nothing was sent to it.'

function unsigned(name: string): MypaasError {
  return new MypaasError(`${name} does not sign its challenges: ${nothing}`, {
    code: 'unauthorised',
    hint: 'The mypaas there is older than this one, or something else answers in its place. On the server: install the newer mypaas (npm install --global), then mypaas server upgrade',
  })
}

function notSo(name: string, what: string): MypaasError {
  return new MypaasError(`The challenge of ${name} is ${what}: ${nothing}`, {
    code: 'unauthorised',
    hint: 'Something on the way may be answering in its place. Try another way to it, such as ssh; on the server: mypaas server doctor',
  })
}

const same = 'Bring mypaas on both machines to the same version: mypaas --version'
const title = 'mypaas challenge 1'
const limitNames = ['files', 'bytes', 'fileBytes', 'indexBytes'] as const
const nonceGrammar = /^[A-Za-z0-9_-]{20,200}$/
const hostGrammar = /^[a-z0-9.:[\]-]{1,255}$/
const grammar = new RegExp(
  [
    title,
    'server ([0-9a-f]{16,64})',
    'host ([a-z0-9.:[\\]-]{1,255})',
    'asked ([A-Za-z0-9_-]{20,200})',
    'nonce ([A-Za-z0-9_-]{20,200})',
    'time (\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z)',
    ...limitNames.map((name) => `limit ${name} (\\d{1,15})`),
    'seal ([A-Za-z0-9_-]{43})\\n$',
  ].join('\\n'),
  'y',
)

/** There is one way to write each: what {@link formatChallenge} would write differently is none. */
function parseChallenge(text: string): Challenge | undefined {
  grammar.lastIndex = 0
  const found = grammar.exec(text)
  if (!found) return undefined
  const [, server = '', host = '', asked = '', nonce = '', time = '', ...rest] = found
  const [files, bytes, fileBytes, indexBytes] = rest.map(Number) as [number, number, number, number]
  const challenge: Challenge = {
    server,
    host,
    asked,
    nonce,
    timeMs: Date.parse(time),
    limits: { files, bytes, fileBytes, indexBytes },
    seal: rest[4] ?? '',
  }
  return !Number.isNaN(challenge.timeMs) && formatChallenge(challenge) === text ? challenge : undefined
}

function earlierKey(value: unknown): readonly EarlierKey[] {
  const { key, signature } = (value ?? {}) as { key?: unknown; signature?: unknown }
  return typeof key === 'string' && typeof signature === 'string' ? [{ key, signature }] : []
}
