import { createHmac, timingSafeEqual } from 'node:crypto'
import { type ContainerSummary, type Docker, NotFoundError } from '../docker/index.ts'
import { containerName, isServiceName } from '../service/names.ts'

/** What identifies a container of a service: labels, which never change, and which nobody else can give it. */
export const replicaLabels = {
  server: 'mypaas.server',
  service: 'mypaas.service',
  release: 'mypaas.release',
  replica: 'mypaas.replica',
  /** Keyed by a secret of this server's, over the others. */
  proof: 'mypaas.proof',
} as const

/** Which replica a container is. */
export type Identity = Readonly<{ service: string; release: number; replica: number }>

type Server = Readonly<{ server: string; markKey: string }>
type Where = Server & Readonly<{ docker: Docker; prefix: string }>

/** The labels of a replica. */
export function identityLabels(server: Server, identity: Identity): Readonly<Record<string, string>> {
  return {
    [replicaLabels.server]: server.server,
    [replicaLabels.service]: identity.service,
    [replicaLabels.release]: String(identity.release),
    [replicaLabels.replica]: String(identity.replica),
    [replicaLabels.proof]: proofOf(server, identity),
  }
}

/**
 * Which replica a container is, if mypaas made it as that: whatever it is called by now. Anybody can write labels into an
 * image, and a container that is run from it inherits them, so there is one that only this server can write; and as an
 * image can be made of a container of ours (`docker commit`), what is called otherwise than we called it must not have
 * that label from its image. One that an older mypaas made has none: then its image must not have brought the others.
 */
export async function identify(
  where: Where,
  found: Pick<ContainerSummary, 'Id' | 'Labels' | 'Names' | 'ImageID'>,
): Promise<Identity | undefined> {
  const { Labels, Names, ImageID } = found
  const identity = claimed(Labels, where.server)
  if (!identity) return undefined
  const name = nameOf(where.prefix, identity)
  const isCalledSo = Names.includes(`/${name}`)
  const proof = Labels[replicaLabels.proof]
  if (proof !== undefined) {
    if (!isSame(proof, proofOf(where, identity))) return undefined
    return isCalledSo || !(await imageBrings(where.docker, ImageID, replicaLabels.proof)) ? identity : undefined
  }
  if (!isCalledSo && !(await wasCalled(where.docker, found.Id, name))) return undefined
  return (await imageBrings(where.docker, ImageID, replicaLabels.service)) ? undefined : identity
}

/** What identifies a container in which somebody runs a command beside a service: its name, too. */
const runLabels = {
  role: 'mypaas.role',
  service: 'mypaas.run.service',
  release: 'mypaas.run.release',
  /** Whoever is at the command holds a lock while it is there; older versions held none. */
  owned: 'mypaas.run.owned',
  proof: 'mypaas.run.proof',
} as const

type Run = Readonly<{ service: string; release: number; name: string }>

/** The labels of a container that is made for one command. */
export function runIdentityLabels(server: Server, run: Run): Readonly<Record<string, string>> {
  return {
    [replicaLabels.server]: server.server,
    [runLabels.role]: 'run',
    [runLabels.service]: run.service,
    [runLabels.release]: String(run.release),
    [runLabels.owned]: '1',
    [runLabels.proof]: proofOfRun(server, run),
  }
}

/** Whose command a container runs, if mypaas made it for that, under the name that it has. */
export function identifyRun(
  server: Server,
  { Labels, Names }: Pick<ContainerSummary, 'Labels' | 'Names'>,
): (Run & Readonly<{ isOwned: boolean }>) | undefined {
  const [name = ''] = Names
  const run = {
    service: Labels[runLabels.service] ?? '',
    release: Number(Labels[runLabels.release]),
    name: name.slice(1),
  }
  if (!isSame(Labels[runLabels.proof] ?? '', proofOfRun(server, run))) return undefined
  return { ...run, isOwned: Object.hasOwn(Labels, runLabels.owned) }
}

function proofOfRun({ server, markKey }: Server, { service, release, name }: Run): string {
  return keyed(markKey, ['run', server, service, release, name])
}

/** What a replica is called, unless somebody renames it. */
export function nameOf(prefix: string, { service, release, replica }: Identity): string {
  return `${prefix}${containerName(service, release, replica)}`
}

function claimed(labels: Readonly<Record<string, string>>, server: string): Identity | undefined {
  const number = (label: string): number => (/^[1-9]\d{0,8}$/.test(labels[label] ?? '') ? Number(labels[label]) : 0)
  const service = labels[replicaLabels.service] ?? ''
  const release = number(replicaLabels.release)
  const replica = number(replicaLabels.replica)
  if (labels[replicaLabels.server] !== server || !isServiceName(service) || release === 0 || replica === 0)
    return undefined
  return { service, release, replica }
}

function proofOf({ server, markKey }: Server, { service, release, replica }: Identity): string {
  return keyed(markKey, ['container', server, service, release, replica])
}

function keyed(markKey: string, parts: readonly (string | number)[]): string {
  return createHmac('sha256', markKey).update(parts.join('\0')).digest('hex').slice(0, 32)
}

function isSame(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a.slice(0, 64)), Buffer.from(b.slice(0, 64))]
  return one.length === other.length && timingSafeEqual(one, other)
}

/** The variable that every container of ours gets when it is made; no image of ours has it. */
async function wasCalled(docker: Docker, id: string, name: string): Promise<boolean> {
  const found = await docker.containers.inspect(id).catch(unlessGone)
  return found?.Config.Env?.includes(`MYPAAS_CONTAINER=${name}`) === true
}

/** An image never changes, and is asked for only once. */
const brought = new Map<string, boolean>()
const maxBrought = 1000

/** An image that is gone brings nothing more, and what runs of it is not left alone for that. */
async function imageBrings(docker: Docker, image: string, label: string): Promise<boolean> {
  const key = `${image} ${label}`
  const known = brought.get(key)
  if (known !== undefined) return known
  const found = await docker.images.inspect(image).catch(unlessGone)
  if (!found) return false
  if (brought.size >= maxBrought) brought.clear()
  const brings = Object.hasOwn(found.Config?.Labels ?? {}, label)
  brought.set(key, brings)
  return brings
}

function unlessGone(error: unknown): undefined {
  if (error instanceof NotFoundError) return undefined
  throw error
}
