import type { Some } from './partial.ts'
import type { ObjectVersion } from './swarm.ts'

export type Volume = {
  Name: string
  Driver: string
  /** On the engine's host. */
  Mountpoint: string
  CreatedAt?: string
  Status?: Record<string, unknown>
  Labels: Record<string, string> | null
  Scope: 'local' | 'global'
  /** Since API 1.42, on a swarm manager. */
  ClusterVolume?: ClusterVolume
  Options: Record<string, string> | null
  /** Bytes and users; only from `system.df`. */
  UsageData?: { Size: number; RefCount: number } | null
}

export type VolumeConfig = Some<{
  /** Default: one that the engine makes up. */
  Name: string
  /** Default `local`. */
  Driver: string
  DriverOpts: Record<string, string>
  Labels: Record<string, string>
  /** Since API 1.42, on a swarm manager. */
  ClusterVolumeSpec: ClusterVolumeSpec
}>

export type Topology = { Segments: Record<string, string> }

export type ClusterVolumeSpec = Some<{
  Group: string
  AccessMode: Some<{
    Scope: 'single' | 'multi'
    Sharing: 'none' | 'readonly' | 'onewriter' | 'all'
    MountVolume: Record<string, unknown>
    Secrets: { Key: string; Secret: string }[]
    AccessibilityRequirements: Some<{ Requisite: Topology[]; Preferred: Topology[] }>
    CapacityRange: Some<{ RequiredBytes: number; LimitBytes: number }>
    Availability: 'active' | 'pause' | 'drain'
  }>
}>

export type ClusterVolume = {
  ID: string
  Version: ObjectVersion
  CreatedAt: string
  UpdatedAt: string
  Spec: ClusterVolumeSpec
  Info?: {
    CapacityBytes?: number
    VolumeContext?: Record<string, string>
    VolumeID?: string
    AccessibleTopology?: Topology[]
  }
  PublishStatus?: {
    NodeID: string
    State: 'pending-publish' | 'published' | 'pending-node-unpublish' | 'pending-controller-unpublish'
    PublishContext?: Record<string, string>
  }[]
}
