export type { Endpoint, TlsMaterial } from './address.ts'
export type { BuildEvent, BuildOptions } from './build.ts'
export { Docker, type DockerOptions } from './client.ts'
export type {
  AttachOptions,
  ContainerCreateOptions,
  ContainerListOptions,
  ContainerRemoveOptions,
  Containers,
  ExecRunOptions,
  LogOptions,
  RunResult,
  StopOptions,
  WaitOptions,
} from './containers.ts'
export type { CallOptions } from './deadline.ts'
export { Demux, type OutputChunk } from './demux.ts'
export type { Filters } from './engine.ts'
export * from './errors.ts'
export type { Exec, ExecConfig, ExecInspect, ExecStartOptions } from './exec.ts'
export type {
  ImageListOptions,
  Images,
  ImportOptions,
  LoadOptions,
  PullEvent,
  PullOptions,
  PushOptions,
} from './images.ts'
export type { InteractiveStream } from './interactive.ts'
export type { Networks } from './networks.ts'
export type { AuthConfig } from './registry-auth.ts'
export type { EventOptions, Ping, System } from './system.ts'
export type * from './types/container.ts'
export type * from './types/image.ts'
export type * from './types/network.ts'
export type * from './types/system.ts'
export type * from './types/volume.ts'
export type { Volumes } from './volumes.ts'
