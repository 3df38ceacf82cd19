import { createHash } from 'node:crypto'
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { RunningCommand } from '../deploy/command.ts'
import type { Emit } from '../deploy/events.ts'
import { MypaasError } from '../errors.ts'
import { lacksNothing } from '../push/missing.ts'
import { sessionProtocol } from '../push/session-frames.ts'
import type { CallStatement, Statement } from '../push/statement.ts'
import { checkedName } from '../service/names.ts'
import { type ActionCall, actions, type Terms } from './actions.ts'
import { type Arguments, parseArguments } from './arguments.ts'
import type { Audit, AuditEntry } from './audit.ts'
import { type Authority, authorise, DeniedError } from './authorise.ts'
import type { Challenges } from './challenges.ts'
import { Connections } from './connections.ts'
import { Followers } from './followers.ts'
import { openServer } from './host.ts'
import type { Jobs } from './jobs.ts'
import { type AuthorizedKey, type AuthorizedKeys, coversService } from './keys.ts'
import type { LiveSettings } from './live-settings.ts'
import type { Nonces } from './nonces.ts'
import { nothingHere } from './open-error.ts'
import { peerOf } from './peer.ts'
import { deployPushed } from './push-deploy.ts'
import type { Push, Pushes } from './pushes.ts'
import { Refusals } from './refusals.ts'
import { destroySoon, sendJson } from './reply.ts'
import { fromOf, pathOf, readAll, SlowGuard, tokenOf, type Via } from './request.ts'
import type { DockerfileReader } from './restrict.ts'
import { mayDeploy, mayReach, nameOf, notAllowed } from './rights.ts'
import { relay, Sessions } from './sessions.ts'
import { readSigned, type Signed } from './signed-request.ts'
import { Slots } from './slots.ts'
import { openCommand, Places, type Stream, sendLines, streams, wordsOf } from './streams.ts'
import { Turns } from './turns.ts'

export type ApiOptions = Readonly<{
  home: string
  directory: string
  /** This server's id. */
  server: string
  settings: LiveSettings
  keys: AuthorizedKeys
  challenges: Challenges
  nonces: Nonces
  pushes: Pushes
  jobs: Jobs
  audit: Audit
  log: (line: string) => void
  /** Reads which images a limited key's Dockerfile names. */
  read?: DockerfileReader
  now?: () => number
}>

type Proven = Readonly<{ key: AuthorizedKey; statement: Statement }>

/** The protocol's server half: challenge, signed statement, uploads, commit, events. */
export class Api {
  /** Of both ways in. */
  readonly connections: Connections = new Connections()
  readonly #options: ApiOptions
  readonly #now: () => number
  readonly #followers: Followers
  readonly #sessions = new Sessions()
  readonly #places = new Places((key) => this.#keyNow(key))
  readonly #builds = new Slots()
  readonly #calls = { reads: new Slots(), edits: new Slots(), changes: new Slots() }
  readonly #afterwards = new Set<Promise<unknown>>()
  readonly #refusals: Refusals
  readonly #turns = new Turns()

  constructor(options: ApiOptions) {
    this.#options = options
    this.#followers = new Followers(options.jobs)
    this.#refusals = new Refusals(options)
    this.#now = options.now ?? Date.now
  }

  /** Answers one request; never throws. */
  async handle(request: IncomingMessage, response: ServerResponse, via: Via): Promise<void> {
    request.on('error', () => {})
    response.on('error', () => {})
    try {
      await this.#route(request, response, via)
    } catch (error) {
      await this.#refusals.refuse(request, response, via, error)
    }
  }

  /** Ends those who follow and sessions, and waits for what is still to be written down. */
  async idle(): Promise<void> {
    this.#followers.clear()
    this.#refusals.end()
    this.#places.clear()
    await Promise.allSettled(this.#afterwards)
  }

  async #route(request: IncomingMessage, response: ServerResponse, via: Via): Promise<void> {
    const [path = '', query = ''] = (request.url ?? '').split('?')
    const [, version, ...parts] = path.split('/')
    const route =
      version === 'v1' ? `${request.method} ${parts.map((part, at) => (at === 1 ? ':id' : part)).join('/')}` : ''
    const id = parts[1] ?? ''
    switch (route) {
      case 'POST challenge':
        return this.#challenge(request, response, via)
      case 'POST push':
        return this.#push(request, response, via)
      case 'POST call':
        return this.#call(request, response, via)
      case 'GET push/:id/missing': {
        const push = this.#pushOf(request, id)
        await push.interrupt()
        return sendJson(response, 200, { ...push.missing(), ...(push.job === undefined ? {} : { job: push.job }) })
      }
      case 'POST push/:id/segments':
        return this.#receive(request, response, { id, kind: 'segments', commit: false, via })
      case 'POST push/:id/blobs':
        return this.#receive(request, response, { id, kind: 'blobs', commit: query === 'commit', via })
      case 'POST push/:id/commit':
        return this.#commit(request, response, this.#pushOf(request, id), via)
      case 'GET jobs/:id/events': {
        const after = /^after=(-1|\d{1,9})$/.exec(query)?.[1]
        const token = tokenOf(request)
        if (!this.#options.pushes.isOfJob(id, token)) throw new DeniedError('no token of that job')
        this.connections.prove(request.socket, token)
        return this.#followers.follow(request, response, id, after === undefined ? -1 : Number(after))
      }
      default:
        return nothingHere()
    }
  }

  async #challenge(request: IncomingMessage, response: ServerResponse, via: Via): Promise<void> {
    // A crowd that asks is accepted and counted first: who is thrown out meanwhile has cost little.
    if (!(await this.#turns.enter(peerOf(request, via), request.socket))) return
    const asked = await readAll(request, 1024)
    sendJson(response, 200, await this.#options.challenges.answer(asked, () => this.#hosts(via)))
  }

  async #push(request: IncomingMessage, response: ServerResponse, via: Via): Promise<void> {
    const {
      proven,
      more: { index },
    } = await this.#readSigned(request, via, ['index'])
    const { key, statement: signed } = proven
    if (signed.purpose !== 'push') throw new DeniedError('for another purpose', key.fingerprint)
    mayDeploy(key, checkedName(signed.service))
    const { push, token } = await this.#options.pushes.begin(signed, key, index ?? '')
    await this.#audit(request, via, { key, action: 'push', service: signed.service, outcome: 'accepted' })
    sendJson(response, 201, { push: push.id, token, ...push.missing() })
  }

  async #commit(request: IncomingMessage, response: ServerResponse, push: Push, via: Via): Promise<void> {
    await readAll(request, 1024)
    sendJson(response, 202, { job: await this.#jobOf(push, request, via) })
  }

  async #receive(
    request: IncomingMessage,
    response: ServerResponse,
    { id, kind, commit, via }: { id: string; kind: 'segments' | 'blobs'; commit: boolean; via: Via },
  ): Promise<void> {
    const push = this.#pushOf(request, id)
    const guard = new SlowGuard(request)
    try {
      await push.receive(kind, request, () => request.destroy())
    } finally {
      guard.stop()
    }
    const missing = push.missing()
    // Who says so with the last files is spared a request.
    const job =
      commit && missing.blobs !== undefined && lacksNothing(missing.blobs)
        ? { job: await this.#jobOf(push, request, via) }
        : {}
    sendJson(response, 200, { ...missing, ...job })
  }

  /** Begins the deploy, once: from then on its job is named. */
  async #jobOf(push: Push, request: IncomingMessage, via: Via): Promise<string> {
    if (push.job === undefined) {
      const key = await this.#keyNow(push.key)
      mayDeploy(key, push.service)
      const { dockerfile, dockerfileText } = await push.context()
      const from = fromOf(request, via)
      push.job ??= this.#startDeploy(push, key, { dockerfile, dockerfileText }, from)
    }
    return push.job
  }

  #startDeploy(push: Push, key: AuthorizedKey, file: Parameters<typeof deployPushed>[2], from: string): string {
    const { jobs, home, pushes, read } = this.#options
    const { service, statement } = push
    const who = nameOf(key)
    const { info, done } = jobs.start({ what: 'push', service, who }, async (emit, signal) => {
      const { expect, commit } = statement
      const deployment = { service, expect, commit, who, emit: emit as Emit, signal }
      return await deployPushed(home, key, file, {
        ...deployment,
        slots: this.#builds,
        context: () => push.context(),
        waits: () => push.rest(),
        keyNow: () => this.#keyAfterWait(key),
        read,
      })
    })
    this.#after(
      done.then(async ({ ok, error }) => {
        await push
          .kept()
          .catch((trouble: unknown) => this.#options.log(`a push may be lost in a power cut: ${messageOf(trouble)}`))
        const { namedBytes } = push
        push.end()
        await this.#write({
          key: key.fingerprint,
          who,
          from,
          action: 'push',
          service,
          outcome: ok ? 'done' : error instanceof MypaasError && error.code === 'unauthorised' ? 'denied' : 'failed',
          job: info.job,
          ...(ok ? {} : { detail: messageOf(error) }),
        })
        await pushes.collectGarbage([service], namedBytes)
      }),
    )
    return info.job
  }

  async #call(request: IncomingMessage, response: ServerResponse, via: Via): Promise<void> {
    const { proven, more } = await this.#readSigned(request, via, ['body', 'sealed'])
    const { key, statement } = proven
    if (statement.purpose !== 'call') throw new DeniedError('for another purpose', key.fingerprint)
    const sent = statement.sealed ? more.sealed : more.body
    const digest = sent === undefined ? undefined : createHash('sha256').update(sent).digest('hex')
    if (digest !== statement.body) throw new DeniedError('with another body', key.fingerprint)
    const body = statement.sealed && sent !== undefined ? this.#options.challenges.open(sent, statement, key) : sent
    if (statement.action === 'attach') return this.#attach(request, response, key, statement)
    const stream = Object.hasOwn(streams, statement.action) ? streams[statement.action] : undefined
    if (stream) {
      const args = argumentsOf(key, stream, statement)
      return this.#stream(request, response, via, { stream, key, action: statement.action, args, body })
    }
    const action = Object.hasOwn(actions, statement.action) ? actions[statement.action] : undefined
    if (!action) {
      throw new MypaasError(`This server knows no ${statement.action}.`, {
        code: 'usage',
        hint: 'Is mypaas there of the same version?',
      })
    }
    const args = argumentsOf(key, action, statement)
    const { service } = args
    const entry = { action: statement.action, ...(service === undefined ? {} : { service }) }
    const from = fromOf(request, via)
    const who = nameOf(key)
    const run = async (emit: (event: unknown) => void, signal: AbortSignal): Promise<unknown> => {
      const kind = action.edits ? 'edits' : action.reads ? 'reads' : 'changes'
      const leave = await this.#calls[kind].enter(key.fingerprint, callLimits[kind], { signal, told: () => {} })
      try {
        const now = await this.#keyAfterWait(key)
        argumentsOf(now, action, statement)
        await using server = await openServer(this.#options.home)
        const call: ActionCall = { server, key: now, who, args, body, emit: emit as ActionCall['emit'], signal }
        return await action.run(call)
      } finally {
        leave()
      }
    }
    // Also what only reads is a job while it runs, but not one to be kept.
    const { info, done } = this.#options.jobs.start(
      { what: statement.action, ...(service === undefined ? {} : { service }), who },
      run,
      { isKept: !action.reads },
    )
    this.#after(
      done.then(({ ok, error }) =>
        this.#write({
          ...entry,
          key: key.fingerprint,
          who,
          from,
          outcome: ok ? 'done' : error instanceof MypaasError && error.code === 'unauthorised' ? 'denied' : 'failed',
          ...(ok ? {} : { detail: messageOf(error) }),
        }),
      ),
    )
    await this.#followers.follow(request, response, info.job, -1)
  }

  /** Sends lines, or grants a session. Nothing of either is kept. */
  async #stream(
    request: IncomingMessage,
    response: ServerResponse,
    via: Via,
    asked: { stream: Stream; key: AuthorizedKey; action: string; args: Arguments; body: string | undefined },
  ): Promise<void> {
    const { stream, key, action, args, body } = asked
    const { service = '' } = args
    const { home } = this.#options
    const about = { who: nameOf(key), args, body }
    if (stream.kind === 'session') {
      wordsOf(body)
      const open = (now: AuthorizedKey, signal: AbortSignal): Promise<RunningCommand> =>
        openCommand(home, stream.open, { ...about, key: now }, signal)
      const granted = this.#sessions.offer({ key, action, service, open })
      await this.#audit(request, via, { key, action, service, outcome: 'accepted' })
      return sendJson(response, 201, granted)
    }
    using place = this.#places.take(key, (now) => mayReach(now, service))
    response.on('close', place.leave)
    // Gone before anybody listened for that.
    if (response.destroyed || request.socket.destroyed) place.leave()
    await using server = await openServer(home)
    await this.#audit(request, via, { key, action, service, outcome: 'accepted' })
    await sendLines(response, stream.lines({ ...about, key, server, signal: place.signal }), place.signal)
  }

  /** Writes down what never became a request. */
  malformed(code: string, socket: Socket, via: Via): void {
    this.#after(this.#refusals.malformed(code, socket, via))
  }

  /** Joins a client to the command that it was granted; never throws. */
  async upgrade(request: IncomingMessage, socket: Socket, head: Buffer, via: Via): Promise<void> {
    socket.on('error', () => {})
    const work = this.#session(request, socket, head, via).catch((error: unknown) => {
      const response = new ServerResponse(request)
      response.shouldKeepAlive = false
      response.assignSocket(socket)
      response.on('finish', () => {
        socket.end()
        destroySoon(socket)
      })
      return this.#refusals.refuse(request, response, via, error)
    })
    this.#after(work)
    await work.catch(() => {})
  }

  async #session(request: IncomingMessage, socket: Socket, head: Buffer, via: Via): Promise<void> {
    const id = /^\/v1\/sessions\/([A-Za-z0-9_-]{12})$/.exec(request.url ?? '')?.[1]
    if (request.method !== 'GET' || id === undefined || request.headers.upgrade !== sessionProtocol) {
      nothingHere()
    }
    const offer = this.#sessions.take(id, tokenOf(request))
    if (!offer) throw new DeniedError('no token of that session')
    const { action, service } = offer
    this.#prove(request, offer.key, { action, service })
    const key = await this.#keyNow(offer.key)
    mayDeploy(key, service)
    using place = this.#places.take(key, (now) => mayDeploy(now, service))
    socket.once('close', place.leave)
    // Gone before anybody listened for that.
    if (socket.destroyed) place.leave()
    await using running = await offer.open(key, place.signal)
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${sessionProtocol}\r\n\r\n`)
    if (head.length > 0) socket.unshift(head)
    const ended = await relay(socket, running, place.signal).then(
      (code) => ({ outcome: 'done', detail: `exit code ${code}` }) as const,
      (error: unknown) => ({ outcome: 'failed', detail: messageOf(error) }) as const,
    )
    await this.#audit(request, via, { key, action, service, ...ended })
  }

  async #attach(
    request: IncomingMessage,
    response: ServerResponse,
    key: AuthorizedKey,
    statement: CallStatement,
  ): Promise<void> {
    const { jobs } = this.#options
    const { job, after = -1 } = parseArguments('attach', { takes: ['job', 'after'], needs: [] }, statement.args)
    const maySee = ({ service }: { service?: string }): boolean =>
      service === undefined ? key.services === undefined : coversService(key, service)
    const info =
      job === undefined
        ? (await jobs.list()).find((found) => found.what === 'push' && maySee(found))
        : await jobs.info(job)
    if (!info)
      throw new MypaasError('There is nothing to follow.', { code: 'usage', hint: 'Nothing was pushed here yet.' })
    if (!maySee(info)) throw notAllowed(`The key may not see ${info.service ?? 'that'}.`)
    await this.#followers.follow(request, response, info.job, after)
  }

  #readSigned<K extends string>(
    request: IncomingMessage,
    via: Via,
    more: readonly K[],
  ): Promise<{ proven: Proven; more: Partial<Record<K, string>> }> {
    return readSigned(request, more, {
      hold: (bytes) => this.connections.hold(request.socket, bytes),
      whole: () => this.connections.whole(request.socket),
      prove: (signed) => this.#authorise(request, via, signed),
    })
  }

  async #authorise(request: IncomingMessage, via: Via, signed: Signed): Promise<Proven> {
    const { keys, nonces, server } = this.#options
    const authority: Authority = { keys, nonces, server, hosts: await this.#hosts(via), now: this.#now }
    const found = await authorise(authority, signed, {
      turns: this.#turns,
      peer: peerOf(request, via),
      socket: request.socket,
    })
    const { key, statement } = found
    const { service } = statement.purpose === 'push' ? statement : statement.args
    const action = statement.purpose === 'push' ? 'push' : statement.action
    this.#prove(request, key, { action, ...(service === undefined ? {} : { service }) })
    return found
  }

  /** What clients may call this server that come in that way. */
  async #hosts(via: Via): Promise<readonly string[]> {
    if (via === 'socket') return ['ssh', 'unix']
    const { domain } = await this.#options.settings.now()
    return domain === '' ? [] : [domain]
  }

  /** From now on it is no stranger who makes this request. */
  #prove(request: IncomingMessage, key: AuthorizedKey, about: { action: string; service?: string }): void {
    this.connections.prove(request.socket, key.fingerprint)
    this.#refusals.note(request, key, about)
  }

  /** A key as it is now: it may have been taken away, or limited, since something was granted to it. */
  async #keyNow(before: AuthorizedKey): Promise<AuthorizedKey> {
    const key = await this.#options.keys.find(before.public.split(' ')[1] ?? '', this.#now())
    if (!key) throw new DeniedError('key taken away meanwhile', before.fingerprint)
    return key
  }

  async #keyAfterWait(before: AuthorizedKey): Promise<AuthorizedKey> {
    try {
      return await this.#keyNow(before)
    } catch (error) {
      if (!(error instanceof DeniedError)) throw error
      throw notAllowed('The key was taken away, or has expired, while this waited for its turn.')
    }
  }

  /** Who has no token gets the answer of all who may not get in; an honest client whose push was forgotten begins anew. */
  #pushOf(request: IncomingMessage, id: string): Push {
    const push = this.#options.pushes.find(id, tokenOf(request))
    if (!push) throw new DeniedError('no token of that push')
    this.#prove(request, push.key, { action: pathOf(request), service: push.service })
    return push
  }

  #audit(
    request: IncomingMessage,
    via: Via,
    { key, ...entry }: Omit<AuditEntry, 'key' | 'from'> & { key: AuthorizedKey },
  ): Promise<void> {
    return this.#write({ ...entry, key: key.fingerprint, who: nameOf(key), from: fromOf(request, via) })
  }

  /** A full disk keeps nobody from pushing or reading; the daemon's own log tells it. */
  async #write(entry: AuditEntry): Promise<void> {
    try {
      await this.#options.audit.write(entry)
    } catch (error) {
      this.#options.log(`the audit log can't be written: ${messageOf(error)}`)
    }
  }

  #after(work: Promise<unknown>): void {
    const logged = work.catch((error: unknown) => this.#options.log(`after a job: ${messageOf(error)}`))
    this.#afterwards.add(logged)
    void logged.finally(() => this.#afterwards.delete(logged))
  }
}

/**
 * Each call has the engine asked by connections of its own. What only looks is done in a moment; what changes something
 * may take long, and refuses by itself to do so to a service that somebody is at.
 */
const callLimits = {
  reads: { inAll: 32, perKey: 8, waiting: 100 },
  edits: { inAll: 1, perKey: 1, waiting: 100 },
  changes: { inAll: 128, perKey: 32, waiting: 100 },
}

/** @throws {MypaasError} `unauthorised` or `usage` when the key may not ask for that, or not in that way */
function argumentsOf(key: AuthorizedKey, terms: Terms, { action, args }: CallStatement): Arguments {
  const { service } = args
  if (key.readOnly && !terms.reads) throw notAllowed('The key may only read.')
  if (service !== undefined) mayReach(key, service)
  return parseArguments(action, terms, args)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
