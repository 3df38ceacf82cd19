import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ConflictError, NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import { pathInHome } from '../service/home.ts'
import type { Mount } from '../service/spec.ts'
import type { Host } from './host.ts'
import type { Journal } from './journal.ts'
import { follow } from './mount-path.ts'
import { type Mounted, readMounted } from './mounted.ts'
import { isOwnVolume, type Named, pathOf, titleOf } from './mounts.ts'

/** What was mounted in a service, by its title; some of it is to stay, and why. */
export type VolumesOfService = ReadonlyMap<string, Readonly<{ mount: Mount | Named; stays: string | undefined }>>

/**
 * The directories of the releases that are kept and the volumes that mypaas made for a service, whatever release. Asked
 * while the service has its current release: what that has mounted whoever may deploy it may write.
 */
export async function volumesOfService(host: Host, journal: Journal): Promise<VolumesOfService> {
  const releases = [journal.current, journal.next, ...(journal.previous ?? [])]
  const mounts = releases.flatMap((release) => release?.spec.volumes ?? [])
  const found = new Map<string, Mount | Named>()
  // Of a place that one release could only read and another could write, the latter counts.
  for (const mount of [...mounts.filter(isReadOnly), ...mounts.filter((mount) => !isReadOnly(mount))])
    found.set(titleOf(host, mount), mount)
  for (const volume of await ownVolumes(host, journal.service)) found.set(titleOf(host, volume), volume)
  const volumes = new Map<string, { mount: Mount | Named; stays: string | undefined }>()
  for (const [title, mount] of found)
    volumes.set(title, { mount, stays: await reasonToStay(host, journal.service, mount) })
  return volumes
}

function isReadOnly(mount: Mount | Named): mount is Exclude<Mount, { kind: 'named' }> {
  return mount.kind !== 'named' && mount.readOnly
}

async function reasonToStay(host: Host, service: string, mount: Mount | Named): Promise<string | undefined> {
  if (isReadOnly(mount)) return `the service could only read it; to remove it: rm -r ${pathOf(host, mount)}`
  // What a release of theirs could write they can make empty anyway.
  const may = (await host.mayMount?.(service, { ...mount, target: '/mnt', readOnly: false })) ?? true
  return may ? undefined : 'the key may not mount it'
}

/**
 * Removes what was mounted in a service. Left are volumes of others, also where the config lets the service mount them;
 * what somebody else has mounted; what it could only read; links; and host paths outside the home, which were there before.
 * @returns what was removed and what was left, and why, in lines
 */
export async function removeVolumes(
  host: Host,
  service: string,
  volumes: VolumesOfService,
): Promise<readonly string[]> {
  const lines: string[] = []
  for (const [title, { mount, stays }] of volumes) {
    try {
      const why =
        stays ??
        (mount.kind === 'named'
          ? await removeVolume(host, service, mount.name)
          : await removePath(host, service, mount))
      if (why !== undefined) lines.push(`left ${title}: ${why}`)
      else lines.push(mount.kind === 'named' ? `volume ${mount.name}` : `directory ${title}`)
    } catch (error) {
      if (!(error instanceof MypaasError)) throw error
      lines.push(`left ${title}: ${error.message}`)
    }
  }
  return lines
}

/** The volumes that were made for a service, also those of releases that nobody knows of any more. */
async function ownVolumes(host: Host, service: string): Promise<readonly Named[]> {
  const label = [`mypaas.server=${host.server}`, `mypaas.volume.service=${service}`]
  const { Volumes } = await host.docker.volumes.list({ filters: { label } })
  const own = (Volumes ?? []).filter((volume) => isOwnVolume(host, service, volume))
  return own.map(({ Name }) => ({ kind: 'named', name: Name }))
}

/** @returns why it was left */
async function removeVolume(host: Host, service: string, name: string): Promise<string | undefined> {
  try {
    const volume = await host.docker.volumes.inspect(name)
    if (!isOwnVolume(host, service, volume)) {
      const owner = volume.Labels?.['mypaas.volume.service']
      const whose =
        owner === undefined
          ? 'mypaas did not make it'
          : `it was made for ${owner === service ? 'another server' : owner}`
      return `${whose}; to remove it: docker volume rm ${name}`
    }
    const user = (await readMounted(host)).sources.find(
      ({ by, place }) => by.kind === 'service' && by.service !== service && place.real === volume.Mountpoint,
    )
    if (user?.by.kind === 'service') return `${user.by.service} mounts it, too`
    await host.docker.volumes.remove(name)
  } catch (error) {
    // The engine knows who has it mounted.
    if (error instanceof ConflictError) return 'a container has it mounted'
    if (!(error instanceof NotFoundError)) throw error
  }
  return undefined
}

/** @returns why it was left */
async function removePath(
  host: Host,
  service: string,
  mount: Exclude<Mount, { kind: 'named' }>,
): Promise<string | undefined> {
  const below = mount.kind === 'home' ? mount.path : pathInHome(mount.path, host.homeRules)
  if (below === undefined || below === '') return 'it is outside the home'
  const path = join(host.home, below)
  const place = await follow(path)
  if (place.links.length > 0) return `it leads to ${place.real} by a link`
  if (place.unseen !== undefined) return `the user that runs mypaas may not look into ${place.unseen}`
  const mounted = await readMounted(host)
  const owner = await holderOf(mounted, service, place)
  if (owner !== undefined) return `${owner} mounts it, too`
  await rm(path, { recursive: true, force: true })
  return undefined
}

/** Who has a place mounted, or one above or below: who can write it could lead the removal elsewhere. */
async function holderOf(
  { sources, table, ours }: Mounted,
  service: string,
  place: Awaited<ReturnType<typeof follow>>,
): Promise<string | undefined> {
  if (ours.some((one) => table.same(one.place, place) || table.isBelow(one.place, place))) return 'mypaas'
  for (const { by, place: other } of sources) {
    if (by.kind === 'service' && by.service === service) continue
    if (!table.same(place, other) && !table.isBelow(place, other) && !table.isBelow(other, place)) continue
    if (by.kind === 'service') return by.service
    if (await by.lives()) return `the container ${by.name}`
  }
  return undefined
}
