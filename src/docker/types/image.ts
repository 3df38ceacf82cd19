import type { ContainerSettings, Descriptor } from './container.ts'

export type ImageSummary = {
  Id: string
  ParentId: string
  RepoTags: string[] | null
  RepoDigests: string[] | null
  /** Unix seconds. */
  Created: number
  /** Bytes. */
  Size: number
  /** Bytes; -1 when not asked for. */
  SharedSize: number
  /** Until API 1.43. */
  VirtualSize?: number
  Labels: Record<string, string> | null
  /** -1 when not asked for. */
  Containers: number
  /** Since API 1.47, with `manifests`. */
  Manifests?: ImageManifest[]
  /** Since API 1.48. */
  Descriptor?: Descriptor
}

export type ImageManifest = {
  ID: string
  Descriptor: Descriptor
  Available: boolean
  Size: { Total: number; Content: number }
  Kind: 'image' | 'attestation' | 'unknown'
  ImageData?: { Platform: Descriptor['platform']; Containers: string[]; Size: { Unpacked: number } } | null
  AttestationData?: { For: string } | null
}

export type ImageInspect = {
  Id: string
  RepoTags: string[] | null
  RepoDigests: string[] | null
  Parent?: string
  Comment: string
  Created?: string
  Container?: string
  DockerVersion?: string
  Author: string
  Config: ContainerSettings | null
  Architecture: string
  Variant?: string
  Os: string
  OsVersion?: string
  /** Bytes. */
  Size: number
  VirtualSize?: number
  GraphDriver?: { Name: string; Data: Record<string, string> | null }
  RootFS: { Type: string; Layers?: string[] }
  Metadata: { LastTagTime?: string }
  /** Since API 1.48. */
  Descriptor?: Descriptor | null
  /** Since API 1.48, with `manifests`. */
  Manifests?: ImageManifest[] | null
}

export type ImageHistoryEntry = {
  Id: string
  /** Unix seconds. */
  Created: number
  CreatedBy: string
  Tags: string[] | null
  Size: number
  Comment: string
}

export type ImageRemoval = { Untagged?: string; Deleted?: string }

export type ImageSearchResult = {
  name: string
  description: string
  star_count: number
  is_official: boolean
  is_automated?: boolean
}
