import { DockerError } from '../docker/index.ts'
import type { Host } from './host.ts'

/** The name under which the caches of a service's builds (`RUN --mount=type=cache`) are kept apart from those of others. */
export function cacheNamespace({ server }: Pick<Host, 'server'>, service: string): string {
  return `${server}-${service}`
}

/**
 * Removes the caches of a service's builds, as far as the engine says whose they are: those before 23 do not, nor does any
 * of layers.
 * @returns what was removed, in words
 */
export async function removeBuildCaches(
  host: Pick<Host, 'server' | 'docker'>,
  service: string,
): Promise<readonly string[]> {
  const mark = ` with id "${cacheNamespace(host, service)}/`
  const removed: string[] = []
  try {
    const { BuildCache, BuildCacheUsage } = await host.docker.system.df({ types: ['build-cache'] })
    for (const { ID, Type, Description } of BuildCache ?? BuildCacheUsage?.Items ?? []) {
      const at = Description.lastIndexOf(mark)
      if (Type !== 'exec.cachemount' || at < 0 || !/^[^"]*"$/.test(Description.slice(at + mark.length))) continue
      // It takes one id at a time.
      await host.docker.images.pruneBuildCache({ all: true, filters: { id: [ID] } })
      removed.push(`build cache ${Description.slice(at + mark.length, -1)}`)
    }
  } catch (error) {
    // A cache that stays does no harm: it goes when the engine wants the room.
    if (!(error instanceof DockerError)) throw error
  }
  return removed
}
