import { chmod } from 'node:fs/promises'
import { homedir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { removeImage } from '../../deploy/image.ts'
import { reconcile } from '../../deploy/reconcile.ts'
import { MypaasError } from '../../errors.ts'
import { serverDirectory } from '../config.ts'
import { ensureServer } from '../ensure.ts'
import { type OpenServer, openServer } from '../host.ts'
import { serverStatus } from '../status.ts'
import { judgeCertificates } from './certificates.ts'
import { judgeDaemon } from './daemon.ts'
import { fileFacts, judgeFiles, judgeIdentity, judgeKeys } from './files.ts'
import type { Finding, FindingFix } from './finding.ts'
import { judgeMachine, machineFacts } from './machine.ts'
import { judgeMounts, mountFacts } from './mounts.ts'
import { judgeReserved } from './reserved.ts'
import { judgeRouter } from './router.ts'
import { judgeServices, serviceFacts } from './services.ts'
import { judgeVolumes, lostVolumes } from './volumes.ts'
import { daemonFacts, routerFacts } from './ways.ts'

/** What was found and, with `fix`, what became of it. */
export type Examined = Readonly<{
  findings: readonly Finding[]
  /** What was mended, in lines. */
  fixed: readonly string[]
}>

/**
 * Looks for what is wrong with this server: engine, disk, clock, files, router, the way to the daemon, DNS and
 * certificates of every URL, services, leftovers. A check that itself fails is a finding; it never throws.
 * @param options.fix Mends what is safe to mend unasked, then looks again.
 */
export async function examine(options: { home?: string; fix?: boolean; signal?: AbortSignal } = {}): Promise<Examined> {
  const home = options.home ?? homedir()
  const findings = await look(home)
  if (!options.fix) return { findings, fixed: [] }
  const fixes = findings.flatMap(({ fix }) => (fix ? [fix] : []))
  const fixed: string[] = []
  // Files first: with a config that others can read no server opens.
  for (const fix of fixes.toSorted((a, b) => order(a) - order(b))) fixed.push(await mend(fix, home))
  let left = fixes.length > 0 ? await look(home) : findings
  // A router that was just started, by this or by the daemon, has its routes at once, and its certificates a moment later.
  const isStarting = findings.some(({ check }) => check === 'router')
  const deadline = performance.now() + (isStarting ? settleMs : 0)
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(250, undefined, { signal: options.signal })
    left = await look(home)
  }
  return { findings: left, fixed }
}

/** How long a router that was just started may take until it serves its certificates. */
const settleMs = 5_000

function order(fix: FindingFix): number {
  return ['chmod', 'router', 'reconcile', 'remove-container', 'remove-image'].indexOf(fix.kind)
}

async function look(home: string): Promise<readonly Finding[]> {
  const directory = serverDirectory(home)
  const files = await attempt('files', async () => judgeFiles(await fileFacts(directory)))
  let server: OpenServer
  try {
    server = await openServer(home)
  } catch (error) {
    // One that others can read is among the files already.
    return files.some(({ fix }) => fix?.kind === 'chmod' && fix.path.endsWith('config.toml'))
      ? files
      : [...files, asFinding('config', error)]
  }
  await using open = server
  const { host, config } = open
  try {
    await host.docker.system.ping()
  } catch (error) {
    return [...files, asFinding('engine', error)]
  }
  let served = true
  const router = await attempt('router', async () => {
    const facts = await routerFacts(open)
    served = facts.state === 'running'
    return judgeRouter(facts)
  })
  const checks: readonly Promise<readonly Finding[]>[] = [
    attempt('keys', () => judgeKeys(directory)),
    attempt('identity', () => judgeIdentity(directory)),
    attempt('engine', async () => judgeMachine(await machineFacts(host, config))),
    attempt('daemon', async () => judgeDaemon(await daemonFacts(open), { served })),
    // Without a router no name leads anywhere, and everybody knows why.
    attempt('certificates', async () =>
      served ? judgeCertificates(await host.router.certify({ thorough: true, readOnly: true }), new Date()) : [],
    ),
    attempt('ports', () => judgeReserved(host)),
    attempt('mounts', async () => judgeMounts(await mountFacts(host))),
    attempt('leftovers', async () => judgeVolumes(await lostVolumes(host))),
    attempt('services', async () => judgeServices(await serviceFacts(host, await serverStatus(host)))),
  ]
  return [...files, ...router, ...(await Promise.all(checks)).flat()]
}

async function attempt(check: string, work: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await work()
  } catch (error) {
    return [asFinding(check, error)]
  }
}

function asFinding(check: string, error: unknown): Finding {
  const message = error instanceof Error ? error.message : String(error)
  const mend = error instanceof MypaasError ? error.hint : undefined
  return { check, level: 'problem', message, mend: mend ?? 'Look at what it says, and run this again.' }
}

async function mend(fix: FindingFix, home: string): Promise<string> {
  try {
    switch (fix.kind) {
      case 'chmod':
        await chmod(fix.path, fix.mode)
        return `chmod ${fix.mode.toString(8)} ${fix.path}`
      case 'router': {
        await using server = await openServer(home)
        return (await ensureServer(server)).join('; ') || 'the router runs again'
      }
      case 'reconcile': {
        await using server = await openServer(home)
        const { mended } = await reconcile(server.host, fix.service, { emit: () => {}, waitMs: 10_000 })
        return `${fix.service}: ${mended.join('; ') || 'nothing was to be done'}`
      }
      case 'remove-container': {
        await using server = await openServer(home)
        await server.host.docker.containers.remove(fix.id, { volumes: true })
        return `removed the container ${fix.name}`
      }
      case 'remove-image': {
        await using server = await openServer(home)
        const done = await removeImage(server.host, fix.image)
        return done ? `removed the image ${fix.image}` : `the image ${fix.image} stays: a container uses it`
      }
    }
  } catch (error) {
    return `not mended: ${error instanceof Error ? error.message : String(error)}`
  }
}
