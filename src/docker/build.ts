import { masker } from '../masks.ts'
import { decodeTrace, type Trace } from './buildkit.ts'
import { type AuthConfig, type Credentials, encodeAuth } from './credentials.ts'
import type { CallOptions } from './deadline.ts'
import { compareVersions, type Engine, type OpenAnswer, type Query } from './engine.ts'
import { BadRequestError, BuildError, DockerError, NotFoundError, ProtocolError, ServerError } from './errors.ts'
import { jsonLines } from './json-lines.ts'
import type { PullEvent } from './progress.ts'

export type BuildEvent =
  | { type: 'step'; id: string; name: string; status: 'started' | 'cached' | 'done' | 'failed'; error?: string }
  /** Whole lines, each with its line end (the last one of a step may have none). */
  | { type: 'log'; id: string; stream: 'stdout' | 'stderr'; text: string }
  /** Bytes of something that is transferred, e.g. a layer; `total` is 0 when it is not known. */
  | { type: 'progress'; id: string; name: string; current: number; total: number }
  | { type: 'warning'; text: string }
  /** The last event of a build. */
  | { type: 'image'; imageId: string }

export type BuildOptions = {
  tags?: readonly string[] | undefined
  /** Path in the context. Default `Dockerfile`. */
  dockerfile?: string | undefined
  target?: string | undefined
  /** E.g. `linux/arm64`. */
  platform?: string | undefined
  labels?: Readonly<Record<string, string>> | undefined
  /** Values of six or more characters never show in events and errors, unless `shownArgs` has their name. */
  buildArgs?: Readonly<Record<string, string>> | undefined
  /** Names of build arguments that are no secrets. */
  shownArgs?: readonly string[] | undefined
  /** More values that never show in events and errors, however they get into the build. */
  secrets?: readonly string[] | undefined
  /** Look for newer base images. */
  pull?: boolean | undefined
  noCache?: boolean | undefined
  cacheFrom?: readonly string[] | undefined
  networkMode?: string | undefined
  extraHosts?: readonly string[] | undefined
  /** Bytes. */
  shmSize?: number | undefined
  /** Default: BuildKit where the engine has it. Podman has neither, and builds in its own way. */
  builder?: 'buildkit' | 'classic' | undefined
  /** Credentials by registry host. Default: as the docker command has them. */
  registryAuth?: Readonly<Record<string, AuthConfig>> | undefined
  /**
   * Base images to pull first, if they are not there (with `pull`: in any case). BuildKit can't be given credentials
   * without a session, but uses what is there.
   */
  baseImages?: readonly string[] | undefined
  /** A name for `images.cancelBuild`. */
  buildId?: string | undefined
  /** Looks at what the build is made from before anything of it is told. BuildKit only. */
  watch?: BuildWatch | undefined
} & CallOptions

/** A step as the builder announces it. */
export type AnnouncedStep = Readonly<{
  id: string
  name: string
  /** The ids of the steps that it builds on; none for a source, and for a command on an empty file system. */
  inputs: readonly string[]
}>

/** Follows what a build is made from. BuildKit announces each step with what it builds on before the step begins. */
export type BuildWatch = Readonly<{
  /** Called for each step, maybe more than once, before any event of it. What this throws ends the build. */
  announced: (step: AnnouncedStep) => void
  /** Whether what a step prints may be told now. Until then it is held back; at the end of the build it is dropped. */
  mayTell: (stepId: string) => boolean
}>

/**
 * Builds an image. Reading the events drives the build; to stop reading, or the signal, stops it on the engine too.
 * @param context a tar archive; each buffer is used up before the next is pulled
 * @throws {BuildError} when a step fails or the Dockerfile can't be built
 */
export async function* build(
  docker: Builder,
  context: AsyncIterable<Uint8Array>,
  options: BuildOptions,
): AsyncGenerator<BuildEvent, void> {
  const { signal } = options
  const reader = new ProgressReader(options, await docker.engine.apiVersion({ signal }))
  for (const image of options.baseImages ?? []) yield* pullBase(docker, image, options)
  const { body } = await openBuild(docker, context, options, reader)
  for await (const line of jsonLines<BuildLine>(body, 'Build')) yield* reader.read(line)
  yield* reader.end()
}

type BuildLine = {
  id?: string
  aux?: string | { ID?: string }
  stream?: string
  status?: string
  progressDetail?: { current?: number; total?: number }
  error?: string
  errorDetail?: { code?: number; message?: string }
}

/** What a build needs of the client. */
type Builder = { engine: Engine; credentials: Credentials; images: BaseImages }

interface BaseImages {
  inspect(name: string, options: CallOptions): Promise<unknown>
  pull(name: string, options: CallOptions & { platform?: string | undefined }): AsyncIterable<PullEvent>
}

async function* pullBase({ images }: Builder, image: string, options: BuildOptions): AsyncGenerator<BuildEvent> {
  const { signal, platform, pull } = options
  if (!pull && (await isThere(images, image, { signal }))) return
  const step = { type: 'step', id: `pull ${image}`, name: `Pull ${image}` } as const
  yield { ...step, status: 'started' }
  try {
    for await (const { status = '', id = '', progressDetail } of images.pull(image, { signal, platform })) {
      const { current, total = 0 } = progressDetail ?? {}
      if (current !== undefined) yield { type: 'progress', id: step.id, name: `${status} ${id}`.trim(), current, total }
    }
  } catch (error) {
    if (!(error instanceof DockerError) || error instanceof ProtocolError) throw error
    yield { ...step, status: 'failed', error: error.message }
    const { message, status, hint } = error
    throw new BuildError(message, { step: step.name, instruction: `FROM ${image}`, status, hint, cause: error })
  }
  yield { ...step, status: 'done' }
}

async function isThere(images: BaseImages, image: string, options: CallOptions): Promise<boolean> {
  try {
    await images.inspect(image, options)
    return true
  } catch (error) {
    if (error instanceof NotFoundError) return false
    throw error
  }
}

async function openBuild(
  { engine, credentials }: Builder,
  context: AsyncIterable<Uint8Array>,
  options: BuildOptions,
  reader: ProgressReader,
): Promise<OpenAnswer> {
  const { tags, dockerfile, target, platform, labels, buildArgs, pull, noCache, cacheFrom, signal } = options
  const builder = await builderOf(engine, options)
  reader.podman = builder === 'podman'
  if (options.watch && builder !== 'buildkit')
    throw new DockerError('Only builds by BuildKit can be watched.', { hint: 'Build without watch, or with BuildKit.' })
  const query: Query = {
    t: tags,
    dockerfile,
    target,
    platform,
    labels: json(labels),
    buildargs: json(buildArgs),
    pull: (pull && !options.baseImages) || undefined,
    nocache: noCache || undefined,
    cachefrom: json(cacheFrom),
    networkmode: options.networkMode,
    extrahosts: options.extraHosts?.join(','),
    shmsize: options.shmSize,
    buildid: options.buildId,
    rm: true,
    forcerm: true,
    version: builder === 'buildkit' ? '2' : '1',
  }
  const auth = options.registryAuth ?? (await credentials.all({ signal }))
  const headers = { 'Content-Type': 'application/x-tar', 'X-Registry-Config': encodeAuth(auth) }
  try {
    // Engine 29.5 breaks a build on a connection that it keeps, so this one is given up afterwards.
    const call = { method: 'POST', path: '/build', query, headers, body: context, close: true, options } as const
    return await engine.open(call)
  } catch (error) {
    if (!(error instanceof BadRequestError || error instanceof ServerError)) throw error
    // Not as a cause: its message could tell a build argument.
    const { status, method, path } = error
    throw reader.failure(error.message, { status, method, path })
  }
}

async function builderOf(engine: Engine, options: BuildOptions): Promise<'buildkit' | 'classic' | 'podman'> {
  const { signal } = options
  // Podman builds in its own way, whatever is asked for, and talks nearly like the classic builder.
  if (await engine.podman({ signal })) return 'podman'
  if (options.builder) return options.builder
  const headers = await engine.about({ signal })
  // Engines before 23 don't say, and have both.
  return headers['builder-version'] === '1' || headers['ostype'] === 'windows' ? 'classic' : 'buildkit'
}

function json(value: object | undefined): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value)
}

type Step = { id: string; name: string; status: string; tail: string[]; open: { stdout: string; stderr: string } }

/** Turns what either builder sends into events. */
class ProgressReader {
  readonly #mask: (text: string) => string
  readonly #apiVersion: string
  readonly #steps = new Map<string, Step>()
  readonly #decoders = new Map<string, InstanceType<typeof TextDecoder>>()
  readonly #watch: BuildWatch | undefined
  #held: Trace['logs'] = []
  #current: Step | undefined
  #imageId: string | undefined

  constructor(options: BuildOptions, apiVersion: string) {
    const { buildArgs = {}, shownArgs = [], secrets = [] } = options
    const args = Object.entries(buildArgs).flatMap(([name, value]) => (shownArgs.includes(name) ? [] : [value]))
    this.#mask = masker([...args, ...secrets])
    this.#watch = options.watch
    this.#apiVersion = apiVersion
  }

  *read(line: BuildLine): Generator<BuildEvent, void> {
    if (line.error !== undefined || line.errorDetail) {
      for (const step of this.#steps.values()) yield* this.#flush(step)
      if (this.#current?.status === 'started') yield this.#status(this.#current, 'failed', line.error)
      if (this.#watch && ![...this.#steps.keys()].every(this.#watch.mayTell))
        throw this.failure('The build failed before it was known what it is made from.', {})
      throw this.failure(line.errorDetail?.message ?? line.error ?? '', { code: line.errorDetail?.code })
    }
    if (line.id === 'moby.buildkit.trace' && typeof line.aux === 'string') {
      yield* this.#readTrace(this.#decode(line.aux))
    } else if (typeof line.aux === 'object' && line.aux?.ID) this.#imageId = line.aux.ID
    else if (line.stream !== undefined) yield* this.#readClassic(line.stream)
    else if (line.status !== undefined && line.progressDetail?.current !== undefined) {
      const { current, total = 0 } = line.progressDetail
      yield {
        type: 'progress',
        id: this.#current?.id ?? '',
        name: this.#mask(`${line.status} ${line.id ?? ''}`.trim()),
        current,
        total,
      }
    }
  }

  *end(): Generator<BuildEvent, void> {
    for (const step of this.#steps.values()) yield* this.#flush(step)
    if (this.#imageId === undefined) {
      throw new ProtocolError('The build broke off: the engine named neither an image nor an error.', {
        hint: 'Look at the log of the engine (journalctl -u docker), then build again.',
      })
    }
    if (this.#current?.status === 'started') yield this.#status(this.#current, 'done')
    yield { type: 'image', imageId: this.#imageId }
  }

  /** Podman builds, whose own lines stand among those of the commands. */
  podman = false

  failure(
    message: string,
    options: {
      code?: number | undefined
      status?: number | undefined
      method?: string | undefined
      path?: string | undefined
    },
  ): BuildError {
    const { code, status, method, path } = options
    const steps = [...this.#steps.values()]
    const step = steps.findLast((one) => one.status === 'failed') ?? this.#current
    const exitCode = code || Number(/(?:exit code|exit status|non-zero code):? (\d+)/.exec(message)?.[1] ?? Number.NaN)
    const instruction = step?.name.replace(/^(?:\[[^\]]*\]|step \d+\/\d+ ?:) */i, '')
    return new BuildError(this.#mask(message.trim()), {
      step: step?.name,
      instruction,
      exitCode: Number.isNaN(exitCode) ? undefined : exitCode,
      lastLines: step?.tail ?? [],
      hint: hintFor(message, this.#apiVersion),
      status,
      method,
      path,
    })
  }

  #decode(aux: string): Trace {
    try {
      return decodeTrace(Buffer.from(aux, 'base64'))
    } catch (cause) {
      throw new ProtocolError('The build sent progress that can not be read.', { cause })
    }
  }

  *#readTrace(trace: Trace): Generator<BuildEvent, void> {
    for (const { digest: id, name, inputs } of trace.vertexes) this.#watch?.announced({ id, name, inputs })
    const mayTell = (id: string): boolean => this.#watch?.mayTell(id) ?? true
    for (const vertex of trace.vertexes) {
      const step = this.#step(vertex.digest, vertex.name)
      const status = vertex.error ? 'failed' : vertex.cached ? 'cached' : vertex.completed ? 'done' : 'started'
      if (!vertex.started && status === 'started') continue
      if (step.status === status || (step.status !== '' && status === 'started')) continue
      if (status !== 'started') yield* this.#flush(step)
      yield this.#status(step, status, (mayTell(vertex.digest) && vertex.error) || undefined)
    }
    for (const { vertex, id, name, current, total } of trace.statuses) {
      if (mayTell(vertex)) yield { type: 'progress', id: vertex, name: this.#mask(name || id), current, total }
    }
    const logs = [...this.#held, ...trace.logs]
    this.#held = logs.filter(({ vertex }) => !mayTell(vertex)).slice(-maxHeld)
    for (const { vertex, stream, message } of logs) {
      if (mayTell(vertex)) yield* this.#log(this.#step(vertex, ''), stream === 2 ? 'stderr' : 'stdout', message)
    }
    for (const { text } of trace.warnings) yield { type: 'warning', text: this.#mask(text) }
  }

  *#readClassic(text: string): Generator<BuildEvent, void> {
    const header = /^Step (\d+)\/\d+ ?: .*/i.exec(text)
    const before = this.#current
    if (header) {
      if (before) {
        yield* this.#flush(before)
        if (before.status === 'started') yield this.#status(before, 'done')
      }
      this.#current = this.#step(header[1] ?? '', header[0])
      yield this.#status(this.#current, 'started')
    } else if (this.podman && podmanLine.test(text)) {
      if (before && /^--> Using cache /.test(text)) yield this.#status(before, 'cached')
    } else if (/^ ---> Using cache\s*$/.test(text) && before) yield this.#status(before, 'cached')
    else if (/^\[Warning\] /i.test(text)) yield { type: 'warning', text: this.#mask(text.slice(10).trim()) }
    else if (before && !/^ ---> |^Removing intermediate container |^\s*$|^Successfully (?:built|tagged) /.test(text)) {
      const isRed = text.startsWith(red) && text.endsWith(plain)
      const message = Buffer.from(isRed ? text.slice(red.length, -plain.length) : text)
      yield* this.#log(before, isRed ? 'stderr' : 'stdout', message)
    }
  }

  *#log(step: Step, stream: 'stdout' | 'stderr', bytes: Buffer): Generator<BuildEvent, void> {
    const key = `${step.id} ${stream}`
    const decoder = this.#decoders.get(key) ?? new TextDecoder()
    this.#decoders.set(key, decoder)
    const text = step.open[stream] + decoder.decode(bytes, { stream: true })
    // Whole lines only: a secret may be cut in two by the builder.
    const end = text.length > maxOpenLine ? text.length : Math.max(text.lastIndexOf('\n'), text.lastIndexOf('\r')) + 1
    step.open[stream] = text.slice(end)
    if (end > 0) yield this.#lines(step, stream, text.slice(0, end))
  }

  *#flush(step: Step): Generator<BuildEvent, void> {
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = step.open[stream]
      step.open[stream] = ''
      if (rest !== '') yield this.#lines(step, stream, rest)
    }
  }

  #lines(step: Step, stream: 'stdout' | 'stderr', text: string): BuildEvent {
    const masked = this.#mask(text)
    const written = masked.split(/\r?\n|\r/).filter((line) => line !== '')
    step.tail.push(...written.slice(-tailLines))
    step.tail.splice(0, step.tail.length - tailLines)
    return { type: 'log', id: step.id, stream, text: masked }
  }

  #status(step: Step, status: 'started' | 'cached' | 'done' | 'failed', error?: string): BuildEvent {
    step.status = status
    const { id, name } = step
    return { type: 'step', id, name, status, ...(error === undefined ? {} : { error: this.#mask(error) }) }
  }

  #step(id: string, name: string): Step {
    let step = this.#steps.get(id)
    if (!step) {
      step = { id, name: '', status: '', tail: [], open: { stdout: '', stderr: '' } }
      this.#steps.set(id, step)
    }
    if (name !== '') step.name = this.#mask(name)
    return step
  }
}

/** The classic builder colours what a command writes to stderr. */
const red = '\u001b[91m'
const plain = '\u001b[0m'
/** `--> 40a1d29cd72`, `--> Using cache 40a1…`, `COMMIT name`, the id of the image, `Successfully tagged …`. */
const podmanLine = /^(?:--> (?:Using cache )?[0-9a-f]{11,64}|COMMIT(?: \S+)?|[0-9a-f]{64}|Successfully tagged \S+)\s*$/
const tailLines = 20
const maxOpenLine = 64 * 1024
/** Of messages that may not be told yet: BuildKit announces first, so there are none. */
const maxHeld = 1000

function hintFor(message: string, apiVersion: string): string | undefined {
  if (/no active sessions/i.test(message)) {
    return 'RUN --mount=type=secret and type=ssh need a build session, which there is none of here. Give the value when the container runs, or build with docker buildx.'
  }
  // What is left of a here-document looks like instructions that nobody knows, and so does what is misspelt.
  if (/unknown (?:instruction|flag)/i.test(message) && compareVersions(apiVersion, '1.42') < 0) {
    return 'Is it spelt right? This engine knows the Dockerfile language of 2020: no here-documents (<<EOF), no RUN --network. Docker 23 and newer know them.'
  }
  return undefined
}
