import type { ContainerSummary } from './container.ts'
import type { ImageSummary } from './image.ts'
import type { Cluster, GenericResource } from './swarm.ts'
import type { Volume } from './volume.ts'

export type EngineEvent = {
  /** `container`, `image`, `network`, `volume`, `daemon`, … */
  Type: string
  /** `start`, `die`, `health_status: healthy`, … */
  Action: string
  /** The object; its attributes hold labels, `exitCode`, `name`, … */
  Actor: { ID: string; Attributes: Record<string, string> }
  scope?: 'local' | 'swarm'
  /** Unix seconds. */
  time: number
  /** Unix nanoseconds, rounded: a number can't hold all of them. `at` is exact. */
  timeNano: number
  /** Unix seconds with nine decimals. Given as `since`, it goes on from this event (which then comes again). */
  at: string
}

export type SystemVersion = {
  Platform?: { Name: string }
  Components?: { Name: string; Version: string; Details?: Record<string, string> | null }[]
  /** Of the engine, e.g. `28.5.2`. */
  Version: string
  /** The newest API that it speaks. */
  ApiVersion: string
  MinAPIVersion?: string
  GitCommit: string
  GoVersion: string
  Os: string
  Arch: string
  KernelVersion?: string
  Experimental?: boolean
  BuildTime?: string
}

export type SystemInfo = {
  ID: string
  Containers: number
  ContainersRunning: number
  ContainersPaused: number
  ContainersStopped: number
  Images: number
  /** Of storage, e.g. `overlay2`. */
  Driver: string
  DriverStatus: [string, string][] | null
  DockerRootDir: string
  Plugins: { Volume: string[] | null; Network: string[] | null; Authorization: string[] | null; Log: string[] | null }
  MemoryLimit: boolean
  SwapLimit: boolean
  CpuCfsPeriod: boolean
  CpuCfsQuota: boolean
  CPUShares: boolean
  CPUSet: boolean
  PidsLimit: boolean
  OomKillDisable: boolean
  IPv4Forwarding: boolean
  Debug: boolean
  NFd: number
  NGoroutines: number
  SystemTime: string
  LoggingDriver: string
  CgroupDriver: string
  CgroupVersion?: '1' | '2'
  NEventsListener: number
  KernelVersion: string
  OperatingSystem: string
  OSVersion: string
  OSType: string
  Architecture: string
  NCPU: number
  /** Bytes. */
  MemTotal: number
  IndexServerAddress: string
  RegistryConfig: {
    InsecureRegistryCIDRs: string[] | null
    IndexConfigs: Record<string, { Name: string; Mirrors: string[] | null; Secure: boolean; Official: boolean }>
    Mirrors: string[] | null
  } | null
  GenericResources: GenericResource[] | null
  HttpProxy: string
  HttpsProxy: string
  NoProxy: string
  /** The host's name. */
  Name: string
  Labels: string[] | null
  ExperimentalBuild: boolean
  ServerVersion: string
  Runtimes?: Record<string, { path?: string; runtimeArgs?: string[] | null; status?: Record<string, string> | null }>
  DefaultRuntime: string
  Swarm: {
    NodeID: string
    NodeAddr: string
    LocalNodeState: '' | 'inactive' | 'pending' | 'active' | 'error' | 'locked'
    ControlAvailable: boolean
    Error: string
    RemoteManagers: { NodeID: string; Addr: string }[] | null
    Nodes?: number
    Managers?: number
    Cluster?: Cluster
  }
  LiveRestoreEnabled: boolean
  Isolation: string
  InitBinary: string
  ContainerdCommit: { ID: string }
  RuncCommit: { ID: string }
  InitCommit: { ID: string }
  /** E.g. `name=rootless`. */
  SecurityOptions: string[] | null
  ProductLicense?: string
  DefaultAddressPools?: { Base: string; Size: number }[]
  /** Since API 1.49. */
  FirewallBackend?: { Driver: string; Info?: [string, string][] }
  /** Since API 1.50. */
  DiscoveredDevices?: { Source: string; ID: string }[]
  /** Since API 1.53. */
  NRI?: { Info?: [string, string][] }
  Warnings: string[] | null
  /** Since API 1.44. */
  CDISpecDirs?: string[]
  /** Since API 1.46. */
  Containerd?: { Address: string; Namespaces: { Containers: string; Plugins: string } }
}

/** Bytes on disk. Up to API 1.52 the lists of objects, since 1.52 the sums (the lists then with `verbose`, in `Items`). */
export type DiskUsage = {
  LayersSize?: number
  Images?: ImageSummary[] | null
  Containers?: ContainerSummary[] | null
  Volumes?: Volume[] | null
  BuildCache?: BuildCacheEntry[] | null
  /** Since API 1.52. */
  ImageUsage?: UsageSum<ImageSummary>
  /** Since API 1.52. */
  ContainerUsage?: UsageSum<ContainerSummary>
  /** Since API 1.52. */
  VolumeUsage?: UsageSum<Volume>
  /** Since API 1.52. */
  BuildCacheUsage?: UsageSum<BuildCacheEntry>
}

/** Sizes in bytes. */
export type UsageSum<Item> = {
  ActiveCount: number
  TotalCount: number
  Reclaimable: number
  TotalSize: number
  Items?: Item[]
}

export type BuildCacheEntry = {
  ID: string
  /** Since API 1.42. */
  Parents?: string[] | null
  /** Until API 1.41. */
  Parent?: string
  Type: string
  Description: string
  InUse: boolean
  Shared: boolean
  /** Bytes. */
  Size: number
  CreatedAt: string
  LastUsedAt: string | null
  UsageCount: number
}
