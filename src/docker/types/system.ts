import type { ContainerSummary } from './container.ts'
import type { ImageSummary } from './image.ts'
import type { Volume } from './volume.ts'

export type EngineEvent = {
  Type: string
  Action: string
  Actor: { ID: string; Attributes: Record<string, string> }
  scope: 'local' | 'swarm'
  time: number
  timeNano: number
}

export type SystemVersion = {
  Platform?: { Name: string }
  Components?: { Name: string; Version: string; Details?: Record<string, string> | null }[]
  Version: string
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
  Driver: string
  DriverStatus: string[][] | null
  DockerRootDir: string
  KernelVersion: string
  OperatingSystem: string
  OSType: string
  Architecture: string
  NCPU: number
  MemTotal: number
  Name: string
  Labels: string[] | null
  ExperimentalBuild: boolean
  ServerVersion: string
  LiveRestoreEnabled: boolean
  SecurityOptions: string[] | null
  Warnings: string[] | null
  Swarm: { NodeID: string; LocalNodeState: string; ControlAvailable: boolean }
  [field: string]: unknown
}

export type DiskUsage = {
  LayersSize: number
  Images: ImageSummary[] | null
  Containers: ContainerSummary[] | null
  Volumes: Volume[] | null
  BuildCache: BuildCacheEntry[] | null
}

export type BuildCacheEntry = {
  ID: string
  Parents?: string[] | null
  Type: string
  Description: string
  InUse: boolean
  Shared: boolean
  Size: number
  CreatedAt: string
  LastUsedAt: string | null
  UsageCount: number
}
