import { join } from 'node:path'
import type { Context } from '../context/index.ts'
import { BuildError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { sampleEnvironment } from '../service/environment.ts'
import { parseSpec } from '../service/parse.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { refuseClashes } from './claims.ts'
import { imageName } from './container.ts'
import type { Emit } from './events.ts'
import { type Execution, execute, type ReleaseFacts, requestAll } from './execute.ts'
import type { Host } from './host.ts'
import { buildImage, keptReleases, pruneReleases, type ReleaseImage, releaseImage, removeImage } from './image.ts'
import { type Journal, readJournal, writeJournal } from './journal.ts'
import { takeLock } from './lock.ts'
import { observe } from './observe.ts'
import { type Plan, planDeploy, type Settlement, type Step, settle } from './plan.ts'
import { checkMounts } from './volumes.ts'
import { DeployError } from './why.ts'

export type DeployOptions = Readonly<{
  emit: Emit
  /** Ends the deploy; up to the commit the old release goes on serving, after it the old one is cut short. */
  signal?: AbortSignal | undefined
  /** How long to wait for a deploy of the same service that is on; 0, the default, is not at all. */
  waitMs?: number
}>

export type Deployed = Readonly<{ service: string; release: number; urls: readonly string[] }>

/**
 * Builds a context and makes it the current release of its service. Done when the release answers on each of its URLs
 * and the one before it is gone.
 * @throws {DirectiveError} when the Dockerfile's `# mypaas.` lines are wrong: nothing was touched
 * @throws {MypaasError} `locked` when a deploy of the service is on · `failed` when the old release serves as before ·
 *   `rolled-back` when the new one had traffic already · `degraded` when a person is needed
 */
export async function deploy(host: Host, context: Context, options: DeployOptions): Promise<Deployed> {
  const begin = performance.now()
  const spec = parseSpec(context.dockerfileText)
  const environment = sampleEnvironment(spec, host.secrets(spec.service))
  await checkMounts(host, spec)

  await using _ = await takeLock(join(host.directory, 'services', `${spec.service}.lock`), {
    what: `a deploy of ${spec.service}`,
    waitMs: options.waitMs ?? 0,
    signal: options.signal,
  })
  await clearLeftovers(host, spec.service, options)
  const { journal, release } = await claim(host, spec)
  options.emit({ type: 'deploy', service: spec.service, release })

  const track = { step: undefined as Step | undefined, plan: undefined as Plan | undefined }
  let committed: Journal
  let image: ReleaseImage
  try {
    const { emit, signal } = options
    image = await buildImage(host, {
      context,
      spec,
      release,
      onEvent: (event) => emit({ type: 'build', event }),
      signal,
    })
    const observed = await observe(host, spec.service)
    track.plan = planDeploy({ spec, release, journal, observed, prefix: host.prefix, timing: host })
    emit({ type: 'planned', plan: track.plan })
    const next = { release, image: image.id, spec, deployedAt: new Date().toISOString() }
    committed = { ...without(journal, 'next', 'stopped'), current: next, lastRelease: release }
    const run = execution(host, spec.service, options, [{ release, spec, image, environment }], journal, () =>
      writeJournal(host.directory, committed),
    )
    await execute(track.plan.steps, { ...run, signal }, (step) => {
      track.step = step
    })
  } catch (error) {
    throw await takeBack(host, journal, release, error, track, options)
  }

  const run = execution(host, spec.service, options, [{ release, spec, image, environment }], committed)
  const after = await settlement(host, committed, host.drainMs)
  const urls = spec.urls.map((url) => host.router.show(url))
  try {
    await execute(after.serve, run)
    if (track.plan.order === 'stop-first') await requestAll(release, run)
  } catch (error) {
    throw notServing(spec.service, release, error)
  }
  options.emit({ type: 'live', service: spec.service, release, urls, ms: Math.round(performance.now() - begin) })
  await execute(after.clean, { ...run, stopDraining: options.signal })
  await pruneReleases(host, spec.service, [release])
  options.emit({ type: 'done', service: spec.service, release, ms: Math.round(performance.now() - begin) })
  return { service: spec.service, release, urls }
}

/**
 * Gives the release its number and, under the lock that all services share, its URLs and host ports: from here on the
 * journal says that it is coming.
 */
async function claim(host: Host, spec: ServiceSpec): Promise<{ journal: Journal; release: number }> {
  await using _ = await takeLock(join(host.directory, 'claims.lock'), {
    what: 'a claim of URLs and ports',
    waitMs: 10_000,
  })
  await refuseClashes(host.directory, spec)
  const journal = await readJournal(host.directory, spec.service)
  const { replicas } = await observe(host, spec.service)
  const used = [...replicas, ...(await keptReleases(host, spec.service))].map(({ release }) => release)
  const release = Math.max(0, journal?.lastRelease ?? 0, ...used) + 1
  const next = { release, image: '', spec, deployedAt: new Date().toISOString() }
  const claimed: Journal = {
    ...(journal ?? { version: 1, service: spec.service, server: host.server }),
    next,
    lastRelease: release,
  }
  await writeJournal(host.directory, claimed)
  return { journal: claimed, release }
}

/** What a deploy that was killed left behind is taken away before the next one plans. */
async function clearLeftovers(host: Host, service: string, options: DeployOptions): Promise<void> {
  const journal = await readJournal(host.directory, service)
  const { replicas } = await observe(host, service)
  if (!journal) {
    if (replicas.length === 0) return
    throw new MypaasError(
      `${service} has containers here (${replicas.map(({ name }) => name).join(', ')}) but no journal that says which release is the one.`,
      {
        code: 'degraded',
        hint: `They go on running. Put ${host.directory}/services/${service}.json back from a backup, or remove them (docker rm -f …) and deploy again.`,
      },
    )
  }
  const strangers = replicas.some(({ release }) => release !== journal.current?.release)
  if (!journal.next && !strangers) return
  const { serve, clean } = await settlement(host, journal, host.holdDrainMs)
  const run = execution(host, service, options, [], journal)
  await execute([...serve, ...clean], run)
  await forgetNext(host, journal)
}

/** After a failure before the commit: the release before serves again, and nothing of the failed one stays. */
async function takeBack(
  host: Host,
  journal: Journal,
  release: number,
  error: unknown,
  track: { step: Step | undefined; plan: Plan | undefined },
  options: DeployOptions,
): Promise<unknown> {
  const before = journal.current?.release
  const { service } = journal
  options.emit({ type: 'taking-back', service, release })
  try {
    const { serve, clean } = await settlement(host, journal, host.drainMs)
    await execute([...serve, ...clean], {
      ...execution(host, service, options, [], journal),
      stopDraining: options.signal,
    })
    await removeImage(host, imageName(host.prefix, service, release))
    await forgetNext(host, journal)
  } catch (trouble) {
    return new DeployError(
      `r${release} of ${service} failed: ${messageOf(error)} And ${before === undefined ? 'it could not be cleared away' : `r${before} could not be brought back`}: ${messageOf(trouble)}`,
      {
        code: 'degraded',
        hint: `See what is there: docker ps -a --filter label=mypaas.service=${service}. A deploy of ${service} that works mends it.`,
        report: trouble instanceof DeployError ? trouble.report : undefined,
        cause: error,
      },
    )
  }
  const now = before === undefined ? `Nothing of ${service} runs.` : `r${before} serves as before.`
  if (options.signal?.aborted) {
    return new DeployError(`The deploy of ${service} was stopped on request.`, { code: 'aborted', now, cause: error })
  }
  const hadTraffic = before !== undefined && (track.step?.kind === 'request' || track.step?.kind === 'commit')
  if (error instanceof BuildError) {
    const { step, exitCode, lastLines } = error
    const where = step ? `The build failed at ${step}` : 'The build failed'
    const message = exitCode === undefined ? `${where}: ${error.message}` : `${where}, with exit code ${exitCode}.`
    const report = { container: 'the build', lastLines, ...(exitCode === undefined ? {} : { exitCode }) }
    return new DeployError(message, { now, hint: error.hint, report, cause: error })
  }
  if (error instanceof DeployError || error instanceof MypaasError) {
    const code =
      hadTraffic && track.plan?.order === 'start-first'
        ? 'rolled-back'
        : error.code === 'engine'
          ? 'failed'
          : error.code
    return new DeployError(error.message, {
      code,
      hint: error.hint,
      now,
      report: error instanceof DeployError ? error.report : undefined,
      cause: error,
    })
  }
  return new DeployError(messageOf(error), { now, cause: error })
}

function notServing(service: string, release: number, error: unknown): DeployError {
  return new DeployError(`r${release} of ${service} is the current release, but: ${messageOf(error)}`, {
    code: 'degraded',
    hint: `Mend it and deploy again. Its log: docker logs ${service}-r${release}-1`,
    report: error instanceof DeployError ? error.report : undefined,
    cause: error,
  })
}

async function settlement(host: Host, journal: Journal, drainMs: number): Promise<Settlement> {
  const observed = await observe(host, journal.service)
  const routes = await host.router.current(journal.service)
  return settle({ journal, observed, routes, prefix: host.prefix, timing: host, drainMs })
}

async function forgetNext(host: Host, journal: Journal): Promise<void> {
  await writeJournal(host.directory, without(journal, 'next'))
}

/** What steps need: facts of the releases at hand, and of older ones when they are asked for. */
function execution(
  host: Host,
  service: string,
  options: DeployOptions,
  known: readonly ReleaseFacts[],
  journal: Journal,
  commit: () => Promise<void> = async () => {},
): Execution {
  const facts = new Map(known.map((release) => [release.release, release]))
  return {
    host,
    service,
    emit: options.emit,
    commit,
    async releases(release): Promise<ReleaseFacts> {
      const found = facts.get(release)
      if (found) return found
      const spec = [journal.current, journal.next].find((candidate) => candidate?.release === release)?.spec
      if (!spec) throw new MypaasError(`Nothing is known of r${release} of ${service}.`, { code: 'degraded' })
      const made: ReleaseFacts = {
        release,
        spec,
        image: await releaseImage(host, service, release),
        environment: sampleEnvironment(spec, host.secrets(service)),
      }
      facts.set(release, made)
      return made
    },
  }
}

function without<K extends keyof Journal>(journal: Journal, ...keys: K[]): Omit<Journal, K> {
  const copy = { ...journal }
  for (const key of keys) delete copy[key]
  return copy
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
