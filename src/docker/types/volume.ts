import type { Some } from './partial.ts'

export type Volume = {
  Name: string
  Driver: string
  Mountpoint: string
  CreatedAt?: string
  Status?: Record<string, unknown>
  Labels: Record<string, string> | null
  Scope: 'local' | 'global'
  Options: Record<string, string> | null
  UsageData?: { Size: number; RefCount: number } | null
}

export type VolumeConfig = Some<{
  /** Default: one that the engine makes up. */
  Name: string
  Driver: string
  DriverOpts: Record<string, string>
  Labels: Record<string, string>
}>
