export type { Endpoint, TlsMaterial } from './address.ts'
export {
  type ArchiveEntry,
  type ArchiveLimits,
  type ArchiveReadOptions,
  readArchive,
  unpackArchive,
} from './archive.ts'
export type { AnnouncedStep, BuildEvent, BuildOptions, BuildWatch } from './build.ts'
export { Docker, type DockerOptions } from './client.ts'
export type { Configs } from './configs.ts'
export type {
  AttachOptions,
  CommitOptions,
  ContainerCreateOptions,
  ContainerListOptions,
  ContainerRemoveOptions,
  Containers,
  Download,
  LogOptions,
  PutArchiveOptions,
  StopOptions,
  WaitOptions,
} from './containers.ts'
export type { AuthConfig } from './credentials.ts'
export type { CallOptions } from './deadline.ts'
export { Demux, type OutputChunk } from './demux.ts'
export type { Distribution } from './distribution.ts'
export { findEngine, parseHost } from './endpoint.ts'
export { compareVersions, type Filters } from './engine.ts'
export {
  ApiVersionError,
  BadRequestError,
  BuildError,
  ConflictError,
  DockerError,
  DockerUnavailableError,
  ForbiddenError,
  NotFoundError,
  NotImplementedError,
  ProtocolError,
  ServerError,
  TimeoutError,
  UnauthorizedError,
  UnavailableError,
} from './errors.ts'
export type { EventOptions } from './events.ts'
export type { Exec, ExecConfig, ExecInspect, ExecStartOptions } from './exec.ts'
export type { ExecRunOptions } from './exec-run.ts'
export type {
  AttestationOptions,
  BuildPruneOptions,
  ImageInspectOptions,
  ImageListOptions,
  ImageRemoveOptions,
  Images,
  ImportOptions,
  LoadOptions,
  PullOptions,
  PushOptions,
  SaveOptions,
} from './images.ts'
export type { InteractiveStream } from './interactive.ts'
export type { NetworkConnection, NetworkInspectOptions, Networks } from './networks.ts'
export type { Nodes } from './nodes.ts'
export type { RunResult } from './output.ts'
export type { PluginPullOptions, Plugins } from './plugins.ts'
export type { PullEvent } from './progress.ts'
export type { RunOptions } from './run.ts'
export type { Secrets } from './secrets.ts'
export type { ServiceLogOptions, Services, ServiceUpdateOptions } from './services.ts'
export type { SwarmUpdateOptions } from './swarm.ts'
export type { DiskUsageOptions, Ping, SessionOptions, System } from './system.ts'
export type { Tasks } from './tasks.ts'
export type * from './types/container.ts'
export type * from './types/image.ts'
export type * from './types/network.ts'
export type * from './types/plugin.ts'
export type * from './types/swarm.ts'
export type * from './types/system.ts'
export type * from './types/volume.ts'
export type { Volumes } from './volumes.ts'
export type { WebSocketStream } from './websocket.ts'
