import { stat } from 'node:fs/promises'
import type { Host } from '../../deploy/host.ts'
import { journalledServices } from '../../deploy/journal.ts'
import { formatBytes } from '../../units.ts'
import { manyRestarts, routerIsSilent, type ServiceStatus } from '../status.ts'
import type { Finding } from './finding.ts'

/** What is known of services, and of what is left of them. */
export type ServiceFacts = Readonly<{
  services: readonly ServiceStatus[]
  /** Whether the replicas of a service come back after a reboot. */
  unarmed: readonly string[]
  /** Logs as they lie on the disk. */
  logs: readonly Readonly<{ container: string; bytes: number }>[]
  /** The most that one should have: what the config says, three times over. */
  logLimit: number
  /** Containers that carry this server's label and belong to no service that it knows. */
  containers: readonly Readonly<{ id: string; name: string; state: string; role: string | undefined }>[]
  /** Images of services that are gone. */
  images: readonly string[]
}>

export async function serviceFacts(host: Host, services: readonly ServiceStatus[]): Promise<ServiceFacts> {
  const label = [`mypaas.server=${host.server}`]
  const found = await host.docker.containers.list({ all: true, filters: { label } })
  const known = new Set([...(await journalledServices(host.directory)), ...services.map(({ service }) => service)])
  const logs: { container: string; bytes: number }[] = []
  const unarmed: string[] = []
  for (const { Id, Names } of found) {
    const container = await host.docker.containers.inspect(Id).catch(() => undefined)
    if (!container) continue
    const name = (Names[0] ?? '').slice(1)
    // Only root may look at it.
    const log = container.LogPath ? await stat(container.LogPath).catch(() => undefined) : undefined
    if (log) logs.push({ container: name, bytes: log.size })
    const isReplica = services.some(({ replicas }) => replicas.some((replica) => replica.name === name))
    if (isReplica && container.State.Running && container.HostConfig.RestartPolicy?.Name !== 'always')
      unarmed.push(name)
  }
  const images = await host.docker.images.list({ filters: { label: [`mypaas.image.server=${host.server}`] } })
  return {
    services,
    unarmed,
    logs,
    logLimit: host.logBytes,
    containers: found
      .filter(({ Labels }) => isLeftover(Labels, known))
      .map(({ Id, Names, State, Labels }) => ({
        id: Id,
        name: (Names[0] ?? '').slice(1),
        state: State,
        role: Labels['mypaas.role'],
      })),
    images: images
      .filter(({ Labels }) => !known.has(Labels?.['mypaas.image.service'] ?? ''))
      .flatMap(({ RepoTags }) => RepoTags ?? []),
  }
}

/** A command's own container goes with its command; a router set aside goes when the new one answers. */
function isLeftover(labels: Readonly<Record<string, string>>, known: ReadonlySet<string>): boolean {
  const role = labels['mypaas.role']
  if (role === 'router') return false
  if (role === 'run') return true
  const service = labels['mypaas.service']
  return service === undefined || !known.has(service)
}

export function judgeServices(facts: ServiceFacts): readonly Finding[] {
  const findings: Finding[] = []
  for (const status of facts.services)
    findings.push(...judgeMemory(status), ...judgeService(status), ...judgeSecrets(status))
  for (const name of facts.unarmed) {
    findings.push({
      check: 'services',
      level: 'problem',
      message: `${name} serves, but would not come back after a reboot.`,
      mend: 'mypaas server reconcile',
    })
  }
  for (const { container, bytes } of facts.logs) {
    if (bytes <= facts.logLimit * 2) continue
    findings.push({
      check: 'logs',
      level: 'warning',
      message: `The log of ${container} has ${formatBytes(bytes)}, and should be rotated at ${formatBytes(facts.logLimit)}.`,
      mend: 'A new container gets the limit: mypaas server restart NAME',
    })
  }
  for (const { id, name, state, role } of facts.containers) {
    // One that runs may be somebody's shell.
    const isOver = state !== 'running' && state !== 'paused' && state !== 'restarting'
    findings.push({
      check: 'leftovers',
      level: 'warning',
      message:
        role === 'run' && !isOver
          ? `The container ${name} of mypaas server run is there; its command may be gone.`
          : `The container ${name} (${state}) belongs to no service here.`,
      mend: `docker rm -fv ${name}`,
      ...(isOver ? { fix: { kind: 'remove-container', id, name } as const } : {}),
    })
  }
  for (const image of facts.images) {
    findings.push({
      check: 'leftovers',
      level: 'warning',
      message: `The image ${image} is of a service that is gone.`,
      mend: `docker rmi ${image}`,
      fix: { kind: 'remove-image', image },
    })
  }
  return findings
}

function judgeMemory({ service, outOfMemory }: ServiceStatus): readonly Finding[] {
  if (outOfMemory === undefined) return []
  return [
    {
      check: 'memory',
      level: 'problem',
      message: `${service} ${outOfMemory}.`,
      mend: `Give it more with # mypaas.maxmem=… in its Dockerfile, or let it use less; what it said: mypaas server logs ${service} --tail 50`,
    },
  ]
}

function judgeService({ service, problem, outOfMemory, next, replicas }: ServiceStatus): readonly Finding[] {
  const restless = replicas.filter(({ restarts }) => restarts >= manyRestarts)
  if (restless.length > 0) {
    return restless.map(({ name, restarts }) => ({
      check: 'restarts',
      level: 'problem',
      message: `${name} does not stay up: it was started again ${restarts} times.`,
      mend: `mypaas server logs ${service} --tail 50; to go back: mypaas server rollback ${service}`,
    }))
  }
  if (problem !== undefined && problem !== routerIsSilent && problem !== outOfMemory) {
    const mends = /do not run|router does not lead|^paused: /.test(problem)
    return [
      {
        check: 'services',
        level: 'problem',
        message: `${service}: ${problem}.`,
        mend: mends ? `mypaas server reconcile ${service}` : `mypaas server logs ${service} --tail 50`,
        ...(mends ? { fix: { kind: 'reconcile', service } as const } : {}),
      },
    ]
  }
  if (next !== undefined) {
    return [
      {
        check: 'services',
        level: 'warning',
        message: `A deploy of ${service} (r${next}) is on, or was killed.`,
        mend: `If none is on: mypaas server reconcile ${service}`,
      },
    ]
  }
  return []
}

/** Nothing restarts by itself for a changed secret: a person may change several, or wait for the night. */
function judgeSecrets({ service, changedSecrets }: ServiceStatus): readonly Finding[] {
  if (changedSecrets.length === 0) return []
  return [
    {
      check: 'secrets',
      level: 'warning',
      message: `${service} was started with another value of ${changedSecrets.join(', ')} than config.toml has now.`,
      mend: `mypaas server restart ${service}`,
    },
  ]
}
