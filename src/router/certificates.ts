import { setTimeout as sleep } from 'node:timers/promises'
import type { NameTls } from './config.ts'
import type { ServedCertificate } from './handshake.ts'
import type { Reach } from './reach.ts'
import { renewBeforeMs } from './static-file.ts'

/** What is kept of a host name's certificate between two looks at it. */
export type NameState = Readonly<{
  /** Whose it is: the authority's, or one that a person brought. */
  source: 'authority' | 'own'
  /** Since when the router has been asking the authority. */
  askedAt?: string
  issued?: boolean
  trusted?: boolean
  /** How often in a row the authority said no. */
  failures?: number
  /** Not before then is it asked again. */
  retryAt?: string
  problem?: string
}>

export type NameStates = Readonly<Record<string, NameState>>

/**
 * How it stands with the certificate of a name.
 *
 * - `trusted` · `untrusted`: served, but not by an authority that browsers know
 * - `waiting`: the authority was asked · `blocked`: it was not, for it would not find this server under that name
 * - `refused`: it said no · `none`: nobody is asked on this server
 */
export type NameReport = Readonly<{
  host: string
  state: 'trusted' | 'untrusted' | 'waiting' | 'blocked' | 'refused' | 'none'
  source: NameState['source']
  /** Absent where it was not looked at. */
  certificate?: ServedCertificate
  /** When the router will renew it. */
  renewAt?: string
  problem?: string
  hint?: string
  retryAt?: string
}>

/** What {@link certify} needs of the world. */
export type CertifyWorld = Readonly<{
  /** Absent: no authority is asked here. */
  acme: Readonly<{ challenge: 'http' | 'tls' | 'dns'; lifetimeMs: number }> | undefined
  /** Why none is, where that may not be meant. */
  missing?: Readonly<{ problem: string; hint: string }> | undefined
  /** Whether a certificate that a person brought is for that name. */
  isOwn: (host: string) => boolean
  states: () => Promise<NameStates>
  /** Keeps states and makes the router serve by them. Absent ones stay. */
  change: (states: NameStates) => Promise<void>
  look: (host: string) => Promise<ServedCertificate | undefined>
  reach: (host: string) => Promise<Reach>
  /** What the router last said of a failed try for that name. */
  lastError: (host: string, since: Date) => Promise<string | undefined>
  now: () => Date
}>

export type CertifyOptions = Readonly<{
  hosts: readonly string[]
  /** How long to wait for those that are asked for now. Default 0. */
  waitMs?: number
  /** Looks at those, too, that are known to be good. */
  thorough?: boolean
  /** Only looks: asks no authority, and changes nothing. */
  readOnly?: boolean
  /** Asks again also where the authority said no a short while ago. */
  retry?: boolean
  onAsked?: (host: string) => void
  signal?: AbortSignal | undefined
}>

const lookEveryMs = 250
const readLogEveryMs = 1_000
/** An authority that neither gives nor refuses within that time has failed. */
const patienceMs = 10 * 60_000
const firstRetryMs = 15 * 60_000
const longestRetryMs = 12 * 3_600_000

/**
 * Sees to the certificates of host names. The router asks the authority for a name only after it was seen to lead here,
 * and not again for a while after the authority said no: Traefik itself would try at each change of any route, and a
 * few failures an hour is all that authorities allow.
 */
export async function certify(world: CertifyWorld, options: CertifyOptions): Promise<readonly NameReport[]> {
  const hosts = [...new Set(options.hosts)]
  const states = await world.states()
  const begun = await Promise.all(hosts.map((host) => begin(host, states[host], world, options)))
  if (options.readOnly) return begun.map(({ report, isNew }) => (isNew ? notAsked(report) : report))
  await world.change(changes(begun))
  const asked = begun.filter(({ report }) => report.state === 'waiting')
  for (const { report, isNew } of asked) if (isNew) options.onAsked?.(report.host)
  const ended = asked.length > 0 && options.waitMs ? await awaitAll(asked, world, options) : []
  await world.change(changes(ended))
  return begun.map(({ report }) => ended.find((later) => later.report.host === report.host)?.report ?? report)
}

/** How the router is to serve a name, given what is known of its certificate. */
export function tlsOf(state: NameState | undefined, asksAuthority: boolean): NameTls {
  if (!state || (state.source === 'authority' && !asksAuthority)) return {}
  const ask = state.source === 'authority' && (state.issued === true || state.askedAt !== undefined)
  return { ...(ask ? { ask } : {}), ...(state.trusted ? { trusted: true } : {}) }
}

function notAsked(report: NameReport): NameReport {
  const problem = 'the authority was not asked yet'
  return { ...report, state: 'blocked', problem, hint: 'Ask: mypaas server reconcile' }
}

type Judged = Readonly<{ report: NameReport; state?: NameState; isNew?: boolean }>

function changes(judged: readonly Judged[]): NameStates {
  return Object.fromEntries(judged.flatMap(({ report, state }) => (state ? [[report.host, state]] : [])))
}

async function begin(
  host: string,
  known: NameState | undefined,
  world: CertifyWorld,
  options: CertifyOptions,
): Promise<Judged> {
  const source = world.isOwn(host) ? 'own' : 'authority'
  const state = known?.source === source ? known : undefined
  if (state?.source === 'authority' && state.trusted && world.acme && !options.thorough) {
    return { report: { host, source, state: 'trusted' } }
  }
  const served = await world.look(host)
  if (served) return issued(host, source, served, world)
  const none: NameReport = { host, source, state: 'none' }
  if (source === 'own') return { report: { ...none, problem: `the router does not serve the certificate of ${host}` } }
  if (!world.acme) return { report: { ...none, ...world.missing } }
  if (state?.askedAt !== undefined) return follow(host, state, world)
  if (state?.retryAt !== undefined && new Date(state.retryAt) > world.now() && !options.retry) {
    return { report: { host, source, state: 'refused', ...refusal(state) } }
  }
  if (host.startsWith('*.') && world.acme.challenge !== 'dns') {
    const problem = `${host} stands for many names, which authorities certify by DNS only`
    const hint = 'Set challenge = "dns" and dns_provider in [router] of config.toml, then: mypaas server init'
    return { report: { host, source, state: 'blocked', problem, hint } }
  }
  const reach: Reach = world.acme.challenge === 'dns' ? { here: true } : await world.reach(host)
  if (!reach.here) {
    const { problem, hint } = reach
    const { failures } = state ?? {}
    const kept: NameState = { source, problem, ...(failures === undefined ? {} : { failures }) }
    return { report: { host, source, state: 'blocked', problem, hint }, state: kept }
  }
  const { failures } = state ?? {}
  const asked: NameState = {
    source,
    askedAt: world.now().toISOString(),
    ...(failures === undefined ? {} : { failures }),
  }
  return { report: { host, source, state: 'waiting' }, state: asked, isNew: true }
}

function issued(host: string, source: NameState['source'], served: ServedCertificate, world: CertifyWorld): Judged {
  const { trusted } = served
  const renewAt =
    source === 'authority' && world.acme
      ? new Date(new Date(served.notAfter).getTime() - renewBeforeMs(world.acme.lifetimeMs)).toISOString()
      : undefined
  const report: NameReport = {
    host,
    source,
    state: trusted ? 'trusted' : 'untrusted',
    certificate: served,
    ...(renewAt === undefined ? {} : { renewAt }),
  }
  return { report, state: { source, issued: true, ...(trusted ? { trusted } : {}) } }
}

/** One that was asked for and is not there yet. */
async function follow(host: string, state: NameState, world: CertifyWorld): Promise<Judged> {
  const askedAt = new Date(state.askedAt ?? 0)
  const said = await world.lastError(host, askedAt)
  const isLate = world.now().getTime() - askedAt.getTime() > patienceMs
  if (said === undefined && !isLate) return { report: { host, source: 'authority', state: 'waiting' }, state }
  const problem = said ?? `the authority has not answered for ${patienceMs / 60_000} minutes`
  // Only what the authority itself said counts against its limits; one that is not reached can be tried at any time.
  const judged = /urn:ietf:params:acme:error:(?!serverInternal)/.test(problem) || said === undefined
  const failures = (state.failures ?? 0) + 1
  const waitMs = Math.min(longestRetryMs, firstRetryMs * 2 ** (failures - 1))
  const retryAt = judged ? new Date(world.now().getTime() + waitMs).toISOString() : undefined
  const kept: NameState = {
    source: 'authority',
    problem,
    ...(judged ? { failures } : {}),
    ...(retryAt === undefined ? {} : { retryAt }),
  }
  return { report: { host, source: 'authority', state: 'refused', ...refusal(kept) }, state: kept }
}

function refusal({ problem, retryAt }: NameState): Pick<NameReport, 'problem' | 'hint' | 'retryAt'> {
  const again = problem?.includes('accountDoesNotExist')
    ? 'The authority has forgotten this server. Move ~/_mypaas/traefik/acme/acme.json away, then: mypaas server restart router'
    : retryAt
      ? `It is asked again after ${retryAt.slice(0, 16).replace('T', ' ')} UTC; to ask now: mypaas server certs --retry`
      : 'It is asked again by itself.'
  return { ...(problem === undefined ? {} : { problem }), hint: again, ...(retryAt === undefined ? {} : { retryAt }) }
}

/** Those that came, or were refused, within the time; the others go on. */
async function awaitAll(
  asked: readonly Judged[],
  world: CertifyWorld,
  options: CertifyOptions,
): Promise<readonly Judged[]> {
  const deadline = performance.now() + (options.waitMs ?? 0)
  const ended: Judged[] = []
  let open = asked
  let logReadAt = performance.now()
  while (open.length > 0 && performance.now() < deadline && !options.signal?.aborted) {
    await sleep(lookEveryMs)
    const readsLog = performance.now() - logReadAt > readLogEveryMs
    if (readsLog) logReadAt = performance.now()
    const now = await Promise.all(
      open.map(async (one): Promise<Judged> => {
        const { host } = one.report
        const served = await world.look(host)
        if (served) return issued(host, 'authority', served, world)
        return readsLog && one.state ? follow(host, one.state, world) : one
      }),
    )
    ended.push(...now.filter(({ report }) => report.state !== 'waiting'))
    open = now.filter(({ report }) => report.state === 'waiting')
  }
  return ended
}
