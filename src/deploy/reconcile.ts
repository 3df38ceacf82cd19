import { rm } from 'node:fs/promises'
import { MypaasError } from '../errors.ts'
import { removeAbandoned } from '../files.ts'
import { removeBuildCaches } from './build-cache.ts'
import { pruneReleases } from './builds.ts'
import { checkCertificates } from './certificates.ts'
import { lockClaims, refuseClashes } from './claims.ts'
import { removeAbandonedCommands, removeCommands } from './command.ts'
import { imageName, replicaCount } from './container.ts'
import type { Emit } from './events.ts'
import { execute } from './execute.ts'
import type { Host } from './host.ts'
import { keptReleases, releaseImage, removeImage } from './image.ts'
import { type Journal, type JournalRelease, journalledServices, readJournal, writeJournal } from './journal.ts'
import { checkMounts } from './mounts.ts'
import { lacksRights } from './note-rights.ts'
import { listReplicas, observe, type ReplicasByService } from './observe.ts'
import { execution, forgetNext, journalOf, lockKnown, lockService, settlement, settlementOf } from './operate.ts'
import { persistently } from './persist.ts'
import { placesOf } from './places.ts'
import { describe } from './plan.ts'
import { removeVolumes, volumesOfService } from './remove-volumes.ts'
import { refuseReserved } from './reserved.ts'
import { rotationProblems } from './rotation.ts'
import { environmentOf } from './secret-rights.ts'
import { DeployError } from './why.ts'

export type ReconcileOptions = Readonly<{
  emit: Emit
  signal?: AbortSignal | undefined
  waitMs?: number | undefined
  /** How long to wait for certificates that are asked for now; 0, the default, leaves that to the next time. */
  certificateWaitMs?: number | undefined
}>

/** What a reconcile did to a service: nothing, or the steps that mended it. */
export type Reconciled = Readonly<{ service: string; release: number | undefined; mended: readonly string[] }>

/**
 * Brings a service to what its journal says: the current release runs, armed and routed, and nothing else of it does.
 * Needs no memory of what went wrong, and does nothing when nothing did.
 * @throws {MypaasError} `degraded` when the journal is lost or older than what runs, or the current release can't run:
 *   then nothing was stopped
 */
export async function reconcile(host: Host, service: string, options: ReconcileOptions): Promise<Reconciled> {
  const done = await reconcileOne(host, service, options)
  await tellRotation(host, options, service)
  return done
}

async function reconcileOne(
  host: Host,
  service: string,
  options: ReconcileOptions,
  listed?: ReplicasByService,
): Promise<Reconciled> {
  const atRest = await lookAtRest(host, service, listed)
  if (atRest) return atRest
  await using _ = await lockService(host, service, `a reconcile of ${service}`, options)
  // Awaited here: leaving the scope frees the lock.
  return await settleDown(host, service, options)
}

/** Every service of this server, one failure not keeping the others from being looked after. */
export async function reconcileAll(
  host: Host,
  options: ReconcileOptions,
): Promise<{ reconciled: readonly Reconciled[]; failed: readonly { service: string; error: unknown }[] }> {
  const listed = await listReplicas(host)
  const names = new Set([...(await journalledServices(host.directory)), ...listed.keys()])
  const reconciled: Reconciled[] = []
  const failed: { service: string; error: unknown }[] = []
  const queue = [...names].sort()
  const worker = async (): Promise<void> => {
    for (let service = queue.shift(); service !== undefined; service = queue.shift()) {
      try {
        reconciled.push(await reconcileOne(host, service, options, listed))
      } catch (error) {
        failed.push({ service, error })
      }
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  // What is wrong with the router or an authority says nothing against the services.
  const warn = (error: unknown): void => {
    if (options.signal?.aborted) throw error
    options.emit({ type: 'warning', message: error instanceof Error ? error.message : String(error) })
  }
  const { emit, signal, certificateWaitMs: waitMs = 0 } = options
  await removeAbandonedCommands(host).catch(warn)
  await host.router.readmit({ signal }).catch(warn)
  await checkCertificates(host, { emit, signal, waitMs }).catch(warn)
  await tellRotation(host, options)
  return { reconciled: reconciled.sort((a, b) => (a.service < b.service ? -1 : 1)), failed }
}

/** All runs, and yet somebody may not be served: no reconcile mends an app that fails its health check, but it names it. */
async function tellRotation(host: Host, { emit }: ReconcileOptions, only?: string): Promise<void> {
  // A router that does not answer is told by whoever needs it.
  const problems = await rotationProblems(host).catch(() => new Map<string, never>())
  for (const [service, { problem }] of problems)
    if (only === undefined || service === only) emit({ type: 'warning', message: `${service}: ${problem}.` })
}

/**
 * Most services are as they should be most of the time, and looking needs no lock: whoever is changing one now has a
 * journal that says so, or steps left to do.
 */
async function lookAtRest(host: Host, service: string, listed?: ReplicasByService): Promise<Reconciled | undefined> {
  await removeAbandoned(placesOf(host.directory, service).folder)
  const journal = await readJournal(host.directory, service)
  if (journal?.next || (journal && lacksRights(host, journal))) return undefined
  const observed = await observe(host, service, listed)
  // There is no such service, and there shall be no lock of one.
  if (!journal) return observed.replicas.length === 0 ? { service, release: undefined, mended: [] } : undefined
  if (observed.replicas.some(({ release }) => release > journal.lastRelease)) return undefined
  const { serve, clean } = await settlementOf(host, journal, observed, host.drainMs)
  if (serve.length + clean.length > 0) return undefined
  return { service, release: journal.stopped ? undefined : journal.current?.release, mended: [] }
}

/**
 * What a deploy that was killed left behind is taken away before the next one plans. That the current release does not
 * run keeps nobody from deploying a better one; the lock is the caller's.
 */
export async function clearLeftovers(host: Host, service: string, options: ReconcileOptions): Promise<void> {
  const journal = await readJournal(host.directory, service)
  const { replicas } = await observe(host, service)
  refuseLost(host, service, journal, replicas)
  if (!journal) return
  await removeAbandonedCommands(host, service)
  const strangers = replicas.some(({ release }) => release !== journal.current?.release)
  if (!journal.next && !strangers) return
  try {
    await settleDown(host, service, options)
  } catch (error) {
    if (!(error instanceof MypaasError) || options.signal?.aborted) throw error
    options.emit({ type: 'warning', message: `${error.message} The deploy goes on.` })
  }
}

/** Stops a service until it is started or deployed again; volumes and images stay. */
export async function stopService(host: Host, service: string, options: ReconcileOptions): Promise<Reconciled> {
  await using _ = await lockKnown(host, service, `a stop of ${service}`, options)
  const journal = await journalOf(host, service)
  refuseLost(host, service, journal, (await observe(host, service)).replicas)
  if (journal.current && !journal.stopped) await warnUnlessStartable(host, journal.current, options.emit)
  await writeJournal(host.directory, { ...journal, stopped: true })
  return await settleDown(host, service, options)
}

/**
 * Starts a service that was stopped, with the release that it had; secrets are sampled anew.
 * @throws {MypaasError} when that can't be done, as far as it can be told before: then it stays stopped
 */
export async function startService(host: Host, service: string, options: ReconcileOptions): Promise<Reconciled> {
  await using _ = await lockKnown(host, service, `a start of ${service}`, options)
  const { stopped: _stopped, ...journal } = await journalOf(host, service)
  if (!journal.current)
    throw new MypaasError(`No release of ${service} was ever live here.`, { code: 'usage', hint: 'Deploy it first.' })
  const { replicas } = await observe(host, service)
  refuseLost(host, service, journal, replicas)
  await refuseUnrunnable(host, journal, replicas)
  await host.permit?.(journal.current.spec)
  await refuseUnstartable(host, journal.current)
  await writeJournal(host.directory, journal)
  return await settleDown(host, service, options)
}

/** @param release Its containers that run already are no others. @throws {MypaasError} when it may not be started as it is */
async function refuseUnstartable(host: Host, current: JournalRelease, release?: number): Promise<void> {
  environmentOf(host, current.spec, current)
  await checkMounts(host, current.spec, { release })
  await refuseClashes(host.directory, current.spec)
  await refuseReserved(host, current.spec)
}

/** Rules can have changed since it was started; a stop is what ends its time. */
async function warnUnlessStartable(host: Host, current: JournalRelease, emit: Emit): Promise<void> {
  try {
    await refuseUnstartable(host, current, current.release)
  } catch (error) {
    if (!(error instanceof MypaasError)) throw error
    const { service } = current.spec
    const hint = error.hint === undefined ? '' : ` ${error.hint}`
    const message = `${service} can't be started again before this is mended: ${error.message}${hint}`
    emit({ type: 'warning', message })
  }
}

/**
 * Removes a service: routes, containers, also those of commands, images, journal, history, kept logs, what its pushes brought. Its lock file stays, for a second one of
 * that name would be another lock.
 * @param options.volumes Also the directories that it could write and the volumes that mypaas made for it, unless somebody
 *   else mounts them, too, or whoever asks may not mount them (`host.permit`).
 * @returns what was removed, in lines
 */
export async function removeService(
  host: Host,
  service: string,
  options: ReconcileOptions & { volumes?: boolean },
): Promise<readonly string[]> {
  await using _ = await lockKnown(host, service, `the removal of ${service}`, options)
  const journal = await journalOf(host, service)
  const { current: _current, next: _next, ...bare } = journal
  const { replicas } = await observe(host, service)
  refuseLost(host, service, journal, replicas)
  const volumes = options.volumes ? await volumesOfService(host, journal) : undefined
  await forgetReleases(host, bare)
  const commands = await removeCommands(host, service)
  await settleDown(host, service, options)
  const removed = [...commands, ...replicas.map(({ name }) => name)].map((name) => `container ${name}`)
  for (const { image } of await keptReleases(host, service))
    if (await removeImage(host, image)) removed.push(`image ${image}`)
  removed.push(...(await removeBuildCaches(host, service)))
  if (volumes) removed.push(...(await removeVolumes(host, service, volumes)))
  const places = placesOf(host.directory, service)
  await rm(places.folder, { recursive: true, force: true })
  await rm(places.pushed, { recursive: true, force: true })
  await rm(places.journal, { force: true })
  return removed
}

/** From here on no command is started in a container of its own: those that are there are all that there will be. */
async function forgetReleases(host: Host, bare: Journal): Promise<void> {
  await using _ = await lockClaims(host.directory, `the removal of ${bare.service}`)
  await writeJournal(host.directory, bare)
}

/** An engine that goes away in the middle is waited for, and all is looked at anew. */
function settleDown(host: Host, service: string, options: ReconcileOptions): Promise<Reconciled> {
  const mended = new Set<string>()
  return persistently(host, async () => {
    const { current, running } = await settleOnce(host, service, { ...options, note: (what) => mended.add(what) })
    // Also what a deploy that was killed after its commit had no time for.
    if (mended.size > 0 && current) await pruneReleases(host, service, current)
    return { service, release: running, mended: [...mended] }
  })
}

/** @param options.note is told each thing that is done */
async function settleOnce(
  host: Host,
  service: string,
  { emit, signal, note }: ReconcileOptions & { note: (what: string) => void },
): Promise<{ current?: number | undefined; running?: number | undefined }> {
  await removeAbandoned(placesOf(host.directory, service).folder)
  const journal = await readJournal(host.directory, service)
  const { replicas } = await observe(host, service)
  refuseLost(host, service, journal, replicas)
  if (!journal) return {}
  await refuseUnrunnable(host, journal, replicas)
  const run = { ...execution(host, service, emit, [], journal), stopDraining: signal }
  try {
    const { serve, clean } = await settlement(host, journal, host.drainMs)
    await execute([...serve, ...clean], run, (step) => note(describe(step)))
  } catch (error) {
    if (signal?.aborted || !(error instanceof MypaasError)) throw error
    throw notSettled(journal, error)
  }
  if (journal.next) {
    await removeImage(host, imageName(host.prefix, service, journal.next.release))
    await forgetNext(host, journal)
    note(`forget r${journal.next.release}, which never came`)
  }
  const current = journal.current?.release
  return { current, running: journal.stopped ? undefined : current }
}

function notSettled({ service, current, stopped }: Journal, error: MypaasError): DeployError {
  const runs = current !== undefined && !stopped
  return new DeployError(
    runs
      ? `r${current.release} of ${service}, its current release, does not run: ${error.message}`
      : `${service} is not meant to run, and could not be taken down: ${error.message}`,
    {
      code: 'degraded',
      hint:
        error.hint ??
        (runs
          ? `Deploy ${service} again, or go back: mypaas server rollback ${service}`
          : `When that is mended: mypaas server reconcile ${service}`),
      report: error instanceof DeployError ? error.report : undefined,
      cause: error,
    },
  )
}

type Replicas = Awaited<ReturnType<typeof observe>>['replicas']

/** A journal that is missing, or from before what runs, must not decide what is stopped. */
function refuseLost(host: Host, service: string, journal: Journal | undefined, replicas: Replicas): void {
  if (replicas.length === 0) return
  const file = placesOf(host.directory, service).journal
  if (!journal) {
    throw new MypaasError(
      `${service} has containers here (${replicas.map(({ name }) => name).join(', ')}) but no journal that says which release is the one.`,
      {
        code: 'degraded',
        hint: `They go on running. Put ${file} back from a backup, or remove them (docker rm -fv …) and deploy again.`,
      },
    )
  }
  const newer = replicas.find(({ release }) => release > journal.lastRelease)
  if (newer) {
    throw new MypaasError(
      `${newer.name} is newer than anything the journal of ${service} knows (r${journal.lastRelease}): the journal is an old copy.`,
      {
        code: 'degraded',
        hint: `It goes on running. Put the right ${file} back, or remove that container (docker rm -fv ${newer.name}) to go on with r${journal.current?.release ?? journal.lastRelease}.`,
      },
    )
  }
}

/** A current release that lacks containers and can't get them leaves everything as it is. */
async function refuseUnrunnable(host: Host, journal: Journal, replicas: Replicas): Promise<void> {
  const { current } = journal
  if (!current || journal.stopped) return
  const there = replicas.filter(({ release }) => release === current.release).length
  if (there < replicaCount(current.spec)) await releaseImage(host, journal.service, current.release)
}
