import { cleanVolumePath, declaredVolumes } from '../service/dockerfile.ts'
import type { ServiceSpec } from '../service/spec.ts'
import type { Host } from './host.ts'

/**
 * What is lost with each release, for people: a `VOLUME` of the image that no mount of the service stands at. One below a
 * mount is a volume of its own, too.
 * @param paths The `VOLUME`s of the image.
 */
export function lossWarnings(paths: readonly string[], spec: ServiceSpec): readonly string[] {
  const mounted = new Set(spec.volumes.map(({ target }) => target))
  return paths
    .map(cleanVolumePath)
    .filter((path) => !mounted.has(path))
    .map(
      (path) =>
        `${path} is a VOLUME of the image, and no mypaas.volume is mounted there: what is written there is lost with each release. To keep it: # mypaas.volume = ${placeFor(path, spec)}:${path}`,
    )
}

/** A directory of the home; a volume where the home would not have it: names with a dot in front, below another mount. */
function placeFor(path: string, { service, volumes }: ServiceSpec): string {
  const isBelow = volumes.some(({ target }) => path.startsWith(`${target.replace(/\/$/, '')}/`))
  if (!isBelow && !/\/\./.test(path)) return `~/${service}${path}`
  return `${service}${path.replace(/[^A-Za-z0-9_-]+/g, '-')}`
}

/** The `VOLUME`s that the image of a Dockerfile will have, as far as that can be told without a build. */
export async function volumesToCome(host: Host, dockerfile: string): Promise<readonly string[]> {
  const { paths, base } = declaredVolumes(dockerfile)
  // The engine may take no word of it for a name; the deploy says that.
  const found = base === undefined ? undefined : await host.docker.images.inspect(base).catch(() => undefined)
  return [...new Set([...Object.keys(found?.Config?.Volumes ?? {}), ...paths])]
}
