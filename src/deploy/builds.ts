import { NotFoundError } from '../docker/index.ts'
import { MypaasError } from '../errors.ts'
import type { Host } from './host.ts'
import { type KeptRelease, keptReleases, releaseImage, removeImage, removeNamelessImages } from './image.ts'
import type { Journal } from './journal.ts'

/**
 * The releases of a service that are kept and have the same build, newest first: what a restart, a change of scale, a
 * rollback, or another build that came out the same made of it.
 */
type KeptBuild = Readonly<{ build: string; releases: readonly KeptRelease[] }>

/** The different builds of a service that are kept, the one that was last released first. */
async function keptBuilds(host: Host, service: string): Promise<readonly KeptBuild[]> {
  const kept = await keptReleases(host, service)
  const builds = new Map<string, string>()
  await Promise.all(
    [...new Map(kept.map(({ id, release }) => [id, release]))].map(async ([id, release]) => {
      const found = await releaseImage(host, service, release).catch((error: unknown) => {
        if (error instanceof MypaasError && error.cause instanceof NotFoundError) return undefined
        throw error
      })
      if (found) builds.set(id, found.build)
    }),
  )
  const grouped = new Map<string, KeptRelease[]>()
  for (const release of kept) {
    const build = builds.get(release.id)
    if (build !== undefined) grouped.set(build, [...(grouped.get(build) ?? []), release])
  }
  return [...grouped].map(([build, releases]) => ({ build, releases }))
}

/**
 * The release that a rollback goes to which is told no other: the last one that was live with another build than the
 * current one. `undefined` when none is kept.
 */
export async function releaseToGoBackTo(host: Host, journal: Journal): Promise<number | undefined> {
  const builds = await keptBuilds(host, journal.service)
  const isCurrent = ({ release }: { release: number }): boolean => release === journal.current?.release
  const others = builds
    .filter(({ releases }) => !releases.some(isCurrent))
    .flatMap(({ releases }) => releases.map(({ release }) => release))
    .filter((release) => release !== journal.next?.release)
  // Where a journal of an older version has only restarts of the current one, the images know more.
  return journal.previous?.map(({ release }) => release).find((release) => others.includes(release)) ?? others[0]
}

/**
 * Removes the images of a service beyond those of the last `keepReleases` different builds; never one that a container
 * uses, nor that of the release `inUse`. Of the names of a build two stay: as what it was built, and as what it was last
 * released. Also those whose names are gone already: an engine that stops while it removes an image leaves it without.
 */
export async function pruneReleases(host: Host, service: string, inUse: number): Promise<void> {
  const builds = await keptBuilds(host, service)
  const isUsed = ({ releases }: KeptBuild): boolean => releases.some(({ release }) => release === inUse)
  const inOrder = [...builds.filter(isUsed), ...builds.filter((build) => !isUsed(build))]
  for (const [index, { releases }] of inOrder.entries()) {
    const [newest] = releases
    for (const { release, image } of releases) {
      const isKept = release === inUse || release === newest?.release || release === newest?.builtAs
      if (index >= host.keepReleases || !isKept) await removeImage(host, image)
    }
  }
  await removeNamelessImages(host, service)
}
