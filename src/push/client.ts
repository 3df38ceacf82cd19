import type { Commit } from '../context/commit.ts'
import { type Context, tableOf } from '../context/index.ts'
import { MypaasError } from '../errors.ts'
import { Asked } from './asked.ts'
import type { PushEmit } from './events.ts'
import { follow } from './follow.ts'
import { type Hashed, hashFiles } from './hash.ts'
import { buildManifest, type Manifest } from './manifest.ts'
import { lacksNothing } from './missing.ts'
import { isUnreachable, type Remote } from './remote.ts'
import { RemoteError } from './remote-error.ts'
import type { Answer } from './transport.ts'
import { Link, upload } from './upload.ts'
import { checkLimits, contextWarnings, sameButForCase } from './warnings.ts'

export type PushOptions = Readonly<{
  /** The context's absolute path. */
  root: string
  service: string
  /** The release that must be the current one; 0 for none, `undefined` for any. */
  expect?: number | undefined
  /** What it is of. Looked up while the files are. */
  commit?: Promise<Commit | undefined> | undefined
  emit: PushEmit
  /** Told the server's events of the deploy. */
  onEvent: (event: unknown) => void
  signal?: AbortSignal | undefined
  cacheFolder?: string | undefined
  /** How long to try when nothing comes through. Default 2 min. */
  patienceMs?: number
  /** Don't wait for the deploy: done when it has begun. */
  detach?: boolean
}>

export type Pushed = Readonly<{ job: string; result: unknown }>

const patience = 120_000

/**
 * Sends a context to a server, only what it lacks, and follows its deploy there.
 * @param context of a directory
 * @throws {RemoteError} when the server refused, or the deploy failed there
 * @throws {MypaasError} `unreachable` when nothing was deployed; `aborted` when the signal ended it or the line broke for
 *   good, saying whether a deploy is on
 */
export async function push(remote: Remote, context: Context, options: PushOptions): Promise<Pushed> {
  using asked = new Asked(options.signal)
  let sent: Sent
  try {
    sent = await bring(remote, context, asked, options)
  } catch (error) {
    throw becauseEnded(error, { remote, asked, signal: options.signal }) ?? error
  }
  return followDeploy(remote, sent, options)
}

/** What is known of the deploy of a push that ended by the signal, or by a line that broke when the deploy was asked for. */
function becauseEnded(
  error: unknown,
  { remote, asked, signal }: { remote: Remote; asked: Asked; signal: AbortSignal | undefined },
): MypaasError | undefined {
  if (error instanceof RemoteError || !(signal?.aborted || (asked.isOut && isUnreachable(error)))) return undefined
  if (!asked.isOut) {
    const hint = 'What was sent already is kept for the next push.'
    return new MypaasError('Stopped: nothing was deployed.', { code: 'aborted', hint, cause: error })
  }
  const why = signal?.aborted ? 'Stopped' : `The line to ${remote.name} broke`
  return new MypaasError(`${why} when the deploy had been asked for: it may be on over there.`, {
    code: 'aborted',
    hint: `If it is, this follows it: mypaas attach ${remote.called}`,
    cause: error,
  })
}

/** Looks at the files, and sends them. @param asked for the request with which the deploy begins */
async function bring(remote: Remote, context: Context, asked: Asked, options: PushOptions): Promise<Sent> {
  const { emit, signal } = options
  const table = tableOf(context)
  // First: nobody should wait for a server that is not there.
  checkLimits(context, table, (await remote.greet()).limits)
  const begin = performance.now()
  for (const warning of contextWarnings(context, table)) emit({ type: 'warning', ...warning })
  const hashed = await hashFiles(options.root, table, {
    onProgress: (files, bytes) => emit({ type: 'hashing', files, bytes }),
    signal,
    cacheFolder: options.cacheFolder,
  })
  const manifest = buildManifest(context.dockerfile, table, hashed.chunks)
  emit({
    type: 'hashed',
    files: table.count,
    bytes: context.totalBytes,
    read: hashed.filesRead,
    ms: Math.round(performance.now() - begin),
  })
  let saving: Promise<void> | undefined
  const meanwhile = (): void => {
    if (saving) return
    saving = hashed.save()
    const twins = sameButForCase(table)
    if (!twins) return
    const message = `${twins[0]} and ${twins[1]} differ only in case: on some machines they are one file.`
    emit({ type: 'warning', message })
  }
  const all = { files: table.count, bytes: context.totalBytes }
  const sent = await send(remote, manifest, hashed, { ...options, all, meanwhile, asked })
  await saving
  return sent
}

/** Follows a deploy that is on, or shows how it ended: the one with that id, or the newest of those that the key may see. */
export async function attach(
  remote: Remote,
  job: string | undefined,
  options: Pick<PushOptions, 'onEvent' | 'signal'> & { onLineBroke?: (message: string) => void },
): Promise<unknown> {
  // Nobody should wait for a server that is not there; from here on a line that breaks is taken up again.
  await remote.greet()
  return follow({
    ...options,
    again: (after) => askSigned(remote, job, after),
    patienceMs: patience,
    unheard: 'Stopped before anything came. What is on over there goes on.',
    lost: () =>
      new MypaasError(`The line to ${remote.name} broke.`, { code: 'unreachable', hint: againHint(remote, job) }),
  })
}

/** The command that follows a deploy from here. */
function againHint(remote: Remote, job: string | undefined): string {
  return `Follow it again: mypaas attach ${[remote.called, ...(job === undefined ? [] : [job])].join(' ')}`
}

function askSigned(remote: Remote, job: string | undefined, after: number): Promise<Answer> {
  const args = { ...(job ? { job } : {}), after: String(after) }
  return remote.signed('/v1/call', { purpose: 'call', action: 'attach', args }, {}, { retry: true })
}

/**
 * Asks the server for an action, and follows its events.
 * @param options.body What comes with it: sealed for the server, signed by its digest, never in an argument.
 * @throws {RemoteError} when the server refused or failed
 */
export async function call(
  remote: Remote,
  action: string,
  args: Readonly<Record<string, string>>,
  options: {
    body?: string
    onEvent?: (event: unknown) => void
    signal?: AbortSignal | undefined
    reads?: boolean
  } = {},
): Promise<unknown> {
  const { body, signal, reads = false } = options
  const hint = `See what became of it: mypaas status ${remote.called}`
  using asked = new Asked(signal)
  let first: Answer
  try {
    first = await remote.signed(
      '/v1/call',
      { purpose: 'call', action, args, body },
      {},
      // Asked twice, an action that changes something could be done twice.
      reads ? { retry: true } : { retry: false, asked },
    )
    asked.answered()
  } catch (error) {
    if (reads || error instanceof RemoteError || !(signal?.aborted || (asked.isOut && isUnreachable(error))))
      throw error
    if (!asked.isOut) throw new MypaasError('Stopped: nothing was asked for, nothing was changed.', { code: 'aborted' })
    const why = signal?.aborted
      ? 'Stopped before an answer came'
      : `The line to ${remote.name} broke before an answer came`
    throw new MypaasError(`${why}: what was asked for may be on over there.`, { code: 'aborted', hint, cause: error })
  }
  // Awaited here: leaving the scope lets go of the signal.
  return await follow({
    first,
    onEvent: options.onEvent ?? (() => {}),
    signal,
    patienceMs: 0,
    lost: () =>
      new MypaasError(`The line to ${remote.name} broke; what was asked for goes on there.`, { code: 'aborted', hint }),
  })
}

/** Sends what the server lacks, and has it begin the deploy; begins anew when it has forgotten the push (its daemon was restarted). */
async function send(
  remote: Remote,
  manifest: Manifest,
  hashed: Hashed,
  options: PushOptions & { all: { files: number; bytes: number }; meanwhile: () => void; asked: Asked },
): Promise<Sent> {
  const { asked } = options
  const commit = await options.commit
  const link = new Link(remote.transport.address.kind === 'unix' || /^(localhost|127\.|\[::1)/.test(hostName(remote)))
  for (let tries = 0; ; tries += 1) {
    const begun = await remote.json(
      await remote.signed(
        '/v1/push',
        { purpose: 'push', service: options.service, manifest: manifest.digest, expect: options.expect, commit },
        { index: manifest.index.toString('latin1') },
        { retry: true, meanwhile: options.meanwhile },
      ),
    )
    const { push, token } = begun as { push: string; token: string }
    try {
      const common = { link, emit: options.emit, signal: options.signal, patienceMs: options.patienceMs ?? patience }
      let missing = begun['blobs']
      let job: unknown
      const read = (answer: Record<string, unknown>, kind: 'segments' | 'blobs'): string => {
        // With the last segment the server knows which blobs it lacks, with the last blob the job of the deploy.
        missing = answer['blobs']
        job = answer['job']
        return typeof job === 'string' ? '' : missingOf(answer, kind)
      }
      const side = (kind: 'segments' | 'blobs', path: string = kind, more: { asked?: Asked } = {}) => ({
        send: async (body: AsyncIterable<Uint8Array>) =>
          read(await remote.json(await remote.ask('POST', `/v1/push/${push}/${path}`, token, { body, ...more })), kind),
        ask: async () => read(await remote.json(await remote.ask('GET', `/v1/push/${push}/missing`, token)), kind),
      })
      if (missing === undefined) {
        const { segments, texts } = manifest
        await upload(side('segments'), {
          ...common,
          emit: () => {},
          blobs: segments,
          missing: missingOf(begun, 'segments'),
          read: (segment) => texts[segment] as Buffer,
        })
      }
      options.emit({ type: 'sending', ...options.all })
      const lacking = missingOf({ blobs: missing }, 'blobs')
      if (lacksNothing(lacking)) options.emit({ type: 'sent', bytes: 0, wireBytes: 0, ms: 0 })
      else {
        const { blobs, places } = manifest
        await upload(side('blobs', 'blobs?commit', { asked }), {
          ...common,
          blobs,
          missing: lacking,
          read: (blob) => {
            const { entry, offset } = places[blob] as Manifest['places'][number]
            return hashed.read(entry, offset)
          },
        })
      }
      const askForJob = (): Promise<Answer> =>
        remote.ask('POST', `/v1/push/${push}/commit`, token, { body: '{}', asked })
      return { token, job: String(job ?? (await remote.json(await again(askForJob)))['job']) }
    } catch (error) {
      // It knows neither the push nor its token: it was restarted, or the push lay idle for too long.
      const forgotten = error instanceof RemoteError && error.code === 'unauthorised'
      if (!forgotten || tries >= 3) throw error
    }
  }
}

/** A push whose files are all there, and the job of its deploy, which has begun. */
type Sent = Readonly<{ token: string; job: string }>

async function followDeploy(remote: Remote, { token, job }: Sent, options: PushOptions): Promise<Pushed> {
  options.emit({ type: 'job', service: options.service, job })
  if (options.detach) return { job, result: undefined }
  const lost = (): MypaasError =>
    new MypaasError(`The line to ${remote.name} broke; the deploy goes on there.`, {
      code: 'aborted',
      hint: againHint(remote, job),
    })
  const ask = async (after: number): Promise<Answer> => {
    const path = `/v1/jobs/${job}/events?after=${after}`
    const answer = await remote.ask('GET', path, token, { signal: options.signal })
    if (answer.status !== 401) return remote.checked(answer)
    // The token died with the daemon that gave it; the next one knows the job.
    answer.body.resume()
    return askSigned(remote, job, after)
  }
  const result = await follow({
    onEvent: options.onEvent,
    again: ask,
    onLineBroke: (message) => options.emit({ type: 'line-broke', message }),
    signal: options.signal,
    patienceMs: options.patienceMs ?? patience,
    lost,
  })
  return { job, result }
}

/** A commit can be asked for twice: the second time the job of the first is named. */
async function again<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await work()
    } catch (error) {
      if (!isUnreachable(error) || tries >= 3) throw error
    }
  }
}

function missingOf(answer: Record<string, unknown>, kind: 'segments' | 'blobs'): string {
  const missing = answer[kind]
  if (typeof missing === 'string') return missing
  throw new MypaasError('The server does not say what it lacks.', { code: 'failed' })
}

function hostName({ transport: { address } }: Remote): string {
  return address.kind === 'http' ? address.host : ''
}
