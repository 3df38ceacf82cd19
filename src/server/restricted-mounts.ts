import type { Host } from '../deploy/host.ts'
import { isOwnVolume } from '../deploy/mounts.ts'
import { NotFoundError } from '../docker/index.ts'
import type { Mount, MountOption, ServiceSpec } from '../service/spec.ts'

/** Why a mount is not a limited key's, and what would be. `deployable`: somebody with an unlimited key can deploy it. */
export type ForeignMount = Readonly<{ why: string; remedy: string; deployable: boolean }>

function isBelow(place: string, service: string): boolean {
  return place === service || place.startsWith(`${service}/`)
}

/**
 * A limited key's mounts: what its service has already, and not with more rights; or what is called like it. Never what
 * another one mounts, nor a volume whose name is one of a service that has a longer name.
 * @returns what is refused and why; `undefined` for what the key may mount, as far as its service goes
 */
export async function foreignMount(
  host: Host,
  mount: Mount,
  {
    service,
    current,
    others,
  }: Readonly<{ service: string; current: ServiceSpec | undefined; others: readonly ServiceSpec[] }>,
): Promise<ForeignMount | undefined> {
  const had = current?.volumes.some(
    (other) => placeOf(other) === placeOf(mount) && other.kind === mount.kind && (!other.readOnly || mount.readOnly),
  )
  const place = placeOf(mount)
  const isThere = (option: MountOption): boolean =>
    current?.volumes.some(
      (other) => other.kind === mount.kind && placeOf(other) === place && other.options?.includes(option) === true,
    ) === true
  // With `z` the engine marks every file that is there anew: of the machine's own ones that is not for the key to do.
  const isItsOwn = mount.kind === 'named' || (mount.kind === 'home' && isBelow(place, service))
  const isLimited = (option: MountOption): boolean => limitedOptions.has(option) && (option !== 'z' || isItsOwn)
  const foreign = mount.options?.find((option) => !isLimited(option) && !isThere(option))
  if (foreign !== undefined)
    return {
      why: `the option ${foreign} of the volume ${place}`,
      remedy: 'Its own are ro, rw, nocopy and z',
      deployable: true,
    }
  if (had) return undefined
  const owner = others.find((other) =>
    other.volumes.some((taken) => taken.kind === mount.kind && overlaps(placeOf(taken), place)),
  )
  const example = mount.kind === 'named' ? `${service}-data` : `~/${service}/data`
  const problem = (why: string, remedy = `Its own are such as ${example}`, deployable = true): ForeignMount => {
    return { why, remedy, deployable }
  }
  if (owner) {
    // One below or above another one is nobody's, as a rule.
    const isSame = owner.volumes.some((taken) => taken.kind === mount.kind && placeOf(taken) === place)
    return problem(`the volume ${place}: ${owner.service} mounts it`, undefined, isSame)
  }
  switch (mount.kind) {
    case 'home':
      return isBelow(place, service) ? undefined : problem(`the volume ~/${place}: it is not below ~/${service}`)
    case 'host':
      return problem(`the path ${place}: it is outside of ~/${service}`)
    case 'named': {
      if (!isCalledAfter(place, service)) return problem(`the volume ${place}: it is not called ${service}-…`)
      // Of `x` and `x-p`, both here, `x-p-data` is one of x-p.
      const closer = others.find(
        (other) => other.service.length > service.length && isCalledAfter(place, other.service),
      )
      if (closer)
        return problem(`the volume ${place}: by its name it is one of ${closer.service}`, 'Give it another name')
      const found = await host.docker.volumes.inspect(place).catch((error: unknown) => {
        if (error instanceof NotFoundError) return undefined
        throw error
      })
      if (!found || isOwnVolume(host, service, found) || host.foreignVolumes(service).includes(place)) return undefined
      const whose = found.Labels?.['mypaas.volume.service'] ?? 'somebody else'
      return problem(`the volume ${place}: it belongs to ${whose}`, 'Give it another name', false)
    }
    default:
      return mount satisfies never
  }
}

/** They change nothing for anybody else. */
const limitedOptions: ReadonlySet<MountOption> = new Set(['nocopy', 'z'])

function isCalledAfter(volume: string, service: string): boolean {
  return volume === service || volume.startsWith(`${service}-`) || volume.startsWith(`${service}_`)
}

function placeOf(mount: Mount): string {
  return mount.kind === 'named' ? mount.name : mount.path
}

function overlaps(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`)
}
