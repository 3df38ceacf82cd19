import type { Since } from './engine.ts'

/**
 * What of a body is younger than some engines. A table maps paths (`HostConfig.Mounts.*.Type`, `*` for each element or
 * value) to the API version that brought them, or to one version per value (`{ image: '1.48' }`).
 */
export type SinceTable = Readonly<Record<string, string | Readonly<Record<string, string>>>>

/** The entries of the table that this body uses. */
export function sinceOf(table: SinceTable, body: unknown): Since[] {
  const used: Since[] = []
  for (const [path, version] of Object.entries(table)) {
    for (const value of valuesAt(body, path.split('.'))) {
      if (typeof version === 'string') used.push([path.replaceAll('.*', '[]'), version, value])
      else if (typeof value === 'string' && Object.hasOwn(version, value)) {
        used.push([`${path.replaceAll('.*', '[]')} ${value}`, version[value] ?? '', value])
      }
    }
  }
  return used
}

function* valuesAt(value: unknown, [key, ...rest]: string[]): Generator<unknown> {
  if (key === undefined) {
    if (value !== undefined && value !== null) yield value
    return
  }
  if (typeof value !== 'object' || value === null) return
  if (key !== '*') yield* valuesAt((value as Record<string, unknown>)[key], rest)
  else for (const one of Object.values(value)) yield* valuesAt(one, rest)
}

function under(prefix: string, table: SinceTable): SinceTable {
  return Object.fromEntries(Object.entries(table).map(([path, version]) => [`${prefix}.${path}`, version]))
}

const mount: SinceTable = {
  Type: { cluster: '1.42', image: '1.48' },
  'BindOptions.CreateMountpoint': '1.42',
  'BindOptions.ReadOnlyNonRecursive': '1.44',
  'BindOptions.ReadOnlyForceRecursive': '1.44',
  'VolumeOptions.Subpath': '1.45',
  'TmpfsOptions.Options': '1.46',
  ImageOptions: '1.48',
}

const endpoint: SinceTable = { MacAddress: '1.44', GwPriority: '1.48' }

/** @see https://docs.docker.com/reference/api/engine/version-history/ for all tables here */
export const containerConfigSince: SinceTable = {
  'Healthcheck.StartInterval': '1.44',
  'HostConfig.Annotations': '1.43',
  'HostConfig.ConsoleSize': '1.42',
  ...under('HostConfig.Mounts.*', mount),
  ...under('NetworkingConfig.EndpointsConfig.*', endpoint),
}

/** Older engines take these and do nothing. */
export const containerUpdateSince: SinceTable = {
  BlkioWeightDevice: '1.55',
  BlkioDeviceReadBps: '1.55',
  BlkioDeviceWriteBps: '1.55',
  BlkioDeviceReadIOps: '1.55',
  BlkioDeviceWriteIOps: '1.55',
}

export const networkConnectSince: SinceTable = under('EndpointConfig', endpoint)

export const networkConfigSince: SinceTable = { EnableIPv4: '1.48' }

export const volumeConfigSince: SinceTable = { ClusterVolumeSpec: '1.42' }

export const serviceSpecSince: SinceTable = {
  ...under('TaskTemplate.ContainerSpec.Mounts.*', mount),
  'TaskTemplate.ContainerSpec.HealthCheck.StartInterval': '1.44',
  'TaskTemplate.ContainerSpec.Privileges.Seccomp': '1.44',
  'TaskTemplate.ContainerSpec.Privileges.AppArmor': '1.44',
  'TaskTemplate.ContainerSpec.Privileges.NoNewPrivileges': '1.44',
  'TaskTemplate.ContainerSpec.OomScoreAdj': '1.46',
  'TaskTemplate.Resources.SwapBytes': '1.52',
  'TaskTemplate.Resources.MemorySwappiness': '1.52',
}
