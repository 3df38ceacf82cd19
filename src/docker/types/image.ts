import type { ContainerSettings, Descriptor, Platform } from './container.ts'

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
  ImageData?: {
    Platform: Platform
    /** Since API 1.54. */
    Identity?: ImageIdentity | null
    Containers: string[]
    Size: { Unpacked: number }
  } | null
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
  /** Since API 1.53. */
  Identity?: ImageIdentity | null
}

/** What the engine could verify about where an image comes from. */
export type ImageIdentity = {
  Signature?: ImageSignature[]
  Pull?: { Repository: string }[]
  Build?: { Ref: string; CreatedAt: string }[]
}

export type ImageSignature = {
  Name?: string
  Timestamps?: { Type: string; URI: string; Timestamp: string }[]
  KnownSigner?: string
  DockerReference?: string
  Signer?: Record<string, string>
  SignatureType?: string
  Error?: string
  Warnings?: string[]
}

/** A signed statement that is attached to an image. */
export type AttestationStatement = {
  Descriptor: Descriptor
  PredicateType: string
  /** Only with `statement`. */
  Statement?: Record<string, unknown> | null
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
