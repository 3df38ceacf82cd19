import { setTimeout as sleep } from 'node:timers/promises'
import { discardContainer } from '../discard.ts'
import { ConflictError, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import type { Answer } from '../router/router.ts'
import { containerName, gateAlias, networkAliases } from '../service/names.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { formatDuration } from '../units.ts'
import { awaitAnswers } from './answers.ts'
import { containerConfig, imageName } from './container.ts'
import { deadRedirect } from './dead-redirect.ts'
import type { Emit } from './events.ts'
import type { Host } from './host.ts'
import { identify, nameOf } from './identity.ts'
import type { ReleaseImage } from './image.ts'
import { keepLog } from './kept-logs.ts'
import { Lives } from './lives.ts'
import { checkMounts, type SpecSource } from './mounts.ts'
import { startTimeOf } from './patience.ts'
import { checkPatienceMs, describe, fallbackAlias, type Step, type Target, targetsOf } from './plan.ts'
import { awaitReady, awaitUptime } from './ready.ts'
import { shellForm } from './shell-form.ts'
import { readSockets } from './sockets.ts'
import { stopContainer } from './stop.ts'
import { prepareMounts, prepareVolumes } from './volumes.ts'
import { DeployError, report } from './why.ts'

/** What is needed to make and judge the containers of one release. */
export type ReleaseFacts = Readonly<{
  release: number
  spec: ServiceSpec
  image: ReleaseImage
  /** `KEY=value`, secrets sampled: only what is made anew needs them. */
  environment: () => readonly string[]
  /** Its mounts are not those of a release that runs already: they are looked at in every way before its start. */
  newMounts?: boolean
  /** Where its spec was read just now, so that a refusal names its lines. */
  dockerfile?: SpecSource | undefined
}>

/** What steps act on besides their targets. */
export type Execution = Readonly<{
  host: Host
  service: string
  releases: (release: number) => Promise<ReleaseFacts>
  commit: (release: number) => Promise<void>
  emit: Emit
  signal?: AbortSignal | undefined
  /** When it fires, a drain ends and what is still open is cut. */
  stopDraining?: AbortSignal | undefined
}>

const drainPollMs = 50
const quietPolls = 3

/** Does the steps in order. The first that fails ends it; what is to be done then, {@link settle} says. */
export async function execute(
  steps: readonly Step[],
  run: Execution,
  onStep: (step: Step) => void = () => {},
): Promise<void> {
  for (const step of steps) {
    run.signal?.throwIfAborted()
    onStep(step)
    const begin = performance.now()
    const holds = step.kind === 'route' && step.routes.holdMs !== undefined ? ({ holds: true } as const) : {}
    const state = { type: 'step', step: step.kind, title: describe(step), ...holds } as const
    run.emit({ ...state, state: 'started' })
    const ms = (): number => Math.round(performance.now() - begin)
    try {
      const detail = await doStep(step, run)
      run.emit({ ...state, state: 'done', ms: ms(), ...(detail ? { detail } : {}) })
    } catch (error) {
      run.emit({ ...state, state: 'failed', ms: ms() })
      throw error
    }
  }
}

async function doStep(step: Step, run: Execution): Promise<string | undefined> {
  const { docker, router } = run.host
  switch (step.kind) {
    case 'create':
      return each(step.targets, (target) => create(target, run))
    case 'start':
      await lookAtMounts(step.targets, run)
      return each(step.targets, (target) => start(target, run))
    case 'unpause':
      return each(step.targets, ({ name }) =>
        docker.containers.unpause(name, { signal: run.signal }).catch(unlessGoesOn),
      )
    case 'attach':
      return each(step.targets, ({ name }) => connect(run.host.network, name, networkAliases(run.service), run))
    case 'ready':
      return each(step.targets, (target) => ready(target, run))
    case 'check':
      return each(step.targets, (target) => check(target, run))
    case 'join':
      return each(step.targets, (target) => join(target, step.fallbackOf, run))
    case 'leave':
      return each(step.targets, ({ name }) =>
        docker.networks.disconnect(router.gate, { Container: name, Force: true }).catch(unlessGone),
      )
    case 'arm':
      // From here on the engine follows the paths anew by itself.
      await lookAtMounts(step.targets, run)
      return each(step.targets, ({ name }) => docker.containers.update(name, { RestartPolicy: { Name: 'always' } }))
    case 'disarm':
      return each(step.targets, ({ name }) =>
        docker.containers.update(name, { RestartPolicy: { Name: 'no' } }).catch(unlessGone),
      )
    case 'route':
      return router.apply(step.routes, { signal: run.signal }).then(nothing)
    case 'unroute':
      return router.remove(run.service, { signal: run.signal }).then(nothing)
    case 'probe':
      return probe(step.release, run)
    case 'request':
      return requestAll(step.release, run)
    case 'commit':
      await lookAtMounts([step], run)
      return run.commit(step.release).then(nothing)
    case 'drain':
      return drain(step.targets, step.timeoutMs, run)
    case 'stay':
      return each(step.targets, (target) => stay(target, step.ms, run))
    case 'stop':
      return each(step.targets, ({ name }) => stopContainer(run.host, name).catch(unlessGone))
    case 'remove':
      return each(step.targets, (target) => remove(target, run))
    case 'rename':
      return rename(step.targets, run)
  }
}

/** All targets at once; when one fails the others are waited for, so that nothing goes on behind the step's back. */
async function each(targets: readonly Target[], act: (target: Target) => Promise<unknown>): Promise<undefined> {
  const results = await Promise.allSettled(targets.map(act))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function nothing(): undefined {
  return undefined
}

function unlessGone(error: unknown): undefined {
  if (error instanceof NotFoundError) return undefined
  // `network disconnect` of a container that is not on the network is a 500 or 403 with these words.
  if (error instanceof MypaasError && /is not connected to (the )?network/.test(error.message)) return undefined
  throw error
}

function unlessGoesOn(error: unknown): void {
  if (!(error instanceof MypaasError && /is not paused/.test(error.message))) throw error
}

async function create(target: Target, run: Execution): Promise<void> {
  const { host } = run
  const { spec, image, environment, newMounts, dockerfile } = await run.releases(target.release)
  await prepareVolumes(host, spec, { strict: newMounts === true, from: dockerfile })
  const config = containerConfig({
    spec,
    release: target.release,
    replica: target.replica,
    server: host.server,
    markKey: host.markKey,
    prefix: host.prefix,
    network: host.network,
    home: host.home,
    image: imageName(host.prefix, spec.service, target.release),
    bringsInit: image.bringsInit,
    shellForm: shellForm(image.command, [...image.environment, ...environment()]),
    graceMs: host.graceMs,
    environment: environment(),
    logBytes: host.logBytes,
    hardening: host.hardening(spec.service),
  })
  try {
    await host.docker.containers.create(config, { name: target.name, signal: run.signal })
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
    // Only a container of our own can be in the way of its own name after a crash; anything else is somebody's.
    const found = await host.docker.containers.inspect(target.name)
    const { Id, Name, Image, Config } = found
    const it = await identify(host, { Id, Names: [Name], ImageID: Image, Labels: Config.Labels ?? {} })
    if (it?.service !== spec.service || it.release !== target.release || it.replica !== target.replica) {
      throw new MypaasError(`There is a container ${target.name} already that mypaas did not make.`, {
        code: 'failed',
        hint: `Rename or remove it: docker rename ${target.name} OTHER`,
        cause: error,
      })
    }
    await stopContainer(host, found.Id).catch(unlessGone)
    await discardContainer(host.docker, found.Id, { timeoutMs: host.engineTimeoutMs })
    await host.docker.containers.create(config, { name: target.name, signal: run.signal })
  }
}

/** A build takes its time, and so does what a release needs to get ready: others go on meanwhile. */
async function lookAtMounts(targets: readonly Readonly<{ release: number }>[], run: Execution): Promise<void> {
  for (const number of new Set(targets.map(({ release }) => release))) {
    const { spec, release, newMounts, dockerfile } = await run.releases(number)
    if (newMounts) await checkMounts(run.host, spec, { release, from: dockerfile })
  }
}

async function start({ name, release }: Target, run: Execution): Promise<void> {
  const { spec, image, newMounts, dockerfile } = await run.releases(release)
  await prepareMounts(run.host, spec, name, image.user, { strict: newMounts === true, from: dockerfile })
  try {
    await run.host.docker.containers.start(name, { signal: run.signal })
  } catch (error) {
    throw await startFailure(name, run, error)
  }
}

async function startFailure(name: string, run: Execution, cause: unknown): Promise<unknown> {
  if (!(cause instanceof MypaasError) || run.signal?.aborted) return cause
  const text = cause.message
  const taken =
    /Bind for ([\d.:[\]a-f]+) failed: port is already allocated|listen \w+ ([\d.:[\]a-f]+): bind: address already in use/i.exec(
      text,
    ) ?? // Docker 28
    /failed to bind host port (?:for )?((?:[\d.]+|\[[\da-f:]+\]):\d+)\b.*: address already in use/i.exec(text)
  if (taken) {
    return new DeployError(
      `${name} can't publish ${taken[1] ?? taken[2]}: something else on this machine has that port.`,
      {
        hint: 'Free it, or publish another with # mypaas.publish=…',
        cause,
      },
    )
  }
  const missing =
    /exec: "([^"]+)": (executable file not found in \$PATH|stat .*: no such file or directory|permission denied)/.exec(
      text,
    )
  if (missing) {
    return new DeployError(
      `${name} can't start: ${missing[1]}: ${missing[2]?.startsWith('perm') ? 'not executable' : 'not found'} in the image.`,
      {
        hint: 'Check the CMD or ENTRYPOINT of the Dockerfile.',
        cause,
      },
    )
  }
  const unshared = /path (\S+) is mounted on (\S+) but it is not a shared(?: or slave)? mount/.exec(text)
  if (unshared) {
    return new DeployError(
      `${name} can't start: ${unshared[1]} lies on a mount of this machine (${unshared[2]}) that is not shared, so nothing can be passed on from it.`,
      {
        hint: `Leave shared and slave out of its mypaas.volume, or share it: mount --make-rshared ${unshared[2]}`,
        cause,
      },
    )
  }
  if (/exec format error/.test(text)) {
    return new DeployError(`${name} can't start: its image is for another kind of processor than this machine's.`, {
      hint: 'Build from a base image for this machine, or name the platform in FROM --platform=…',
      cause,
    })
  }
  const found = await run.host.docker.containers.inspect(name).catch(() => undefined)
  return new DeployError(`${name} can't start: ${text}`, {
    cause,
    ...(found ? { report: await report(run.host.docker, found) } : {}),
  })
}

async function ready({ name, release }: Target, run: Execution): Promise<void> {
  const { docker, network } = run.host
  await awaitReady(name, { docker, network, ...(await startingOf(release, run)) })
}

/** Asks where its neighbours come and where the router does: it may listen to one of them only. */
async function check({ name, release }: Target, run: Execution): Promise<void> {
  const { docker, network, router } = run.host
  const wait = { docker, network, ...(await startingOf(release, run)) }
  await awaitAnswers(name, wait)
  const leave = await visitGate(name, run)
  try {
    await awaitAnswers(name, { ...wait, routerNetwork: router.gate })
  } catch (error) {
    // What keeps it there is nothing beside why it fails.
    await leave().catch(() => {})
    throw error
  }
  await leave()
}

async function startingOf(release: number, run: Execution) {
  const { spec } = await run.releases(release)
  return {
    spec,
    time: startTimeOf(run.host, spec),
    signal: run.signal,
    onSlow: (message: string, hint: string) => run.emit({ type: 'warning', message, ...(hint === '' ? {} : { hint }) }),
  }
}

/**
 * Puts a container on the router's network for as long as it is asked there. It has no name there that the router looks
 * for: requests that wait get to a release when it is committed, and not before.
 * @returns what takes it from there again
 */
async function visitGate(name: string, { host }: Execution): Promise<() => Promise<void>> {
  const { docker, router } = host
  const { NetworkSettings } = await docker.containers.inspect(name)
  if (router.gate in NetworkSettings.Networks) return async () => {}
  await docker.networks.connect(router.gate, { Container: name })
  return async () => {
    await docker.networks.disconnect(router.gate, { Container: name, Force: true }).catch(unlessGone)
  }
}

async function join({ name, release, replica }: Target, fallbackOf: number | undefined, run: Execution): Promise<void> {
  const aliases = [gateAlias(run.service, release, replica)]
  if (fallbackOf !== undefined) aliases.push(fallbackAlias(run.service, fallbackOf))
  await connect(run.host.router.gate, name, aliases, run)
}

async function connect(
  network: string,
  name: string,
  aliases: readonly string[],
  { host: { docker } }: Execution,
): Promise<void> {
  try {
    await docker.networks.connect(network, { Container: name, EndpointConfig: { Aliases: [...aliases] } })
  } catch (error) {
    if (!/already exists in network|already attached to network/.test(String(error))) throw error
  }
}

async function stay({ name, release }: Target, ms: number, run: Execution): Promise<void> {
  const { spec } = await run.releases(release)
  await awaitUptime(name, { docker: run.host.docker, spec, uptimeMs: ms })
}

/** What it wrote is kept: why a release failed is often asked after it is gone. */
async function remove(target: Target, run: Execution): Promise<void> {
  await keepLog(run.host, run.service, target)
  await discardContainer(run.host.docker, target.name, { timeoutMs: run.host.engineTimeoutMs })
}

/** Gives replicas the names back that they had. One that somebody else has by now keeps nobody from anything. */
async function rename(targets: readonly Target[], run: Execution): Promise<string | undefined> {
  const { docker, prefix } = run.host
  const kept: string[] = []
  for (const { name, release, replica } of targets) {
    const own = nameOf(prefix, { service: run.service, release, replica })
    await docker.containers.rename(name, own).catch((error: unknown) => {
      if (!(error instanceof ConflictError)) return unlessGone(error)
      kept.push(`${own} is somebody else's`)
      return undefined
    })
  }
  return kept.length > 0 ? kept.join(', ') : undefined
}

/** Asks the new release for each URL by the router's probe entry, often enough that each replica has its turn. */
async function probe(release: number, run: Execution): Promise<undefined> {
  const { spec } = await run.releases(release)
  const { router } = run.host
  const timeoutMs = answerMs(spec, run)
  const lives = await livesOf(spec, release, run)
  const turns = Math.max(1, spec.scale ?? 0)
  for (const url of spec.urls) {
    for (let turn = 0; turn < turns; turn += 1) {
      await answersBelow500(run, release, {
        what: `${router.show(url)} (through the router's probe)`,
        lives,
        ask: (signal) => router.probe(run.service, release, url, { signal, timeoutMs }),
      })
    }
  }
  return undefined
}

/** Requests each URL of a release as a user would, until it answers with a status below 500. */
export async function requestAll(release: number, run: Execution): Promise<string> {
  const { spec } = await run.releases(release)
  const { router } = run.host
  const timeoutMs = answerMs(spec, run)
  const lives = await livesOf(spec, release, run)
  for (const url of spec.urls) {
    const ask = (signal: AbortSignal): Promise<Answer> => router.request(url, { signal, timeoutMs })
    const { status, redirect } = await answersBelow500(run, release, { what: router.show(url), lives, ask })
    const dead = redirect && (await deadRedirect({ url, status, ...redirect }, spec, run.host))
    if (dead) run.emit({ type: 'warning', ...dead })
  }
  return spec.urls.map((url) => router.show(url)).join(', ')
}

/** How long one answer may take. A server of several processes may be slow at the first of each. */
function answerMs(spec: ServiceSpec, { host }: Execution): number {
  return Math.max(checkPatienceMs, startTimeOf(host, spec).timeoutMs)
}

function livesOf(spec: ServiceSpec, release: number, { host }: Execution): Promise<Lives> {
  const names = targetsOf(spec, release, host.prefix).map(({ name }) => name)
  return Lives.of(names, { docker: host.docker, spec })
}

async function answersBelow500(
  run: Execution,
  release: number,
  { what, lives, ask }: { what: string; lives: Lives; ask: (signal: AbortSignal) => Promise<Answer> },
): Promise<Extract<Answer, { status: number }>> {
  const begin = performance.now()
  for (;;) {
    run.signal?.throwIfAborted()
    const answer = await lives.during(ask, run.signal)
    if ('status' in answer && answer.status < 500) return answer
    await lives.check()
    if (performance.now() - begin > checkPatienceMs) {
      const name = `${run.host.prefix}${containerName(run.service, release, 1)}`
      const found = await run.host.docker.containers.inspect(name).catch(() => undefined)
      const got = 'status' in answer ? `answers ${answer.status}` : `does not answer (${answer.error})`
      throw new DeployError(`r${release} of ${run.service} ${got} on ${what}.`, {
        hint: 'A release must answer each of its URLs with a status below 500. Its last lines may say why.',
        ...(found ? { report: await report(run.host.docker, found) } : {}),
      })
    }
    await sleep(drainPollMs, undefined, { signal: run.signal })
  }
}

/**
 * Waits until the router holds no connection to the containers any more, by their own socket tables; where those can't
 * be read, for the whole time. What is still open then is cut when they stop.
 */
async function drain(targets: readonly Target[], timeoutMs: number, run: Execution): Promise<string | undefined> {
  const { docker, router } = run.host
  const deadline = performance.now() + timeoutMs
  const address = await router.address().catch(() => undefined)
  const open = new Map<string, number>()
  const waiting = async (target: Target): Promise<void> => {
    const found = await docker.containers.inspect(target.name).catch(unlessGone)
    if (!found?.State.Running) return
    const port = portOf(found.Config.Env ?? [])
    for (let quiet = 0; quiet < quietPolls; ) {
      const sockets = await readSockets(found.State.Pid)
      if (sockets === undefined && !(await isRunning(run, target.name))) return
      const talking = (sockets ?? []).filter(
        (socket) =>
          socket.state === 'open' &&
          (port === undefined || socket.localPort === port) &&
          (address === undefined || socket.remoteAddress === address),
      )
      open.set(target.name, talking.length)
      quiet = sockets !== undefined && talking.length === 0 ? quiet + 1 : 0
      if (performance.now() > deadline || run.stopDraining?.aborted) return
      run.signal?.throwIfAborted()
      await sleep(drainPollMs)
    }
  }
  await each(targets, waiting)
  const left = [...open.values()].reduce((sum, count) => sum + count, 0)
  if (left === 0) return undefined
  const reason = run.stopDraining?.aborted ? 'on request' : `after ${formatDuration(timeoutMs)}`
  return `${left} connection${left === 1 ? '' : 's'} still open, cut ${reason}`
}

/** The port that a container was told to listen on when it was made, whatever its service says today. */
function portOf(environment: readonly string[]): number | undefined {
  const found = environment.findLast((variable) => variable.startsWith('MYPAAS_PORT='))
  return found === undefined ? undefined : Number(found.slice('MYPAAS_PORT='.length))
}

async function isRunning(run: Execution, name: string): Promise<boolean> {
  const found = await run.host.docker.containers.inspect(name).catch(unlessGone)
  return found?.State.Running === true
}
