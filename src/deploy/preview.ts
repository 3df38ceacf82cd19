import { MypaasError } from '../errors.ts'
import { declaredCommand } from '../service/dockerfile.ts'
import { formatPublish } from '../service/publish.ts'
import type { ServiceSpec } from '../service/spec.ts'
import { formatUrl } from '../service/url.ts'
import { formatVolume } from '../service/volume.ts'
import { dockerfileWarnings } from '../service/warnings.ts'
import { formatBytes, formatDuration } from '../units.ts'
import { missingBases } from './bases.ts'
import { refuseClashes } from './claims.ts'
import type { Host } from './host.ts'
import { lossWarnings, volumesToCome } from './image-volumes.ts'
import { type Journal, readJournal } from './journal.ts'
import { checkMounts } from './mounts.ts'
import { nextRelease } from './operate.ts'
import type { Plan } from './plan.ts'
import { makePlan } from './release.ts'
import { specForHere } from './reserved.ts'
import { resourceWarnings } from './resources.ts'
import { environmentOf, secretsFor } from './secret-rights.ts'
import { changedSecrets, secretMarks } from './secrets.ts'
import { shellForm, shellFormNotes } from './shell-form.ts'

/** A deploy that was not done: its plan, what it would change, and what to mind. */
export type Preview = Readonly<{
  plan: Plan
  /** Settings that differ from the current release's, in words: `+ url https://…`, `- env OLD`, `~ port 80 → 8080`. */
  changes: readonly string[]
  /** Names of secrets whose values differ from what the current release got. */
  changedSecrets: readonly string[]
  warnings: readonly string[]
}>

/**
 * What a deploy of this Dockerfile would do. Reads only, and needs no lock; the image is not built.
 * @throws the same errors as the deploy for what can be known before: directives, secrets, mounts, clashes
 */
export async function previewDeploy(host: Host, dockerfile: string): Promise<Preview> {
  const spec = await specForHere(host, dockerfile)
  const rights = { secretsFrom: host.secretsFrom }
  const environment = environmentOf(host, spec, rights)
  const command = declaredCommand(dockerfile)
  await checkMounts(host, spec, { from: { dockerfile: 'Dockerfile', dockerfileText: dockerfile } })
  await refuseClashes(host.directory, spec)
  const journal: Journal = (await readJournal(host.directory, spec.service)) ?? {
    version: 1,
    service: spec.service,
    server: host.server,
    lastRelease: 0,
  }
  if (journal.next) {
    throw new MypaasError(`A deploy of ${spec.service} (r${journal.next.release}) is on, or was killed.`, {
      code: 'locked',
      hint: `If none is on: mypaas server reconcile ${spec.service}`,
    })
  }
  const plan = await makePlan(host, spec, await nextRelease(host, spec.service, journal), journal)
  const { current } = journal
  return {
    plan: { ...plan, notes: command ? shellFormNotes(shellForm(command, environment)) : [] },
    changes: current ? differences(current.spec, spec) : [],
    changedSecrets: current
      ? changedSecrets(current.secrets ?? {}, secretMarks(host, spec, secretsFor(host, spec.service, rights)))
      : [],
    warnings: [
      ...dockerfileWarnings(dockerfile),
      ...lossWarnings(await volumesToCome(host, dockerfile), spec),
      ...(await resourceWarnings(host, plan, spec)),
      ...(await missingBases(host, dockerfile)).map((image) => `The image ${image} is not here: the deploy pulls it.`),
    ],
  }
}

/** The settings in which two specs differ, a line each; of variables only names. */
export function differences(before: ServiceSpec, now: ServiceSpec): readonly string[] {
  const lists: [name: string, list: (spec: ServiceSpec) => readonly string[]][] = [
    ['url', (spec) => spec.urls.map(formatUrl)],
    ['volume', (spec) => spec.volumes.map(formatVolume)],
    ['publish', (spec) => spec.publish.map(formatPublish)],
    ['env', (spec) => spec.env.map(({ key }) => key)],
  ]
  const lines = lists.flatMap(([name, list]) => {
    const [old, fresh] = [list(before), list(now)]
    return [
      ...old.filter((item) => !fresh.includes(item)).map((item) => `- ${name} ${item}`),
      ...fresh.filter((item) => !old.includes(item)).map((item) => `+ ${name} ${item}`),
    ]
  })
  for (const { key, value } of now.env) {
    const old = before.env.find((variable) => variable.key === key)
    if (old && old.value !== value) lines.push(`~ env ${key}`)
  }
  const values: [name: string, show: (spec: ServiceSpec) => string][] = [
    ['port', (spec) => String(spec.port)],
    ['scale', (spec) => (spec.scale === undefined ? 'none' : `${spec.scale}${spec.rollout === 'safe' ? ' safe' : ''}`)],
    [
      'healthcheck',
      ({ healthcheck }) =>
        healthcheck
          ? `${healthcheck.path} ${formatDuration(healthcheck.intervalMs)} ${formatDuration(healthcheck.timeoutMs)}`
          : 'none',
    ],
    ['start_timeout', (spec) => (spec.startTimeoutMs === undefined ? 'none' : formatDuration(spec.startTimeoutMs))],
    ['grace', (spec) => (spec.graceMs === undefined ? "the server's" : formatDuration(spec.graceMs))],
    ['maxcpu', (spec) => String(spec.maxCpu ?? 'none')],
    ['maxmem', (spec) => (spec.maxMemoryBytes === undefined ? 'none' : formatBytes(spec.maxMemoryBytes))],
  ]
  for (const [name, show] of values) {
    if (show(before) !== show(now)) lines.push(`~ ${name} ${show(before)} → ${show(now)}`)
  }
  return lines
}
