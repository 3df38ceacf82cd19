import type { Commit } from '../context/commit.ts'
import type { BuildEvent } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { pruneReleases, releaseToGoBackTo } from './builds.ts'
import { checkCertificates } from './certificates.ts'
import { lockClaims, refuseClashes } from './claims.ts'
import { imageName } from './container.ts'
import type { Emit } from './events.ts'
import { type Execution, execute, type ReleaseFacts, requestAll } from './execute.ts'
import { type HistoryEntry, type ReleaseAction, recordRelease } from './history.ts'
import type { Host } from './host.ts'
import { type ReleaseImage, removeImage } from './image.ts'
import { lossWarnings } from './image-volumes.ts'
import { type Journal, type JournalRelease, readJournal, writeJournal } from './journal.ts'
import { pruneLogs } from './kept-logs.ts'
import { checkLinks, checkMounts, type SpecSource } from './mounts.ts'
import { observe } from './observe.ts'
import { execution, forgetNext, nextRelease, refuseUnlessCurrent, settlement } from './operate.ts'
import { isEngineTrouble, persistently } from './persist.ts'
import { type Plan, planDeploy, type Settlement, type Step } from './plan.ts'
import { Stopwatch } from './receipt.ts'
import { clearLeftovers } from './reconcile.ts'
import { refuseReserved } from './reserved.ts'
import { resourceWarnings } from './resources.ts'
import { environmentOf, narrowed, noted, type SecretRights, secretsFor } from './secret-rights.ts'
import { secretMarks } from './secrets.ts'
import { shellForm, shellFormNotes } from './shell-form.ts'
import { ContainerEnded, DeployError } from './why.ts'

export type ReleaseOptions = Readonly<{
  emit: Emit
  /** Ends it; up to the commit the old release goes on serving, after it the drain of the old one is cut short. */
  signal?: AbortSignal | undefined
  /** How long to wait for another deploy of the same service that is on; 0, the default, is not at all. */
  waitMs?: number | undefined
  /** Who wants it, for the history. */
  who?: string | undefined
  /** Refuses with `locked` when another release than this is current; 0 stands for none. */
  ifRelease?: number | undefined
  /** Refuses with `locked` when what runs is not what a plan with this id was made for. */
  ifPlan?: string | undefined
}>

/** What is to become the current release. */
export type ReleaseRequest = Readonly<{
  action: ReleaseAction
  spec: ServiceSpec
  /** What it is made from, for the history. */
  from: string
  /** Which commit that is, for the history alone. */
  commit?: Commit | undefined
  /** Whose secrets it may have, as far as whoever asks may give them: as the release that it comes of, or as a new one. */
  rights: SecretRights
  /** The Dockerfile that `spec` was read from just now, so that a refusal names its lines. */
  dockerfile?: SpecSource
  /** Makes the image `NAME:rN`. */
  provide: (
    release: number,
    onEvent: (event: BuildEvent) => void,
    signal: AbortSignal | undefined,
  ) => Promise<ReleaseImage>
}>

export type Released = Readonly<{ service: string; release: number; urls: readonly string[] }>

/**
 * Makes an image the current release of its service, whatever it comes from. Done when the release answers on each of
 * its URLs and the one before it is gone. The caller holds the service's lock.
 * @throws {MypaasError} `failed` when the old release serves as before · `rolled-back` when the new one had traffic
 *   already · `degraded` when a person is needed
 */
export async function rollOut(host: Host, request: ReleaseRequest, options: ReleaseOptions): Promise<Released> {
  const { spec } = request
  const { service } = spec
  const watch = new Stopwatch()
  const emit: Emit = (event) => {
    watch.see(event)
    options.emit(event)
  }
  const rights = narrowed(host, request.rights)
  const environment = environmentOf(host, spec, rights)
  await host.permit?.(spec)
  const newMounts = await bringsMounts(host, request)
  const lookAtMounts = (): Promise<void> =>
    newMounts ? checkMounts(host, spec, { from: request.dockerfile }) : checkLinks(host, spec)
  await lookAtMounts()
  await refuseReserved(host, spec)
  await refuseUnlessCurrent(host.directory, service, options.ifRelease)
  await clearLeftovers(host, service, { ...options, emit })
  const { journal, release } = await claim(host, spec, rights, lookAtMounts)
  emit({ type: 'deploy', service, release, action: request.action })

  const begun = new Date().toISOString()
  const entry = {
    release,
    action: request.action,
    from: request.from,
    ...(request.commit ? { commit: request.commit } : {}),
    who: options.who ?? 'somebody',
    at: begun,
  } as const
  const before = journal.current ? { before: journal.current.release } : {}
  const record = (outcome: HistoryEntry['outcome'], message?: string): Promise<void> =>
    recordRelease(host.directory, service, {
      ...entry,
      ...before,
      outcome,
      ...(message === undefined ? {} : { message: message.split('\n')[0]?.slice(0, 500) ?? '' }),
      ...(outcome === 'live' ? { receipt: watch.receipt() } : {}),
    })

  const track: Track = { step: undefined, plan: undefined }
  let committed: Journal
  let made: JournalRelease
  let facts: ReleaseFacts
  try {
    const { signal } = options
    const image = await request.provide(release, (event) => emit({ type: 'build', event }), signal)
    facts = { release, spec, image, environment: () => environment, newMounts, dockerfile: request.dockerfile }
    const notes = shellFormNotes(shellForm(image.command, [...image.environment, ...environment]))
    track.plan = { ...(await makePlan(host, spec, release, journal, options.ifPlan)), notes }
    emit({ type: 'planned', plan: track.plan })
    const lost = request.action === 'deploy' ? lossWarnings(image.volumes, spec) : []
    for (const message of [...lost, ...(await resourceWarnings(host, track.plan, spec))])
      emit({ type: 'warning', message })
    made = {
      release,
      image: image.id,
      build: image.build,
      spec,
      deployedAt: new Date().toISOString(),
      ...noted(rights),
      secrets: secretMarks(host, spec, secretsFor(host, service, rights)),
    }
    committed = committedJournal(journal, made, host.keepReleases)
    const run = execution(host, service, emit, [facts], journal, () => writeJournal(host.directory, committed))
    await execute(track.plan.steps, { ...run, signal }, (step) => {
      track.step = step
    })
  } catch (error) {
    const failure = await takeBack(host, journal, release, error, track, { ...options, emit })
    await record(failure.code, failure.message).catch(() => {})
    throw failure
  }

  const run = execution(host, service, emit, [facts], committed)
  const urls = spec.urls.map((url) => host.router.show(url))
  let after: Settlement
  try {
    const { order } = track.plan
    after = await persistently(host, async () => {
      const found = await settlement(host, committed, host.drainMs, stayMs)
      await execute(found.serve, run)
      if (order === 'stop-first') await requestAll(release, run)
      return found
    })
  } catch (error) {
    const failure =
      error instanceof ContainerEnded
        ? await goBack(host, journal, made, error, { ...options, emit })
        : notServing(host, service, release, error)
    await record(failure.code, failure.message).catch(() => {})
    throw failure
  }
  await certificates(host, spec, { ...options, emit })
  emit({ type: 'live', service, release, urls, ms: watch.elapsedMs() })
  try {
    await persistently(host, async (again) => {
      if (again) after = await settlement(host, committed, host.drainMs, stayMs)
      const left = again ? [...after.serve, ...after.clean] : after.clean
      await execute(left, { ...run, stopDraining: options.signal }, (step) => {
        track.step = step
      })
      await host.router.readmit()
      await pruneReleases(host, service, release)
      await pruneLogs(host, service, host.keepReleases)
    })
  } catch (error) {
    if (track.step?.kind === 'stay' && !isEngineTrouble(error)) {
      const failure = await goBack(host, journal, made, error, { ...options, emit })
      await record(failure.code, failure.message).catch(() => {})
      throw failure
    }
    // It serves, which is what was asked for.
    warn(emit, service)(error)
  }
  const back = await releaseToGoBackTo(host, committed).catch(() => undefined)
  const receipt = watch.receipt()
  emit({
    type: 'done',
    service,
    release,
    ms: watch.elapsedMs(),
    receipt,
    ...before,
    ...(back === undefined ? {} : { back }),
  })
  await record('live').catch(warn(emit, service))
  return { service, release, urls }
}

/** A current release that is run anew has its mounts already; what was stopped has nothing mounted. */
async function bringsMounts(host: Host, { action, spec }: ReleaseRequest): Promise<boolean> {
  if (action !== 'restart' && action !== 'scale') return true
  return (await readJournal(host.directory, spec.service))?.stopped === true
}

/** A name whose certificate does not come fails no deploy: the release serves, and the certificate comes later. */
async function certificates(host: Host, spec: ServiceSpec, { emit, signal }: ReleaseOptions): Promise<void> {
  const hosts = spec.urls.filter(({ scheme }) => scheme === 'https').map((url) => url.host)
  if (hosts.length === 0) return
  try {
    await checkCertificates(host, { hosts, waitMs: host.certificateWaitMs, emit, signal })
  } catch (error) {
    emit({
      type: 'warning',
      message: `The certificates of ${hosts.join(', ')} could not be seen to: ${messageOf(error)}`,
    })
  }
}

/** What is to be done to get from what runs to `release`. */
export async function makePlan(
  host: Host,
  spec: ServiceSpec,
  release: number,
  journal: Journal,
  ifPlan?: string | undefined,
): Promise<Plan> {
  const observed = await observe(host, spec.service)
  const plan = planDeploy({ spec, release, journal, observed, prefix: host.prefix, timing: host })
  if (ifPlan !== undefined && ifPlan !== plan.id) {
    throw new MypaasError(`What runs of ${spec.service} is not what the plan ${ifPlan} was made for.`, {
      code: 'locked',
      hint: `Look at the plan as it is now (--plan), then deploy that: --if-plan ${plan.id}`,
    })
  }
  return plan
}

/** A release that goes down within that time after its start did not make it. */
const stayMs = 2_000

type Track = { step: Step | undefined; plan: Plan | undefined }

/**
 * Gives the release its number and, under the lock that all services share, its URLs and host ports: from here on the
 * journal says that it is coming. Of two whose mounts don't go together the second is refused here, too.
 */
async function claim(
  host: Host,
  spec: ServiceSpec,
  rights: SecretRights,
  lookAtMounts: () => Promise<void>,
): Promise<{ journal: Journal; release: number }> {
  await using _ = await lockClaims(host.directory, 'a claim of URLs and ports')
  await refuseClashes(host.directory, spec)
  await lookAtMounts()
  const journal = await readJournal(host.directory, spec.service)
  const release = await nextRelease(host, spec.service, journal)
  const next: JournalRelease = {
    release,
    image: '',
    spec,
    deployedAt: new Date().toISOString(),
    ...noted(rights),
  }
  const claimed: Journal = {
    ...(journal ?? { version: 1, service: spec.service, server: host.server }),
    next,
    lastRelease: release,
  }
  await writeJournal(host.directory, claimed)
  return { journal: claimed, release }
}

function committedJournal(journal: Journal, next: JournalRelease, keep: number): Journal {
  const { next: _, stopped: __, current, previous = [], ...rest } = journal
  const others: JournalRelease[] = []
  for (const release of current ? [current, ...previous] : previous)
    if (![next, ...others].some((other) => isSameBuild(release, other))) others.push(release)
  return { ...rest, current: next, previous: others.slice(0, Math.max(0, keep - 1)), lastRelease: next.release }
}

function isSameBuild(a: JournalRelease, b: JournalRelease): boolean {
  return a.image === b.image || (a.build !== undefined && a.build === b.build)
}

/** After a failure before the commit: the release before serves again, and nothing of the failed one stays. */
async function takeBack(
  host: Host,
  journal: Journal,
  release: number,
  error: unknown,
  track: Track,
  options: ReleaseOptions,
): Promise<DeployError> {
  const before = journal.current?.release
  const { service } = journal
  let unrouted: unknown
  options.emit({ type: 'taking-back', service, release })
  try {
    await persistently(host, async () => {
      const { serve, clean } = await settlement(host, journal, host.drainMs)
      const run = { ...execution(host, service, options.emit, [], journal), stopDraining: options.signal }
      unrouted = await serveAgain(serve, release, run)
      await execute(clean, run)
      await removeImage(host, imageName(host.prefix, service, release))
      await pruneLogs(host, service, host.keepReleases)
    })
    // It was taken back. That the journal can't say so (a full disk) keeps its claims, and the next command tidies up.
    await forgetNext(host, journal).catch(warn(options.emit, service))
  } catch (trouble) {
    const undone = before === undefined ? 'it could not be cleared away' : `r${before} could not be brought back`
    return new DeployError(
      `r${release} of ${service} failed: ${messageOf(error)} And ${undone}: ${messageOf(trouble)}`,
      {
        code: 'degraded',
        hint: `See what is there: docker ps -a --filter label=mypaas.service=${service}. To try again: mypaas server reconcile ${service}, or a deploy of ${service} that works.`,
        report: trouble instanceof DeployError ? trouble.report : undefined,
        cause: error,
      },
    )
  }
  if (unrouted) {
    return new DeployError(
      `r${release} of ${service} failed: ${messageOf(error)} r${before} runs again, but the router could not be told: ${messageOf(unrouted)}`,
      {
        code: 'degraded',
        hint: `When that is mended: mypaas server reconcile ${service}`,
        report: error instanceof DeployError ? error.report : undefined,
        cause: error,
      },
    )
  }
  const now = journal.stopped
    ? `${service} stays stopped.`
    : before === undefined
      ? `Nothing of ${service} runs.`
      : `r${before} serves as before.`
  if (options.signal?.aborted) {
    return new DeployError(`The deploy of ${service} was stopped on request.`, { code: 'aborted', now, cause: error })
  }
  if (!(error instanceof MypaasError)) return new DeployError(messageOf(error), { now, cause: error })
  const hadTraffic =
    track.plan?.order === 'start-first' && (track.step?.kind === 'request' || track.step?.kind === 'commit')
  const ours: readonly MypaasError['code'][] = ['directives', 'context', 'locked', 'degraded', 'usage', 'unauthorised']
  return new DeployError(error.message, {
    code: hadTraffic ? 'rolled-back' : ours.includes(error.code) ? error.code : 'failed',
    hint: error.hint,
    now,
    report: error instanceof DeployError ? error.report : undefined,
    cause: error,
  })
}

/**
 * Where requests are held for the failed release, they end at the one before once that is back: the route names it as
 * the fallback. So a route that can't be changed (a full disk, a dead router) keeps nobody from bringing it back.
 * @returns what kept the route from being changed
 */
async function serveAgain(steps: readonly Step[], failed: number, run: Execution): Promise<unknown> {
  const routes = await run.host.router.current(run.service)
  const held = typeof routes === 'object' && routes.active.release === failed && routes.active.fallback !== undefined
  let unrouted: unknown
  for (const step of steps) {
    try {
      await execute([step], run)
    } catch (error) {
      if (!held || step.kind !== 'route') throw error
      unrouted ??= error
    }
  }
  return unrouted
}

/** A release that died as soon as it served: the one before, which is still there, takes over again. */
async function goBack(
  host: Host,
  journal: Journal,
  made: JournalRelease,
  error: unknown,
  options: ReleaseOptions,
): Promise<DeployError> {
  const { service, current } = journal
  const before: Journal = { ...journal, next: made }
  await writeJournal(host.directory, before)
  const failure = await takeBack(host, before, made.release, error, { step: undefined, plan: undefined }, options)
  if (failure.code === 'degraded' || current === undefined) return failure
  return new DeployError(`${failure.message} It had just taken over.`, {
    code: 'rolled-back',
    hint: failure.hint,
    now: `r${current.release} of ${service} serves again.`,
    report: failure.report,
    cause: error,
  })
}

function notServing(host: Host, service: string, release: number, error: unknown): DeployError {
  return new DeployError(`r${release} of ${service} is the current release, but: ${messageOf(error)}`, {
    code: 'degraded',
    hint: `Go back with: mypaas server rollback ${service}. Its log: mypaas server logs ${service}`,
    report: error instanceof DeployError ? error.report : undefined,
    cause: error,
    now: `${host.prefix}${service}-r${release} runs.`,
  })
}

/** For what does not decide about a deploy any more. */
function warn(emit: Emit, service: string): (error: unknown) => void {
  const hint = `What is left to do comes with the next deploy, or now: mypaas server reconcile ${service}`
  return (error) => emit({ type: 'warning', message: messageOf(error), hint })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
