import type { Context } from '../context/index.ts'
import { MypaasError } from '../errors.ts'
import { formatBytes } from '../units.ts'
import type { PushEmit } from './events.ts'
import { follow } from './follow.ts'
import { type Hashed, hashFiles } from './hash.ts'
import { buildManifest, type Manifest, type PushLimits } from './manifest.ts'
import { digestOf, isUnreachable, type Remote } from './remote.ts'
import { RemoteError } from './remote-error.ts'
import type { Answer } from './transport.ts'
import { Link, upload } from './upload.ts'

export type PushOptions = Readonly<{
  /** The context's absolute path. */
  root: string
  service: string
  /** The release that must be the current one; 0 for none, `undefined` for any. */
  expect?: number | undefined
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
 * @throws {RemoteError} when the server refused, or the deploy failed there
 * @throws {MypaasError} `unreachable` when nothing was deployed; `aborted` when the deploy goes on there unseen
 */
export async function push(remote: Remote, context: Context, options: PushOptions): Promise<Pushed> {
  const { emit, signal } = options
  // First: nobody should wait for a server that is not there.
  checkLimits(context, (await remote.challenge()).limits)
  const begin = performance.now()
  for (const warning of contextWarnings(context)) emit({ type: 'warning', ...warning })
  const hashed = await hashFiles(options.root, context.entries, {
    onProgress: (files, bytes) => emit({ type: 'hashing', files, bytes }),
    signal,
    cacheFolder: options.cacheFolder,
  })
  const manifest = buildManifest(context, hashed.digestsOf)
  emit({
    type: 'hashed',
    files: context.entries.length,
    bytes: context.totalBytes,
    read: hashed.filesRead,
    ms: Math.round(performance.now() - begin),
  })
  const { push, token } = await send(remote, manifest, hashed, context, options)
  return commit(remote, { push, token }, options)
}

/** Follows a deploy that is on, or shows how it ended: the one with that id, or the newest of those that the key may see. */
export async function attach(
  remote: Remote,
  job: string | undefined,
  options: Pick<PushOptions, 'onEvent' | 'signal'> & { onLineBroke?: (message: string) => void },
): Promise<unknown> {
  const ask = (after: number): Promise<Answer> => askSigned(remote, job, after)
  return follow(await ask(-1), {
    ...options,
    again: ask,
    patienceMs: patience,
    lost: () => new MypaasError(`The line to ${remote.name} broke.`, { code: 'unreachable' }),
  })
}

function askSigned(remote: Remote, job: string | undefined, after: number): Promise<Answer> {
  const args = { ...(job ? { job } : {}), after: String(after) }
  return remote.signed('/v1/call', { purpose: 'call', action: 'attach', args, body: undefined }, {}, { retry: true })
}

/**
 * Asks the server for an action, and follows its events.
 * @param options.body What comes with it: signed by its digest, never in an argument.
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
  const { body } = options
  const answer = await remote.signed(
    '/v1/call',
    { purpose: 'call', action, args, body: body === undefined ? undefined : digestOf(body) },
    body === undefined ? {} : { body },
    // Asked twice, an action that changes something could be done twice.
    { retry: options.reads === true },
  )
  return follow(answer, {
    onEvent: options.onEvent ?? (() => {}),
    signal: options.signal,
    patienceMs: 0,
    lost: () =>
      new MypaasError(`The line to ${remote.name} broke; what was asked for goes on there.`, {
        code: 'aborted',
        hint: 'See what became of it: mypaas status',
      }),
  })
}

/** Sends what the server lacks; begins anew when it has forgotten the push (its daemon was restarted). */
async function send(
  remote: Remote,
  manifest: Manifest,
  hashed: Hashed,
  context: Context,
  options: PushOptions,
): Promise<{ push: string; token: string }> {
  const link = new Link(remote.transport.address.kind === 'unix' || /^(localhost|127\.|\[::1)/.test(hostName(remote)))
  for (let tries = 0; ; tries += 1) {
    const begun = await remote.json(
      await remote.signed(
        '/v1/push',
        { purpose: 'push', service: options.service, manifest: manifest.digest, expect: options.expect },
        { index: manifest.index.toString('latin1') },
        { retry: true },
      ),
    )
    const { push, token } = begun as { push: string; token: string }
    try {
      const common = { link, emit: options.emit, signal: options.signal, patienceMs: options.patienceMs ?? patience }
      const side = (kind: 'segments' | 'blobs') => ({
        send: async (body: AsyncIterable<Uint8Array>) =>
          missingOf(await remote.json(await remote.ask('POST', `/v1/push/${push}/${kind}`, token, { body })), kind),
        ask: async () => missingOf(await remote.json(await remote.ask('GET', `/v1/push/${push}/missing`, token)), kind),
      })
      let missing = begun['blobs']
      if (typeof missing !== 'string') {
        const { segments, texts } = manifest
        await upload(side('segments'), {
          ...common,
          emit: () => {},
          blobs: segments,
          missing: missingOf(begun, 'segments'),
          read: (segment) => texts[segment] as Buffer,
        })
        missing = await side('blobs').ask()
      }
      const { blobs, places } = manifest
      options.emit({ type: 'sending', files: context.entries.length, bytes: context.totalBytes })
      await upload(side('blobs'), {
        ...common,
        blobs,
        missing: missing as string,
        read: (blob) => {
          const { entry, offset } = places[blob] as Manifest['places'][number]
          return hashed.read(entry, offset)
        },
      })
      return { push, token }
    } catch (error) {
      const forgotten = error instanceof RemoteError && error.code === 'locked' && error.message === forgottenPush
      if (!forgotten || tries >= 3) throw error
    }
  }
}

/** What a server says of a push that it does not know: it was restarted, or the push lay idle for too long. */
export const forgottenPush = 'The server does not know this push.'

async function commit(
  remote: Remote,
  { push, token }: { push: string; token: string },
  options: PushOptions,
): Promise<Pushed> {
  const begun = await remote.json(
    await again(() => remote.ask('POST', `/v1/push/${push}/commit`, token, { body: '{}' })),
  )
  const job = String(begun['job'])
  options.emit({ type: 'job', service: options.service, job })
  if (options.detach) return { job, result: undefined }
  const lost = (): MypaasError =>
    new MypaasError(`The line to ${remote.name} broke; the deploy goes on there.`, {
      code: 'aborted',
      hint: `Follow it again: mypaas attach ${remote.name} ${job}`,
    })
  const ask = async (after: number): Promise<Answer> => {
    const path = `/v1/jobs/${job}/events?after=${after}`
    const answer = await remote.ask('GET', path, token, { signal: options.signal })
    if (answer.status !== 401) return remote.checked(answer)
    // The token died with the daemon that gave it; the next one knows the job.
    answer.body.resume()
    return askSigned(remote, job, after)
  }
  try {
    const result = await follow(await ask(-1), {
      onEvent: options.onEvent,
      again: ask,
      onLineBroke: (message) => options.emit({ type: 'line-broke', message }),
      signal: options.signal,
      patienceMs: options.patienceMs ?? patience,
      lost,
    })
    return { job, result }
  } catch (error) {
    if (options.signal?.aborted || isUnreachable(error)) throw lost()
    throw error
  }
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

/** @throws {MypaasError} `context` when a context is larger than the server takes */
function checkLimits(context: Context, limits: PushLimits): void {
  if (context.entries.length <= limits.files && context.totalBytes <= limits.bytes) return
  throw new MypaasError(
    `The directory has ${context.entries.length} files with ${formatBytes(context.totalBytes)}; the server takes ${limits.files} with ${formatBytes(limits.bytes)}.`,
    { code: 'context', hint: largest(context) },
  )
}

const manyBytes = 500 * 1024 ** 2
const manyFiles = 50_000

function contextWarnings(context: Context): { message: string; hint?: string }[] {
  const warnings: { message: string; hint?: string }[] = context.warnings.map((message) => ({ message }))
  if (context.totalBytes > manyBytes || context.entries.length > manyFiles) {
    warnings.push({
      message: `The directory is large: ${context.entries.length} files with ${formatBytes(context.totalBytes)}.`,
      hint: largest(context),
    })
  }
  const twins = sameButForCase(context)
  if (twins)
    warnings.push({ message: `${twins[0]} and ${twins[1]} differ only in case: on some machines they are one file.` })
  return warnings
}

/** Which directories are the large ones, to be listed in .dockerignore if they are not meant to go. */
function largest(context: Context): string {
  const sizes = new Map<string, { bytes: number; files: number }>()
  for (const { path, size } of context.entries) {
    const parts = path.split('/')
    for (let depth = 1; depth < Math.min(parts.length, 3); depth += 1) {
      const name = parts.slice(0, depth).join('/')
      const found = sizes.get(name) ?? { bytes: 0, files: 0 }
      sizes.set(name, { bytes: found.bytes + size, files: found.files + 1 })
    }
  }
  const top = [...sizes].sort(([, a], [, b]) => b.bytes - a.bytes || b.files - a.files).slice(0, 3)
  const list = top.map(([name, { bytes, files }]) => `${name}/ (${formatBytes(bytes)}, ${files} files)`).join(', ')
  return list === '' ? '' : `The largest: ${list}. What the build does not need belongs in .dockerignore.`
}

function sameButForCase(context: Context): readonly [string, string] | undefined {
  const seen = new Map<string, string>()
  for (const { path } of context.entries) {
    const folded = path.normalize('NFC').toLowerCase()
    const other = seen.get(folded)
    if (other !== undefined) return [other, path]
    seen.set(folded, path)
  }
  return undefined
}
