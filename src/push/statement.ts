import type { Commit } from '../context/commit.ts'
import { MypaasError } from '../errors.ts'

/** What a user signs to let a server do one thing, once. The signature covers the text's exact bytes. */
export type Statement = PushStatement | CallStatement

type Common = Readonly<{
  /** The id of the server that is meant, as its challenge gave it. */
  server: string
  /** How the server was reached: its domain, or `ssh` or `unix` for its socket. */
  host: string
  nonce: string
  /** Milliseconds since 1970 by the server's clock, as far as the client knows it. */
  timeMs: number
}>

/** A context to be deployed. */
export type PushStatement = Common &
  Readonly<{
    purpose: 'push'
    service: string
    /** SHA-256 of the manifest's index, in hex. */
    manifest: string
    /** The release that must be the current one when the deploy begins; 0 for none, `undefined` for any. */
    expect: number | undefined
    /** What it is of, as the client says: shown, and nothing else. */
    commit?: Commit | undefined
  }>

/** An action of the server by its name, as `status` or `rollback`. */
export type CallStatement = Common &
  Readonly<{
    purpose: 'call'
    action: string
    /** Of the action's arguments: words, each once. */
    args: Readonly<Record<string, string>>
    /** SHA-256 of what comes with it, in hex: a value that may not be written down, a Dockerfile; `undefined` when nothing does. */
    body: string | undefined
    /** It comes sealed, and the digest is of the sealed text: who passes it on can't have that taken for what is meant. */
    sealed?: true
  }>

/** What signatures are made for. Nothing else that a key signs can pass for a statement, and the other way round. */
export const namespace = 'statement@mypaas'

const title = 'mypaas statement 1'
const maxStatementBytes = 16 * 1024

/** A statement as its signer sees it: a line per field, always the same ones in the same order. */
export function formatStatement(statement: Statement): string {
  const common = [
    title,
    `purpose ${statement.purpose}`,
    `server ${statement.server}`,
    `host ${statement.host}`,
    `nonce ${statement.nonce}`,
    `time ${new Date(statement.timeMs).toISOString()}`,
  ]
  const own =
    statement.purpose === 'push'
      ? [
          `service ${statement.service}`,
          `manifest sha256:${statement.manifest}`,
          `expect ${statement.expect === undefined ? 'any' : statement.expect === 0 ? 'none' : `r${statement.expect}`}`,
          ...(statement.commit ? [`commit ${statement.commit.id}${statement.commit.changed ? ' changed' : ''}`] : []),
        ]
      : [
          `action ${statement.action}`,
          ...Object.entries(statement.args)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, value]) => `arg ${key} ${encodeURIComponent(value)}`),
          `body ${statement.body === undefined ? 'none' : `${statement.sealed ? 'sealed ' : ''}sha256:${statement.body}`}`,
        ]
  return [...common, ...own, ''].join('\n')
}

/**
 * Reads a statement. There is one way to write each: what {@link formatStatement} would write differently is refused.
 * @throws {MypaasError} `usage`
 */
export function parseStatement(text: string): Statement {
  const found = text.length <= maxStatementBytes ? read(text) : undefined
  if (found && formatStatement(found) === text) return found
  throw new MypaasError('This is not a statement of mypaas.', {
    code: 'usage',
    hint: 'Bring mypaas on both machines to the same version.',
  })
}

function read(text: string): Statement | undefined {
  const lines = text.split('\n')
  let at = 0
  const line = (grammar: RegExp): string => {
    const match = grammar.exec(lines[at++] ?? '')
    if (!match) throw notSo
    return match[1] ?? ''
  }
  try {
    line(/^(mypaas statement 1)$/)
    const purpose = line(/^purpose (push|call)$/)
    const common = {
      server: line(/^server ([0-9a-f]{16,64})$/),
      host: line(/^host ([a-z0-9.:[\]-]{1,255})$/),
      nonce: line(/^nonce ([A-Za-z0-9_-]{20,200})$/),
      timeMs: Date.parse(line(/^time (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)$/)),
    }
    if (Number.isNaN(common.timeMs)) return undefined
    if (purpose === 'push') {
      const service = line(/^service ([a-z0-9][a-z0-9._-]{0,39})$/)
      const manifest = line(/^manifest sha256:([0-9a-f]{64})$/)
      const expect = line(/^expect (any|none|r[1-9]\d{0,8})$/)
      const commit = /^commit ([0-9a-f]{40}|[0-9a-f]{64})( changed)?$/.exec(lines[at] ?? '')
      return {
        purpose,
        ...common,
        service,
        manifest,
        expect: expect === 'any' ? undefined : expect === 'none' ? 0 : Number(expect.slice(1)),
        ...(commit ? { commit: { id: commit[1] as string, changed: commit[2] !== undefined } } : {}),
      }
    }
    const action = line(/^action ([a-z][a-z-]{0,39})$/)
    const args: Record<string, string> = {}
    for (let match = argument.exec(lines[at] ?? ''); match; match = argument.exec(lines[at] ?? '')) {
      args[match[1] as string] = decodeURIComponent(match[2] as string)
      at += 1
    }
    const body = line(/^body (none|(?:sealed )?sha256:[0-9a-f]{64})$/)
    return {
      purpose: 'call',
      ...common,
      action,
      args,
      body: body === 'none' ? undefined : body.slice(-64),
      ...(body.startsWith('sealed ') ? { sealed: true } : {}),
    }
  } catch (error) {
    if (error === notSo || error instanceof URIError || error instanceof RangeError) return undefined
    throw error
  }
}

const notSo = new Error('not a statement')
const argument = /^arg ([a-z][a-z-]{0,39}) ([A-Za-z0-9\-_.!~*'()%]{0,4096})$/
